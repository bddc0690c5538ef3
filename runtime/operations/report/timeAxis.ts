/** The time axis of a database: for each repository its backups, the windows that it can restore, and gaps. Pure. */
import { isRestorable } from "../../recoverability/windows";
import { cutText, DRAWING_WIDTH, frame, line, mark, caption, timeScale, timeTicks, whenText } from "./drawing";
import type { ReportedBackup, ReportedDatabase, ReportedRepo } from "./reportFields";

const ROW_HEIGHT = 58;
const TOP = 6;
const BAR = { top: 24, height: 16 };
const LABEL_LENGTH_MAX = 90;
/** Half the height of a backup's mark. */
const MARK_SIZE: Readonly<Record<ReportedBackup["type"], number>> = { full: 9, diff: 6, incr: 4 };

export function renderTimeAxis({ repos }: ReportedDatabase, nowS: number): string {
  const times = repos.flatMap(({ backups }) => backups.map(({ startedAtS }) => startedAtS));
  if (times.length === 0) return "<p>There is no backup.</p>";
  const first = times.reduce((oldest, time) => Math.min(oldest, time));
  const scale = timeScale(first, Math.max(nowS, first), [14, DRAWING_WIDTH - 14]);
  const bottom = TOP + repos.length * ROW_HEIGHT;
  const rows = repos.map((repo, index) => drawRow(repo, TOP + index * ROW_HEIGHT, scale.x));
  const key = caption(
    14,
    bottom + 36,
    "bar: any moment can be restored · large mark: full · middle: diff · small: incr · dashed frame: missing WAL",
  );
  const description = `Time axis. ${repos.map(describe).join(" ")}`;
  return frame(
    description,
    { width: DRAWING_WIDTH, height: bottom + 44 },
    `${timeTicks(scale, TOP, bottom)}${rows.join("\n")}${key}`,
  );
}

function drawRow(
  { backups, gaps, key, location, windows }: ReportedRepo,
  top: number,
  x: (timeS: number) => number,
): string {
  const middle = top + BAR.top + BAR.height / 2;
  const bar = (fromS: number, toS: number): string => {
    const [from, to] = [x(fromS), x(toS)];
    return `M${from} ${top + BAR.top}H${Math.max(to, from + 1)}V${top + BAR.top + BAR.height}H${from}z`;
  };
  const marks = backups.map((backup) => {
    const { damaged, label, stoppedAtS, type } = backup;
    const size = MARK_SIZE[type];
    const at = x(stoppedAtS);
    const isUsable = isRestorable(backup, windows);
    const name = isUsable && damaged !== true ? "backup" : "backup weak";
    return mark(
      `M${at} ${middle - size}L${at + size * 0.7} ${middle}L${at} ${middle + size}L${at - size * 0.7} ${middle}z`,
      name,
      `${type} ${label}, ended ${whenText(stoppedAtS)}`,
    );
  });
  return [
    cutText(14, top + 16, `repo${key}  ${location}`, LABEL_LENGTH_MAX, "name"),
    line([14, middle], [DRAWING_WIDTH - 14, middle], "grid"),
    ...windows.map(({ fromS, toS }) =>
      mark(bar(fromS, toS), "window", `any moment from ${whenText(fromS)} to ${whenText(toS)}`),
    ),
    ...gaps.map(({ from, fromS, to, toS }) => mark(bar(fromS, toS), "gap", `WAL is missing from ${from} to ${to}`)),
    ...marks,
  ].join("");
}

function describe({ backups, gaps, key, windows }: ReportedRepo): string {
  const spans = windows.map(({ fromS, toS }) => `${whenText(fromS)} to ${whenText(toS)}`);
  const holes = gaps.length === 0 ? "" : ` WAL is missing in ${gaps.length} place${gaps.length === 1 ? "" : "s"}.`;
  return `repo${key} has ${backups.length} backups, and can restore ${spans.length === 0 ? "nothing" : spans.join(", ")}.${holes}`;
}
