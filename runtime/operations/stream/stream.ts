/**
 * WAL of the running cluster, received from its server and shipped into every repository before its segment is full: what a host costs that is lost
 * with its disks is then seconds and not a segment.
 *
 * One connection serves all repositories. It begins with the segment that the server writes; older ones are `archive_command`'s. When it ends,
 * what was received is still shipped, and a new one begins the segment anew. A standby is not streamed from: its primary's agent does it.
 */
import { untilAborted, withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import { fail } from "../../base/errors";
import type { PgControl } from "../../format/page/pgControl";
import { sessionName } from "../../format/wal/streamChunk";
import { formatLsn } from "../../format/wal/walSegment";
import type { WalStream } from "../../postgres/walStream";
import type { Repository } from "../../repository/repository";
import { StreamLane } from "./lane";
import { WalWindow } from "./walWindow";

export interface StreamParts {
  readonly repos: readonly Repository[];
  readonly intervalMs: number;
  /** @throws stop (62) when the user has stopped the stanza */
  requireStarted(): void;
  /** Of the data directory that this serves. */
  loadControl(): Promise<PgControl>;
  open(): Promise<WalStream>;
  /** Names of WAL files that a repository has not got yet: of those that wait in `pg_wal`, and of its debt. */
  listOwed(repoKey: number): Promise<readonly string[]>;
  /** Told of the lanes of a connection that is well. */
  begun(lanes: readonly StreamLane[]): void;
}

/** For repositories to take the rest after the connection has ended. */
const REST_MS = 10_000;

/** One connection, to its end or until `signal` aborts; true when the server is a standby. @throws why it ended */
export async function streamOnce(parts: StreamParts, signal: AbortSignal, ctx: Context): Promise<boolean> {
  parts.requireStarted();
  const control = await parts.loadControl();
  const stream = await parts.open();
  try {
    const source = await stream.identify();
    if (source.systemId !== control.systemId) {
      const hint = "do pg1-path, pg1-port and pg1-socket-path belong together?";
      throw fail("dbMismatch", `the server has system-id ${source.systemId}, pg1-path ${control.systemId}`, { hint });
    }
    if (source.inRecovery) return true;
    const size = BigInt(control.walSegmentSizeBytes);
    const start = { timeline: source.timeline, lsn: (source.flushLsn / size) * size, flushLsn: source.flushLsn };
    throw await ship(stream, start, control, parts, signal, ctx);
  } finally {
    await stream.close();
  }
}

/** Why the connection has ended. */
async function ship(
  stream: WalStream,
  start: { readonly timeline: number; readonly lsn: bigint; readonly flushLsn: bigint },
  control: PgControl,
  parts: StreamParts,
  signal: AbortSignal,
  ctx: Context,
): Promise<Error> {
  const window = new WalWindow(start.lsn);
  const enough = new AbortController();
  const options = {
    cluster: { version: control.pgVersion, systemId: control.systemId },
    timeline: start.timeline,
    flushLsn: start.flushLsn,
    segmentSizeBytes: control.walSegmentSizeBytes,
    session: sessionName(ctx.clock.nowMs()),
    intervalMs: parts.intervalMs,
    requireStarted: () => parts.requireStarted(),
  };
  const lanes: StreamLane[] = [];
  for (const repo of parts.repos)
    lanes.push(new StreamLane(repo, window, { ...options, owed: await parts.listOwed(repo.key) }, { ...ctx, signal: enough.signal }));
  const shipping = Promise.all(lanes.map((lane) => lane.run()));
  ctx.log.info(`streaming WAL of timeline ${start.timeline} from ${formatLsn(start.lsn)} on`);
  parts.begun(lanes);
  try {
    return await stream.receive(start, (lsn, wal) => window.append(lsn, wal), signal);
  } finally {
    window.close();
    await withTimeTo(REST_MS, ctx.clock, (over) => Promise.race([shipping, untilAborted(over)]));
    enough.abort(fail("term", "the stream has ended"));
  }
}
