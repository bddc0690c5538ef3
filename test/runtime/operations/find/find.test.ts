/**
 * Where `find` reads WAL: the archive, streamed WAL and pg_wal, along timelines. markers.test.ts covers the content of
 * WAL.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { QueryResult } from "pg";
import { beforeEach, describe, expect, it } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { parseBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { formatLsn } from "../../../../runtime/format/wal/walSegment";
import { WalArchive } from "../../../../runtime/operations/find/archive";
import { find } from "../../../../runtime/operations/find/find";
import type { FindOptions, SearchResult } from "../../../../runtime/operations/find/search";
import { parseTimeOrAge } from "../../../../runtime/operations/find/timeOrAge";
import { findJson, findText } from "../../../../runtime/operations/find/findReport";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { stanzaUpgrade } from "../../../../runtime/operations/stanza/stanzaUpgrade";
import type { Session } from "../../../../runtime/postgres/session";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { putChunk } from "../../../../runtime/repository/streamStore";
import { type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { classRow, page } from "../../format/page/pages";
import { endOf, pack, pgTime, preparedOf, WalWriter } from "../../format/walWriter";
import { vectorText } from "../../format/vectors";
import { CLUSTER, CONTROL, repository, temporaryFolder, WAL_SIZE_BYTES, walName } from "../../repository/support";
import { store, storeUnder } from "../archive";

const FROM_US = 1_763_715_000_000_000n;
const SECOND_US = 1_000_000n;
const [BACKUP] = parseBackupInfo(vectorText("v2.45/plain/backup.info"), "golden").backups;
const SESSION = "000000000001";

let ctx: TestContext;
let repos: [Repository, Repository];
let walDirectory: string;

beforeEach(async () => {
  ctx = testContext();
  repos = [
    repository(1),
    repository(2, { storage: new MemoryStorage({ name: "second" }), compress: { type: "gz", level: 1 } }),
  ];
  walDirectory = join(temporaryFolder(), "nowhere");
  await stanzaCreate(repos, CONTROL, ctx);
});

/** One cluster's WAL, transaction by transaction. */
class Story {
  readonly wal: WalWriter;
  /** Each change of pg_class is on a page of its own, which the record has whole. */
  #classBlock = 0;

  constructor(segment = 2, timeline = 1, systemId = CLUSTER.systemId) {
    this.wal = new WalWriter({ segment, timeline, systemId });
  }

  /** A checkpoint like a running server's: its redo point is just before it. */
  checkpoint(nextXid: number, atS: number, earlierRedo?: bigint, info = 0x10): this {
    // At the start of a segment, the redo point is after the long header.
    const redo = earlierRedo ?? (this.wal.lsn % BigInt(WAL_SIZE_BYTES) === 0n ? this.wal.lsn + 40n : this.wal.lsn);
    const timeS = FROM_US / SECOND_US + BigInt(atS);
    const main = pack([8, redo], [4, 1], [4, 1], [8, 1], [8, nextXid], Buffer.alloc(32), [8, timeS], Buffer.alloc(16));
    this.wal.add({ resourceManager: 0, info, body: { main } });
    return this;
  }

  /** The last record of a server that stops. */
  shutDown(nextXid: number, atS: number): this {
    return this.checkpoint(nextXid, atS, undefined, 0);
  }

  running(nextXid: number, oldestXid = nextXid): this {
    this.wal.add({
      resourceManager: 8,
      info: 0x10,
      body: { main: pack([4, 0], [4, 0], [4, 0], [4, nextXid], [4, oldestXid], [4, nextXid - 1]) },
    });
    return this;
  }

  /** @param flags 0x10 for rows that an update moves to another partition */
  delete(xid: number, rows = 1, flags = 0): this {
    const main = pack([4, xid], [2, 1], [1, 0], [1, flags]);
    for (let row = 0; row < rows; row++)
      this.wal.add({
        resourceManager: 10,
        info: 0x10,
        xid,
        body: { blocks: [{ file: [1663, 5, 16400], block: row }], main },
      });
    return this;
  }

  insert(xid: number): this {
    const main = pack([2, 1], [1, 0]);
    this.wal.add({ resourceManager: 10, xid, body: { blocks: [{ file: [1663, 5, 16400], block: 0 }], main } });
    return this;
  }

