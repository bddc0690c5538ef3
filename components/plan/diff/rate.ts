/** Changes in how often something runs. Pure. */
import { textRunsPerDay } from "../schedule/schedule";
import { type Collector, isHidden } from "./change";

/** Rates that differ by less count as equal. */
const RATE_EPSILON = 0.001;

/** Less often is weaker; other hours at the same rate are neutral. */
export function diffRate(to: Collector, path: string, what: string, before: string, after: string): void {
  if (isHidden(before) || isHidden(after)) return to.plain(path, before, after, () => "");
  const [old, now] = [textRunsPerDay(before), textRunsPerDay(after)];
  const same = Math.abs(old - now) <= RATE_EPSILON * Math.max(old, now);
  to.rank(
    path,
    before,
    after,
    (value) => (same ? 0 : value === after ? now : old),
    () =>
      same
        ? `${what}: ${after} instead of ${before}, as often as before`
        : `${what}: ${rateText(now)} (${after}), was ${rateText(old)} (${before})`,
  );
}

/** `daily`, `every 7 days`, `4 times a day`. */
function rateText(perDay: number): string {
  if (perDay <= 0) return "never";
  if (Math.abs(perDay - 1) < 0.01) return "daily";
  return perDay > 1 ? `${Number(perDay.toFixed(1))} times a day` : `every ${Number((1 / perDay).toFixed(1))} days`;
}
