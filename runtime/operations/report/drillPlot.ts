/** Drills against the objectives: how long each restore took, and what it lost. Pure. */
import { escapeText } from "../../base/html";
import { durationText } from "../../base/units";
import { frame, line, mark, caption, timeScale, timeTicks, whenText } from "./drawing";
import type { ReportedDatabase, ReportedDrill } from "./reportFields";

const SIZE = { width: 880, height: 190 };
const AREA = { left: 90, right: 866, top: 30, bottom: 160 };
/** Room above the largest value. */
const HEADROOM = 1.15;

interface Plot {
  readonly title: string;
  readonly promisedS: number | undefined;
  valueOf(drill: ReportedDrill): number | undefined;
}

/** @param name of the database, for the drawings' names */
export function renderDrills({ drills, rpoSeconds, rtoSeconds }: ReportedDatabase, name: string, nowS: number): string {
  if (drills.length === 0)
    return "<p>No drill has restored these backups: nobody knows whether they can be restored, and how long it takes.</p>";
  const plots: readonly Plot[] = [
    {
      title: "Time until the restored server answered (RTO)",
      promisedS: rtoSeconds,
      valueOf: (drill) => drill.rtoSeconds,
    },
    { title: "What the restore lost (RPO)", promisedS: rpoSeconds, valueOf: (drill) => drill.rpoSeconds },
  ];
  const failed = drills.filter(({ ok }) => !ok).length;
  const count = `<p>${drills.length} drill${drills.length === 1 ? "" : "s"}, ${failed === 0 ? "none failed" : `${failed} failed`}.</p>`;
  const drawn = plots.flatMap((plot) => {
    const drawing = drawPlot(plot, drills, nowS);
    const label = escapeText(`${plot.title}, ${name}`);
    return drawing === ""
      ? []
      : [`<div class="wide" role="region" aria-label="${label}" tabindex="0">${drawing}</div>`];
  });
  return `${count}${drawn.join("\n")}`;
}

function drawPlot({ promisedS, title, valueOf }: Plot, drills: readonly ReportedDrill[], nowS: number): string {
  const points = drills.flatMap((drill) => {
    const valueS = valueOf(drill);
    return valueS === undefined ? [] : [{ drill, valueS }];
  });
  if (points.length === 0) return "";
  const first = points.reduce((oldest, { drill }) => Math.min(oldest, drill.endedAtS), nowS);
  const most = points.reduce((largest, { valueS }) => Math.max(largest, valueS), promisedS ?? 1) * HEADROOM;
  const scale = timeScale(first, nowS, [AREA.left + 8, AREA.right - 8]);
  const y = (valueS: number): number =>
    Math.round((AREA.bottom - (Math.max(0, valueS) / most) * (AREA.bottom - AREA.top)) * 10) / 10;
  const marks = points.map(({ drill, valueS }) => drawPoint(drill, valueS, scale.x(drill.endedAtS), y(valueS)));
  const limit =
    promisedS === undefined
      ? ""
      : `${line([AREA.left, y(promisedS)], [AREA.right, y(promisedS)], "limit")}${caption(AREA.left - 8, y(promisedS) + 4, durationText(promisedS), "small", "end")}`;
  const description = `${title}: ${points.map(({ drill, valueS }) => `${whenText(drill.endedAtS)} ${durationText(Math.ceil(valueS))}${drill.ok ? "" : ", failed"}`).join("; ")}. ${promisedS === undefined ? "No objective." : `Objective ${durationText(promisedS)}.`}`;
  const axis = `${line([AREA.left, AREA.bottom], [AREA.right, AREA.bottom], "grid")}${caption(AREA.left - 8, AREA.bottom + 4, "0", "small", "end")}`;
  return frame(
    description,
    SIZE,
    `${caption(8, 18, promisedS === undefined ? title : `${title}, and its objective`, "name")}${timeTicks(scale, AREA.top, AREA.bottom)}${axis}${limit}${marks.join("")}`,
  );
}

/** A cross for a failure: colours alone tell some readers nothing. */
function drawPoint({ endedAtS, failure, ok, repo }: ReportedDrill, valueS: number, x: number, y: number): string {
  const hint = `${whenText(endedAtS)} repo${repo}: ${durationText(Math.ceil(valueS))}${failure === undefined ? "" : `, ${failure}`}`;
  const circle = `M${x - 5} ${y}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z`;
  const cross = `M${x - 6} ${y - 4}L${x - 4} ${y - 6}L${x} ${y - 2}L${x + 4} ${y - 6}L${x + 6} ${y - 4}L${x + 2} ${y}L${x + 6} ${y + 4}L${x + 4} ${y + 6}L${x} ${y + 2}L${x - 4} ${y + 6}L${x - 6} ${y + 4}L${x - 2} ${y}z`;
  return ok ? mark(circle, "passed", hint) : mark(cross, "failed", hint);
}
