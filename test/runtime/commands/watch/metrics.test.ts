import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { Secret } from "../../../../runtime/base/secret";
import { metricsCommand } from "../../../../runtime/commands/watch/metrics";
import { openMissingWal } from "../../../../runtime/local/missingWal";
import { saveRun } from "../../../../runtime/local/runRecords";
import { DEFINITIONS } from "../../../../runtime/metrics/definitions";
import { drillFileName } from "../../../../runtime/operations/drill/record";
import { loadBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { HeldClock, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { storeDump } from "../../../harness/madeDump";
import { entryOf, makeStanza } from "../../../harness/madeRepository";
import { startWebServer, type WebServer } from "../../../harness/doubles/messageServers";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CLUSTER, CONTROL, repository, temporaryFolder } from "../../repository/support";
import { record } from "../../operations/drill/support";
import { host } from "../support";

const FULL = {
  label: "20261118-030000F",
  stoppedAtS: 1_795_000_000,
  wal: ["000000010000000000000003", "000000010000000000000004"],
} as const;
const INCR = {
  label: "20261118-030000F_20261119-030000I",
  prior: FULL.label,
  stoppedAtS: 1_795_080_000,
  wal: FULL.wal,
} as const;
const segment = (no: number): string => `0000000100000000000000${no.toString(16).toUpperCase().padStart(2, "0")}`;
const SIXTEEN_MIB = { ...CONTROL, walSegmentSizeBytes: 16 * 1024 * 1024 };

let folder: string;
let second: FaultyStorage;
let repos: Repository[];
beforeEach(async () => {
  folder = temporaryFolder();
  mkdirSync(join(folder, "spool"));
  second = new FaultyStorage(new MemoryStorage({ name: "memory2" }));
  repos = [repository(1), repository(2, { storage: second })];
  const [first, other] = repos as [Repository, Repository];
  await makeStanza(first, { versions: ["18"], backups: [FULL, INCR], wal: { "18-1": [3, 4, 5, 6].map(segment) } });
  await makeStanza(other, { versions: ["18"], backups: [FULL], wal: { "18-1": [3, 5].map(segment) } });
});

/** Runs once, and returns the samples by name and labels. */
async function scrape(
  argv: readonly string[] = ["metrics"],
  settings: object = {},
): Promise<{ text: string; values: Record<string, number> }> {
  const ctx = testContext({ clock: new HeldClock() });
  const base = host({ argv, repos, ctx, folder });
  const config = { ...base.config, spoolPath: join(folder, "spool"), lockPath: join(folder, "lock"), ...settings };
  const made = { ...base, config, loadControl: async () => SIXTEEN_MIB };
  expect(await metricsCommand(made)).toBe(0);
  const text = base.printed.join("");
  return { text, values: valuesOf(text) };
}

function valuesOf(text: string): Record<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );
}

const of = (name: string, repoIndex: number, type?: string): string =>
  `pgbackstop_${name}{stanza="demo",repo_key="${repoIndex}"${type === undefined ? "" : `,backup_type="${type}"`}}`;

