/** Opened backups in the output of `info` and `status`. */
import { formatSize } from "../../base/units";
import type { JsonValue } from "../../format/repository/json";
import type { OpenedBackup } from "../open/openLocation";

export function openedText({ at, doubt, isServed, label, progress, repo }: OpenedBackup): string {
  const what = `${label === null ? "a backup" : `${label} of ${repo}`} in ${at}`;
  if (doubt !== undefined) return `${what} (${doubt})`;
  if (!isServed) return `${what} (not mounted: open or close it)`;
  if (progress === null) return what;
  const { fetchesAll, isWhole, missingBytes, totalBytes, trouble } = progress;
  if (isWhole) return `${what}: everything is here`;
  const there = `${formatSize(totalBytes - missingBytes)} of ${formatSize(totalBytes)} are here`;
  const rest = !fetchesAll ? "" : trouble === null ? ", fetching the rest" : `, the rest waits: ${trouble}`;
  return `${what}: ${there}${rest}`;
}

export function openedJson({ at, isServed, label, progress, repo }: OpenedBackup): JsonValue {
  return {
    at,
    label,
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
