/** Parses times as people in a hurry write them: a time of any precision, or an age. Pure. */
import { parseTargetTime } from "../restore/select";

const UNITS_S: ReadonlyMap<string, bigint> = new Map([
  ["s", 1n],
  ["m", 60n],
  ["h", 3600n],
  ["d", 86_400n],
  ["w", 604_800n],
]);

/**
 * `2h` (before `beforeUs`), `2026-11-21`, `2026-11-21 08:00`, `2026-11-21 08:00:00.5+01`; without a zone, this process'
 * local time. Microseconds since 1970.
 * @throws format
 */
export function parseTimeOrAge(text: string, beforeUs: bigint): bigint {
  const [, count = "", unit = ""] = /^(\d{1,9}) ?([a-z])$/.exec(text) ?? [];
  const unitSeconds = UNITS_S.get(unit);
  if (unitSeconds !== undefined) return beforeUs - BigInt(count) * unitSeconds * 1_000_000n;
  const [, date, hourAndMinute, rest] = /^(\d{4}-\d{2}-\d{2})(?:[ T](\d{2}:\d{2})(.*))?$/s.exec(text) ?? [];
  const seconds = rest?.startsWith(":") === true ? "" : ":00";
  return BigInt(
    Math.round(
      parseTargetTime(date === undefined ? text : `${date} ${hourAndMinute ?? "00:00"}${seconds}${rest ?? ""}`) *
        1_000_000,
    ),
  );
}
