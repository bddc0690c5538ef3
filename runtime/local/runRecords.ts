/**
 * The last run of each command: `<spool-path>/pgbackstop/<stanza>/runs/<command>.json`, replaced in one step.
 *
 *     {"version":1,"command":"verify","endedAtS":1795156859,"exitCode":0,"succeededAtS":1795156859,
 *      "repos":{"1":{"ok":true,"endedAtS":1795156859}}}
 *
 * For `status` and metrics: nothing is written or removed because of them. Without a writable directory nothing is
 * recorded.
 */
import { readdir, readFile, stat } from "./nodeFiles";
import { actAs } from "./actAs";
import { atomicWrite } from "./atomicWrite";
import { nullIfMissing } from "./systemError";

export interface RunRecord {
  readonly command: string;
  readonly endedAtS: number;
  readonly exitCode: number;
  /** End of the last run with exit code 0; null when unknown. */
  readonly succeededAtS: number | null;
  /** The last verdict on each repository, by key. */
  readonly repos?: Readonly<Record<string, RepoVerdict>>;
}

export interface RepoVerdict {
  readonly ok: boolean;
  readonly endedAtS: number;
}

const VERSION = 1;
const RECORDS_MAX = 64;

/** Ascending by command; unreadable ones are omitted. */
export async function loadRuns(spoolPath: string, stanza: string): Promise<RunRecord[]> {
  const directory = directoryOf(spoolPath, stanza);
  const names = await readdir(directory).catch(() => [] as string[]);
  const records: RunRecord[] = [];
  for (const name of names.sort().slice(0, RECORDS_MAX)) {
    if (!/^[a-z-]+\.json$/.test(name)) continue;
    const record = parseRun(await readFile(`${directory}/${name}`, "utf8").catch(() => ""));
    if (record !== null) records.push(record);
  }
  return records;
}

/**
 * Replaces a command's record; earlier verdicts on repositories that this run omitted stay. Does nothing without the
 * spool path. A process of root must not do anything else in the meantime.
 * @throws errors of {@link atomicWrite}
 */
export async function saveRun(spoolPath: string, stanza: string, run: Omit<RunRecord, "succeededAtS">): Promise<void> {
  const there = await nullIfMissing(stat(spoolPath));
  if (there === null) return;
  const before = (await loadRuns(spoolPath, stanza)).find(({ command }) => command === run.command);
  const succeededAtS = run.exitCode === 0 ? run.endedAtS : (before?.succeededAtS ?? null);
  const repos =
    before?.repos === undefined && run.repos === undefined ? {} : { repos: { ...before?.repos, ...run.repos } };
  const record = { version: VERSION, ...run, succeededAtS, ...repos };
  const path = `${directoryOf(spoolPath, stanza)}/${run.command}.json`;
  // Root leaves only files that the spool's owner can replace, and follows none of its links.
  await actAs(there, () => atomicWrite(path, Buffer.from(`${JSON.stringify(record)}\n`)));
}

function directoryOf(spoolPath: string, stanza: string): string {
  return `${spoolPath}/pgbackstop/${stanza}/runs`;
}

function parseRun(text: string): RunRecord | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== "object" || value === null) return null;
    const { command, endedAtS, exitCode, repos, succeededAtS, version } = value as Record<string, unknown>;
    if (
      version !== VERSION ||
      typeof command !== "string" ||
      typeof endedAtS !== "number" ||
      typeof exitCode !== "number"
    )
      return null;
    const verdicts = verdictsOf(repos);
    return {
      command,
      endedAtS,
      exitCode,
      succeededAtS: typeof succeededAtS === "number" ? succeededAtS : null,
      ...(verdicts === null ? {} : { repos: verdicts }),
    };
  } catch {
    return null;
  }
}

function verdictsOf(value: unknown): Record<string, RepoVerdict> | null {
  if (typeof value !== "object" || value === null) return null;
  return Object.fromEntries(
    Object.entries(value as Record<string, unknown>).flatMap(([key, verdict]): [string, RepoVerdict][] => {
      if (!/^\d{1,3}$/.test(key) || typeof verdict !== "object" || verdict === null) return [];
      const { endedAtS, ok } = verdict as Record<string, unknown>;
      return typeof ok === "boolean" && typeof endedAtS === "number" ? [[key, { ok, endedAtS }]] : [];
    }),
  );
}
