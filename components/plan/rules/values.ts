/** Checks of values that several rules share. Pure. */
import { STREAM_INTERVAL_S_MAX } from "../../../runtime/config/settings";
import { type Finding, finding } from "../findings/findings";

/** A whole number from min to max, inclusive. */
export function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

/** True when `path` is `parent` or lies below it. */
export function isBelow(path: string, parent: string): boolean {
  return path === parent || parent === "/" || path.startsWith(`${parent}/`);
}

/** Of hosts and clusters. */
export function checkStreamInterval(intervalSeconds: number): Finding[] {
  if (isWithin(intervalSeconds, 1, STREAM_INTERVAL_S_MAX)) return [];
  const fact = `${intervalSeconds} is not a whole number from 1 to ${STREAM_INTERVAL_S_MAX}`;
  return [finding("PB014", "streaming.intervalSeconds", fact, "")];
}