  /** A table's row in pg_class before and after, by its file; null without one. */
  relation(xid: number, oldFile: number | null, newFile: number | null): this {
    const files = [oldFile, newFile].filter((file) => file !== null);
    const bytes = page(files.map((file) => ({ columns: classRow(15, "orders", { file }) })));
    const [info, main] =
      oldFile === null
        ? [0x00, pack([2, 1], [1, 0])]
        : newFile === null
          ? [0x10, pack([4, xid], [2, 1], [1, 0], [1, 0])]
          : [0x20, pack([4, xid], [2, 1], [1, 0], [1, 0], [4, 0], [2, 2])];
    const image = { bytes, holeOffset: 0, info: 0x02 };
    const blocks = [{ file: [1663, 5, 1259], block: this.#classBlock++, image }] as const;
    this.wal.add({ resourceManager: 10, info, xid, body: { blocks, main } });
    return this;
  }

  commit(xid: number, atS: number, subtransactions?: readonly number[], droppedFile?: number): bigint {
    const { flag, main } = endOf({
      atUs: FROM_US + BigInt(atS) * SECOND_US,
      ...(subtransactions === undefined ? {} : { subtransactions }),
      ...(droppedFile === undefined ? {} : { dropped: [[1663, 5, droppedFile]] }),
    });
    return this.wal.add({ resourceManager: 1, info: flag, xid, body: { main } });
  }

  prepare(xid: number, atS: number, subtransactions: readonly number[]): this {
    const main = preparedOf({ xid, atUs: FROM_US + BigInt(atS) * SECOND_US, gid: "two", subtransactions });
    this.wal.add({ resourceManager: 1, info: 0x10, xid, body: { main } });
    return this;
  }

  commitPrepared(xid: number, atS: number, subtransactions: readonly number[]): this {
    const atUs = FROM_US + BigInt(atS) * SECOND_US;
    const { flag, main } = endOf({ atUs, subtransactions, twoPhaseXid: xid });
    this.wal.add({ resourceManager: 1, info: 0x30 | flag, xid: 0, body: { main } });
    return this;
  }

  incident(xid: number, atS: number, rows = 1): bigint {
    return this.delete(xid, rows).commit(xid, atS);
  }

  next(): this {
    this.wal.switchSegment();
    return this;
  }

  segment(no: number): Uint8Array {
    const bytes = this.wal.segments().get(no);
    if (bytes === undefined) throw new Error(`segment ${no} was not written`);
    return bytes;
  }
}

const OPTIONS: Omit<FindOptions, "walDirectory"> = {
  fromUs: FROM_US,
  toUs: FROM_US + 3600n * SECOND_US,
  table: undefined,
  database: undefined,
  kind: undefined,
  limit: 20,
  timeline: undefined,
  server: null,
  repoIndex: undefined,
};

const silent = (): Promise<Session> => Promise.reject(fail("dbConnect", "nobody answers"));

function look(options: Partial<FindOptions> = {}, openProduction = silent): Promise<SearchResult> {
  return find({ repos, openProduction }, { ...OPTIONS, walDirectory, ...options }, ctx);
}

const xids = ({ transactions }: SearchResult): (readonly [number, string])[] =>
  transactions.map(({ source, xid }) => [xid, source]);

async function archive(
  story: Story,
  numbers: readonly number[],
  timeline = 1,
  into: readonly Repository[] = repos,
): Promise<void> {
  for (const repo of into)
    await store(repo, ...numbers.map((no) => [walName(no, timeline), story.segment(no)] as const));
}

async function stream(
  repo: Repository,
  segment: string,
  bytes: Uint8Array,
  begin: number,
  end: number,
  session = SESSION,
): Promise<void> {
  const origin = { systemId: CLUSTER.systemId, segmentSizeBytes: WAL_SIZE_BYTES };
  await putChunk(
    repo,
    { archiveId: "15-1", pass: null },
    { segment, session, begin, end },
    [bytes.subarray(begin, end)],
    origin,
    ctx,
  );
}

async function backups(
  ...entries: readonly { readonly label: string; readonly timeline: number; readonly lsn: bigint }[]
): Promise<void> {
  for (const repo of repos) {
    const made = entries.map(({ label, lsn, timeline }) => {
      if (BACKUP === undefined) throw new Error("the golden backup.info has no backup");
      const name = walName(Number(lsn / BigInt(WAL_SIZE_BYTES)), timeline);
      return {
        ...BACKUP,
        label,
        archiveStart: name,
        archiveStop: name,
        lsnStart: formatLsn(lsn),
        lsnStop: formatLsn(lsn),
      };
    });
    await saveBackupInfo(repo, { ...(await loadBackupInfo(repo)), backups: made }, ctx);
  }
}

const offset = (lsn: bigint): number => Number(lsn % BigInt(WAL_SIZE_BYTES));

describe("WAL after the archive's end", () => {
  /** Segments 2 and 3 are archived, 4 and 5 are not. */
  async function lostHost(): Promise<Story> {
    const story = new Story().checkpoint(700, -60);
    story.incident(700, 10);
    story.next().incident(701, 20);
    story.next().incident(702, 30, 2);
    story.next().incident(703, 40, 3);
    await archive(story, [2, 3]);
    return story;
  }

  // claim: docs/find.md: a lost host's stream is read up to the last complete record; gaps are reported as unknown
  it("of a lost host is read from the stream, up to the last complete record", async () => {
    const story = await lostHost();
    const seen = offset(story.wal.lsn);
    story.incident(704, 50);
    await stream(repos[0], walName(4), story.segment(4), 0, WAL_SIZE_BYTES);
    await stream(repos[0], walName(5), story.segment(5), 0, 100);
    // This chunk ends within the first record of 704.
    await stream(repos[0], walName(5), story.segment(5), 100, seen + 20);
    const result = await look();
    expect(xids(result)).toEqual([
      [700, "archive"],
      [701, "archive"],
      [702, "stream"],
      [703, "stream"],
    ]);
    expect(result.unknown).toEqual([]);
    expect(result.toLsn).toBe(BigInt(5 * WAL_SIZE_BYTES + seen));
    const text = findText(result);
    expect(text.match(/^\S+ \S+ {2}xid 70[23] {2}lsn \S+ {2}\(streamed\)$/gm)).toHaveLength(2);
    expect(text).toContain(
      "NOTE: pgbackstop's restore_command can reach streamed WAL that is not archived yet; stock's cannot.\n",
    );
    expect(text).toContain("NOTE: the server's pg_wal is not on this machine: later commits than 0/50");
    expect(findText(result, "cluster")).not.toContain("--target");
    expect((findJson(result) as { transactions: object[] }).transactions[3]).toMatchObject({
      archived: false,
      source: "stream",
    });
  });

  it("a damaged chunk comes from another repository, a later session's before an earlier one's", async () => {
    const story = await lostHost();
    await stream(repos[0], walName(4), story.segment(4), 0, WAL_SIZE_BYTES);
    await stream(repos[1], walName(4), story.segment(4), 0, WAL_SIZE_BYTES);
    const end = offset(story.wal.lsn);
    await stream(repos[0], walName(5), story.segment(5), 0, 48, "0000000000ff");
    await stream(repos[1], walName(5), story.segment(5), 0, end, "000000000100");
    for await (const { path } of repos[0].storage.list("pgbackstop/demo/stream", { recursive: true }))
      if (path.includes(`${walName(4)}-`)) await repos[0].storage.put(path, Buffer.from("damaged"));
    const result = await look();
    expect(xids(result).slice(2)).toEqual([
      [702, "stream"],
      [703, "stream"],
    ]);
    expect(ctx.lines.map(({ text }) => text).join("\n")).toContain("streamed WAL: repo1: [FileInvalidError]");
  });

  it("a short session hides nothing of the previous one; after a server was rolled back the newest counts", async () => {
    const story = await lostHost();
    const end = offset(story.wal.lsn);
    await stream(repos[0], walName(4), story.segment(4), 0, WAL_SIZE_BYTES);
    await stream(repos[0], walName(5), story.segment(5), 0, end, "0000000000ff");
    await stream(repos[1], walName(5), story.segment(5), 0, 48, "000000000100");
    expect(xids(await look()).at(-1)).toEqual([703, "stream"]);
    const other = Buffer.from(story.segment(5)).fill(0, 48, end);
    await stream(repos[1], walName(5), other, 0, 64, "000000000101");
    expect(xids(await look()).at(-1)).toEqual([702, "stream"]);
  });

  // claim: docs/find.md: a lost host's stream…
  it("chunks without a segment's start are useless, and the span before them is reported as unknown", async () => {
    const story = await lostHost();
    await stream(repos[0], walName(4), story.segment(4), 64, 4096);
    await stream(repos[0], walName(5), story.segment(5), 0, offset(story.wal.lsn));
    const result = await look();
    expect(xids(result)).toEqual([
      [700, "archive"],
      [701, "archive"],
      [703, "stream"],
    ]);
    expect(result.unknown).toMatchObject([{ fromSegment: walName(4), toSegment: walName(4), reason: "missing" }]);
    expect(result.transactions.map(({ isCut }) => isCut)).toEqual([false, false, true]);
  });

  it("a partly streamed segment is unknown from its end when a later one exists", async () => {
    const story = await lostHost();
    await stream(repos[0], walName(4), story.segment(4), 0, 48);
    await stream(repos[0], walName(5), story.segment(5), 0, offset(story.wal.lsn), "0000000000ff");
    const result = await look();
    expect(xids(result).slice(2)).toEqual([[703, "stream"]]);
    expect(result.unknown).toMatchObject([
      {
        fromSegment: walName(4),
        toSegment: walName(4),
        reason: expect.stringMatching(/^there is no record at|checksum|ends/),
      },
    ]);
  });

  it("comes from pg_wal if that is here, which is newer than the stream", async () => {
    const story = await lostHost();
    mkdirSync(walDirectory);
    for (const no of [4, 5]) writeFileSync(join(walDirectory, walName(no)), story.segment(no));
    await stream(repos[0], walName(4), story.segment(4), 0, 100);
    const result = await look();
    expect(xids(result).slice(2)).toEqual([
      [702, "pg_wal"],
      [703, "pg_wal"],
    ]);
    const text = findText(result);
    expect(text.match(/^\S+ \S+ {2}xid 70[23] {2}lsn \S+ {2}\(not archived yet\)$/gm)).toHaveLength(2);
    expect(text.match(/pgbackstop check archives it now/g)).toHaveLength(1);
    expect(text).not.toContain("the server's pg_wal");
    // `find` ignores files of another cluster.
    const other = new WalWriter({ segment: 4 });
    other.fillPage();
    for (const no of [4, 5]) writeFileSync(join(walDirectory, walName(no)), other.segments().get(4) as Uint8Array);
    expect(findText(await look())).toContain("NOTE: the server's pg_wal is not on this machine");
  });

  // claim: docs/find.md: WAL that is neither in a repository nor in `pg_wal` is `UNKNOWN`, also before unarchived WAL
  it("goes on in pg_wal behind segments that exist nowhere, and reports them as unknown", async () => {
    const story = await lostHost();
    story.next().incident(704, 50);
    story.next().incident(705, 60);
    story.next();
    mkdirSync(walDirectory);
    for (const no of [6, 7]) writeFileSync(join(walDirectory, walName(no)), story.segment(no));
    // Recycled for later, and of a timeline off the path.
    writeFileSync(join(walDirectory, walName(9)), story.segment(2));
    writeFileSync(join(walDirectory, walName(5, 7)), story.segment(5));
    const unread = { fromSegment: walName(4), toSegment: walName(5), reason: "missing" };
    const result = await look();
    expect(xids(result).slice(2)).toEqual([
      [704, "pg_wal"],
      [705, "pg_wal"],
    ]);
    expect(result.unknown).toMatchObject([unread]);
    expect(result.unknown[0]?.beforeUs).toBe(FROM_US + 50n * SECOND_US);
    expect(result.notes.join()).not.toContain("pg_wal");
    // A streamed segment that comes first is read first.
    await stream(repos[0], walName(5), story.segment(5), 0, WAL_SIZE_BYTES);
    expect(xids(await look()).slice(2)).toEqual([
      [703, "stream"],
      [704, "pg_wal"],
      [705, "pg_wal"],
    ]);
  });

  it("WAL that was archived meanwhile is looked up again", async () => {
    const story = await lostHost();
    const wal = await WalArchive.open(repos, { timeline: undefined, walDirectory: null, server: null }, ctx);
    const next = { name: walName(4), lsn: BigInt(4 * WAL_SIZE_BYTES), copies: [] };
    expect(await wal.look(next)).toBeNull();
    await archive(story, [4], 1, [repos[1]]);
    const archived = await wal.look(next);
    expect(archived === null ? null : (await wal.read(archived)).problem).toBeNull();
  });
});

describe("after a stanza-upgrade", () => {
  const NEW_ID = CLUSTER.systemId + 1n;
  const minutes = (no: number): bigint => FROM_US + BigInt(no) * 60n * SECOND_US;

  /** The former cluster wrote from the first minute on, the present one from the tenth. */
  beforeEach(async () => {
    const former = new Story().checkpoint(700, -60);
    former.incident(700, 60);
    former.next().incident(701, 120);
    former.next();
    await archive(former, [2, 3]);
    await backups({ label: "20260101-000000F", timeline: 1, lsn: BigInt(2 * WAL_SIZE_BYTES) + 40n });
    await stanzaUpgrade(repos, { ...CONTROL, systemId: NEW_ID }, ctx);
  });

  async function writePresent(): Promise<void> {
    const present = new Story(6, 1, NEW_ID).checkpoint(900, 600);
    present.incident(900, 660);
    present.next();
    for (const repo of repos) await storeUnder("15-2", repo, [walName(6), present.segment(6)]);
  }

  // claim: docs/find.md: `find` reads the WAL of the cluster before a `stanza-upgrade`
  it("a time range before it is searched in the former cluster's WAL, with its backups as targets", async () => {
    await writePresent();
    const result = await look({ toUs: minutes(5) });
    expect(xids(result)).toEqual([
      [700, "archive"],
      [701, "archive"],
    ]);
    expect(result.transactions[1]?.targets[0]?.set).toBe("20260101-000000F");
    expect(result.notes.join()).not.toMatch(/--to=|is not on this machine/);
  });

  // claim: docs/find.md: `find` reads the WAL…
  it("a time range across it is searched in the present cluster's WAL, and a note names the rest", async () => {
    await writePresent();
    const result = await look();
    expect(xids(result)).toEqual([[900, "archive"]]);
    expect(result.notes[0]).toMatch(
      /^the WAL of PostgreSQL 15 begins at \d{4}-\d\d-\d\d [0-9:.]+\+00: --to='[^']+' searches that of PostgreSQL 15, from before stanza-upgrade$/,
    );
    const to = /--to='([^']+)'/.exec(result.notes[0] ?? "")?.[1] ?? "";
    expect(xids(await look({ toUs: parseTimeOrAge(to, 0n) })).map(([xid]) => xid)).toEqual([700, 701]);
    expect(xids(await look({ fromUs: minutes(10), toUs: minutes(12) }))).toEqual([[900, "archive"]]);
    expect((await look({ fromUs: minutes(10), toUs: minutes(12) })).notes.join()).not.toContain("--to=");
  });

