/**
 * Chooses the backup to restore: pure, with the reason why each other one was refused.
 *
 * Rules of stock ("pgbackrest-format" 17.2): repositories in key order; `--set` names the label; a time target takes the newest backup that
 * stopped before it, an LSN target the newest whose stop is not behind it; anything else takes the newest of the first readable repository.
 */
import { type BackupError, fail } from "../../base/errors";
import type { BackupInfo, BackupInfoEntry } from "../../format/backupInfo";
import { parseLsn } from "../../format/walSegment";

export interface SelectRequest {
  /** `--set`; undefined or `latest` chooses. */
  readonly set: string | undefined;
  readonly type: string;
  readonly target: string | undefined;
  /** Seconds since 1970 of a time target; null when the type is another one. */
  readonly targetTimeS: number | null;
}

export interface RepoBackups {
  readonly repoKey: number;
  readonly info: BackupInfo | null;
  /** Why `info` is null. */
  readonly error: BackupError | null;
}

export interface Selected {
  readonly repoKey: number;
  readonly entry: BackupInfoEntry;
  readonly infoPass: string | null;
}

/** @throws backupSetInvalid (75) with one line per refused candidate; repoInvalid (103) when no repository could be read */
export function selectBackup(repos: readonly RepoBackups[], request: SelectRequest): Selected {
  const refused: string[] = [];
  for (const { repoKey, info, error } of repos) {
    if (info === null) {
      refused.push(`repo${repoKey}: [${error?.name ?? "unknown"}] ${error?.message ?? "not readable"}`);
      continue;
    }
    if (info.backups.length === 0) refused.push(`repo${repoKey}: holds no backup`);
    for (const entry of [...info.backups].reverse()) {
      const reason = refusal(entry, info, request);
      if (reason === null) return { repoKey, entry, infoPass: info.cipherPass ?? null };
      refused.push(`repo${repoKey}: ${entry.label}: ${reason}`);
    }
  }
  if (repos.every((repo) => repo.info === null)) throw fail("repoInvalid", ["unable to find a valid repository", ...refused].join("\n"));
  const wanted =
    request.set !== undefined && request.set !== "latest"
      ? `backup set ${request.set} is not valid`
      : `no backup set found to restore${targetText(request)}`;
  throw fail("backupSetInvalid", [wanted, ...refused.slice(0, REFUSED_LINES_MAX)].join("\n"), {
    hint: "run info to list the backups of every repository.",
  });
}

const REFUSED_LINES_MAX = 40;

function refusal(entry: BackupInfoEntry, info: BackupInfo, request: SelectRequest): string | null {
  if (request.set !== undefined && request.set !== "latest") return entry.label === request.set ? null : `is not ${request.set}`;
  if (request.targetTimeS !== null) return entry.stoppedAtS < request.targetTimeS ? null : "stopped at or after the target time";
  if (request.type === "lsn" && request.target !== undefined) {
    if (entry.lsnStop === undefined) return "has no LSN to compare with the target";
    return parseLsn(entry.lsnStop) <= parseLsn(request.target) ? null : `stops at ${entry.lsnStop}, behind the target`;
  }
  return entry.dbId === info.currentId ? null : `belongs to history id ${entry.dbId}, the current one is ${info.currentId}`;
}

function targetText(request: SelectRequest): string {
  return request.target === undefined ? "" : ` for ${request.type} target '${request.target}'`;
}

/**
 * Seconds since 1970 of `YYYY-MM-DD HH:MM:SS[.fff][±HH[[:]MM]]`; without a zone the local one counts, as in stock and PostgreSQL.
 * @throws format (29)
 */
export function parseTargetTime(text: string): number {
  const match = /^(\d{4}-\d{2}-\d{2})[ T](\d{2}:\d{2}:\d{2})(\.\d+)?\s*(?:([+-])(\d{2})(?::?(\d{2}))?|Z|UTC)?$/.exec(text);
  const [, date, time, fraction, sign, hours, minutes] = match ?? [];
  const zone = sign === undefined ? (/(Z|UTC)$/.test(text) ? "Z" : "") : `${sign}${hours}:${minutes ?? "00"}`;
  const timeMs = match === null ? Number.NaN : Date.parse(`${date}T${time}${fraction ?? ""}${zone}`);
  if (Number.isNaN(timeMs)) {
    throw fail("format", `automatic backup set selection cannot be performed with provided time '${text}'`, {
      hint: "time format must be YYYY-MM-DD HH:MM:SS with optional msec and optional timezone (+/- HH or HHMM or HH:MM), or name the backup with --set.",
    });
  }
  return timeMs / 1000;
}
