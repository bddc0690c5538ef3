import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { type JsonValue, parseJson, renderJson } from "../../../../runtime/format/repository/json";
import { openMissingWal } from "../../../../runtime/local/missingWal";
import {
  collectInfo,
  infoJson,
  progressJson,
  type InfoOptions,
  type InfoReport,
} from "../../../../runtime/operations/info/info";
import { infoText, progressText } from "../../../../runtime/operations/info/infoText";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { factsOf } from "../../../../runtime/recoverability/facts";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { testContext } from "../../../harness/context";
import { storeDump } from "../../../harness/madeDump";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { PASS, vectorBytes, vectorText } from "../../format/vectors";
import { CONTROL, OTHER_CONTROL, repository, temporaryFolder, walBytes } from "../../repository/support";
import { store } from "../archive";

const ctx = testContext();
const FREE = { held: false, repos: [] };
const OPTIONS: InfoOptions = {
  stanza: "demo",
  set: undefined,
  type: undefined,
  extras: true,
  locks: { backup: FREE, restore: FREE },
};

/** A repository as it was when stock printed its info: stock's info files, and an archive from segment 1 to 0x19. */
async function golden(version: "2.45" | "2.60", key: number): Promise<Repository> {
  const sources: Record<string, readonly [archive: string, backup: string, pass: string | undefined, id: string]> = {
    "2.45/1": ["v2.45/plain/archive.info", "v2.45/plain/backup.info", undefined, "15-1"],
    "2.45/2": ["v2.45/encrypted/archive.info", "v2.45/encrypted/backup.info", PASS.repo2, "15-1"],
    "2.60/4": ["v2.60/block-lz4/archive.info", "v2.60/block-lz4/backup.info", undefined, "18-1"],
  };
  const [archive, backup, pass, id] = sources[`${version}/${key}`] ?? ["", "", undefined, ""];
  const storage = new MemoryStorage();
  await storage.put("archive/demo/archive.info", vectorBytes(archive));
  await storage.put("backup/demo/backup.info", vectorBytes(backup));
  for (const last of ["01", "0A", "19"]) {
    await storage.put(
      `archive/demo/${id}/0000000100000000/0000000100000000000000${last}-${"0".repeat(40)}`,
      Buffer.alloc(0),
    );
  }
  await storage.put(`archive/demo/${id}/00000002.history`, Buffer.alloc(0));
  return repository(key, { storage, ...(pass === undefined ? {} : { pass }) });
}

const report = (repos: readonly Repository[], more: Partial<InfoOptions> = {}): Promise<InfoReport> =>
  collectInfo(factsOf(repos), openMissingWal(join(temporaryFolder(), "spool"), "demo"), { ...OPTIONS, ...more });

/** Stock's output, reduced to these repositories. */
function ofRepos(json: JsonValue, keys: readonly number[]): JsonValue {
  type Row = { readonly [name: string]: JsonValue };
  const [stanza] = json as Row[];
  if (stanza === undefined) throw new Error("the golden info is empty");
  const rows = (name: string): Row[] => stanza[name] as Row[];
  const keyOf = (row: Row): number =>
    Number((row.database as Row | undefined)?.["repo-key"] ?? row["repo-key"] ?? row.key);
  const own = (name: string): Row[] => rows(name).filter((row) => keys.includes(keyOf(row)));
  return [{ ...stanza, archive: own("archive"), backup: own("backup"), db: own("db"), repo: own("repo") }];
}

/** Blocks of stock's text, without those of other repositories. */
function textOf(text: string, keys: readonly number[]): string[] {
  return text
    .split("\n\n")
    .filter((block) => {
      const key = /^ {12}repo(\d): /m.exec(block)?.[1];
      return key === undefined || keys.includes(Number(key));
    })
    .slice(1)
    .map((block) => block.trimEnd());
}