  it("the former cluster is searched while the present one has archived nothing", async () => {
    expect(xids(await look()).map(([xid]) => xid)).toEqual([700, 701]);
  });
});

describe("timelines", () => {
  let main: Story;
  let branch: Story;
  let switchLsn: bigint;

  /** Timeline 2 branches off timeline 1 in the middle of segment 3. Each has separate incidents after that. */
  beforeEach(async () => {
    [main, branch] = [new Story(2, 1), new Story(2, 2)];
    for (const story of [main, branch]) {
      story.checkpoint(700, -60).incident(700, 10);
      story.next().incident(701, 20);
    }
    switchLsn = main.wal.lsn;
    main.incident(702, 30);
    main.next().incident(703, 40);
    main.next();
    branch.incident(702, 35, 5);
    branch.next().incident(710, 45, 6);
    branch.next();
    await archive(main, [2, 3, 4]);
    await archive(branch, [3, 4], 2);
    await promoted(2, `1\t${formatLsn(switchLsn)}\tno recovery target specified\n`);
    await backups(
      { label: "20260101-000000F", timeline: 1, lsn: BigInt(2 * WAL_SIZE_BYTES) + 40n },
      { label: "20260102-000000F", timeline: 1, lsn: switchLsn + 8n },
    );
  });

  const promoted = async (timeline: number, text: string): Promise<void> => {
    for (const repo of repos)
      await store(repo, [`${timeline.toString(16).toUpperCase().padStart(8, "0")}.history`, Buffer.from(text)]);
  };
  const reported = ({ transactions }: SearchResult): unknown[] =>
    transactions.map(({ atUs, targets, xid }) => [xid, Number((atUs - FROM_US) / SECOND_US), targets[0]?.set]);

  // claim: docs/find.md: timelines are followed through their history, with backups of earlier ones; an abandoned one
  //   can be named
  it("the latest is followed through its history, and a backup of an earlier one leads to it", async () => {
    const result = await look();
    expect(result.timeline).toBe(2);
    // The later backup is on timeline 1 after timeline 2 branched off.
    expect(reported(result)).toEqual([
      [700, 10, "20260101-000000F"],
      [701, 20, "20260101-000000F"],
      [702, 35, "20260101-000000F"],
      [710, 45, "20260101-000000F"],
    ]);
    expect(
      result.transactions.every(({ targets }) => targets[0]?.args.every((arg) => !arg.startsWith("--target-timeline"))),
    ).toBe(true);
    expect(result.unknown).toEqual([]);
  });

  // claim: docs/find.md: timelines are followed through…
  it("the user can name another one, and the recovery follows it", async () => {
    const result = await look({ timeline: 1 });
    expect(reported(result)).toEqual([
      [700, 10, "20260101-000000F"],
      [701, 20, "20260101-000000F"],
      [702, 30, "20260102-000000F"],
      [703, 40, "20260102-000000F"],
    ]);
    expect(result.transactions[3]?.targets[0]?.args).toContain("--target-timeline=1");
    expect(findText(result)).toContain("read WAL of timeline 1 from 0/200000 to 0/500000");
  });

  it("a third one follows from the second, also if the newest has only a history", async () => {
    const second = branch.wal.lsn;
    await promoted(3, `1\t${formatLsn(switchLsn)}\tx\n2\t${formatLsn(second)}\ty\n`);
    const result = await look();
    expect(result.timeline).toBe(3);
    expect(reported(result).map((each) => (each as unknown[])[0])).toEqual([700, 701, 702, 710]);
    const archived = new Story(5, 3);
    archived.incident(720, 60);
    await stream(repos[1], walName(5, 3), archived.segment(5), 0, offset(archived.wal.lsn));
    // `find` ignores WAL of timelines off the path.
    await stream(repos[0], walName(5, 1), main.segment(4), 0, 4096);
    await stream(repos[0], walName(7, 1), main.segment(4), 0, 4096);
    const more = await look();
    expect(xids(more).at(-1)).toEqual([720, "stream"]);
    expect(more.unknown).toEqual([]);
  });

  it("without its history only the timeline itself is read, which is reported", async () => {
    await archive(branch, [4], 4);
    const result = await look({ timeline: 4 });
    expect(result.timeline).toBe(4);
    expect(reported(result).map((each) => (each as unknown[])[0])).toEqual([710]);
    expect(ctx.lines.map(({ text }) => text)).toContain(
      "00000004.history does not exist: WAL before timeline 4 is not read",
    );
    expect(findText(result)).toContain(
      "NOTE: no repository has a backup on timeline 4 or its ancestors, so recovery is impossible",
    );
    expect(findText(result)).toContain("no backup ended before it: it cannot be undone by recovery");
    await expect(look({ timeline: 9 })).rejects.toMatchObject({ kind: "fileMissing" });
  });
});

