/**
 * Reads the timelines of a cluster's archive from all repositories: one listing each, and one for each timeline. A
 * repository that lacks a file is behind: only all of them together show where a branch ends.
 */
import { toBackupError } from "../base/errors";
import { mapParallel, perRepo } from "../base/parallel";
import { parseHistory, type TimelineAncestor } from "../format/wal/timeline";
import { historyName, timelineOf } from "../format/wal/walSegment";
import { readListedHistory } from "../repository/historyFile";
import { type History, historyOf, type StoredTimeline } from "./branches";
import type { RepoFacts } from "./facts";

const LISTED_AT_ONCE = 4;

/** What one repository has of one timeline. */
interface Held {
  readonly key: number;
  readonly timeline: number;
  readonly historyAtMs: number | null;
  readonly newest: string | null;
  readonly newestAtMs: number;
}

/** Where a repository has the cluster's WAL. */
export interface RepoArchive {
  readonly facts: RepoFacts;
  readonly archiveId: string;
}

/** `warn` gets what could not be read: other repositories may show it. */
export type Warn = (text: string) => void;

export async function loadHistory(
  archives: readonly RepoArchive[],
  segmentSizeBytes: number,
  warn: Warn,
): Promise<History> {
  const keyed = archives.map((archive) => ({ ...archive, key: archive.facts.key }));
  const results = await perRepo(keyed, heldTimelines);
  for (const result of results)
    if (!result.ok)
      warn(`repo${result.repoIndex}: unable to check timelines: [${result.error.name}] ${result.error.message}`);
  const all = results.flatMap((result) => (result.ok ? result.value : []));
  const timelines = [...new Set(all.map(({ timeline }) => timeline))];
  const ancestors = await loadAncestors(timelines, (timeline) => readAncestors(archives, timeline, warn));
  const stored = timelines.map((timeline) =>
    joined(
      timeline,
      ancestors.get(timeline) ?? null,
      all.filter((each) => each.timeline === timeline),
    ),
  );
  return historyOf(stored, segmentSizeBytes);
}

async function heldTimelines({ archiveId, facts }: RepoArchive): Promise<Held[]> {
  const { directories, files } = await facts.archive(archiveId);
  const histories = files.filter(({ name }) => name.endsWith(".history"));
  const timelines = new Set([...directories, ...histories.map(({ name }) => name)].map(timelineOf));
  return mapParallel([...timelines], LISTED_AT_ONCE, async (timeline): Promise<Held> => {
    const newest = (await facts.newestSegments(archiveId, timeline)).at(-1);
    return {
      key: facts.key,
      timeline,
      historyAtMs: histories.find(({ name }) => name === historyName(timeline))?.modifiedAtMs ?? null,
      newest: newest?.name ?? null,
      newestAtMs: newest?.modifiedAtMs ?? 0,
    };
  });
}

/** Each history names all ancestors, so one file answers for a whole line of timelines. */
export async function loadAncestors(
  timelines: readonly number[],
  read: (timeline: number) => Promise<readonly TimelineAncestor[] | null>,
): Promise<ReadonlyMap<number, readonly TimelineAncestor[]>> {
  const known = new Map<number, readonly TimelineAncestor[]>([[1, []]]);
  for (const timeline of timelines.toSorted((left, right) => right - left)) {
    if (known.has(timeline)) continue;
    const ancestors = await read(timeline);
    if (ancestors === null) continue;
    known.set(timeline, ancestors);
    for (const [index, ancestor] of ancestors.entries()) known.set(ancestor.timeline, ancestors.slice(0, index));
  }
  return known;
}

/** From the first repository that can read the history file; null if absent. */
export async function readAncestors(
  archives: readonly RepoArchive[],
  timeline: number,
  warn: Warn,
): Promise<readonly TimelineAncestor[] | null> {
  const name = historyName(timeline);
  for (const { archiveId, facts } of archives) {
    const { repo } = facts;
    try {
      const stored = (await facts.archive(archiveId)).files.find((file) => file.name === name);
      if (stored === undefined) continue;
      const pass = repo.cipherPass === null ? null : ((await facts.archiveInfo()).cipherPass ?? null);
      return parseHistory(await readListedHistory(facts.remembered, archiveId, stored, pass));
    } catch (error) {
      const { name: kind, message } = toBackupError(error);
      warn(`${repo.name}: unable to read ${name}: [${kind}] ${message}`);
    }
  }
  return null;
}

/** What the repositories together show of a timeline. Only those with its newest segment say when that was stored. */
function joined(
  timeline: number,
  ancestors: readonly TimelineAncestor[] | null,
  held: readonly Held[],
): StoredTimeline {
  const newest = held.reduce<string | null>(
    (last, own) => ((own.newest ?? "") > (last ?? "") ? own.newest : last),
    null,
  );
  return {
    timeline,
    ancestors,
    newest,
    newestAtMs: new Map(
      held.flatMap((own) => (newest !== null && own.newest === newest ? [[own.key, own.newestAtMs]] : [])),
    ),
    historyAtMs: new Map(held.flatMap(({ historyAtMs, key }) => (historyAtMs === null ? [] : [[key, historyAtMs]]))),
  };
}
