/** Alerts on logical dumps: late, or missing. Pure. */
import { ageLimit } from "../schedule/expectFull";
import type { Topology } from "../topology/topology";
import { type AlertRule, durationText, type Writer } from "./rule";

/** Age at which the newest dump of a repository is late; null if no schedule writes any into it. */
export function dumpAgeLimit({ dumps }: Pick<Topology, "dumps">, repo: string): ReturnType<typeof ageLimit> {
  return dumps?.repositories.includes(repo) === true ? ageLimit([dumps]) : null;
}

/** @param own of this repository */
export function dumpRules(own: Writer, topology: Pick<Topology, "dumps">, repo: string): AlertRule[] {
  const limit = dumpAgeLimit(topology, repo);
  if (limit === null) return [];
  const { gapMinutes, limitS } = limit;
  const metric = "pgbackstop_repo_last_dump_timestamp_seconds";
  return [
    own.warning(
      "PgbackstopDumpTooOld",
      "10m",
      `time() - ${own.series(metric)} > ${limitS}`,
      `the newest complete dump in ${repo} is older than ${durationText(limitS)}`,
      `Its schedule never leaves more than ${durationText(gapMinutes * 60)} between two: a run failed, was skipped or hangs. pgbackstop dump-ls shows which dumps lack a file.`,
    ),
    // Unlike a backup, no update takes the first one.
    own.warning(
      "PgbackstopDumpMissing",
      `${Math.ceil(limitS / 3600)}h`,
      `absent(${own.raw(metric)})`,
      `there is no complete dump in ${repo}`,
      "Its schedule is declared, but there is no result, or the repository is unreadable.",
    ),
  ];
}
