/** Fills the benchmarks' clusters: mixed data, many small relations, and files of valid pages that no catalog knows. */
import { closeSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { pageChecksum } from "../../runtime/format/page/pageChecksum";
import type { TestCluster } from "../parts/postgres/testCluster";
import { giveTo } from "../parts/users";

/** `note` reports progress. */
export type Fill = (cluster: TestCluster, note: (text: string) => void) => Promise<void>;

const MIB = 1024 * 1024;
const PAGE_SIZE_BYTES = 8192;
const RELATION_SEGMENT_BYTES = 1024 * MIB;
const SMALL_FILES_FROM = 1_000_000;
const RELATION = "990000";
/** Relations created in one transaction: each takes locks. */
const RELATIONS_AT_ONCE = 500;
/** Rows of 36 bytes; a page holds 226 of them. */
const SMALL_ROWS = { least: 50, span: 350 };

/**
 * Half JSON text, a quarter rows of numbers with an index, a quarter that hardly compresses. `room` leaves space in the
 * pages of the first two, so that an updated row stays in its page.
 */
export function mixedData(sizeMb: number, { spareSpace = false } = {}): Fill {
  return async (cluster, note) => {
    const batchMb = Math.min(sizeMb, 64);
    const [documentsWith, readingsWith] = spareSpace
      ? [" WITH (fillfactor = 75)", " WITH (fillfactor = 95)"]
      : ["", ""];
    await cluster.sql(
      `CREATE TABLE documents (id bigint, body text)${documentsWith}; ALTER TABLE documents ALTER body SET STORAGE EXTERNAL`,
    );
    await cluster.sql(
      `CREATE TABLE readings (id bigint PRIMARY KEY, sensor int, at timestamptz, value double precision)${readingsWith}`,
    );
    await cluster.sql(
      "CREATE TABLE blobs (id bigint, content text); ALTER TABLE blobs ALTER content SET STORAGE EXTERNAL",
    );
    await cluster.sql("SELECT setseed(0.5)");
    for (let doneMb = 0; doneMb < sizeMb; doneMb += batchMb) {
      note(`${doneMb} of ${sizeMb} MB`);
      const share = Math.min(batchMb, sizeMb - doneMb) * MIB;
      const documents = Math.round((share * 0.5) / 1500);
      const readings = Math.round((share * 0.25) / 85);
      const blobs = Math.round((share * 0.25) / 3200);
      await cluster.sql(
        `INSERT INTO documents SELECT i, (SELECT string_agg('{"order":' || (i * 31 + j) || ',"state":"' || (ARRAY['new','paid','packed','sent','delivered'])[1 + (random() * 4)::int]
         || '","price":' || (random() * 10000)::int / 100.0 || ',"customer":"' || (random() * 50000)::int || '"}', ',') FROM generate_series(1, 20) j) FROM generate_series(1, ${documents}) i`,
      );
      await cluster.sql(
        `INSERT INTO readings SELECT i + ${doneMb} * 1000000::bigint, i % 500, '2026-01-01'::timestamptz + i * interval '1 s', sin(i) FROM generate_series(1, ${readings}) i`,
      );
      await cluster.sql(
        `INSERT INTO blobs SELECT i, (SELECT string_agg(md5(i::text || j || ${doneMb}), '') FROM generate_series(1, 95) j) FROM generate_series(1, ${blobs}) i`,
      );
    }
  };
}

const TERMS = 20_000;
const ARTICLE_TERMS = { least: 30, span: 200 };

/** Text: words as frequent as Zipf's law says, and no sentence twice. */
export function articles(sizeMb: number): Fill {
  return async (cluster, note) => {
    const bits = randomBits();
    const random = (): number => bits() / 2 ** 32;
    const terms = Array.from({ length: TERMS }, (_, rank) => termOf(rank, random));
    const path = join(cluster.dataPath, "articles.txt");
    await cluster.sql("CREATE TABLE articles (id bigint PRIMARY KEY, at timestamptz, body text)");
    await cluster.sql("ALTER TABLE articles ALTER body SET STORAGE EXTERNAL");
    let id = 0;
    for (let doneMb = 0; doneMb < sizeMb; doneMb += ARTICLES_AT_ONCE_MB) {
      note(`${doneMb} of ${sizeMb} MB of text`);
      const lines: string[] = [];
      for (let leftBytes = Math.min(ARTICLES_AT_ONCE_MB, sizeMb - doneMb) * MIB; leftBytes > 0; ) {
        const count = ARTICLE_TERMS.least + Math.floor(random() * ARTICLE_TERMS.span);
        const body = Array.from({ length: count }, () => terms[Math.floor(TERMS ** random()) - 1]).join(" ");
        lines.push(`${++id}\t2026-01-01 00:00:${id % 60}\t${body}\n`);
        leftBytes -= body.length + ROW_BYTES;
      }
      writeFileSync(path, lines.join(""));
      giveTo(path, cluster.user);
      await cluster.sql(`COPY articles FROM '${path}'`);
    }
    rmSync(path);
  };
}

const ARTICLES_AT_ONCE_MB = 32;
/** A row takes this beside its text. */
const ROW_BYTES = 50;

/** A frequent one is short. */
function termOf(rank: number, random: () => number): string {
  const length = 2 + Math.floor(Math.log2(rank + 2) * (0.4 + 0.3 * random()));
  const letter = (from: string): string => from[Math.floor(random() * from.length)] as string;
  return Array.from({ length }, (_, index) => letter(index % 2 === 0 ? "bcdfghklmnprstvw" : "aeiou")).join("");
}

/** Numbers of 32 bits, the same ones in each run. */
function randomBits(): () => number {
  let state = 1;
  return () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0);
}

