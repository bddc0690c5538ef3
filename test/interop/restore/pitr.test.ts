/**
 * Point-in-time recovery to random targets (time, LSN, name and transaction) over two timelines, with several sessions
 * writing.
 *
 * Every transaction stamps its own row. PostgreSQL's own WAL (pg_walinspect) gives the order of the commits on each
 * timeline. At its target a restored cluster must hold exactly the rows of a prefix of that order. Targets are drawn
 * between commits and exactly on them, inclusive and exclusive. They lie on the way to the second timeline, and on the
 * first timeline beyond the fork. The nightly form draws 50 of them with each version of PostgreSQL.
 * `PGBACKSTOP_SEED` repeats a run.
 */
// claim: README.md: every kind of restore…
import { rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { seededRandom } from "../../harness/context";
import { skipped } from "../../harness/real/interopParts";
import { dropTemplates } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";
import { findWholePostgres } from "../../../tools/parts/postgres/postgres";
import { sleep } from "../../../tools/parts/process";
import { type Row, TestCluster } from "../../../tools/parts/postgres/testCluster";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const SEED = Number(process.env["PGBACKSTOP_SEED"] ?? Date.now() % 1_000_000);
const TARGETS = NIGHTLY ? 50 : 6;
const WRITERS = 3;
/** Duration of one stretch of writing between two events, and the minimum number of stamps of each writer in it. */
const STRETCH_MS = NIGHTLY ? 4000 : 800;
const STAMPS_MIN = 40;

/** The position of a committed stamp or a restore point in the WAL. */
interface Mark {
  readonly lsn: bigint;
  readonly timeline: number;
  /** `<writer>/<number>`; null for a restore point. */
  readonly stamp: string | null;
  readonly xid: string;
  /** Microseconds since 1970; null for a restore point. */
  readonly committedUs: bigint | null;
  readonly name: string | null;
}

interface Backup {
  readonly label: string;
  readonly timeline: number;
  readonly stop: bigint;
}

interface Target {
  readonly type: "time" | "lsn" | "name" | "xid";
  readonly target: string;
  readonly exclusive: boolean;
  /** The timeline that recovery follows. */
  readonly timeline: 1 | 2;
  readonly expected: readonly string[];
  /** The last mark that must be replayed. A usable backup ends before it. */
  readonly at: Mark;
}

describe.each(atNight(18, 17, 15))(`targets drawn by seed ${SEED}, PostgreSQL %i`, async (major) => {
  const result = await findWholePostgres(major);
  if ("missing" in result) return void skipped(`point-in-time recovery of PostgreSQL ${major}`, result.missing);
  const { binaries } = result;
  const history = new History();
  let bed: TestBed;

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "lz4" }, { compressType: "lz4", encrypted: true }],
      settings: { track_commit_timestamp: true, wal_keep_size: "2GB", max_wal_size: "1GB", wal_level: "replica" },
    });
    await bed.startWithStanza();
    await bed.cluster.sql(`CREATE TABLESPACE space LOCATION '${join(bed.folder, "tablespace")}'`);
    await bed.cluster.sql("CREATE EXTENSION pg_walinspect");
    await bed.cluster.sql(
      "CREATE TABLE stamp (writer int, number int, xid xid8, filler text, PRIMARY KEY (writer, number)) TABLESPACE space",
    );
    await dropTemplates(bed);
    const writers = new Writers(bed.cluster);
    const begin = await bed.cluster.value("SELECT pg_current_wal_insert_lsn()");

    await history.addBackup(bed, 1);
    await writers.write("a");
    await history.addBackup(bed, 1);
    await writers.write("b");
    const fork = await bed.cluster.value("SELECT pg_current_wal_insert_lsn()");
    await writers.write("c");
    await bed.archiveAll();
    await history.read(bed.cluster, begin, 1, null);

    // Restore over the existing data directory. The second timeline begins where the third stretch did.
    await bed.cluster.stop();
    await bed.oursOk(["restore", "--delta", "--type=lsn", `--target=${fork}`, "--target-action=promote"]);
    await bed.cluster.start();
    await bed.cluster.waitForRecovery();
    await writers.write("d");
    await history.addBackup(bed, 2);
    await writers.write("e");
    await bed.archiveAll();
    await history.read(bed.cluster, fork, 2, lsnOf(fork));
    await bed.cluster.stop();
  });
  afterAll(async () => {
    await bed?.remove();
  });

  test("there are enough targets to draw from", () => {
    expect(history.on(1).filter((mark) => mark.stamp !== null).length).toBeGreaterThan(200);
    expect(history.on(2).filter((mark) => mark.timeline === 2).length).toBeGreaterThan(100);
    expect(history.on(1).filter((mark) => mark.name !== null)).toHaveLength(3);
    expect(history.backups.map((backup) => backup.timeline)).toEqual([1, 1, 2]);
  });

  test.each(Array.from({ length: TARGETS }, (_, index) => index))("target %i", async (index) => {
    const target = history.draw(index);
    const { dataPath, label } = await restoreTo(bed, history, target);
    const cluster = TestCluster.adopt({ binaries, dataPath });
    try {
      await cluster.start({ hot_standby: true }, { timeoutMs: 120_000 });
      await cluster.waitForValue("SELECT pg_get_wal_replay_pause_state()", "paused", 120_000);
      const rows = await cluster.sql("SELECT writer || '/' || number AS stamp FROM stamp");
      expect({ target: described(target), label, ...difference(target.expected, rows) }).toEqual({
        target: described(target),
        label,
        missing: [],
        tooMany: [],
      });
    } catch (error) {
      throw new Error(`${described(target)} from ${label}: ${String(error)}\n${cluster.logTail()}`, { cause: error });
    } finally {
      await cluster.remove();
      rmSync(join(dataPath, ".."), { recursive: true, force: true });
    }
  });
});

