/**
 * Proves the statements of docs/internals/versus-pgbackrest.md about `annotate` with a plain and an encrypted
 * repository, for stock and for pgbackstop.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { expireRepository } from "../../runtime/operations/expire/expire";
import { holdNotes, holdOf } from "../../runtime/operations/expire/hold";
import { annotate } from "../../runtime/operations/shared/annotate";
import { loadBackupInfo } from "../../runtime/repository/infoStore";
import type { Repository } from "../../runtime/repository/repository";
import { PosixStorage } from "../../runtime/storage/posix";
import { testContext } from "../harness/context";
import { testLease } from "../harness/leases";
import { makeStanza } from "../harness/madeRepository";
import { stockOrSkip } from "../harness/real/parts";
import { repository, walName } from "../runtime/repository/support";

const LABEL = "20260101-000000F";
const PASS = "of repo2";
let folder: string;
let plain: Repository;
let encrypted: Repository;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), "annotate-"));
  mkdirSync(join(folder, "lock"));
  const at = (name: string): PosixStorage =>
    new PosixStorage({
      root: join(folder, name),
      syncDirectories: false,
      symlinks: true,
      signal: new AbortController().signal,
    });
  plain = repository(1, { storage: at("repo1") });
  encrypted = repository(2, { storage: at("repo2"), pass: PASS });
  const backups = [{ label: LABEL, wal: [walName(3), walName(3)] as const }];
  for (const repo of [plain, encrypted])
    await makeStanza(repo, { versions: ["15"], backups, wal: { "15-1": [walName(3)] } });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const head = (file: string): string =>
  readFileSync(join(folder, "repo1/backup/demo", file))
    .subarray(0, 8)
    .toString("latin1");

describe("annotate without --repo", () => {
  // claim: docs/internals/versus-pgbackrest.md: stock's `annotate` over a plain and an encrypted repository
  test.for([
    { version: "2.45", more: [] },
    { version: "2.60", more: ["--allow-root"] },
  ] as const)(
    "stock $version writes the plain repository's backup.info with the other repository's key",
    async ({ version, more }, context) => {
      const stock = await stockOrSkip(context, version);
      expect([head("backup.info"), head("backup.info.copy")]).toEqual(["[backres", "[backres"]);
      const options = [
        ...more,
        "--no-config",
        "--stanza=demo",
        `--lock-path=${join(folder, "lock")}`,
        "--log-level-file=off",
        "--log-level-console=error",
        `--repo1-path=${join(folder, "repo1")}`,
        `--repo2-path=${join(folder, "repo2")}`,
        "--repo2-cipher-type=aes-256-cbc",
      ];
      const env = { PGBACKREST_REPO2_CIPHER_PASS: PASS };
      await stock.run([...options, `--set=${LABEL}`, "--annotation=by=stock", "annotate"], { env });
      expect([head("backup.info"), head("backup.info.copy")]).toEqual(["Salted__", "Salted__"]);
      await expect(loadBackupInfo(plain)).rejects.toThrow();
      const expire = await stock.run([...options, "--repo=1", "--repo1-retention-full=1", "expire"], { env });
      expect(expire.exitCode).not.toBe(0);
    },
  );

  test("pgbackstop writes each repository with its own key", async () => {
    for (const repo of [plain, encrypted]) {
      expect(await annotate(repo, LABEL, { by: "ours" }, testLease(), testContext())).toBe(true);
      expect((await loadBackupInfo(repo)).backups[0]?.annotations).toMatchObject({ by: "ours" });
    }
  });
});

describe("a repository with holds and a calendar", () => {
  const LABELS = ["20230101-000000F", "20240101-000000F", "20250101-000000F", LABEL];
  const HELD = { reason: "audit 2026", untilS: null };

  // claim: docs/retention.md: stock reads the repository, keeps the notes of a hold, and removes by its own retention
  test.for([
    { version: "2.45", more: [] },
    { version: "2.60", more: ["--allow-root"] },
  ] as const)("is read by stock $version, whose retention knows neither", async ({ version, more }, context) => {
    const stock = await stockOrSkip(context, version);
    const backups = LABELS.map((label, no) => ({ label, wal: [walName(no + 2), walName(no + 2)] as const }));
    const names = LABELS.map((_, no) => walName(no + 2));
    rmSync(join(folder, "repo1"), { recursive: true });
    await makeStanza(plain, { versions: ["15"], backups, wal: { "15-1": names } });
    await annotate(plain, "20230101-000000F", holdNotes(HELD), testLease(), testContext());
    const retention = { full: 1, fullType: "count", archiveType: "full", keep: { yearly: 2, zone: "UTC" } } as const;
    const request = { oldest: false, refusePageErrors: true, dryRun: false };
    await expireRepository(plain, retention, request, testLease(), testContext());
    const left = async (): Promise<string[]> => (await loadBackupInfo(plain)).backups.map(({ label }) => label);
    expect(await left()).toEqual(["20230101-000000F", "20250101-000000F", LABEL]);
    const options = [
      ...more,
      "--no-config",
      "--stanza=demo",
      `--lock-path=${join(folder, "lock")}`,
      "--log-level-file=off",
      "--log-level-console=error",
      `--repo1-path=${join(folder, "repo1")}`,
    ];
    const info = await stock.run([...options, "--output=json", "info"]);
    expect(info.exitCode).toBe(0);
    const stanzas = JSON.parse(info.stdout) as readonly { readonly backup: readonly { readonly label: string }[] }[];
    expect(stanzas[0]?.backup.map(({ label }) => label)).toEqual(await left());
    await stock.run([...options, `--set=${LABEL}`, "--annotation=by=stock", "annotate"]);
    const [held] = (await loadBackupInfo(plain)).backups;
    expect(held === undefined ? null : holdOf(held)).toEqual(HELD);
    const expired = await stock.run([...options, "--repo1-retention-full=1", "expire"]);
    expect(expired.exitCode).toBe(0);
    expect(await left()).toEqual([LABEL]);
  });
});
