/**
 * The history of drills: one file each, `pgbackstop/<stanza>/drills/<id>-repo<N>-<pick>.json`, in every writable
 * repository and below this machine's spool path.
 *
 * In a repository the files are next to `archive` and `backup`, where stock pgBackRest never looks
 * (test/interop/restore/drill.test.ts runs its commands over them). They are encrypted like the info files, with the
 * repository's own passphrase. A read-only key does not fail a drill.
 */
import { readdir, readFile as readLocal, rm } from "../../local/nodeFiles";
import { textOf, utf8 } from "../../base/bytes";
import type { Context } from "../../base/context";
import { isError, toBackupError } from "../../base/errors";
import { mapParallel, perRepo } from "../../base/parallel";
import { drillsPath } from "../../format/repository/repoPath";
import { atomicWrite, makeDirectories } from "../../local/atomicWrite";
import { nullIfMissing } from "../../local/systemError";
import { listNames, readFile, type Repository, writeFile } from "../../repository/repository";
import type { Turn } from "./drillPlan";
import {
  ATTACK,
  DRILL_KINDS,
  DRILL_PICKS,
  drillFileName,
  type DrillKind,
  type DrillRecord,
  parseDrill,
  parseDrillFileName,
  renderDrill,
} from "./record";

/** Records kept per location: two years of weekly drills. */
const KEPT_MAX = 104;
const READS_AT_ONCE = 8;

/** This machine's directory for the files that repositories keep in `drillsPath`. */
export function localDrillsPath(spoolPath: string, stanza: string): string {
  return `${spoolPath}/${drillsPath(stanza)}`;
}

/**
 * This machine's drills, oldest first; empty without the directory. Skips unreadable files. Reads local files only, so
 * metrics and status may call it at any time.
 */
export async function loadLocalDrills(
  spoolPath: string,
  stanza: string,
  kinds: readonly DrillKind[] = DRILL_PICKS,
): Promise<DrillRecord[]> {
  const directory = localDrillsPath(spoolPath, stanza);
  const records: DrillRecord[] = [];
  for (const name of recordsIn(await listLocal(directory), kinds)) {
    const text = await readLocal(`${directory}/${name}`, "utf8").catch(() => null);
    if (text !== null) records.push(...recordsOf(text, name));
  }
  return records;
}

/**
 * All machines' drills in the repositories, oldest first, each once; reports and skips unreadable ones.
 * @param known result of an earlier call: not read again
 */
export async function loadDrillHistory(
  repos: readonly Repository[],
  ctx: Context,
  known: readonly DrillRecord[] = [],
  kinds: readonly DrillKind[] = DRILL_PICKS,
): Promise<DrillRecord[]> {
  const records = new Map<string, DrillRecord>();
  const old = new Map(known.map((record) => [record.id, record]));
  const load = async (repo: Repository): Promise<DrillRecord[]> => loadNamed(repo, await listRepo(repo, kinds), old);
  for (const record of await readable(repos, load, ctx)) records.set(record.id, record);
  return [...records.values()].sort((left, right) => (left.id < right.id ? -1 : 1));
}

/** The newest attack on this repository; null if absent, or when the history is unreadable. */
export async function loadNewestAttack(repo: Repository): Promise<DrillRecord | null> {
  try {
    const own = (await listRepo(repo, [ATTACK])).filter(
      (name) => parseDrillFileName(name, [ATTACK])?.repo === repo.key,
    );
    return (await loadNamed(repo, own.sort().slice(-1))).at(-1) ?? null;
  } catch {
    return null;
  }
}

/**
 * For each drilled repository that this one has records of: its newest drill, and its newest with an RPO; oldest first.
 * Reads only these few. Empty when the history is unreadable, because a status is more than its drills.
 */
export async function loadNewestDrills(repo: Repository): Promise<DrillRecord[]> {
  try {
    const newest = new Map<string, string>();
    for (const name of await listRepo(repo)) {
      const turn = parseDrillFileName(name);
      if (turn === null) continue;
      newest.set(`${turn.repo}`, name);
      if (turn.pick === "newest") newest.set(`${turn.repo} rpo`, name);
    }
    return await loadNamed(repo, [...new Set(newest.values())].sort());
  } catch {
    return [];
  }
}