class History {
  readonly backups: Backup[] = [];
  readonly #marks: Mark[] = [];
  #fork = 0n;

  async addBackup(bed: TestBed, timeline: number): Promise<void> {
    const { stdout } = await bed.oursOk(["backup", "--type=full"]);
    const label = /new backup label = (\S+)/.exec(stdout)?.[1] ?? "";
    const stop = /backup stop archive = \S+, lsn = (\S+)/.exec(stdout)?.[1] ?? "";
    this.backups.push({ label, timeline, stop: lsnOf(stop) });
  }

  /** Adds the commits and restore points in this timeline's WAL from `begin`. */
  async read(cluster: TestCluster, begin: string, timeline: number, fork: bigint | null): Promise<void> {
    if (fork !== null) this.#fork = fork;
    const rows = await cluster.sql(
      `SELECT start_lsn::text AS lsn, r.xid::text AS xid, record_type AS type, description, s.writer || '/' || s.number AS stamp,
              (extract(epoch FROM pg_xact_commit_timestamp(s.xid::xid)) * 1000000)::bigint::text AS committed
         FROM pg_get_wal_records_info($1::pg_lsn, pg_current_wal_flush_lsn()) r
         LEFT JOIN stamp s ON r.resource_manager = 'Transaction' AND s.xid = r.xid::text::xid8
        WHERE (resource_manager = 'Transaction' AND record_type LIKE 'COMMIT%' AND s.xid IS NOT NULL) OR record_type = 'RESTORE_POINT'
        ORDER BY start_lsn`,
      [begin],
    );
    for (const row of rows) {
      const stamp = findText(row, "stamp");
      const committed = findText(row, "committed");
      const name = stamp === null ? findText(row, "description") : null;
      if (name !== null && !name.startsWith("point ")) continue;
      const committedUs = committed === null ? null : BigInt(committed);
      this.#marks.push({
        lsn: lsnOf(findText(row, "lsn") ?? ""),
        timeline,
        stamp,
        xid: findText(row, "xid") ?? "",
        committedUs,
        name,
      });
    }
  }

  /** The marks that a recovery along `timeline` replays, in order. */
  on(timeline: 1 | 2): Mark[] {
    return this.#marks.filter((mark) =>
      timeline === 1 ? mark.timeline === 1 : mark.timeline === 2 || mark.lsn < this.#fork,
    );
  }

  /** Backups on the way to `timeline`, oldest first. */
  backupsOn(timeline: 1 | 2): Backup[] {
    return this.backups.filter((backup) =>
      timeline === 1 ? backup.timeline === 1 : backup.timeline === 2 || backup.stop <= this.#fork,
    );
  }

  draw(index: number): Target {
    const random = numbers(SEED * 1000 + index);
    const type = (["time", "lsn", "name", "xid"] as const)[index % 4] ?? "time";
    const timeline = random(2) === 0 ? 1 : 2;
    const all = this.on(timeline);
    const [first] = this.backupsOn(timeline);
    // Leave out the last stamp: recovery would not reach a target beyond it.
    const candidates = all
      .filter((mark) => mark.lsn > (first?.stop ?? 0n) && (mark.name !== null) === (type === "name"))
      .slice(0, type === "name" ? undefined : -1);
    const at = candidates[random(candidates.length)] as Mark;
    const exclusive = type !== "name" && random(2) === 0;
    const location = all.indexOf(at);
    const stamps = (end: number): string[] => all.slice(0, end).flatMap((mark) => mark.stamp ?? []);
    if (type !== "time") {
      const target = type === "lsn" ? textOf(at.lsn) : type === "xid" ? at.xid : (at.name ?? "");
      return { type, target, exclusive, timeline, at, expected: stamps(exclusive ? location : location + 1) };
    }
    // Exactly on a commit, or a little after it. Recovery ends at the first commit with a later time, whatever follows
    // it.
    const afterUs = (at.committedUs ?? 0n) + BigInt(random(2) === 0 ? 0 : random(3000));
    // Recovery would not reach a time after the last commit.
    const lastUs = all.reduce(
      (latest, mark) => (mark.committedUs !== null && mark.committedUs > latest ? mark.committedUs : latest),
      0n,
    );
    const targetUs = afterUs < lastUs ? afterUs : lastUs - 1n;
    const ends = all.findIndex(
      (mark) => mark.committedUs !== null && (exclusive ? mark.committedUs >= targetUs : mark.committedUs > targetUs),
    );
    return {
      type,
      target: timeText(targetUs),
      exclusive,
      timeline,
      at,
      expected: stamps(ends === -1 ? all.length : ends),
    };
  }
}

