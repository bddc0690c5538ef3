/**
 * The checks of a recovered cluster, from cheap to thorough. Each check has its own result: a failed one does not stop
 * the others.
 *
 * - `quick`: recovery reached its end, collations, production's tables, the user's assertions, and afterwards the
 *   control file.
 * - `standard`: also amcheck over every index and heap (`heapallindexed`: finds an index that misses rows), and page
 *   checksums of the stopped cluster.
 * - `thorough`: also a discarded dump of every database, which reads every row and every large value.
 */
import type { Context } from "../../base/context";
import { type BackupError, fail, toBackupError } from "../../base/errors";
import type { DrillLevelName, DrillSettings } from "../../config/types";
import type { PgControl } from "../../format/page/pgControl";
import { parseHistory, type TimelineAncestor } from "../../format/wal/timeline";
import {
  formatLsn,
  lsnOfSegment,
  parseLsn,
  parseWalName,
  segmentOfLsn,
  historyName,
  timelineOf,
} from "../../format/wal/walSegment";
import { readdir, readFile } from "../../local/nodeFiles";
import type { Programs } from "../../postgres/programs";
import type { Session } from "../../postgres/session";
import type { SideServer } from "../../postgres/sideServer";
import type { Picked } from "./drillPlan";
import { type ClusterCounts, countCluster, DATABASES } from "./production";
import type { DrillCheck } from "./record";

export type DrillLevel = DrillLevelName;

/** A user's statement that must hold in a restored database: every value of every returned row is true. */
export type DrillAssertion = DrillSettings["assertions"][number];

export interface CheckInput {
  readonly server: Pick<SideServer, "connect">;
  /** Connected to the configured database. */
  readonly session: Session;
  readonly programs: Programs;
  readonly dataDirectory: string;
  /** Directory of the socket. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly level: DrillLevel;
  readonly assertions: readonly DrillAssertion[];
  readonly picked: Picked;
  readonly control: PgControl;
  /** Last segment that recovery could get; null if absent, or of another cluster. */
  readonly newestWal: string | null;
  /**
   * Production's counts when the drill began; null when production could not be asked, or recovery intentionally ended
   * earlier.
   */
  readonly production: ClusterCounts | null;
  readonly lostWalBytes: number | null;
}

export interface CheckResult {
  readonly check: DrillCheck;
  /** Error of a failed check. */
  readonly error: BackupError | null;
}

/** Returns the finding as text; an error fails the check. */
type Look = (input: CheckInput, ctx: Context) => Promise<Outcome>;
export interface Outcome {
  readonly verdict: "ok" | "skipped" | "warning";
  readonly text: string;
}

const ok = (text: string): Outcome => ({ verdict: "ok", text });
const skipped = (text: string): Outcome => ({ verdict: "skipped", text });

/** The checks of the running cluster. @throws only when `ctx.signal` aborts */
export async function checkRunning(input: CheckInput, ctx: Context): Promise<CheckResult[]> {
  const results: CheckResult[] = [];
  const look = async (name: string, work: Look): Promise<void> =>
    void results.push(await timedCheck(name, () => work(input, ctx), ctx));
  await look("recovery", checkRecovery);
  await look("collations", checkCollations);
  await look("production", checkProduction);
  for (const assertion of input.assertions)
    await look(`assertion:${assertion.name}`, () => checkAssertion(assertion, input));
  if (input.level === "quick") return results;
  await look("amcheck", checkIndexes);
  if (input.level === "thorough") await look("dump", checkDump);
  return results;
}

/** The checks of the cluster after its shutdown. */
export async function checkStopped(input: CheckInput, ctx: Context): Promise<CheckResult[]> {
  const results = [await timedCheck("control", () => checkControl(input, ctx), ctx)];
  if (input.level !== "quick") results.push(await timedCheck("checksums", () => checkSums(input, ctx), ctx));
  return results;
}