describe("transactions that began before the WAL that is read", () => {
  // claim: docs/find.md: incomplete row counts are marked, and unknown parts are named
  it("are marked, because their rows are counted only from there on", async () => {
    const story = new Story().checkpoint(690, -900);
    story.delete(695, 50).commit(691, -800);
    story.next().checkpoint(700, -60);
    story.delete(695, 2).delete(700, 3).delete(701, 1).commit(699, -50);
    story.next().checkpoint(704, -5).commit(695, 10);
    story.commit(700, 20);
    // A subtransaction has a separate number.
    story.commit(702, 30, [701]);
    story.next();
    await archive(story, [2, 3, 4]);
    const result = await look();
    expect(result.transactions.map(({ isCut, markers, xid }) => [xid, isCut, markers[0]?.rows])).toEqual([
      [695, true, 2],
      [700, false, 3],
      [702, false, 1],
    ]);
    expect(result.cut).toBe(1);
    const text = findText(result);
    expect(text).toContain("    delete at least 2 rows of relation 5: 5/16400");
    expect(text).toContain("    delete 3 rows of relation 5: 5/16400");
    expect(text).toContain(
      "NOTE: 1 transactions began before the searched WAL, or may have: their earlier rows are not counted",
    );
    expect(findJson(result)).toMatchObject({ cut: 1, transactions: [{ cut: true }, { cut: false }, { cut: false }] });
  });

  // claim: docs/find.md: incomplete row counts are…
  it("are marked after a missing span too, until WAL shows the running ones", async () => {
    const story = new Story().checkpoint(700, -60);
    story.incident(700, 10);
    const redo = story.wal.lsn;
    story.delete(701, 9).next().next();
    // This checkpoint began before the gap, so it does not prove that 701 and 703 are complete.
    story.checkpoint(701, 15, redo);
    story.delete(701, 1).delete(703, 1).running(705, 701).commit(701, 20);
    story.incident(705, 30);
    story.commit(703, 40);
    story.next();
    await archive(story, [2, 4]);
    const result = await look();
    expect(result.unknown).toMatchObject([{ fromSegment: walName(3), toSegment: walName(3) }]);
    expect(result.transactions.map(({ isCut, xid }) => [xid, isCut])).toEqual([
      [700, false],
      [701, true],
      [705, false],
      [703, true],
    ]);
  });

  it("are all marked without a checkpoint, even if numbers wrap around", async () => {
    const story = new Story();
    story.incident(4_294_967_290, 10);
    story.running(5).incident(5, 20);
    story.incident(4_294_967_295, 30);
    story.next();
    await archive(story, [2]);
    const result = await look();
    expect(result.transactions.map(({ isCut, xid }) => [xid, isCut])).toEqual([
      [4_294_967_290, true],
      [5, false],
      [4_294_967_295, true],
    ]);
  });
});

