/**
 * Streams the primary's WAL from its sidecar, as an agent does on a host. A standby is not streamed, so it begins
 * within seconds of a promotion, and the designated primary of a replica cluster never does.
 */
import { StreamService } from "../../archiver/streamService";
import type { Context } from "../../base/context";
import { isError } from "../../base/errors";
import type { CommandProcess } from "../../process/commandProcess";
import type { Repository } from "../../repository/repository";
import { requireArchivedTimeline } from "./emptyArchive";
import type { StanzaKeeper } from "./stanzaKeeper";

/** A promoted server archives its timeline's history within seconds. */
const HISTORY_MS = 20_000;
const LOOK_MS = 1000;
/** Where the operator takes `synchronous_standby_names` from. */
const SETTING = "postgresql.synchronous of the Cluster";

/** Null when only complete segments are shipped. */
export function openStreaming(
  proc: CommandProcess,
  stanzas: StanzaKeeper,
  isStandby: () => Promise<boolean>,
  ctx: Context,
): StreamService | null {
  const { stream } = proc.config.settings;
  if (stream === undefined) return null;
  const requireOwn = async (repo: Repository, timeline: number): Promise<void> => {
    const { pgVersion: version, systemId } = await proc.loadControl();
    const cluster = { version, systemId };
    const own = { repos: proc.repositories(), cluster, timeline, walDirectory: `${proc.dataDirectory}/pg_wal` };
    await untilArchived(() => requireArchivedTimeline(repo, own, ctx), ctx);
  };
  // A new cluster's stanza would otherwise come with its first complete segment.
  const conditions = { isStandby, prepare: () => stanzas.prepare(), requireOwn, setBy: SETTING };
  return new StreamService(proc, ctx, stream.intervalSeconds * 1000, conditions);
}

/** @throws the last error */
async function untilArchived(check: () => Promise<void>, { clock, signal }: Context): Promise<void> {
  const endMs = clock.monotonicMs() + HISTORY_MS;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (!isError(error, "archiveTimeout") || clock.monotonicMs() >= endMs) throw error;
    }
    await clock.sleep(LOOK_MS, signal);
  }
}