describe("info", () => {
  const zone = process.env.TZ;
  beforeAll(() => {
    process.env.TZ = "UTC";
  });
  afterAll(() => {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  });

  it("is stock 2.60's JSON", async () => {
    const expected = ofRepos(parseJson(vectorText("v2.60/output/info.json")), [4]) as Record<string, JsonValue>[];
    expect(renderJson([infoJson(await report([await golden("2.60", 4)]))])).toBe(
      renderJson([{ ...expected[0], cipher: "none" }]),
    );
  });

  it("is stock 2.45's JSON for two repositories, except the restore lock that it does not know", async () => {
    const repos = [await golden("2.45", 1), await golden("2.45", 2)];
    const result = renderJson([infoJson(await report(repos))]).replace(',"restore":{"held":false}', "");
    // The golden backup.info is newer than the output: `annotate` added a key in between.
    expect(result.replace('"late":"yes",', "")).toBe(
      renderJson(ofRepos(parseJson(vectorText("v2.45/output/info.json")), [1, 2])),
    );
  });

  it("lists the backups that are open on this machine", async () => {
    const repo = await golden("2.60", 4);
    const { backups, history } = await loadBackupInfo(repo);
    const label = backups[0]?.label ?? "";
    const opened = {
      at: "/mnt/past",
      label,
      repo: "repo4",
      systemId: String(history[0]?.systemId),
      isServed: true,
      isProduction: false,
      isRecovering: false,
      progress: null,
    };
    const another = { ...opened, at: "/mnt/other", label: "20200101-000000F" };
    const foreign = { ...opened, at: "/mnt/foreign", systemId: "1" };
    const result = await report([repo], { opened: [opened, another, foreign] });
    expect(infoText(result)).toContain(`    status: ok\n    open: ${label} of repo4 in /mnt/past\n    cipher`);
    expect(infoText(result).match(/^ {4}open: /gm)).toHaveLength(1);
    expect(infoJson(result)).toMatchObject({ opened: [{ at: "/mnt/past", label, served: true }] });
  });

  it("is stock 2.60's text", async () => {
    const result = infoText(await report([await golden("2.60", 4)]));
    expect(
      result.startsWith(
        "stanza: demo\n    status: ok\n    cipher: none\n\n    db (current)\n        wal archive min/max (18): ",
      ),
    ).toBe(true);
    expect(result.trimEnd().split("\n\n").slice(1)).toEqual(textOf(vectorText("v2.60/output/info.txt"), [4]));
  });

  it("is stock 2.60's text and JSON of one backup with --set", async () => {
    const repo = await golden("2.45", 1);
    const label = "20261120-065325F_20261120-065552I";
    await repo.storage.put(`backup/demo/${label}/backup.manifest`, vectorBytes("v2.45/plain/incr.backup.manifest"));
    const result = await report([repo], { set: label });
    const zoned = vectorText("v2.45/output/info-set.txt").replace(/(\d\d:\d\d:\d\d)(?= \/|$)/gm, "$1+00");
    expect(infoText(result)).toBe(zoned);
    expect(renderJson([infoJson(result)]).replace(',"restore":{"held":false}', "")).toBe(
      vectorText("v2.45/output/info-set.json").trim(),
    );
  });

  it("shows the zone's offset", async () => {
    process.env.TZ = "Asia/Kolkata";
    expect(infoText(await report([await golden("2.60", 4)]))).toContain(
      "timestamp start/stop: 2026-11-20 12:35:17+05:30 / 2026-11-20 12:35:24+05:30",
    );
    process.env.TZ = "UTC";
  });

  it("shows held locks, and their holders' progress", async () => {
    const held = { held: true, repos: [] };
    const locked = await report([await golden("2.60", 4)], { locks: { backup: held, restore: held } });
    expect(renderJson(infoJson(locked))).toContain('"lock":{"backup":{"held":true},"restore":{"held":true}}');
    expect(infoText(locked)).toContain("    status: ok (backup/expire running, restore running)\n");
    const repos = [{ key: 4, sizeBytes: 100795221, sizeCompleteBytes: 90912234 }];
    const halfway = await report([await golden("2.60", 4)], {
      locks: { backup: { held: true, repos }, restore: FREE },
    });
    expect(progressText(halfway)).toBe("stanza: demo\n    status: ok (backup/expire running - 90.19% complete)\n");
    expect(renderJson([progressJson(halfway)])).toBe(
      '[{"name":"demo","status":{"code":0,"lock":{"backup":{"held":true,"repo":[{"key":4,"size":100795221,"size-cplt":90912234}],"size":100795221,"size-cplt":90912234},"restore":{"held":false}},"message":"ok"}}]',
    );
    const empty = await report([repository(1)], { locks: { backup: held, restore: FREE } });
    expect(progressText(empty)).toContain("status: error (missing stanza path, backup/expire running)");
  });
});

