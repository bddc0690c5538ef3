/** `find` reads exactly the streamed bytes that recovery gets, for any mix of sessions and repositories. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "../../../harness/properties";
import { expect, it } from "vitest";
import { chunkFileName, type StreamChunk } from "../../../../runtime/format/wal/streamChunk";
import { lsnOfSegment } from "../../../../runtime/format/wal/walSegment";
import { WalArchive } from "../../../../runtime/operations/find/archive";
import { StreamedWal } from "../../../../runtime/operations/find/streamed";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { getLast } from "../../../../runtime/operations/stream/partial";
import type { Repository } from "../../../../runtime/repository/repository";
import { putChunk } from "../../../../runtime/repository/streamStore";
import { testContext } from "../../../harness/context";
import {
  CLUSTER,
  CONTROL,
  repository,
  temporaryFolder,
  WAL_SIZE_BYTES,
  walBytes,
  walName,
} from "../../repository/support";
import { store } from "../archive";

const NAME = walName(6);
const ORIGIN = { systemId: CLUSTER.systemId, segmentSizeBytes: WAL_SIZE_BYTES };
const STEP_BYTES = 64;
const STEPS = 6;
/** From this position on, the two histories of the server differ: its state was rolled back. */
const LEFT_AT_BYTES = 2 * STEP_BYTES;

interface Piece {
  readonly repoIndex: 1 | 2;
  readonly session: number;
  readonly begin: number;
  readonly end: number;
  readonly isDamaged: boolean;
}

/** Chunks as the agent writes them (stream/streamWorker): one step, or a merged chunk that replaces earlier ones. */
const anyPiece = fc
  .record({
    repoIndex: fc.constantFrom(1 as const, 2 as const),
    session: fc.integer({ min: 1, max: 3 }),
    isDamaged: fc.boolean(),
  })
  .chain(
    (of): fc.Arbitrary<Piece> =>
      fc
        .tuple(fc.boolean(), fc.integer({ min: 1, max: STEPS }))
        .map(([isMerged, end]) => ({ ...of, begin: isMerged ? 0 : end - 1, end })),
  );
const anyPieces = fc.uniqueArray(anyPiece, {
  minLength: 1,
  maxLength: 16,
  selector: ({ begin, end, repoIndex, session }) => [repoIndex, session, begin, end].join(),
});

const MAIN = Buffer.from(walBytes(6)).fill(5, 600);
const OTHER = Buffer.from(MAIN).fill(7, LEFT_AT_BYTES);

/** The WAL of a session: `others` are the sessions with the other history. */
function historyOf(session: number, others: readonly number[]): Buffer {
  return others.includes(session) ? OTHER : MAIN;
}

/** Applies only the rule: from newest to oldest, each session may extend the newer ones. */
function expected(all: readonly Piece[], others: readonly number[]): Buffer {
  const greedy = (own: readonly Piece[], at = 0): number => {
    const end = Math.max(0, ...own.filter(({ begin }) => begin === at).map((piece) => piece.end));
    return end === 0 ? at : greedy(own, end);
  };
  const sources = [3, 2, 1].flatMap((session) => {
    const own = ([1, 2] as const).map((key) =>
      all.filter((piece) => piece.session === session && piece.repoIndex === key),
    );
    return own.sort((left, right) => greedy(right) - greedy(left)).map((chunks) => ({ session, chunks }));
  });
  return sources.reduce<Buffer>((known, { chunks, session }) => {
    const more = historyOf(session, others).subarray(
      0,
      greedy(chunks.filter(({ isDamaged }) => !isDamaged)) * STEP_BYTES,
    );
    return more.length > known.length && more.subarray(0, known.length).equals(known) ? more : known;
  }, Buffer.alloc(0));
}

async function put(
  repo: Repository,
  { begin, end, isDamaged, session }: Piece,
  others: readonly number[],
): Promise<void> {
  const chunk: StreamChunk = {
    segment: NAME,
    session: session.toString(16).padStart(12, "0"),
    begin: begin * STEP_BYTES,
    end: end * STEP_BYTES,
  };
  await putChunk(
    repo,
    { archiveId: "15-1", pass: null },
    chunk,
    [historyOf(session, others).subarray(chunk.begin, chunk.end)],
    ORIGIN,
    testContext(),
  );
  if (isDamaged) await repo.storage.put(`pgbackstop/demo/stream/15-1/${chunkFileName(chunk)}`, Buffer.from("damaged"));
}

// claim: docs/find.md: a lost host's stream…
it("reads exactly the bytes that a recovery gets", async () => {
  const folder = temporaryFolder();
  await fc.assert(
    fc.asyncProperty(anyPieces, fc.subarray([1, 2, 3]), async (all, others) => {
      const ctx = testContext();
      const repos: readonly Repository[] = [repository(1), repository(2, { compress: { type: "gz", level: 1 } })];
      await stanzaCreate(repos, CONTROL, ctx);
      for (const repo of repos) await store(repo, 5);
      for (const piece of all) await put(repos[piece.repoIndex - 1] as Repository, piece, others);

      const archive = await WalArchive.open(repos, { timeline: undefined, walDirectory: null, server: null }, ctx);
      const segment = { name: NAME, lsn: lsnOfSegment(NAME, WAL_SIZE_BYTES), copies: [] };
      const read = await (await StreamedWal.open(archive, ctx)).read(segment);
      const destination = join(folder, `RECOVERYXLOG-${Buffer.from(ctx.random.bytes(8)).toString("hex")}`);
      const request = { walName: NAME, destination, cluster: CLUSTER, segmentSizeBytes: WAL_SIZE_BYTES, timeoutMs: 0 };
      const recovery = { dataDirectory: folder, exists: async (file: string) => file === "recovery.signal" };
      const isThere = await getLast(repos, request, recovery, async () => false, ctx);

      const known = expected(all, others);
      const whole = Buffer.concat([known, Buffer.alloc(WAL_SIZE_BYTES - known.length)]);
      expect(isThere).toBe(known.length > 0);
      expect(existsSync(`${destination}.pgbackrest.tmp`)).toBe(false);
      expect(read === null ? null : whole.equals(read.bytes)).toBe(isThere ? true : null);
      if (isThere) expect(whole.equals(readFileSync(destination))).toBe(true);
    }),
    { numRuns: 60 },
  );
});
