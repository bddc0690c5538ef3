/**
 * Proof per destination on the real engine: a second bucket that gets WAL but no full backup is reported, is repaired
 * by an update, and keeps its passphrase. The published situation: "R2: WAL archives were in both. Full backup was only
 * in B2."
 */
import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import type * as Package from "../../components/index";
import { run } from "../../tools/parts/process";
import { openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { NIGHTLY } from "../../tools/parts/nightly";
import { failureOf, stateTexts } from "../harness/compare/engineTexts";
import { hasCommandProvider } from "../harness/real/interopParts";
import { LocalHost } from "./localHost";

const PASSPHRASE = "marker: a passphrase that was made elsewhere";
const OTHER = "marker: another passphrase that opens nothing";

let host: LocalHost;
let pgbackstop: typeof Package;
const printedTexts: string[] = [];

beforeAll(async () => {
  host = await LocalHost.create();
  pgbackstop = createRequire(join(host.programFolder.folder, "program.cjs"))("pgbackstop") as typeof Package;
});
afterAll(async () => {
  await host?.remove();
});

interface Wanted {
  readonly second?: boolean;
  readonly firstBackup?: boolean;
  readonly passphrase?: string;
  readonly keyName?: string;
  readonly backupNow?: boolean;
}

function open({
  second = true,
  firstBackup = true,
  passphrase = PASSPHRASE,
  keyName = "key",
  backupNow = false,
}: Wanted): Promise<Stack> {
  const { BackupNow, CipherPassphrase, PosixRepository, PostgresHost, S3CompatibleRepository, UriStyle } = pgbackstop;
  const { bucket, dataDirectory, host: own } = host.settings();
  return openStack(host.programFolder, "destinations", async () => {
    const key = new CipherPassphrase(keyName, { existing: passphrase }, { protect: false });
    const nas = new PosixRepository("nas", { path: host.nasPath });
    const { accessKeyId, caFile = "", endpoint, name, port = 443, region, secretAccessKey } = bucket;
    const existing = { name, credentials: { accessKeyId, secretAccessKey } };
    const remote = new S3CompatibleRepository("remote", {
      endpoint,
      region,
      port,
      caFile,
      uriStyle: UriStyle.Path,
      bucket: { existing },
      cipher: key.ref,
    });
    const database = new PostgresHost("db", {
      connection: { local: {} },
      dataDirectory,
      repositories: {
        repo1: { at: nas.target, keepDays: 7 },
        ...(second ? { repo2: { at: remote.target, keepDays: 60 } } : {}),
      },
      schedules: { full: { cron: "30 2 * * 0" } },
      ...own,
      firstBackup,
    });
    const now = backupNow
      ? new BackupNow("now", { host: database.access, repositories: ["repo2"], triggers: ["v1"] })
      : undefined;
    return {
      destinations: database.destinations,
      firstBackup: database.firstBackup,
      ...(now === undefined ? {} : { label: now.label }),
    };
  });
}

interface Row {
  readonly repository: string;
  readonly newestFull: { readonly label: string; readonly stoppedAt: string } | null;
  readonly newestWal: { readonly name: string; readonly storedAt: string } | null;
}

async function up(
  wanted: Wanted,
): Promise<{ text: string; rows: Row[]; firstBackup: unknown; label: unknown; changes: object }> {
  const { outputs, stdout, summary } = await (await open(wanted)).up();
  printedTexts.push(stdout);
  const rows = JSON.parse(String(outputs["destinations"]?.value)) as Row[];
  return {
    text: stdout,
    rows,
    firstBackup: outputs["firstBackup"]?.value,
    label: outputs["label"]?.value,
    changes: summary.resourceChanges ?? {},
  };
}

function rowsOfState({ deployment }: { readonly deployment: unknown }): Row[] {
  const { resources } = deployment as {
    readonly resources: readonly { readonly type: string; readonly outputs?: Record<string, unknown> }[];
  };
  const result = resources.find(({ type }) => type.endsWith("HostState"));
  return JSON.parse(
    String((result?.outputs?.["status"] as { destinations?: string } | undefined)?.destinations),
  ) as Row[];
}

async function check(): Promise<{ exitCode: number; text: string }> {
  const argv = [host.path("lib", "runtime.cjs"), `--config=${host.path("etc", "pgbackrest.conf")}`];
  const args = [
    `--config-include-path=${host.path("etc", "conf.d")}`,
    "--stanza=main",
    "--log-level-console=info",
    "check",
  ];
  const { exitCode, stdout, stderr } = await run(host.nodePath, [...argv, ...args], { user: host.cluster.user });
  return { exitCode, text: stdout + stderr };
}

test("an update reports what it read from each repository, and warns about a new passphrase", async () => {
  const preview = await (await open({ second: false })).preview();
  printedTexts.push(preview.stdout);
  expect(preview.stdout).toContain("key is a new passphrase: if you lose it, you lose every backup");
  const { rows, text } = await up({ second: false });
  expect(text).toContain("if you lose this passphrase, you lose every backup");
  expect(rows).toEqual([
    {
      repository: "repo1",
      cluster: { systemId: expect.stringMatching(/^\d+$/), version: expect.stringMatching(/^\d+$/) },
      newestFull: { label: expect.stringMatching(/^\d{8}-\d{6}F$/), stoppedAt: expect.stringMatching(/^20\d\d-.*Z$/) },
      newestWal: { name: expect.stringMatching(/^[0-9A-F]{24}$/), storedAt: expect.stringMatching(/^20\d\d-.*Z$/) },
    },
  ]);
});

// claim: README.md: a repository without a full backup cannot be overlooked: output, update and `check` name it
test("a second repository with WAL and no full backup is reported loudly, and fails the check on the host", async () => {
  const { rows, text } = await up({ firstBackup: false });
  expect(text).toContain("WARN: repo2: NO FULL BACKUP, newest WAL 0");
  expect(text).toContain(
    "WARN: repo2 holds no full backup: nothing can be restored from there; set firstBackup, or take one with",
  );
  expect(rows[0]?.newestFull).not.toBeNull();
  expect(rows[1]).toMatchObject({
    repository: "repo2",
    newestFull: null,
    newestWal: { name: expect.stringMatching(/^[0-9A-F]{24}$/) },
  });
  const { exitCode, text: printed } = await check();
  expect(printed).toContain(
    "repo2: [BackupSetInvalidError] no full backup: nothing can be restored from this repository",
  );
  expect(printed).toContain(`repo1: newest full backup ${rows[0]?.newestFull?.label}`);
  expect(exitCode).toBe(104);
});

test("an update that expects backups takes one for that repository alone, and then check passes", async () => {
  const shown = await (await open({})).preview();
  expect(shown.changeSummary).toMatchObject({ update: 1 });
  expect(shown.stdout).not.toContain("is a new passphrase");
  const { firstBackup, rows, text } = await up({});
  expect(text).toContain("taking a full backup for repo2, which has none");
  expect(firstBackup).toBe("taken");
  expect(rows[1]?.newestFull?.label).toMatch(/F$/);
  expect(rows[1]?.newestFull?.label).not.toBe(rows[0]?.newestFull?.label);
  expect(await check()).toMatchObject({ exitCode: 0 });
});

test("a one-shot backup goes into the named repository; a refresh sees it", async ({ skip }) => {
  if (!(await hasCommandProvider("a backup into one repository by an update"))) skip();
  const { changes, label, rows: before } = await up({ backupNow: true });
  expect(changes).toEqual({ create: 2, same: 7 });
  expect(label).toMatch(/^\d{8}-\d{6}F$/);
  const stack = await open({ backupNow: true });
  printedTexts.push((await stack.refresh()).stdout);
  const rows = rowsOfState(await stack.exportStack());
  expect(rows[1]?.newestFull?.label).toBe(label);
  expect(rows[0]?.newestFull).toEqual(before[0]?.newestFull);
});

test.runIf(NIGHTLY)("a refresh shows a bucket that was emptied, and the next update fills it", async () => {
  // Retries, because PostgreSQL may be archiving a segment there.
  rmSync(join(host.s3.bucketPath, "pgbackrest"), { recursive: true, maxRetries: 10, retryDelay: 200 });
  const refreshed = await (await open({})).refresh();
  expect(refreshed.summary.resourceChanges).toMatchObject({ update: 1 });
  const { rows, text } = await up({});
  expect(text).toContain("taking a full backup for repo2, which has none");
  expect(rows[1]?.newestFull).not.toBeNull();
});

// claim: docs/keys.md: another passphrase is refused before any write
test("another passphrase is refused: in the preview if it is known, otherwise before any write", async () => {
  const before = host.fingerprint();
  const changed = await failureOf((await open({ passphrase: OTHER })).preview(), printedTexts);
  expect(changed).toContain("a passphrase cannot be changed in place");
  expect(changed).toContain("a new passphrase needs a new repository");
  const renamed = await failureOf((await open({ passphrase: OTHER, keyName: "renamed" })).up(), printedTexts);
  expect(renamed).toMatch(/repo2: the passphrase of s3:\/\/\S+ at \S+ is not the one that encrypts its backups/);
  expect(host.fingerprint()).toEqual(before);
});

test("neither output nor state contains a passphrase, a fingerprint or a key", () => {
  for (const text of [stateTexts(host.programFolder.folder).join("\n"), printedTexts.join("\n")]) {
    expect(text.length).toBeGreaterThan(1000);
    for (const marker of [PASSPHRASE, OTHER, host.s3.secretKey, "scrypt:", "sha256:none"])
      expect(text.includes(marker), marker).toBe(false);
  }
});
