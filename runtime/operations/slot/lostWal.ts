/**
 * WAL that a server removed before it was archived. A repository may still have it: an earlier agent, or the server
 * before a failover, archived it.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import type { MissingWalStore } from "../../local/missingWal";
import type { Repository } from "../../repository/repository";
import { askArchive, LOOK_MS, withinTime } from "../heal/inheritedWal";
import type { ClusterIdentity } from "../shared/identity";

/** More records tell nothing new. The newest name decides when the gap is closed. */
const RECORDS_MAX = 256;

/**
 * Records what each repository needs and lacks: as missing where another one has it or cannot tell, else as dropped.
 * Then `check` fails, and the agent takes a backup that begins after the gap. Returns how many files nobody has.
 */
export async function recordLost(
  names: readonly string[],
  repos: readonly Repository[],
  missingWal: MissingWalStore,
  cluster: ClusterIdentity,
  ctx: Context,
): Promise<number> {
  if (names.length === 0) return 0;
  const looked = await perRepo(repos, (repo) => withinTime(askArchive(repo, names, cluster), LOOK_MS, ctx));
  const answers = looked.map((result) => {
    if (!result.ok)
      ctx.log.debug(`repo${result.repoIndex}: unable to look for lost WAL: ${toBackupError(result.error).message}`);
    const { held, lacked } = result.ok ? result.value : { held: null, lacked: names };
    return { repoIndex: result.repoIndex, held, lacked: new Set(lacked) };
  });
  const isAnswered = answers.some(({ held }) => held !== null);
  // A repository without a backup needs nothing, and may hold nothing: only what it holds shows that WAL is not lost.
  const gone = names.filter(
    (name) =>
      isAnswered &&
      !answers.some(({ held }) => held?.has(name) === true) &&
      answers.some(({ lacked }) => lacked.has(name)),
  );
  const isGone = new Set(gone);
  for (const { held, lacked, repoIndex } of answers) {
    const own = names.filter((name) => lacked.has(name)).slice(-RECORDS_MAX);
    for (const name of own)
      if (held !== null && isGone.has(name)) missingWal.addDropped(repoIndex, name, cluster);
      else missingWal.add(repoIndex, name, cluster);
  }
  return gone.length;
}
