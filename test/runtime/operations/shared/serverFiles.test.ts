import { chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { decryptBytes } from "../../../../runtime/format/codec/cipher";
import { expireRepository } from "../../../../runtime/operations/expire/expire";
import {
  expireServerFiles,
  findServerFiles,
  keepServerFiles,
  writeServerFiles,
} from "../../../../runtime/operations/shared/serverFiles";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { stanzaDelete } from "../../../../runtime/operations/stanza/stanzaDelete";
import { NO_LEASE } from "../../../../runtime/repository/lease";
import type { Session } from "../../../../runtime/postgres/session";
import { listLabels } from "../../../../runtime/repository/backupStore";
import { readFile, type Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { testLease } from "../../../harness/leases";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CONTROL, makeDataDirectory, makeTree, repository, temporaryFolder } from "../../repository/support";
import { runBackup } from "../backup/support";

const LABEL = "20261120-064059F";
const PATH = `pgbackstop/demo/${LABEL}/server-files.json.gz`;
const USERS = { userName: () => "postgres", groupName: () => "dba", findUid: () => null, findGid: () => null };

let folder: string;
let etc: string;
let data: string;
let ctx: TestContext;
let storage: FaultyStorage;
let plain: Repository;
let secret: Repository;

/** A server with its configuration in Debian's location, unless `more` changes it. */
function server(more: Readonly<Record<string, string>> = {}): Session {
  const locations: Record<string, string> = {
    config_file: join(etc, "postgresql.conf"),
    hba_file: join(etc, "pg_hba.conf"),
    ident_file: "pg_ident.conf",
    ...more,
  };
  const rows = Object.entries(locations).map(([name, setting]) => ({ name, setting }));
  const answers = { query: async () => ({ rows }) };
  // The test queries nothing else.
  return answers as typeof answers & Session;
}

const keep = (session = server(), repos: readonly Repository[] = [plain, secret]): Promise<void> =>
  keepServerFiles(
    session,
    data,
    USERS,
    repos.map((repo) => ({
      repo,
      manifest: { label: LABEL, ...(repo === secret ? { cipherPass: "of this backup" } : {}) },
    })),
    ctx,
  );
const result = async (repo = plain): Promise<Record<string, string>> => {
  const files = await findServerFiles(repo, {
    label: LABEL,
    ...(repo === secret ? { cipherPass: "of this backup" } : {}),
  });
  return Object.fromEntries(
    (files ?? []).map((file) => [file.path.slice(folder.length + 1), Buffer.from(file.content).toString()]),
  );
};
const warnings = (): string[] => ctx.lines.filter((line) => line.level === "warn").map((line) => line.text);

beforeEach(() => {
  folder = temporaryFolder();
  etc = join(folder, "etc/postgresql/15/main");
  data = join(folder, "data");
  makeTree(folder, {
    "etc/postgresql/15/main/postgresql.conf": "include_dir 'conf.d'\ninclude '../../../../data/inside.conf'\n",
    "etc/postgresql/15/main/conf.d/10.conf": "work_mem = '1MB'\n",
    "etc/postgresql/15/main/pg_hba.conf": "local @names all trust\n",
    "etc/postgresql/15/main/names": "shop\n",
    "etc/postgresql/15/main/start.conf": "auto\n",
    "etc/postgresql/15/main/unrelated.txt": "not the server's",
    "data/inside.conf": "",
    "data/pg_ident.conf": "",
  });
  chmodSync(join(etc, "pg_hba.conf"), 0o640);
  ctx = testContext();
  storage = new FaultyStorage(new MemoryStorage({ name: "memory" }));
  plain = repository(1, { storage });
  secret = repository(2, { pass: "of the repository" });
});

const ALL = ["conf.d/10.conf", "names", "pg_hba.conf", "postgresql.conf", "start.conf"].map(
  (name) => `etc/postgresql/15/main/${name}`,
);

describe("configuration files outside the data directory", () => {
  it("are kept beside the backup with all their includes, encrypted like the backup", async () => {
    await keep();
    expect(Object.keys(await result())).toEqual(ALL);
    expect(await result(secret)).toEqual(await result());
    const [hba] =
      (await findServerFiles(plain, { label: LABEL }))?.filter((file) => file.path.endsWith("pg_hba.conf")) ?? [];
    expect(hba).toMatchObject({ path: join(etc, "pg_hba.conf"), mode: 0o640, user: "postgres", group: "dba" });
    const stored = await readFile(secret, PATH, null);
    expect(Buffer.from(stored).toString("latin1")).toMatch(/^Salted__/);
    expect(JSON.parse(gunzipSync(decryptBytes(stored, "of this backup")).toString()).version).toBe(1);
    expect(warnings()).toEqual([]);
  });

  it("are empty when all of them are inside, under any path", async () => {
    const inside = { config_file: join(data, "inside.conf"), hba_file: join(data, "pg_ident.conf") };
    await keep(server(inside));
    expect(await findServerFiles(plain, { label: LABEL })).toBeNull();
    expect(storage.calls("put")).toEqual([]);
  });

  it("cost no backup when they cannot be read or stored", async () => {
    rmSync(join(etc, "conf.d"), { recursive: true });
    writeFileSync(join(etc, "conf.d"), "no directory");
    const blind = { query: async () => ({ rows: [] }) };
    await keep(blind as typeof blind & Session);
    expect(warnings()[0]).toContain(
      "unable to keep the configuration files from outside of the data directory: [DbQueryError] the server does not show the paths of its configuration files",
    );
    storage.plan("put", { kind: "error", error: fail("access", "denied") });
    await keep();
    expect(warnings()[1]).toBe("repo1: unable to keep the server's configuration files: [AccessError] denied");
    expect(Object.keys(await result(secret))).toHaveLength(ALL.length - 1);
  });

  it.each([
    ["not gzip at all", Buffer.from("x"), "cannot be decompressed"],
    ["another version", gzipSync('{"version":2,"files":[]}'), "expected version 1 with files, found version 2"],
    ["a large version", gzipSync(`{"version":${10n ** 17n},"files":[]}`), "found version 100000000000000000"],
    [
      "a path to the outside",
      gzipSync('{"version":1,"files":[{"path":"/a/../etc/passwd"}]}'),
      "a row does not describe a file",
    ],
  ])("are refused when they are %s (29)", async (_, bytes, message) => {
    await plain.storage.put(PATH, bytes);
    await expect(findServerFiles(plain, { label: LABEL })).rejects.toMatchObject({
      kind: "format",
      message: expect.stringContaining(message),
    });
  });

  it("are refused when a forged list has no valid path or time, and lose set-user-ID", async () => {
    const row = { path: "/etc/x", mode: "6755", user: "root", group: null, modifiedAtS: 1, content: "" };
    const put = (more: object): Promise<void> =>
      plain.storage.put(PATH, gzipSync(JSON.stringify({ version: 1, files: [{ ...row, ...more }] })));
    await put({});
    expect((await findServerFiles(plain, { label: LABEL }))?.map((file) => file.mode)).toEqual([0o755]);
    for (const more of [
      { path: "/etc/../x" },
      { path: "etc/x" },
      { path: "/etc/x\0y" },
      { modifiedAtS: 1e15 },
      { modifiedAtS: "1" },
    ]) {
      await put(more);
      await expect(findServerFiles(plain, { label: LABEL })).rejects.toMatchObject({ kind: "format" });
    }
  });

  it("are written below a directory or in place, and existing ones are kept", async () => {
    await keep();
    const files = (await findServerFiles(plain, { label: LABEL })) ?? [];
    const below = join(folder, "new");
    expect(await writeServerFiles(files, below, () => null)).toEqual(files.map((file) => join(below, file.path)));
    expect(readFileSync(join(below, etc, "conf.d/10.conf"), "utf8")).toBe("work_mem = '1MB'\n");
    expect(statSync(join(below, etc, "pg_hba.conf")).mode & 0o777).toBe(0o640);

    writeFileSync(join(etc, "names"), "the installer's\n");
    for (let turn = 0; turn < 2; turn++) {
      await writeServerFiles(files, "/", () => null);
      expect(readFileSync(join(etc, "names"), "utf8")).toBe("shop\n");
      writeFileSync(join(etc, "names"), "again\n");
    }
    expect(readFileSync(join(etc, "names.before-restore"), "utf8")).toBe("the installer's\n");
    expect(existsSync(join(etc, "start.conf.before-restore"))).toBe(false);
  });

  it("are removed after their backup, whether we or stock expired it", async () => {
    const labels = [LABEL, `${LABEL}_20261121-064059I`, "20261122-064059F", "20261123-064059F", "20261124-064059F"];
    for (const label of labels)
      await plain.storage.put(`pgbackstop/demo/${label}/server-files.json.gz`, Buffer.from("x"));
    await plain.storage.put("pgbackstop/demo/other/file", Buffer.from("x"));
    // The last backup is still running.
    const listed = [labels[1] ?? "", labels[3] ?? ""];
    expect(await expireServerFiles(plain, listed, true)).toEqual([LABEL, "20261122-064059F"]);
    expect(await plain.storage.stat(PATH)).not.toBeNull();
    expect(await expireServerFiles(plain, listed, false)).toEqual([LABEL, "20261122-064059F"]);
    expect(await expireServerFiles(plain, listed, false)).toEqual([]);
    for (const [index, label] of labels.entries())
      expect((await plain.storage.stat(`pgbackstop/demo/${label}/server-files.json.gz`)) !== null).toBe(
        index === 1 || index > 2,
      );
    expect(await expireServerFiles(plain, [], false)).toEqual([]);
  });

  it("are removed by expire and by stanza-delete", async () => {
    const cluster = makeDataDirectory(folder, {});
    await stanzaCreate([plain], CONTROL, ctx);
    for (let turn = 0; turn < 2; turn++) {
      await runBackup([plain], cluster, ctx);
      ctx.clock.advance(10_000);
    }
    const [old = "", kept = ""] = await listLabels(plain);
    const exists = async (label: string): Promise<boolean> =>
      (await plain.storage.stat(`pgbackstop/demo/${label}/server-files.json.gz`)) !== null;
    for (const label of [old, kept])
      await plain.storage.put(`pgbackstop/demo/${label}/server-files.json.gz`, Buffer.from("x"));
    const retention = { full: 1, fullType: "count", archiveType: "full" } as const;
    await expireRepository(
      plain,
      retention,
      { oldest: false, refusePageErrors: false, dryRun: true },
      testLease(),
      ctx,
    );
    expect([await exists(old), await exists(kept)]).toEqual([true, true]);
    await expireRepository(
      plain,
      retention,
      { oldest: false, refusePageErrors: false, dryRun: false },
      testLease(),
      ctx,
    );
    expect([await exists(old), await exists(kept)]).toEqual([false, true]);
    await stanzaDelete(plain, [NO_LEASE], ctx);
    expect(await exists(kept)).toBe(false);
  });
});