/** Times a check; its error is its verdict. @throws only when `ctx.signal` aborts */
export async function timedCheck(name: string, work: () => Promise<Outcome>, ctx: Context): Promise<CheckResult> {
  const beganMs = ctx.clock.monotonicMs();
  const elapsed = (): number => Math.round(ctx.clock.monotonicMs() - beganMs);
  try {
    const { text, verdict } = await work();
    ctx.log.info(`drill: ${name}: ${verdict}: ${text}`);
    return { check: { name, verdict, elapsedMs: elapsed(), text }, error: null };
  } catch (thrown) {
    if (ctx.signal.aborted) throw ctx.signal.reason;
    const error = toBackupError(thrown);
    ctx.log.info(`drill: ${name}: failed: ${error.message}`);
    return { check: { name, verdict: "failed", elapsedMs: elapsed(), text: error.message }, error };
  }
}

/** PostgreSQL silently ends a recovery to the end of the archive at the first segment that it cannot get. */
async function checkRecovery({ control, dataDirectory, newestWal, picked, session }: CheckInput): Promise<Outcome> {
  const { rows } = await session.query(
    "select pg_is_in_recovery() as recovering, pg_last_wal_replay_lsn()::text as lsn",
  );
  const { lsn, recovering } = rows[0] as { lsn: string | null; recovering: boolean };
  if (recovering) throw fail("runtime", "the server is still in recovery");
  const reached = lsn === null ? null : parseLsn(lsn);
  const followed = await followedTimeline(dataDirectory);
  return judgeRecoveryEnd({ reached, followed }, picked, newestWal, control.walSegmentSizeBytes);
}

/** A server that has ended a recovery begins the highest timeline. Null if it has none. */
async function followedTimeline(dataDirectory: string): Promise<number | null> {
  const names = (await readdir(`${dataDirectory}/pg_wal`)).filter((name) => parseWalName(name)?.kind === "history");
  const own = names.sort().at(-1);
  if (own === undefined) return null;
  return endOfHistory(await readFile(`${dataDirectory}/pg_wal/${own}`, "utf8"))?.timeline ?? null;
}

/** The last line has the parent timeline and its end: `1\t0/5000060\tno recovery target specified`. */
export function endOfHistory(text: string): Pick<TimelineAncestor, "lsn" | "timeline"> | null {
  return parseHistory(text).at(-1) ?? null;
}

export interface EndedRecovery {
  /** Null when the server reports no recovery. */
  readonly reached: bigint | null;
  /** The timeline that it followed; null if nothing shows it. */
  readonly followed: number | null;
}

/**
 * @throws archiveTimeout when the archive or the target continues after `reached`, or on a later timeline; runtime
 * without a recovery; fileMissing without an archive
 */
export function judgeRecoveryEnd(
  { followed, reached }: EndedRecovery,
  picked: Picked,
  newestWal: string | null,
  walSegmentSizeBytes: number,
): Outcome {
  const { optionArchiveCheck, optionOnline } = picked.backup;
  if (reached === null) {
    if (optionOnline)
      throw fail("runtime", "the server reports no recovery, which the backup of a running server needs");
    return ok("nothing to recover: the server was stopped during the backup");
  }
  const lsn = formatLsn(reached);
  if (picked.type === "default" && newestWal === null) {
    const text = `reached ${lsn}: the repository has no WAL of the backup's cluster, so that only the backup came back`;
    if (optionOnline && optionArchiveCheck) throw fail("fileMissing", text);
    return { verdict: "warning", text };
  }
  if (picked.type === "default" && newestWal !== null && followed !== null && followed < timelineOf(newestWal)) {
    // PostgreSQL looks for the next timeline until one has no history.
    const history = historyName(followed + 1);
    throw fail(
      "archiveTimeout",
      `recovery followed timeline ${followed} to ${lsn}, and the archive continues to ${newestWal}: ${history} is missing`,
      { hint: "pgbackstop verify names missing histories, and pgbackstop heal copies them from another repository." },
    );
  }
  const wanted =
    picked.type === "lsn" ? parseLsn(picked.target ?? "0/0") : endOf(picked, newestWal, walSegmentSizeBytes);
  if (wanted === null || reached >= wanted)
    return ok(`reached ${lsn}${picked.type === "default" ? ", the end of the archive" : ""}`);
  const timeline = newestWal === null ? 1 : timelineOf(newestWal);
  const missing = segmentOfLsn(timeline, reached, walSegmentSizeBytes);
  throw fail(
    "archiveTimeout",
    `recovery ended at ${lsn}, before ${formatLsn(wanted)}: segment ${missing} or the next one is missing or damaged; the archive continues to ${newestWal ?? "an unknown segment"}`,
    {
      hint: "pgbackstop verify shows the gap, pgbackstop heal fills it from another repository, and a new backup makes later WAL usable.",
    },
  );
}

