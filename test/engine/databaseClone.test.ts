/**
 * A `DatabaseClone` on the real engine with its dynamic resource: a script stands for the host's runtime, because a
 * clone needs FUSE, PostgreSQL and systemd. test/interop/restore/clone.test.ts and test/hosts/mounted.test.ts have
 * them.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DatabaseClone, type DatabaseCloneArgs } from "../../components/databases/databaseClone";
import { findPulumiCli } from "../../tools/parts/pulumi/pulumiCli";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { isRoot } from "../../tools/parts/users";
import { failureOf, stateTexts } from "../harness/compare/engineTexts";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { skipped } from "../harness/real/interopParts";

const TITLE = "a clone on the engine";

/** Keeps the password that it got, and has a process that looks like the clone's server. */
const RUNTIME = `#!/bin/sh
folder=$(dirname "$0")
at= verb=
for word; do
  case $word in --at=*) at=\${word#--at=} ;; clone | close) verb=$word ;; esac
done
echo "$*" >> "$folder/calls"
if [ "$verb" = close ]; then
  [ -d "$at.pgbackstop" ] || exit 55
  kill "$(cat "$at.pgbackstop/upper/postmaster.pid")"
  rm -r "$at" "$at.pgbackstop"
  exit
fi
cat > "$folder/password"
if [ -e "$folder/broken" ]; then echo "ERROR: [057]: the mask failed in database 'shop'" >&2; exit 57; fi
mkdir -p "$at" "$at.pgbackstop/upper"
touch "$at/PG_VERSION"
echo '{}' > "$at.pgbackstop/clone.json"
sh -c 'sleep 600; :' server "$at" > /dev/null 2>&1 &
echo $! > "$at.pgbackstop/upper/postmaster.pid"
echo '{"backup":"20261120-020000F","repo":"repo1","databases":["shop"],"dataTime":"2026-11-20T06:39:59.000Z","dataAgeS":61,
"diskBytes":1000,"fetchedBytes":2000,"totalBytes":9000,"endsAt":"2999-01-01T00:00:00.000Z","port":40123}'
`;

describe(TITLE, async () => {
  const cli = await findPulumiCli();
  if (cli === null) return void skipped(TITLE, "there is no Pulumi CLI: npm test -- --all builds it");
  if (!isRoot()) return void skipped(TITLE, "a clone needs root");
  let folder: string;
  let programFolder: ProgramFolder;
  const printed: string[] = [];

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "pgb-clone-"));
    writeFileSync(join(folder, "runtime.sh"), RUNTIME, { mode: 0o755 });
    programFolder = await makeProgramFolder();
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
    removeProgramFolder(programFolder);
  });

  const open = (over: Partial<DatabaseCloneArgs> = {}): Promise<Stack> =>
    openStack(programFolder, "clone", async () => {
      const { connectionString, dataAgeSeconds, endsAt, fetchedBytes } = new DatabaseClone("pr-123", {
        host: {
          connection: { local: {} },
          user: "root",
          databaseUser: "postgres",
          runtimeArgv: [join(folder, "runtime.sh"), "--stanza=main"],
        },
        directory: join(folder, "clones"),
        databases: ["shop"],
        mask: ["UPDATE customers SET email = ''"],
        ...over,
      });
      return { connectionString, dataAgeSeconds, endsAt, fetchedBytes };
    });
  const calls = (): string[] =>
    existsSync(join(folder, "calls")) ? readFileSync(join(folder, "calls"), "utf8").trim().split("\n") : [];
  const directoryIn = (line: string | undefined): string => /--at=(\S+)/.exec(line ?? "")?.[1] ?? "";
  const changesOf = async (stack: Stack): Promise<object> => {
    const { stdout, summary } = await stack.up();
    printed.push(stdout);
    return summary.resourceChanges ?? {};
  };

  // claim: docs/clones.md: an update with other arguments opens a new clone, and then closes the previous one
  // claim: docs/clones.md: a refresh notices that a clone's life is over
  test("is made, moved, found gone, made again and discarded; its password is secret everywhere", async () => {
    await (await open()).preview();
    expect(calls()).toEqual([]);

    const first = await (await open()).up();
    printed.push(first.stdout);
    const password = readFileSync(join(folder, "password"), "utf8");
    expect(first.outputs).toMatchObject({
      connectionString: { value: `postgresql://clone:${password}@127.0.0.1:40123/shop`, secret: true },
      dataAgeSeconds: { value: 61, secret: false },
      fetchedBytes: { value: 2000 },
      endsAt: { value: "2999-01-01T00:00:00.000Z" },
    });
    expect(calls()).toHaveLength(1);
    expect(await changesOf(await open())).toEqual({ same: 3 });

    const at = "2026-11-20 06:40:00+00";
    expect(await changesOf(await open({ at }))).toMatchObject({ update: 2 });
    const [made, moved, closed] = calls();
    expect(moved).toContain(`--target=${at}`);
    expect([closed, directoryIn(moved) === directoryIn(made)]).toEqual([
      `--stanza=main close --at=${directoryIn(made)}`,
      false,
    ]);
    expect(readFileSync(join(folder, "password"), "utf8")).toBe(password);

    // As its timer does at the end of its life.
    const current = directoryIn(moved);
    process.kill(Number(readFileSync(join(`${current}.pgbackstop`, "upper/postmaster.pid"), "utf8")));
    rmSync(`${current}.pgbackstop`, { recursive: true });
    const refreshed = await (await open({ at })).refresh();
    expect(refreshed.stdout).toContain(`the clone in ${current} is gone`);
    expect(await changesOf(await open({ at }))).toMatchObject({ create: 1 });

    writeFileSync(join(folder, "broken"), "");
    expect(await failureOf((await open()).up(), printed)).toContain("the mask failed in database 'shop'");
    // The previous one is still there.
    const last = directoryIn(calls()[3]);
    expect(existsSync(`${last}.pgbackstop`)).toBe(true);
    await (await open()).destroy();
    expect([calls().at(-1), existsSync(`${last}.pgbackstop`)]).toEqual([`--stanza=main close --at=${last}`, false]);
    for (const text of [...printed, ...calls(), ...stateTexts(programFolder.folder)])
      expect(text).not.toContain(password);
  }, 300_000);
});
