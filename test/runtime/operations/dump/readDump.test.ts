import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { utf8 } from "../../../../runtime/base/bytes";
import { fail } from "../../../../runtime/base/errors";
import { dumpsJson, dumpsText } from "../../../../runtime/operations/dump/dumpReport";
import { chooseDump, listDumps, readVerified } from "../../../../runtime/operations/dump/readDump";
import { dumpGetCommand } from "../../../../runtime/commands/backups/dumpFiles";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { DUMP_PARTS, storeDump } from "../../../harness/madeDump";
import { FaultyStorage } from "../../../harness/network/faults";
import { host } from "../../commands/support";
import { repository, temporaryFolder } from "../../repository/support";

const [OLD, NEW] = ["20261120-064059Z-1a2b3c4d", "20261121-064059Z-1a2b3c4d"];
const PLAIN = DUMP_PARTS.join("");

async function two(): Promise<{ one: MemoryStorage; repos: [Repository, Repository] }> {
  const one = new MemoryStorage();
  const repos: [Repository, Repository] = [repository(1, { storage: one }), repository(2, { pass: "second" })];
  for (const repo of repos) for (const label of [OLD, NEW]) await storeDump(repo, label);
  return { one, repos };
}

const at = (label: string, name: string): string => `pgbackstop/demo/dump/${label}/${name}`;

async function read(repos: readonly Repository[], label?: string): Promise<{ text: string; error: unknown }> {
  const [copy] = (await chooseDump(repos, label)).copies;
  let text = "";
  try {
    if (copy !== undefined) for await (const chunk of readVerified(copy, "shop")) text += Buffer.from(chunk).toString();
    return { text, error: null };
  } catch (error) {
    return { text, error };
  }
}

describe("a stored dump", () => {
  test("is read back from each repository; by default the newest", async () => {
    const { repos } = await two();
    for (const repo of repos) expect(await read([repo])).toEqual({ text: PLAIN, error: null });
    const chosen = await chooseDump(repos, undefined);
    expect(chosen.manifest.label).toBe(NEW);
    expect(chosen.copies.map(({ repo }) => repo.key)).toEqual([1, 2]);
    expect((await chooseDump(repos, OLD)).manifest.label).toBe(OLD);
  });

  // claim: docs/dumps.md: of a damaged dump nobody gets the end
  test("that is damaged ends with an error before its last bytes", async () => {
    const { one, repos } = await two();
    for (const name of ["shop.dump", "shop.dump.2"]) {
      const bytes = Buffer.from(one.text(at(NEW, name)));
      await one.put(at(NEW, name), Buffer.from(bytes).fill("x", 3, 4));
      const { error, text } = await read([repos[0]]);
      expect(error, name).toMatchObject({ kind: "checksum", exitCode: 26 });
      expect(text.length, name).toBeLessThan(PLAIN.length);
      await one.put(at(NEW, name), bytes);
    }
  });

  test("without one of its files is not the newest, and names what it lacks", async () => {
    const { one, repos } = await two();
    await one.remove(at(NEW, "shop.dump.2"));
    expect((await chooseDump([repos[0]], undefined)).manifest.label).toBe(OLD);
    expect((await chooseDump(repos, undefined)).copies.map(({ repo }) => repo.key)).toEqual([2]);
    await expect(chooseDump([repos[0]], NEW)).rejects.toMatchObject({
      kind: "backupSetInvalid",
      message: `no repository has dump ${NEW} completely\nrepo1: dump ${NEW}: 'shop.dump.2' is missing or of another size`,
    });
  });

  test("that nobody has, or can read, is an error", async () => {
    const { repos } = await two();
    await expect(chooseDump(repos, "20261122-064059Z-1a2b3c4d")).rejects.toMatchObject({ kind: "backupSetInvalid" });
    await expect(chooseDump(repos, "../x")).rejects.toMatchObject({ kind: "optionInvalidValue" });
    await expect(chooseDump([repository(1)], undefined)).rejects.toMatchObject({
      message: "no repository has a complete dump",
    });
    const gone = new FaultyStorage(new MemoryStorage());
    gone.plan("list", { kind: "error", error: fail("hostConnect", "unable to connect") });
    await expect(chooseDump([repository(1, { storage: gone })], undefined)).rejects.toMatchObject({
      kind: "hostConnect",
    });
  });

  test("is listed once with its repositories", async () => {
    const { one, repos } = await two();
    await one.remove(at(NEW, "globals.sql"));
    await one.put(at(OLD, "dump.manifest"), utf8("{}"));
    const results = await listDumps(repos);
    const text = dumpsText("demo", results);
    expect(text).toMatch(new RegExp(`^stanza: demo\n\n    dump: ${OLD}\n        timestamp start/stop: .* / .*\n`));
    expect(text).toContain(
      "        database list: shop (26B)\n        repo1: 'globals.sql' is missing or of another size\n",
    );
    expect(text).toContain(`repo1: '${at(OLD, "dump.manifest")}' is not the manifest of a dump of version 1\n`);
    expect(text.match(/repo2: complete/g)).toHaveLength(2);
    expect(dumpsJson(results)).toMatchObject([
      { label: OLD, repo: [{ key: 1 }, { key: 2, fault: null }] },
      { label: NEW, version: "18", "system-id": 5n, database: [{ name: "shop", size: 26 }] },
    ]);
    expect(dumpsText("demo", await listDumps([repository(1)]))).toBe("stanza: demo\n    no dumps\n");
  });
});

