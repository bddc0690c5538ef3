/** Opened backups in the output of `info` and `status`. */
import { formatSize } from "../../base/units";
import type { JsonValue } from "../../format/repository/json";
import { type Trouble, troubleOf } from "../../recoverability/troubles";
import type { OpenedBackup, OpenProgress } from "../open/openLocation";

export function openedText({ at, doubt, isProduction, isServed, label, progress, repo }: OpenedBackup): string {
  const what = `${label === null ? "a backup" : `${label} of ${repo}`} in ${at}`;
  if (doubt !== undefined) return `${what} (${doubt})`;
  if (!isServed) return `${what} (not mounted: ${isProduction ? "recover continues" : "open or close it"})`;
  const use = isProduction ? "production runs on it" : "";
  if (progress === null) return [what, use].filter((text) => text !== "").join(": ");
  return `${what}: ${use === "" ? "" : `${use}; `}${progressText(progress)}`;
}

function progressText({ fetchesAll, isWhole, missingBytes, totalBytes, trouble }: OpenProgress): string {
  if (isWhole) return "everything is here";
  const there = `${formatSize(totalBytes - missingBytes)} of ${formatSize(totalBytes)} are here`;
  const rest = !fetchesAll ? "" : trouble === null ? ", fetching the rest" : `, the rest waits: ${trouble}`;
  return `${there}${rest}`;
}

/** Troubles of an instant recovery: production depends on the process that serves its files. */
export function productionTroubles(opened: readonly OpenedBackup[]): Trouble[] {
  return opened.flatMap(({ at, isProduction, isServed, progress }) => {
    if (!isProduction) return [];
    if (!isServed) {
      const hint = "pgbackstop recover mounts them again, and starts the server. No acknowledged commit is lost.";
      return [troubleOf("unserved", `nobody serves the files of production in '${at}'`, { hint })];
    }
    const reason = progress?.isWhole === false ? progress.trouble : null;
    if (reason === null) return [];
    const hint =
      "It is tried again until it succeeds. Until then reads of these files fail: bring the repository back.";
    return [troubleOf("production", `files of production in '${at}' cannot be fetched: ${reason}`, { hint })];
  });
}

export function openedJson({ at, isProduction, isServed, label, progress, repo }: OpenedBackup): JsonValue {
  return {
    at,
    label,
    production: isProduction,
    ...(progress === null
      ? {}
      : {
          progress: {
            all: progress.fetchesAll,
            missing: progress.missingBytes,
            total: progress.totalBytes,
            trouble: progress.trouble,
            whole: progress.isWhole,
          },
        }),
    repo,
    served: isServed,
  };
}