/** Past turns, from file names alone. A silent repository is reported and skipped. */
export async function listTurns(
  repos: readonly Repository[],
  ctx: Context,
  kinds: readonly DrillKind[] = DRILL_PICKS,
): Promise<Turn[]> {
  const turns = new Map<string, Turn>();
  for (const name of await readable(repos, (repo) => listRepo(repo, kinds), ctx)) {
    const turn = parseDrillFileName(name, kinds);
    if (turn !== null) turns.set(turn.id, turn);
  }
  return [...turns.values()];
}

/** What the repositories' histories hold; reports and skips unreadable ones. */
async function readable<T>(
  repos: readonly Repository[],
  read: (repo: Repository) => Promise<T[]>,
  ctx: Context,
): Promise<T[]> {
  const results = await perRepo(repos, read);
  return results.flatMap((result) => {
    if (result.ok) return result.value;
    const { name, message } = result.error;
    ctx.log.warn(`repo${result.repoIndex}: the drill history cannot be read: [${name}] ${message}`);
    return [];
  });
}

async function loadNamed(
  repo: Repository,
  names: readonly string[],
  known: ReadonlyMap<string, DrillRecord> = new Map(),
): Promise<DrillRecord[]> {
  const loaded = await mapParallel(names, READS_AT_ONCE, async (name) => {
    const old = known.get(parseDrillFileName(name, DRILL_KINDS)?.id ?? "");
    if (old !== undefined) return [old];
    try {
      return recordsOf(textOf(await readFile(repo, `${drillsPath(repo.stanza)}/${name}`, repo.cipherPass)), name);
    } catch (error) {
      // Written with another passphrase, or removed in the meantime by another machine.
      if (isError(error, "crypto", "fileMissing")) return [];
      throw error;
    }
  });
  return loaded.flat();
}

/** Writes the record everywhere and removes the oldest ones. A failure is a warning: the drill itself is done. */
export async function saveDrill(
  repos: readonly Repository[],
  spoolPath: string,
  record: DrillRecord,
  ctx: Context,
): Promise<void> {
  const bytes = utf8(renderDrill(record));
  const kinds: readonly DrillKind[] = record.pick === ATTACK ? [ATTACK] : DRILL_PICKS;
  const results = await perRepo(repos, async (repo) => {
    await writeFile(repo, `${drillsPath(repo.stanza)}/${drillFileName(record)}`, bytes, repo.cipherPass, ctx);
    for (const name of superseded(await listRepo(repo, kinds)))
      await repo.storage.remove(`${drillsPath(repo.stanza)}/${name}`);
  });
  for (const result of results)
    if (!result.ok)
      ctx.log.warn(
        `repo${result.repoIndex}: the drill could not be recorded: [${result.error.name}] ${result.error.message}`,
      );
  try {
    const directory = localDrillsPath(spoolPath, record.stanza);
    await makeDirectories(directory);
    await atomicWrite(`${directory}/${drillFileName(record)}`, bytes);
    for (const name of superseded(recordsIn(await listLocal(directory), kinds)))
      await rm(`${directory}/${name}`, { force: true });
  } catch (error) {
    ctx.log.warn(`the drill could not be recorded on this machine: ${toBackupError(error).message}`);
  }
}

function listRepo(repo: Repository, kinds: readonly DrillKind[] = DRILL_PICKS): Promise<string[]> {
  return listNames(repo, drillsPath(repo.stanza), (name) => parseDrillFileName(name, kinds) !== null);
}

async function listLocal(directory: string): Promise<string[]> {
  return (await nullIfMissing(readdir(directory))) ?? [];
}

function recordsIn(names: readonly string[], kinds: readonly DrillKind[]): string[] {
  return names.filter((name) => parseDrillFileName(name, kinds) !== null).sort();
}

function superseded(names: readonly string[]): readonly string[] {
  return names.slice(0, Math.max(0, names.length - KEPT_MAX));
}

/** Empty for a foreign file. */
function recordsOf(text: string, name: string): DrillRecord[] {
  try {
    return [parseDrill(text, name)];
  } catch {
    return [];
  }
}
