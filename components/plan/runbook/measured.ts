/**
 * Reads drills' measurements: the JSON of `pgbackstop status --output=json`, or of one `pgbackstop drill`. A topology
 * does not contain them; these files add them to a runbook, each figure with its time. Pure.
 */
import type { ObjectivesNode, RepositoryNode } from "../topology/topology";
import { isFields } from "../model/anyValue";

/** One database's; times are seconds since 1970. */
export interface Measured {
  readonly stanza: string;
  readonly repositories: readonly MeasuredRepository[];
}

interface MeasuredRepository {
  readonly key: number;
  readonly ok: boolean;
  readonly endedAtS: number;
  /** It restored to a point in time. */
  readonly isMoment: boolean;
  /** From the start of the drill to the first connection; null if there was none. */
  readonly rtoMs: number | null;
  /** It was opened instead of restored, which measures no RTO. */
  readonly isOpened: boolean;
  /** May come from an older drill: only a drill to the end of the archive measures it. */
  readonly rpo: { readonly endedAtS: number; readonly method: string; readonly seconds: number } | null;
}

/** One line of the table. */
export interface MeasuredRow {
  readonly repository: string;
  /** `passed 2026-11-20 06:40 UTC` */
  readonly drill: string;
  /** `4 min 12 s (declared: 30 min)` */
  readonly rto: string;
  readonly rpo: string;
}

/** The error in a file, for the user. */
export class MeasuredError extends Error {}

/** @throws MeasuredError for text that is neither */
export function parseMeasured(text: string): Measured {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new MeasuredError("this is not JSON: pgbackstop status and pgbackstop drill print it with --output=json");
  }
  if (!isFields(value)) throw new MeasuredError("this JSON is not an object");
  const { repos, stanza, version } = value;
  if (typeof stanza !== "string" || typeof version !== "number")
    throw new MeasuredError(
      "this JSON is neither of pgbackstop status --output=json nor of pgbackstop drill --output=json",
    );
  if (version !== 1)
    throw new MeasuredError(
      `version ${version} of the measurements is unknown, only 1 is supported: use the pgbackstop that wrote it`,
    );
  const rows = Array.isArray(repos) ? repos.flatMap(statusRow) : [drillRow(value)];
  return { stanza, repositories: rows };
}

/** With several drills in a file, the newest of each repository counts. */
export function joinMeasured(all: readonly Measured[]): Measured | null {
  const [first] = all;
  if (first === undefined) return null;
  const newest = new Map<number, MeasuredRepository>();
  for (const one of all
    .flatMap(({ repositories }) => repositories)
    .toSorted((left, right) => left.endedAtS - right.endedAtS)) {
    newest.set(one.key, { ...one, rpo: one.rpo ?? newest.get(one.key)?.rpo ?? null });
  }
  return { stanza: first.stanza, repositories: [...newest.values()] };
}

/** A line for each repository, also for one that was never drilled. */
export function measuredRows(
  measured: Measured,
  repositories: readonly RepositoryNode[],
  objectives: ObjectivesNode,
): MeasuredRow[] {
  const { pitrRtoMinutes, rpoSeconds } = objectives;
  return repositories.map(({ key, name }): MeasuredRow => {
    const one = measured.repositories.find((each) => each.key === key);
    if (one === undefined) return { repository: name, drill: "never", rto: "not known", rpo: "not known" };
    const { endedAtS, isMoment, isOpened, ok, rpo, rtoMs } = one;
    const rtoMinutes = (isMoment ? pitrRtoMinutes : undefined) ?? objectives.rtoMinutes;
    const rto =
      rtoMs === null
        ? isOpened
          ? "not measured: it was opened, not restored"
          : "it did not open"
        : against(rtoMs / 1000, rtoMinutes === undefined ? undefined : rtoMinutes * 60);
    const lost =
      rpo === null
        ? "not measured"
        : `${against(rpo.seconds, rpoSeconds)}, by ${rpo.method}${rpo.endedAtS === endedAtS ? "" : `, ${timeText(rpo.endedAtS)}`}`;
    return { repository: name, drill: `${ok ? "passed" : "FAILED"} ${timeText(endedAtS)}`, rto, rpo: lost };
  });
}

function against(seconds: number, declaredSeconds: number | undefined): string {
  const text = durationText(seconds);
  if (declaredSeconds === undefined) return text;
  return `${text} (declared: ${durationText(declaredSeconds)}${seconds > declaredSeconds ? ", MISSED" : ""})`;
}

/** `1 h 4 min`, `4 min 12 s`, `0.8 s` */
function durationText(seconds: number): string {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`;
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  if (minutes < 60) return rest === 0 ? `${minutes} min` : `${minutes} min ${rest} s`;
  return minutes % 60 === 0 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `2026-11-20 06:40 UTC` */
export function timeText(atS: number): string {
  return `${new Date(atS * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

function statusRow(value: unknown): MeasuredRepository[] {
  if (!isFields(value) || !isKey(value["key"])) throw new MeasuredError("a repository of this status has no key");
  const { drill, key } = value;
  if (drill === null || drill === undefined) return [];
  if (!isFields(drill) || !isTime(drill["ended"])) throw new MeasuredError(`the drill of repo${key} has no time`);
  return [
    {
      key,
      ok: drill["ok"] === true,
      isMoment: drill["pick"] === "moment",
      isOpened: drill["opened"] === true,
      endedAtS: drill["ended"],
      rtoMs: numberOf(drill["rtoMs"]),
      rpo: rpoOf(drill["rpo"], drill["ended"]),
    },
  ];
}

function drillRow({
  endedAtS,
  ok,
  opened,
  pick,
  repo,
  rpo,
  rtoMs,
}: Readonly<Record<string, unknown>>): MeasuredRepository {
  if (!isKey(repo) || !isTime(endedAtS)) throw new MeasuredError("this drill has no repository or no time");
  return {
    key: repo,
    ok: ok === true,
    isMoment: pick === "moment",
    isOpened: opened !== undefined,
    endedAtS,
    rtoMs: numberOf(rtoMs),
    rpo: rpoOf(rpo, endedAtS),
  };
}

function rpoOf(value: unknown, drilledAtS: number): MeasuredRepository["rpo"] {
  if (!isFields(value)) return null;
  const seconds = numberOf(value["seconds"]);
  const method = value["method"];
  return seconds === null || typeof method !== "string"
    ? null
    : { seconds, method, endedAtS: isTime(value["ended"]) ? value["ended"] : drilledAtS };
}

function isKey(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 1;
}

/** A value that Date accepts. */
function isTime(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 && value < 8.64e12;
}

function numberOf(value: unknown): number | null {
  return typeof value === "number" && Number.isFinite(value) && value >= 0 ? value : null;
}