describe("dump-get", () => {
  const get = async (repos: readonly Repository[], folder: string, ...argv: string[]) => {
    const parts = { folder, repos, ctx: testContext(), argv: ["dump-get", ...argv] };
    const bytes: Uint8Array[] = [];
    const proc = { ...host(parts), printBytes: async (chunk: Uint8Array) => void bytes.push(chunk) };
    const run = await dumpGetCommand(proc).catch((error: unknown) => error);
    return { run, text: Buffer.concat(bytes).toString() };
  };

  test("writes a database, or the roles, to standard output", async () => {
    const { repos } = await two();
    const folder = temporaryFolder();
    expect(await get(repos, folder, "--database=shop")).toEqual({ run: 0, text: PLAIN });
    expect(await get(repos, folder, "--globals", `--dump=${OLD}`)).toEqual({ run: 0, text: "ROLES" });
    expect((await get(repos, folder)).run).toMatchObject({ kind: "optionRequired" });
    expect((await get(repos, folder, "--globals", "--database=shop")).run).toMatchObject({ kind: "optionInvalid" });
    expect((await get(repos, folder, "--database=crm")).run).toMatchObject({
      kind: "optionInvalidValue",
      hints: [`Dump ${NEW} has: shop.`],
    });
  });

  // claim: docs/dumps.md: a file appears when it is complete and verified; a damaged copy is replaced by that of
  //   another repository
  test("writes a file only if it is right, from another repository if it must", async () => {
    const { one, repos } = await two();
    const folder = temporaryFolder();
    const path = join(folder, "shop.dump");
    await one.put(at(NEW, "shop.dump"), Buffer.alloc(one.text(at(NEW, "shop.dump")).length));
    expect((await get([repos[0]], folder, "--database=shop", `--to-file=${path}`)).run).toMatchObject({
      kind: "checksum",
    });
    expect(existsSync(path)).toBe(false);
    expect(existsSync(`${path}.pgbackstop.tmp`)).toBe(false);
    expect(await get(repos, folder, "--database=shop", `--to-file=${path}`)).toEqual({ run: 0, text: "" });
    expect(readFileSync(path, "utf8")).toBe(PLAIN);
    writeFileSync(path, "somebody's");
    expect((await get(repos, folder, "--database=shop", `--to-file=${path}`)).run).toMatchObject({
      kind: "fileExists",
    });
    expect(readFileSync(path, "utf8")).toBe("somebody's");
  });
});