describe("subtransactions", () => {
  const marked = ({ transactions }: SearchResult): unknown[] =>
    transactions.map(({ markers, xid }) => [xid, ...markers.map(({ kind, name, rows }) => [kind, name, rows])]);

  // claim: docs/find.md: what a released savepoint did is its transaction's, whichever part wrote first
  it("give a relation its first state, although the transaction wrote something before them", async () => {
    const story = new Story().checkpoint(700, -60);
    story.insert(700).relation(701, 16500, 16501).relation(700, 16501, 16501).commit(700, 10, [701], 16500);
    story.insert(702).relation(703, null, 16600).relation(702, 16600, null).commit(702, 20, [703], 16600);
    story.insert(704).relation(705, 16501, 16502).relation(704, 16502, null).commit(704, 30, [705], 16501);
    story.next();
    await archive(story, [2]);
    expect(marked(await look())).toEqual([
      [700, ["truncate", "public.orders", null]],
      [704, ["drop", "public.orders", null]],
    ]);
  });

  it("of a file count from when a table has it: REPACK (CONCURRENTLY) repeats others' changes before", async () => {
    const story = new Story().checkpoint(700, -60).running(700);
    story.delete(700, 3).relation(700, 16300, 16400).delete(700, 2).commit(700, 10);
    // The table keeps its file.
    story.delete(701, 4).relation(701, 16400, 16400).commit(701, 20);
    story.next();
    await archive(story, [2]);
    expect(marked(await look())).toEqual([
      [700, ["truncate", "public.orders", null], ["delete", "public.orders", 2]],
      [701, ["delete", "public.orders", 4]],
    ]);
  });

  it("of an update that moves rows to another partition are updates of the partition that they leave", async () => {
    const story = new Story().checkpoint(700, -60).running(700);
    story.delete(700, 3, 0x10).delete(700, 2).commit(700, 10);
    story.delete(701, 4, 0x10).commit(701, 20);
    story.next();
    await archive(story, [2]);
    expect(marked(await look())).toEqual([
      [700, ["delete", "5/16400", 2], ["update", "5/16400", 3]],
      [701, ["update", "5/16400", 4]],
    ]);
  });

  it("of a prepared transaction outlive the server, those of others do not", async () => {
    const story = new Story().checkpoint(700, -60);
    story.insert(700).delete(701, 3).prepare(700, 10, [701]);
    story.delete(702, 9).shutDown(703, 20);
    story.commitPrepared(700, 30, [701, 702]);
    story.next();
    await archive(story, [2]);
    const result = await look();
    expect(marked(result)).toEqual([[700, ["delete", "5/16400", 3]]]);
    expect(result.transactions[0]?.preparedAs).toBe("two");
  });
});