describe("the state of a stanza", () => {
  it("is missing, without backups, or without its info files", async () => {
    const nothing = repository(1);
    expect((await report([nothing])).status).toEqual({ code: 1, message: "missing stanza path" });
    expect(infoText(await report([nothing]))).toBe("stanza: demo\n    status: error (missing stanza path)\n");
    await stanzaCreate([nothing], CONTROL, ctx);
    expect((await report([nothing])).status.code).toBe(2);
    await store(nothing, 3);
    expect(infoText(await report([nothing]))).toContain(
      "wal archive min/max (15): 000000010000000000000003/000000010000000000000003",
    );
    const lost = repository(1);
    await lost.storage.put("backup/demo/20261120-065325F/backup.manifest", Buffer.from("x"));
    expect((await report([lost])).status.code).toBe(3);
    expect((await report([await golden("2.45", 1)], { set: "20200101-000000F" })).status).toEqual({
      code: 6,
      message: "requested backup not found",
    });
  });

  it("is mixed when repositories differ, and each shows its own", async () => {
    const away = new FaultyStorage(new MemoryStorage()).breakDown(fail("hostConnect", "unable to connect"));
    const result = await report([await golden("2.45", 1), repository(2, { storage: away })]);
    expect(result.status.code).toBe(4);
    expect(result.repos.map((repo) => repo.status.code)).toEqual([0, 99]);
    const text = infoText(result);
    expect(text).toContain(
      "    status: mixed\n        repo1: ok\n        repo2: error (other)\n               [HostConnectError] unable to load info file",
    );
    expect(text).toContain("full backup: 20261120-065325F");
    expect(renderJson(infoJson(result))).toContain(
      '{"cipher":"none","key":2,"status":{"code":99,"message":"[HostConnectError]',
    );
  });

  it("is a mismatch when they belong to different clusters", async () => {
    const other = repository(2);
    await stanzaCreate([other], OTHER_CONTROL, ctx);
    const result = await report([await golden("2.45", 1), other]);
    expect(result.status).toEqual({ code: 5, message: "database mismatch across repos" });
  });

  it("shows a repository's missing WAL", async () => {
    const missingWal = openMissingWal(join(temporaryFolder(), "spool"), "demo");
    missingWal.add(2, "000000010000000000000007", { version: "15", systemId: 1n });
    const repos = [await golden("2.45", 1), await golden("2.45", 2)];
    const result = await collectInfo(factsOf(repos), missingWal, OPTIONS);
    expect(infoText(result)).toContain("    repo2 wal missing: 1 segment(s) acknowledged but not stored here\n");
    expect(renderJson(infoJson(result))).toContain(
      '{"cipher":"aes-256-cbc","key":2,"status":{"code":0,"message":"ok"},"wal-missing":1}',
    );
  });

  it("ignores partial segments and histories in the range of WAL", async () => {
    const repo = repository(1);
    await stanzaCreate([repo], CONTROL, ctx);
    await store(repo, 4097, ["00000001000000000000000F.partial", walBytes(1)], ["00000002.history", Buffer.from("x")]);
    expect((await report([repo])).repos[0]?.archives).toEqual([
      { id: "15-1", historyId: 1, min: "000000010000000100000001", max: "000000010000000100000001" },
    ]);
  });

  // claim: docs/dumps.md: info shows the dumps of each repository, and which of them lack a file
  it("shows dumps, and nothing of a repository without any", async () => {
    const storage = new FaultyStorage(new MemoryStorage());
    const [empty, full] = [repository(1, { storage }), repository(2, { pass: "second" })];
    for (const repo of [empty, full]) await stanzaCreate([repo], CONTROL, ctx);
    const bare = await report([empty]);
    expect(infoText(bare)).not.toContain("dump");
    expect(renderJson(infoJson(bare))).not.toContain("dump");
    expect(storage.calls("list").filter((path) => path.includes("dump"))).toEqual(["pgbackstop/demo/dump"]);

    const [old, lacking, newest] = [1, 2, 3].map((day) => `2026112${day}-020000Z-1a2b3c4d`) as [string, string, string];
    for (const label of [old, lacking, newest]) await storeDump(full, label);
    await full.storage.remove(`pgbackstop/demo/dump/${lacking}/shop.dump.2`);
    const result = await report([empty, full]);
    expect(infoText(result)).toContain(
      [
        "    repo2 dumps: 2 complete, newest 20261123-020000Z-1a2b3c4d, stored 2026-11-20 06:41:41+00",
        "        database list: shop",
        "        dump 20261122-020000Z-1a2b3c4d: 'shop.dump.2' is missing or of another size",
        "",
        "    db (current)",
      ].join("\n"),
    );
    const fault = "'shop.dump.2' is missing or of another size";
    const times = { start: 1_795_156_859, stop: 1_795_156_901 };
    expect(infoJson(result)).toMatchObject({
      repo: [
        { key: 1 },
        {
          key: 2,
          status: { code: 2 },
          dumps: {
            complete: 2,
            faulty: [{ label: lacking, fault }],
            newest: { database: ["shop"], label: newest, timestamp: times },
          },
        },
      ],
    });
  });
});