/** Sessions that each stamp one transaction after the other. Some transactions are rolled back. */
class Writers {
  readonly #cluster: TestCluster;
  #next = 0;

  constructor(cluster: TestCluster) {
    this.#cluster = cluster;
  }

  /** Writes for a while, and creates a restore point `point <name>` halfway through. */
  async write(name: string): Promise<void> {
    const endMs = performance.now() + STRETCH_MS;
    const from = this.#next;
    const counts = await Promise.all([
      ...Array.from({ length: WRITERS }, (_, writer) => this.#stamp(writer, from, endMs)),
      sleep(STRETCH_MS / 2).then(() =>
        this.#cluster.sql(`SELECT pg_create_restore_point('point ${name}')`).then(() => 0),
      ),
    ]);
    this.#next = from + Math.max(...counts);
  }

  async #stamp(writer: number, from: number, endMs: number): Promise<number> {
    const client = await this.#cluster.connect();
    const random = numbers(SEED + writer + from);
    let count = 0;
    try {
      for (; performance.now() < endMs || count < STAMPS_MIN; count++) {
        await client.query("BEGIN");
        await client.query(
          "INSERT INTO stamp VALUES ($1, $2::int, pg_current_xact_id(), repeat(md5($2::int::text), $3))",
          [writer, from + count, random(20)],
        );
        await client.query(random(10) === 0 ? "ROLLBACK" : "COMMIT");
        await sleep(random(8));
      }
    } finally {
      await client.end();
    }
    return count;
  }
}

async function restoreTo(
  bed: TestBed,
  history: History,
  target: Target,
): Promise<{ readonly dataPath: string; readonly label: string }> {
  const fitting = history.backupsOn(target.timeline).filter((backup) => backup.stop < target.at.lsn);
  // Restore chooses the backup for times and LSNs. For other targets it has no position to compare.
  const isChosen = target.type === "time" || target.type === "lsn";
  const args = [
    `--type=${target.type}`,
    `--target=${target.target}`,
    ...(target.exclusive ? ["--target-exclusive"] : []),
    ...(target.timeline === 1 ? ["--target-timeline=1"] : []),
    ...(isChosen ? [] : [`--set=${fitting.at(-1)?.label}`]),
  ];
  const { result, dataPath } = await bed.restoreAside({ by: null, args });
  if (result.exitCode !== 0) throw new Error(`${described(target)}: ${result.stdout}`);
  const label = /restore backup set (\S+?),/.exec(result.stdout)?.[1] ?? "";
  if (target.type === "lsn") expect(label).toBe(fitting.at(-1)?.label);
  return { dataPath, label };
}

function difference(
  expected: readonly string[],
  rows: readonly Row[],
): { readonly missing: string[]; readonly tooMany: string[] } {
  const wanted = new Set(expected);
  const result = new Set(rows.map((row) => findText(row, "stamp") ?? ""));
  return {
    missing: expected.filter((stamp) => !result.has(stamp)),
    tooMany: [...result].filter((stamp) => !wanted.has(stamp)),
  };
}

function findText(row: Row, column: string): string | null {
  const value = row[column];
  return typeof value === "string" ? value : null;
}

function described({ type, target, exclusive, timeline, expected }: Target): string {
  return `${type} ${target}${exclusive ? " exclusive" : ""} on timeline ${timeline}, ${expected.length} stamps`;
}

/** Whole numbers below a limit, reproducible by seed. */
function numbers(seed: number): (limit: number) => number {
  const { bytes } = seededRandom(seed + 1);
  bytes(64);
  return (limit) => new DataView(bytes(4).buffer).getUint32(0) % limit;
}

function lsnOf(text: string): bigint {
  const [high = "0", low = "0"] = text.split("/");
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}

function textOf(lsn: bigint): string {
  return `${(lsn >> 32n).toString(16)}/${(lsn & 0xffffffffn).toString(16)}`.toUpperCase();
}

function timeText(timeUs: bigint): string {
  const seconds = new Date(Number(timeUs / 1000n)).toISOString().slice(0, 19).replace("T", " ");
  return `${seconds}.${String(timeUs % 1_000_000n).padStart(6, "0")}+00`;
}