/** A recovery that reaches the newest segment had all segments before it. */
function endOf(picked: Picked, newestWal: string | null, walSegmentSizeBytes: number): bigint | null {
  return picked.type === "default" && newestWal !== null ? lsnOfSegment(newestWal, walSegmentSizeBytes) : null;
}

/** An index over text uses the sort order of the C library that built it. */
export async function checkCollations({
  control,
  session,
}: {
  readonly control: Pick<PgControl, "pgVersion">;
  readonly session: Session;
}): Promise<Outcome> {
  if (Number(control.pgVersion) < 15) return skipped("PostgreSQL reports a database's collation version since 15");
  const { rows } = await session.query(
    "select datname, datcollversion as made, pg_database_collation_actual_version(oid) as here from pg_database where datcollversion <> pg_database_collation_actual_version(oid)",
  );
  if (rows.length === 0) return ok("the same as where the backup was taken");
  const names = rows
    .map(({ datname, here, made }) => `${String(datname)} (${String(made)}, here ${String(here)})`)
    .join(", ");
  return {
    verdict: "warning",
    text: `different version of the C library: ${names}; rebuild indexes on text after a restore here`,
  };
}

export async function checkProduction({
  lostWalBytes,
  production,
  server,
  session,
}: Pick<CheckInput, "lostWalBytes" | "production" | "server" | "session">): Promise<Outcome> {
  if (production === null) return skipped("not compared: production did not answer, or the recovery target is earlier");
  const counts = await countCluster(session, (database) => server.connect(database));
  const differences = [...new Set([...production.keys(), ...counts.keys()])].sort().flatMap((database) => {
    const [theirs, ours] = [production.get(database), counts.get(database)];
    if (theirs === undefined || ours === undefined)
      return [`database ${database} is ${ours === undefined ? "not restored" : "not in production"}`];
    return theirs.tables === ours.tables && theirs.indexes === ours.indexes
      ? []
      : [
          `database ${database} has ${ours.tables} tables and ${ours.indexes} indexes, production ${theirs.tables} and ${theirs.indexes}`,
        ];
  });
  const tables = [...counts.values()].reduce((sum, each) => sum + each.tables, 0);
  if (differences.length === 0) return ok(`${counts.size} databases and ${tables} tables as in production`);
  const text = differences.join("; ");
  if (lostWalBytes === 0) throw fail("dbMismatch", text);
  return { verdict: "warning", text: `${text}: probably created after the newest archived WAL` };
}

export async function checkAssertion(
  { database, name, sql }: DrillAssertion,
  { server }: Pick<CheckInput, "server">,
): Promise<Outcome> {
  const own = await server.connect(database);
  try {
    // Runs the user's statement as in the user's own session.
    await own.query("reset search_path");
    const rows = await own.values(sql);
    if (rows.length === 0) throw fail("dbQuery", `assertion '${name}' returned no row`);
    if (rows[0]?.length === 0) throw fail("dbQuery", `assertion '${name}' returned no column`);
    const wrong = rows.filter((row) => !row.every((value) => value === true));
    if (wrong.length > 0)
      throw fail("dbQuery", `assertion '${name}' does not hold: ${wrong.length} of ${rows.length} rows are not true`);
    return ok(`${rows.length} rows hold`);
  } finally {
    await own.close();
  }
}

const DETAIL_LINES_MAX = 5;
const AMCHECK_CORRUPTION = 2;