describe("each repository", () => {
  // claim: docs/commands.md: `metrics` reports each repository separately, and an unreadable one hides nothing of the
  //   others
  test("reports its backups, how far recovery reaches, and its missing WAL", async () => {
    const { values } = await scrape();
    expect(values).toMatchObject({
      [of("repo_up", 1)]: 1,
      [of("repo_up", 2)]: 1,
      [of("repo_backups", 1, "full")]: 1,
      [of("repo_backups", 1, "incr")]: 1,
      [of("repo_backups", 2, "incr")]: 0,
      // A full backup also counts as an incremental one.
      [of("repo_last_backup_timestamp_seconds", 1, "incr")]: INCR.stoppedAtS,
      [of("repo_last_backup_timestamp_seconds", 1, "diff")]: FULL.stoppedAtS,
      [of("repo_last_backup_timestamp_seconds", 2, "incr")]: FULL.stoppedAtS,
      [of("recovery_window_start_timestamp_seconds", 1)]: FULL.stoppedAtS,
      [of("repo_wal_lag_segments", 1)]: 0,
      [of("repo_wal_lag_segments", 2)]: 1,
      [of("repo_wal_gap_segments", 1)]: 0,
      [of("repo_wal_gap_segments", 2)]: 1,
      [of("repo_backup_bytes", 1)]: entryOf(FULL).repoSizeDeltaBytes + entryOf(INCR).repoSizeDeltaBytes,
    });
    expect(values[of("recovery_window_end_timestamp_seconds", 1)]).toBeGreaterThan(0);
    // No restore passes the gap.
    expect(values[of("recovery_window_end_timestamp_seconds", 2)]).toBeUndefined();
  });

  // claim: docs/reference/metrics.md: after an upgrade only the new cluster's backups are recent, and only they open a
  //   recovery window
  test("after an upgrade counts the former cluster's backups, which are not recent any more", async () => {
    const wal = { "17-1": [3, 4].map(segment), "18-2": [3, 4].map(segment) };
    const fresh = { ...FULL, label: "20261119-030000F", stoppedAtS: INCR.stoppedAtS, dbId: 2 };
    repos = [repository(1), repository(2)];
    const [first, other] = repos as [Repository, Repository];
    await makeStanza(first, { versions: ["17", "18"], backups: [FULL], wal });
    await makeStanza(other, { versions: ["17", "18"], backups: [FULL, fresh], wal });
    const { values } = await scrape();
    const ofWindow = ["repo_last_backup", "recovery_window_start", "recovery_window_end"] as const;
    const times = (key: number): unknown[] =>
      ofWindow.map(
        (name) => values[of(`${name}_timestamp_seconds`, key, name.startsWith("repo") ? "full" : undefined)],
      );
    expect([1, 2].map((key) => values[of("repo_backups", key, "full")])).toEqual([1, 2]);
    expect(times(1)).toEqual([undefined, undefined, undefined]);
    expect(times(2)).toEqual([INCR.stoppedAtS, INCR.stoppedAtS, expect.any(Number)]);
  });

  // claim: docs/commands.md: `metrics` reports each repository…
  test("that is unreadable is a sample, and hides nothing of the other", async () => {
    second.breakDown(fail("access", "refused"));
    const { values } = await scrape();
    expect(values[of("repo_up", 1)]).toBe(1);
    expect(values[of("repo_up", 2)]).toBe(0);
    expect(values[of("repo_last_backup_timestamp_seconds", 1, "full")]).toBe(FULL.stoppedAtS);
    expect(values[of("repo_last_backup_timestamp_seconds", 2, "full")]).toBeUndefined();
    expect(values['pgbackrest_repo_status{cipher="none",repo_key="2",stanza="demo"}']).toBe(99);
    expect(values['pgbackrest_stanza_status{stanza="demo"}']).toBe(4);
  });

  test("reports missing WAL, dropped WAL and conflicts, and how old its full backup may be", async () => {
    const missingWal = openMissingWal(join(folder, "spool"), "demo");
    missingWal.add(2, segment(6), CLUSTER);
    const [cluster] = (await loadBackupInfo(repos[1] as Repository)).history;
    missingWal.addDropped(2, segment(7), { version: "18", systemId: cluster?.systemId ?? 0n });
    missingWal.addConflict(1, segment(5), CLUSTER, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
    const repoSettings = { 1: { expectFullWithinS: 90_000 }, 2: { expectFullWithinS: "ever" } };
    const { values } = await scrape(["metrics"], {
      settings: { acknowledge: { mode: "all", repoIndexes: [] }, archiveCommandContains: "", repos: repoSettings },
    });
    expect(values[of("repo_wal_missing_files", 1)]).toBe(0);
    expect(values[of("repo_wal_missing_files", 2)]).toBe(1);
    expect(values[of("repo_wal_dropped_files", 2)]).toBe(1);
    expect([1, 2].map((key) => values[of("repo_wal_conflict_files", key)])).toEqual([1, 0]);
    expect(values[of("repo_full_expected_seconds", 1)]).toBe(90_000);
    expect(values[of("repo_full_expected_seconds", 2)]).toBeUndefined();
  });

  // claim: docs/dumps.md: metrics count the dumps of each repository, once one has or expects some
  test("reports its dumps, once one of them has or expects some", async () => {
    const dumpSamples = async (settings: object = {}) =>
      Object.fromEntries(
        Object.entries((await scrape(["metrics"], settings)).values).filter(([name]) => /_dumps?[_{]/.test(name)),
      );
    expect(await dumpSamples()).toEqual({});
    const repoSettings = { 2: { expectDumpWithinS: 90_000 } };
    const expecting = {
      settings: { acknowledge: { mode: "all", repoIndexes: [] }, archiveCommandContains: "", repos: repoSettings },
    };
    expect(await dumpSamples(expecting)).toEqual({
      [of("repo_dumps", 1)]: 0,
      [of("repo_dumps", 2)]: 0,
      [of("repo_dump_expected_seconds", 2)]: 90_000,
    });
    await storeDump(repos[0] as Repository, "20261120-020000Z-1a2b3c4d", { stoppedAtS: 1_795_000_100 });
    expect(await dumpSamples()).toEqual({
      [of("repo_dumps", 1)]: 1,
      [of("repo_last_dump_timestamp_seconds", 1)]: 1_795_000_100,
      [of("repo_dumps", 2)]: 0,
    });
    // An unreadable dump hides nothing else of its repository.
    second.plan("list", { kind: "error", error: fail("access", "refused") }, { path: /dump/ });
    const { values } = await scrape();
    expect([of("repo_up", 2), of("repo_dumps", 2), of("repo_dumps", 1)].map((name) => values[name])).toEqual([
      1,
      undefined,
      1,
    ]);
  });

  test("without a scan of the whole archive has no gaps, but everything else", async () => {
    const { values } = await scrape(["--no-wal-gaps", "metrics"]);
    expect(values[of("repo_wal_gap_segments", 2)]).toBeUndefined();
    expect(values[of("repo_wal_lag_segments", 2)]).toBe(1);
  });
});

describe("a receiver of OpenTelemetry", () => {
  let web: WebServer;
  beforeEach(async () => {
    web = await startWebServer();
  });
  afterEach(() => web.close());
  const send = async (argv: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<void> => {
    const base = host({ argv: ["metrics", ...argv], repos, ctx: testContext({ clock: new HeldClock() }), folder });
    const config = { ...base.config, spoolPath: join(folder, "spool"), lockPath: join(folder, "lock") };
    const machine = { ...base.machine, environment };
    const readFile = async (path: string): Promise<Uint8Array | null> => (existsSync(path) ? readFileSync(path) : null);
    await metricsCommand({ ...base, config, machine, readFile, loadControl: async () => SIXTEEN_MIB });
    expect(base.printed).toEqual([]);
  };
  const samplesIn = (index: number): number => web.requests[index]?.body.match(/"asDouble"/g)?.length ?? 0;

  test("gets all samples, and is named by the environment, by a credential or by a file", async () => {
    const endpoint = `OTEL_EXPORTER_OTLP_ENDPOINT="${web.origin}"\nOTEL_SERVICE_NAME=`;
    writeFileSync(join(folder, "otlp.env"), `${endpoint}credential\n`);
    writeFileSync(join(folder, "own.env"), `${endpoint}file\n`);
    await send(["--otlp"], { OTEL_EXPORTER_OTLP_ENDPOINT: web.origin });
    await send(["--otlp"], { OTEL_EXPORTER_OTLP_ENDPOINT: "http://nobody.invalid", CREDENTIALS_DIRECTORY: folder });
    await send([`--otlp-file=${join(folder, "own.env")}`, `--output-file=${join(folder, "a.prom")}`]);
    const names = web.requests.map(({ body }) => /"service.name","value":\{"stringValue":"(.*?)"/.exec(body)?.[1]);
    expect(names).toEqual(["pgbackstop", "credential", "file"]);
    const printed = readFileSync(join(folder, "a.prom"), "utf8").match(/^[a-z]/gm)?.length;
    expect([0, 1, 2].map(samplesIn)).toEqual([printed, printed, printed]);
  });

  test("that nobody named is an error before anything is read", async () => {
    await expect(send(["--otlp"])).rejects.toMatchObject({ kind: "optionRequired" });
    await expect(send(["--otlp-file=/nowhere"])).rejects.toMatchObject({ kind: "fileMissing" });
    expect(web.requests).toEqual([]);
  });
});

describe("the host", () => {
  test("reports waiting and running work and how the last runs ended", async () => {
    mkdirSync(join(folder, "data", "pg_wal", "archive_status"), { recursive: true });
    writeFileSync(join(folder, "data", "pg_wal", "archive_status", `${segment(7)}.ready`), "");
    await saveRun(join(folder, "spool"), "demo", {
      command: "verify",
      endedAtS: 100,
      exitCode: 0,
      repos: { 1: { ok: true, endedAtS: 100 } },
    });
    await saveRun(join(folder, "spool"), "demo", {
      command: "verify",
      endedAtS: 200,
      exitCode: 26,
      repos: { 2: { ok: false, endedAtS: 200 } },
    });
    const { values } = await scrape();
    expect(values).toMatchObject({
      'pgbackstop_wal_waiting_files{stanza="demo"}': 1,
      'pgbackstop_lock_held{stanza="demo",command="backup"}': 0,
      'pgbackstop_lock_held{stanza="demo",command="restore"}': 1,
      'pgbackstop_stopped{stanza="demo"}': 0,
      'pgbackstop_run_exit_code{stanza="demo",command="verify"}': 26,
      'pgbackstop_run_timestamp_seconds{stanza="demo",command="verify"}': 200,
      'pgbackstop_run_success_timestamp_seconds{stanza="demo",command="verify"}': 100,
      // The second run did not check repo1, so its last result stays.
      [of("verify_ok", 1)]: 1,
      [of("verify_timestamp_seconds", 1)]: 100,
      [of("verify_ok", 2)]: 0,
    });
    expect(values['pgbackstop_wal_waiting_oldest_timestamp_seconds{stanza="demo"}']).toBeGreaterThan(0);
  });

  // claim: docs/monitoring.md: what `status` reports is a metric of its kind
  test("reports what status reports, by kind and repository", async () => {
    openMissingWal(join(folder, "spool"), "demo").add(2, segment(6), CLUSTER);
    const { values } = await scrape();
    expect(values).toMatchObject({
      'pgbackstop_status_ok{stanza="demo"}': 0,
      'pgbackstop_troubles{stanza="demo",repo_key="2",trouble="missing"}': 1,
      'pgbackstop_troubles{stanza="demo",repo_key="",trouble="foreign"}': 1,
    });
    expect(values['pgbackstop_troubles{stanza="demo",repo_key="1",trouble="missing"}']).toBeUndefined();
  });

  test("reports each repository's last drill, and the last one that passed", async () => {
    const directory = join(folder, "spool", "pgbackstop", "demo", "drills");
    mkdirSync(directory, { recursive: true });
    const drills = [
      record("20261101-020000Z-00000001", { repo: 2, endedAtS: 1000 }),
      record("20261108-020000Z-00000002", { repo: 2, endedAtS: 2000, ok: false, rtoMs: null, rpo: null }),
      record("20261109-020000Z-00000003", { repo: 1, endedAtS: 3000 }),
      // One that opened its backup leaves the RTO of the one before.
      record("20261110-020000Z-00000004", {
        repo: 1,
        endedAtS: 4000,
        rtoMs: null,
        opened: { elapsedMs: 900, fetchedBytes: 1, totalBytes: 2 },
      }),
    ];
    for (const drill of drills) writeFileSync(join(directory, drillFileName(drill)), JSON.stringify(drill));
    const { values } = await scrape();
    expect(values).toMatchObject({
      [of("drill_ok", 1)]: 1,
      [of("drill_rto_seconds", 1)]: 30,
      [of("drill_timestamp_seconds", 1)]: 4000,
      'pgbackstop_drill_rpo_seconds{stanza="demo",repo_key="1",method="commit"}': 12,
      'pgbackstop_drill_phase_seconds{stanza="demo",repo_key="1",phase="restore"}': 20,
      [of("drill_ok", 2)]: 0,
      [of("drill_timestamp_seconds", 2)]: 2000,
      [of("drill_success_timestamp_seconds", 2)]: 1000,
    });
    expect(values[of("drill_rto_seconds", 2)]).toBeUndefined();
  });

  test("the configuration's hash follows the effective options, and no secret", async () => {
    const hashOf = (text: string): string =>
      /pgbackstop_config_info\{stanza="demo",hash="([0-9a-f]{16})"\} 1/.exec(text)?.[1] ?? "none";
    const before = hashOf((await scrape()).text);
    expect(hashOf((await scrape()).text)).toBe(before);
    const changed = host({ argv: ["metrics"], repos, ctx: testContext(), folder }).config.repos.map((repo) => ({
      ...repo,
      retentionFull: 9,
    }));
    expect(hashOf((await scrape(["metrics"], { repos: changed })).text)).not.toBe(before);
    const rekeyed = host({ argv: ["metrics"], repos, ctx: testContext(), folder }).config.repos.map((repo) => ({
      ...repo,
      cipherPass: new Secret("x"),
    }));
    const rekeyedAgain = rekeyed.map((repo) => ({ ...repo, cipherPass: new Secret("y") }));
    expect(hashOf((await scrape(["metrics"], { repos: rekeyed })).text)).toBe(
      hashOf((await scrape(["metrics"], { repos: rekeyedAgain })).text),
    );
  });
});

describe("the file for the textfile collector", () => {
  // claim: docs/commands.md: `metrics` reports each repository…
  test("is replaced in one step, readable by all, and leaves no other file", async () => {
    const path = join(folder, "pgbackstop.prom");
    const { text } = await scrape([`--output-file=${path}`, "metrics"]);
    expect(text).toBe("");
    expect(valuesOf(readFileSync(path, "utf8"))[of("repo_up", 1)]).toBe(1);
    expect(statSync(path).mode & 0o777).toBe(0o644);
    const { ino } = statSync(path);
    await scrape([`--output-file=${path}`, "metrics"]);
    expect(statSync(path).ino).not.toBe(ino);
    expect(readdirSync(folder).filter((name) => name.startsWith("pgbackstop"))).toEqual(["pgbackstop.prom"]);
  });

  test("needs its directory", async () => {
    await expect(scrape([`--output-file=${folder}/none/x.prom`, "metrics"])).rejects.toMatchObject({
      kind: "pathMissing",
    });
  });
});

test("every sample has a definition, one HELP and TYPE each, and a line end", async () => {
  const { text } = await scrape();
  expect(text.endsWith("\n")).toBe(true);
  const helps = [...text.matchAll(/^# HELP (\S+)/gm)].map(([, name]) => name);
  expect(new Set(helps).size).toBe(helps.length);
  expect(new Set(DEFINITIONS.map(({ name }) => name)).size).toBe(DEFINITIONS.length);
  const names = [...text.matchAll(/^([a-z_]+)[ {]/gm)].map(([, name]) => name);
  expect([...new Set(names)].filter((name) => !helps.includes(name))).toEqual([]);
});
