import { mkdirSync } from "node:fs";
import { beforeEach, expect, test } from "vitest";
import { verifyCommand } from "../../../../runtime/commands/backups/verify";
import { type ErrorKind, fail } from "../../../../runtime/base/errors";
import { loadRuns } from "../../../../runtime/local/runRecords";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { store } from "../../operations/archive";
import { CLUSTER, CONTROL, repository, temporaryFolder, walName } from "../../repository/support";
import { host, type TestHost } from "../support";

let ctx: TestContext;
let repos: readonly [Repository, Repository];
let own: TestHost;

beforeEach(async () => {
  ctx = testContext();
  const storage = (): MemoryStorage => new MemoryStorage({ nowMs: () => ctx.clock.nowMs() });
  repos = [repository(1, { storage: storage() }), repository(2, { storage: storage() })];
  await stanzaCreate(repos, CONTROL, ctx);
  await store(repos[0], 1, 2, 3, 4, 5);
  await store(repos[1], 1, 2, 3, 4, 5);
  own = host({ argv: ["verify"], repos, ctx, folder: temporaryFolder() });
});

const warnings = (): string[] => ctx.lines.filter(({ level }) => level === "warn").map(({ text }) => text);

test("verify reports WAL that this host has recorded as missing", async () => {
  expect(await verifyCommand(own)).toBe(0);
  own.missingWal().add(2, walName(6), CLUSTER);
  await expect(verifyCommand(own)).rejects.toMatchObject({ message: "verify found errors in repo2", exitCode: 26 });
  expect(warnings()).toEqual([
    `repo2: 1 acknowledged WAL file(s) are missing here, the first is ${walName(6)}: 'heal' copies them`,
  ]);
  // Another host has copied it; this host's record stays until heal looks.
  await store(repos[0], 6);
  await store(repos[1], 6);
  expect(await verifyCommand(own)).toBe(0);
  own.missingWal().add(2, walName(5), CLUSTER, "0".repeat(40));
  await expect(verifyCommand(own)).rejects.toMatchObject({ exitCode: 26 });
});

test("verify reports a repository that lacks the newest WAL for longer than a few minutes", async () => {
  await store(repos[0], 6, 7, 8, 9);
  expect(await verifyCommand(own)).toBe(0);
  ctx.clock.advance(60 * 60 * 1000);
  await expect(verifyCommand(own)).rejects.toMatchObject({ message: "verify found errors in repo2", exitCode: 26 });
  expect(warnings()).toEqual([
    `repo2: 15-${CONTROL.systemId}: the archive ends with ${walName(5)}, and repo1 has ${walName(9)}: 'heal' copies what is missing`,
  ]);
});

test("verify exits with 104 when a file was not read, and with 26 when another one is damaged", async () => {
  const storage = new FaultyStorage(repos[1].storage);
  own = host({ argv: ["verify"], repos: [repos[0], { ...repos[1], storage }], ctx, folder: temporaryFolder() });
  const away = { kind: "error", error: fail("hostConnect", "away", { retryable: true }) } as const;
  storage.plan("read", away, { path: new RegExp(`${walName(3)}-`) });
  await expect(verifyCommand(own)).rejects.toMatchObject({
    message: "verify could not read all files of repo2",
    exitCode: 104,
  });
  storage.plan("read", away, { path: new RegExp(`${walName(3)}-`) });
  storage.plan("read", { kind: "truncate", sizeBytes: 5 }, { path: new RegExp(`${walName(4)}-`) });
  await expect(verifyCommand(own)).rejects.toMatchObject({ message: "verify found errors in repo2", exitCode: 26 });
  expect(await verifyCommand(own)).toBe(0);
});

test("metrics keep the last verdict on a repository that verify could not read, and take damage", async () => {
  const storage = new FaultyStorage(repos[1].storage);
  const folder = temporaryFolder();
  own = host({ argv: ["verify"], repos: [repos[0], { ...repos[1], storage }], ctx, folder });
  mkdirSync(own.config.spoolPath, { recursive: true });
  const verdict = async (): Promise<unknown> => {
    ctx.clock.advance(1000);
    await verifyCommand(own).catch(() => {});
    const [run] = await loadRuns(own.config.spoolPath, own.config.stanza ?? "");
    const { ok, endedAtS } = run?.repos?.["2"] ?? {};
    return run?.repos?.["2"] === undefined ? "none" : { ok, isNew: endedAtS === run.endedAtS };
  };
  // Without an answer the copy of an info file is not asked for.
  const failing = (kind: ErrorKind, path = /archive\.info/, times = kind === "hostConnect" ? 1 : 2): unknown =>
    storage.plan("read", { kind: "error", error: fail(kind, "away") }, { path, times });
  failing("hostConnect");
  expect(await verdict()).toBe("none");
  expect(await verdict()).toEqual({ ok: true, isNew: true });
  for (const kind of ["hostConnect", "access", "fileOpen", "optionRequired"] as const) {
    failing(kind);
    expect(await verdict(), kind).toEqual({ ok: true, isNew: false });
  }
  failing("service", new RegExp(`${walName(3)}-`), 1);
  expect(await verdict()).toEqual({ ok: true, isNew: false });
  for (const kind of ["checksum", "fileMissing", "crypto"] as const) {
    expect(await verdict()).toEqual({ ok: true, isNew: true });
    failing(kind);
    expect(await verdict(), kind).toEqual({ ok: false, isNew: true });
  }
});