async function checkIndexes(input: CheckInput, ctx: Context): Promise<Outcome> {
  if (!(await input.programs.has("pg_amcheck")))
    return skipped("pg_amcheck is not installed: PostgreSQL has it since 14");
  const { rows } = await input.session.query("select 1 from pg_available_extensions where name = 'amcheck'");
  if (rows.length === 0) return skipped("the extension amcheck is not installed");
  const args = ["--all", "--install-missing", "--heapallindexed", "--parent-check", ...connection(input)];
  const { code, stderr, stdout } = await input.programs.run("pg_amcheck", args, { signal: ctx.signal });
  if (code === 0) return ok("every index is complete, and every table is intact");
  // Exit code 2 reports corruption, 1 the tool's own error.
  if (code !== AMCHECK_CORRUPTION)
    throw fail("execute", [`pg_amcheck failed (exit code ${code})`, ...firstLines(stderr)].join("\n"));
  throw fail("checksum", ["pg_amcheck found corruption", ...firstLines(`${stdout}\n${stderr}`)].join("\n"), {
    hint: "Run pg_amcheck on production too, because a backup copies damage. REINDEX rebuilds a damaged index.",
  });
}

async function checkDump(input: CheckInput, ctx: Context): Promise<Outcome> {
  if (!(await input.programs.has("pg_dump"))) return skipped("pg_dump is not installed");
  const { rows } = await input.session.query(DATABASES);
  const databases = rows.map(({ datname }) => String(datname));
  for (const database of databases) {
    const name = `dbname='${database.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
    const args = ["--format=custom", "--compress=0", ...connection(input), `--dbname=${name}`];
    // To standard output, which is discarded: pg_dump would fsync a file, and /dev/null refuses that.
    const { code, stderr } = await input.programs.run("pg_dump", args, { signal: ctx.signal, output: "discarded" });
    if (code !== 0)
      throw fail(
        "dbQuery",
        [`pg_dump of database ${database} failed (exit code ${code})`, ...firstLines(stderr)].join("\n"),
      );
  }
  return ok(`${databases.length} databases read completely`);
}

async function checkControl({ dataDirectory, programs }: CheckInput, ctx: Context): Promise<Outcome> {
  const { code, stderr, stdout } = await programs.run("pg_controldata", [dataDirectory], { signal: ctx.signal });
  if (code !== 0)
    throw fail("fileInvalid", [`pg_controldata failed (exit code ${code})`, ...firstLines(stderr)].join("\n"));
  const state = /^Database cluster state: *(.*)$/m.exec(stdout)?.[1]?.trim() ?? "";
  if (state !== "shut down") throw fail("fileInvalid", `the control file says '${state}' after a clean shutdown`);
  return ok(state);
}

async function checkSums({ control, dataDirectory, programs }: CheckInput, ctx: Context): Promise<Outcome> {
  if (!control.dataChecksums) return skipped("the cluster has no page checksums");
  if (!(await programs.has("pg_checksums"))) return skipped("pg_checksums is not installed");
  const { code, stderr, stdout } = await programs.run("pg_checksums", ["--check", "-D", dataDirectory], {
    signal: ctx.signal,
  });
  if (code !== 0 && !/^Bad checksums: +[1-9]/m.test(stdout))
    throw fail("execute", [`pg_checksums failed (exit code ${code})`, ...firstLines(stderr)].join("\n"));
  if (code !== 0)
    throw fail("checksum", ["pg_checksums found damage", ...firstLines(`${stderr}\n${stdout}`)].join("\n"));
  return ok("every page has a valid checksum");
}

function connection({ host, port, user }: CheckInput): string[] {
  return [`--host=${host}`, `--port=${port}`, `--username=${user}`, "--no-password"];
}

function firstLines(text: string): string[] {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return [
    ...lines.slice(0, DETAIL_LINES_MAX),
    ...(lines.length > DETAIL_LINES_MAX ? [`and ${lines.length - DETAIL_LINES_MAX} more lines`] : []),
  ];
}