/** Tables of one page or two, without index. */
export function smallRelations(count: number): Fill {
  return async (cluster, note) => {
    const client = await cluster.connect();
    try {
      for (let first = 1; first <= count; first += RELATIONS_AT_ONCE) {
        note(`${first - 1} of ${count} relations`);
        const last = Math.min(count, first + RELATIONS_AT_ONCE - 1);
        await client.query(
          `DO $$ BEGIN FOR i IN ${first}..${last} LOOP
             EXECUTE format('CREATE TABLE small_%s AS SELECT g AS id, g * %s %% 7919 AS n FROM generate_series(1, %s) g', i, i, ${SMALL_ROWS.least} + i % ${SMALL_ROWS.span});
           END LOOP; END $$`,
        );
      }
    } finally {
      await client.end();
    }
  };
}

/** One relation of `sizeMb`, in segments of 1 GiB like PostgreSQL's; the server ignores it. */
export async function writeRelation(cluster: TestCluster, sizeMb: number): Promise<void> {
  const pages = pageSource();
  const folder = await databaseFolder(cluster);
  for (let doneBytes = 0; doneBytes < sizeMb * MIB; doneBytes += RELATION_SEGMENT_BYTES) {
    const segmentNo = doneBytes / RELATION_SEGMENT_BYTES;
    const path = join(folder, segmentNo === 0 ? RELATION : `${RELATION}.${segmentNo}`);
    const file = openSync(path, "w", 0o600);
    const pageCount = Math.min(RELATION_SEGMENT_BYTES, sizeMb * MIB - doneBytes) / PAGE_SIZE_BYTES;
    for (let pageNo = 0; pageNo < pageCount; pageNo++) writeSync(file, pages(doneBytes / PAGE_SIZE_BYTES + pageNo));
    closeSync(file);
    giveTo(path, cluster.user);
  }
}

export async function removeRelation(cluster: TestCluster): Promise<void> {
  const folder = await databaseFolder(cluster);
  for (const name of readdirSync(folder)) if (name.split(".")[0] === RELATION) rmSync(join(folder, name));
}

/** Files of one page each, named `first` to `last` from a number that no relation has; the server ignores them. */
export async function writeSmallFiles(cluster: TestCluster, first: number, last: number): Promise<void> {
  const pages = pageSource();
  const folder = await databaseFolder(cluster);
  for (let no = first; no <= last; no++) {
    const path = join(folder, String(SMALL_FILES_FROM + no));
    const file = openSync(path, "w", 0o600);
    writeSync(file, pages(0));
    closeSync(file);
    giveTo(path, cluster.user);
  }
}

async function databaseFolder(cluster: TestCluster): Promise<string> {
  return join(cluster.dataPath, "base", await cluster.value("SELECT oid FROM pg_database WHERE datname = 'postgres'"));
}

/** Pages with valid checksums, half of their bytes hardly compressible, no two alike. The buffer is reused. */
function pageSource(): (blockNo: number) => Uint8Array {
  const page = new Uint8Array(PAGE_SIZE_BYTES);
  const view = new DataView(page.buffer);
  // pd_lower, pd_upper, pd_special, page size and layout version 4.
  for (const [offset, value] of [
    [12, 24],
    [14, 32],
    [16, PAGE_SIZE_BYTES],
    [18, PAGE_SIZE_BYTES | 4],
  ] as const)
    view.setUint16(offset, value, true);
  const bits = randomBits();
  return (blockNo) => {
    for (let offset = 32; offset < PAGE_SIZE_BYTES; offset += 8) view.setUint32(offset, bits(), true);
    view.setUint16(8, 0, true);
    view.setUint16(8, pageChecksum(page, blockNo), true);
    return page;
  };
}
