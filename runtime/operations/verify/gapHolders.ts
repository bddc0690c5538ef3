/** Which other repositories have the segments and histories that one lacks, by names: `heal` finds them there. */
import { perRepo } from "../../base/parallel";
import { archiveIdOf } from "../../format/repository/archiveInfo";
import type { WalRange } from "../../format/wal/segmentPath";
import { DIRECTORY_LENGTH, nextSegment } from "../../format/wal/walSegment";
import { loadArchiveInfo } from "../../repository/infoStore";
import type { Repository } from "../../repository/repository";
import { listWal } from "../../repository/walStore";
import { archiveIdsOf } from "../shared/identity";
import { countHeldHistories, countHistories } from "./histories";

export interface Gaps {
  readonly repo: Repository;
  readonly archiveId: string;
  readonly gaps: readonly WalRange[];
  readonly missingHistories: readonly WalRange[];
  readonly segmentSizeBytes: number;
}

/** Segments that are looked for; each listing answers for 256. */
const LOOKED_FOR_MAX = 4096;

/** One line for each other repository that has some of them. A repository that does not answer has none. */
export async function gapHolders(
  { archiveId, gaps, missingHistories, repo, segmentSizeBytes }: Gaps,
  others: readonly Repository[],
): Promise<string[]> {
  const missing = missingNames(gaps, segmentSizeBytes);
  if (missing.size === 0 && missingHistories.length === 0) return [];
  const info = await loadArchiveInfo(repo).catch(() => null);
  const entry = info?.history.find((each) => archiveIdOf(each) === archiveId);
  if (entry === undefined) return [];
  const cluster = { version: entry.pgVersion, systemId: entry.systemId };
  const held = await perRepo(others, async (other) => {
    const [own] = archiveIdsOf(await loadArchiveInfo(other), cluster);
    if (own === undefined) return [];
    const [ownId, historyCount] = [archiveIdOf(own), countHistories(missingHistories)];
    return [
      { text: `${missing.size} missing segment(s)`, count: await countHeld(other, ownId, missing) },
      {
        text: `${historyCount} missing history file(s)`,
        count: historyCount === 0 ? 0 : await countHeldHistories(other, ownId, missingHistories),
      },
    ];
  });
  return held.flatMap((result) =>
    (result.ok ? result.value : []).flatMap(({ count, text }) =>
      count === 0 ? [] : [`${archiveId}: repo${result.repoIndex} has ${count} of the ${text}: 'heal' copies them`],
    ),
  );
}

function missingNames(gaps: readonly WalRange[], segmentSizeBytes: number): Set<string> {
  const names = new Set<string>();
  for (const [first, last] of gaps)
    for (let name = first; name <= last && names.size < LOOKED_FOR_MAX; name = nextSegment(name, segmentSizeBytes))
      names.add(name);
  return names;
}

async function countHeld(repo: Repository, archiveId: string, missing: ReadonlySet<string>): Promise<number> {
  const held = new Set<string>();
  for (const directory of new Set([...missing].map((name) => name.slice(0, DIRECTORY_LENGTH))))
    for await (const { name } of listWal(repo, archiveId, directory)) if (missing.has(name)) held.add(name);
  return held.size;
}
