import { beforeEach, describe, expect, test } from "vitest";
import { verifyCommand } from "../../../../runtime/commands/backups/verify";
import { parseJson } from "../../../../runtime/format/repository/json";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { type DumpVerdict, verifyDumps } from "../../../../runtime/operations/verify/verifyDumps";
import { removeDump } from "../../../../runtime/repository/dumpStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { storeDump } from "../../../harness/madeDump";
import { FaultyStorage } from "../../../harness/network/faults";
import { host } from "../../commands/support";
import { CONTROL, repository, temporaryFolder } from "../../repository/support";

const [OLD, NEW] = ["20261120-064059Z-1a2b3c4d", "20261121-064059Z-1a2b3c4d"];
const ctx = testContext();
let memory: MemoryStorage;
let storage: FaultyStorage;
let repo: Repository;

const at = (name: string, label = NEW): string => `pgbackstop/demo/dump/${label}/${name}`;
const damage = async (path: string): Promise<void> => {
  const bytes = Buffer.from(memory.files.get(path)?.bytes ?? []);
  await memory.put(path, bytes.fill(bytes.at(-1) === 0 ? 1 : 0, bytes.length - 1));
};

beforeEach(async () => {
  memory = new MemoryStorage();
  storage = new FaultyStorage(memory);
  repo = repository(1, { storage, pass: "second" });
  for (const label of [OLD, NEW]) await storeDump(repo, label);
});

async function run(samplePercent = 100): Promise<{ verdicts: readonly DumpVerdict[]; problems: string[] }> {
  const problems: string[] = [];
  const pool = inlinePool(new Map([[1, repo]]), ctx, 2);
  return { verdicts: await verifyDumps({ pool, repo, samplePercent }, problems, ctx), problems };
}

// claim: docs/dumps.md: verify reads every file of each dump, and one that is being written is no fault
describe("verify of dumps", () => {
  test("reads every file of each one, and nothing of one that is being written", async () => {
    await memory.put("pgbackstop/demo/dump/20261122-064059Z-1a2b3c4d/shop.dump", Buffer.from("not yet all"));
    expect(await run()).toMatchObject({
      verdicts: [OLD, NEW].map((label) => ({ label, status: "valid", counts: { total: 2, valid: 2 } })),
      problems: [],
    });
    expect(storage.calls("read").filter((path) => !path.endsWith("manifest"))).toEqual(
      [OLD, NEW].flatMap((label) => ["globals.sql", "shop.dump", "shop.dump.2"].map((name) => at(name, label))),
    );
  });

  test("names what is damaged, missing, of another size or unreadable", async () => {
    await damage(at("shop.dump.2"));
    const damaged = await run();
    expect(damaged.verdicts).toMatchObject([
      { status: "valid" },
      { status: "invalid", counts: { checksumInvalid: 1 } },
    ]);
    expect(damaged.problems).toEqual([expect.stringContaining(`invalid result ${at("shop.dump")}: [`)]);
    await memory.put(at("globals.sql"), Buffer.from("short"));
    await memory.remove(at("shop.dump.2"));
    const lacking = await run();
    expect(lacking.verdicts[1]).toMatchObject({ status: "invalid", counts: { total: 2, missing: 1, sizeInvalid: 1 } });
    expect(lacking.problems.toSorted()).toEqual([
      `file missing '${at("shop.dump.2")}'`,
      `invalid size '${at("globals.sql")}'`,
    ]);
    await damage(at("dump.manifest", OLD));
    const unreadable = await run();
    expect(unreadable.verdicts[0]).toMatchObject({ label: OLD, status: "manifest missing" });
    expect(unreadable.problems[0]).toMatch(new RegExp(`^dump ${OLD}: \\[`));
  });

  test("with a sample compares the names and sizes of all files, and reads some", async () => {
    await damage(at("shop.dump.2"));
    const fine = await run(0);
    expect(fine.verdicts.map(({ counts }) => counts.total)).toEqual([0, 0]);
    expect(storage.calls("read").every((path) => path.endsWith("manifest"))).toBe(true);
    await memory.remove(at("shop.dump.2"));
    expect((await run(0)).problems).toEqual([`file missing '${at("shop.dump.2")}'`]);
  });

  test("does not count one that is removed while it is read", async () => {
    await damage(at("shop.dump"));
    const read = storage.read.bind(storage);
    storage.read = async (path, range) => {
      if (path === at("globals.sql")) await removeDump(repo, NEW);
      return read(path, range);
    };
    expect(await run()).toMatchObject({ verdicts: [{ label: OLD }], problems: [] });
  });
});

test("the command shows a faulty dump, and ends with 26", async () => {
  await stanzaCreate([repo], CONTROL, ctx);
  const own = (...argv: string[]) => host({ argv: ["verify", ...argv], repos: [repo], ctx, folder: temporaryFolder() });
  const fine = own("--output=json");
  expect(await verifyCommand(fine)).toBe(0);
  expect(parseJson(fine.printed.join(""))).toMatchObject({
    repos: [{ status: "ok", dumps: [{ label: OLD, status: "valid", total: 2 }, { label: NEW }] }],
  });
  await memory.remove(at("shop.dump"));
  const faulty = own("--output=text");
  await expect(verifyCommand(faulty)).rejects.toMatchObject({ exitCode: 26 });
  expect(faulty.printed.join("")).toContain(
    `status: error\n  dump: ${NEW}, status: invalid, total files checked: 2, total valid files: 1\n    missing: 1\n`,
  );
});