describe("unknowns", () => {
  // claim: docs/find.md: a range that begins before the archive's WAL is a note
  it("a range that begins before the archive does is a note, and no earlier one is proposed", async () => {
    const story = new Story().checkpoint(700, -60);
    story.commit(700, 10);
    story.next();
    await archive(story, [2]);
    const note = "the archive's WAL begins at 2025-11-21 08:49:00.000000+00: earlier commits are unknown";
    const early = await look({ fromUs: FROM_US - 3600n * SECOND_US });
    expect(findText(early)).toContain(`no matching DROP, TRUNCATE, DELETE or UPDATE.\nNOTE: ${note}\n`);
    expect(findJson(early)).toMatchObject({ notes: [note, expect.any(String), expect.any(String)] });
    const inside = await look();
    expect(findText(inside)).toContain("UPDATE. Use an earlier --from to search further back.\n");
    expect(findText(inside)).not.toContain("begins at");
    // After a stanza-upgrade the oldest cluster's WAL counts, also if the range ends before it.
    const systemId = CLUSTER.systemId + 1n;
    await stanzaUpgrade(repos, { ...CONTROL, systemId }, ctx);
    const present = new Story(6, 1, systemId).checkpoint(900, 7200).next();
    for (const repo of repos) await storeUnder("15-2", repo, [walName(6), present.segment(6)]);
    for (const toUs of [FROM_US, FROM_US - 1800n * SECOND_US])
      expect(findText(await look({ fromUs: FROM_US - 3600n * SECOND_US, toUs }))).toContain(note);
    expect(findText(await look())).not.toContain("begins at");
  });

  // claim: docs/find.md: incomplete row counts are…
  it("unknown names are reported with the reason, also if they hide an incident", async () => {
    const story = new Story().checkpoint(700, -60);
    story.incident(700, 10);
    story.next();
    await archive(story, [2]);
    const result = await look({ table: "public.orders" });
    expect(result.transactions).toEqual([]);
    expect(findText(result)).toContain(
      "NOTE: 1 transactions changed objects with unknown names, which --table and --database cannot match: unable to read names from production: nobody answers",
    );
  });

  // claim: docs/find.md: `--table` of a partitioned table…
  it("a partitioned table has its partitions' changes, and what is not known of them is a note", async () => {
    const story = new Story().checkpoint(700, -60);
    story.incident(700, 10, 3);
    story.next();
    await archive(story, [2]);
    const relation = (oid: number, relname: string, file: number, kind: string) => ({
      oid: String(oid),
      relname,
      schema: "2200",
      file: String(file),
      kind,
      temporary: false,
    });
    const answers: Readonly<Record<string, readonly object[]>> = {
      pg_control_system: [{ id: String(CLUSTER.systemId) }],
      pg_database: [{ oid: "5", datname: "shop" }],
      pg_inherits: [
        { child: "90", oid: "80", name: "orders_2026", schema: "2200" },
        { child: "80", oid: "70", name: "orders", schema: "2200" },
      ],
      pg_namespace: [{ oid: "2200", nspname: "public" }],
      pg_class: [
        relation(70, "orders", 0, "p"),
        relation(80, "orders_2026", 0, "p"),
        relation(90, "orders_2026_01", 16400, "r"),
      ],
    };
    let isOld = false;
    const query = async (sql: string): Promise<QueryResult> => {
      const [, rows = []] = Object.entries(answers).find(([name]) => sql.includes(name)) ?? [];
      if (isOld && sql.includes("pg_inherits")) throw fail("dbQuery", "not now");
      return { rows: [...rows], rowCount: rows.length, command: "SELECT", oid: 0, fields: [] };
    };
    const systemId = async (): Promise<string> => String(CLUSTER.systemId);
    const production = async (): Promise<Session> => ({ query, systemId, close: async () => {} }) as Session;
    for (const table of ["public.orders", "orders_2026", "orders_2026_01"]) {
      const result = await look({ table }, production);
      expect(findText(result)).toContain(
        "    delete 3 rows of table shop: public.orders_2026_01 (part of public.orders_2026, public.orders)\n",
      );
      expect(findJson(result)).toMatchObject({
        transactions: [{ markers: [{ partOf: ["public.orders_2026", "public.orders"] }] }],
        notes: [expect.stringContaining("no repository has a backup"), expect.stringContaining("pg_wal")],
      });
    }
    expect((await look({ table: "public.items" }, production)).transactions).toEqual([]);
    isOld = true;
    const unknown = await look({ table: "public.orders" }, production);
    expect(unknown.transactions).toEqual([]);
    expect(findText(unknown)).toContain(
      "NOTE: 1 transactions changed tables that may be partitions of others, which --table cannot match: unable to read names from production: not now",
    );
  });

  it("an unreadable record is an unknown span, and WAL after it is read", async () => {
    const story = new Story().checkpoint(700, -60);
    story.incident(700, 10);
    story.wal.add({ resourceManager: 1, info: 0x80, xid: 701, body: { main: pack(pgTime(FROM_US), [4, 2], [4, -1]) } });
    story.next().running(702).incident(702, 20);
    story.next();
    await archive(story, [2, 3]);
    const result = await look();
    expect(xids(result)).toEqual([
      [700, "archive"],
      [702, "archive"],
    ]);
    expect(result.unknown).toMatchObject([
      { fromSegment: walName(2), reason: "unable to parse the record that ends transaction 701" },
    ]);
  });
});
