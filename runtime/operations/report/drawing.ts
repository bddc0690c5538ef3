/** What the parts of the report share: texts of times and names; frame, scale of time and colours of drawings. Pure. */
import { escapeText } from "../../base/html";
import { durationText } from "../../base/units";
import type { ReportedDatabase } from "./reportFields";

export const DRAWING_WIDTH = 880;
const NAME_LENGTH_MAX = 40;
const TICKS_MAX = 7;
const MINUTE_S = 60;
const HOUR_S = 3600;
const DAY_S = 86_400;
/** Distances between ticks. */
const STEPS_S = [MINUTE_S, 10 * MINUTE_S, HOUR_S, 6 * HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S, 90 * DAY_S, 365 * DAY_S];

/** `2026-11-20 06:40:59`: the page says once that times are UTC. */
export function whenText(timeS: number): string {
  return new Date(timeS * 1000).toISOString().slice(0, 19).replace("T", " ");
}

/** `3 days ago`, or `in 2 hours` by a clock that is ahead. */
export function ageText(timeS: number, nowS: number): string {
  return timeS > nowS ? `in ${durationText(timeS - nowS)}` : `${durationText(nowS - timeS)} ago`;
}

/** `2026-11-20 06:40:59 (3 days ago)`: an age alone is wrong on a page that somebody keeps. */
export function whenAgo(timeS: number, nowS: number): string {
  return `${whenText(timeS)} (${ageText(timeS, nowS)})`;
}

/** Long names differ at their beginning or their end. */
export function cutMiddle(text: string, lengthMax: number): string {
  const characters = [...text];
  if (characters.length <= lengthMax) return text;
  const head = Math.ceil((lengthMax - 1) / 2);
  const tail = characters.slice(characters.length - (lengthMax - 1 - head));
  return `${characters.slice(0, head).join("")}…${tail.join("")}`;
}

/** `orders on db-1`, short enough for a line. */
export function titleOf({ host, stanza }: Pick<ReportedDatabase, "host" | "stanza">): string {
  return `${cutMiddle(stanza, NAME_LENGTH_MAX)} on ${cutMiddle(host, NAME_LENGTH_MAX)}`;
}

export interface Scale {
  /** Position of a time. */
  x(timeS: number): number;
  readonly ticks: readonly { readonly x: number; readonly text: string }[];
}

/** @param edges of the drawing, for the first and the last time */
export function timeScale(fromS: number, toS: number, edges: readonly [number, number]): Scale {
  const spanS = Math.max(1, toS - fromS);
  const [left, right] = edges;
  const x = (timeS: number): number =>
    Math.round((left + Math.min(1, Math.max(0, (timeS - fromS) / spanS)) * (right - left)) * 10) / 10;
  const stepS = STEPS_S.find((step) => spanS / step <= TICKS_MAX) ?? Math.ceil(spanS / TICKS_MAX);
  const first = Math.ceil(fromS / stepS) * stepS;
  const count = Math.max(0, Math.floor((toS - first) / stepS) + 1);
  const ticks = Array.from({ length: count }, (_, index) => {
    const timeS = first + index * stepS;
    const text = new Date(timeS * 1000).toISOString();
    return { x: x(timeS), text: stepS < DAY_S ? text.slice(5, 16).replace("T", " ") : text.slice(0, 10) };
  });
  return { x, ticks };
}

/** @param description for readers who do not see it */
export function frame(
  description: string,
  size: { readonly width: number; readonly height: number },
  content: string,
): string {
  const { height, width } = size;
  return `<svg xmlns="http://www.w3.org/2000/svg" class="drawing" role="img" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}"><title>${escapeText(description)}</title>
${content}
</svg>`;
}

export function line(from: readonly [number, number], to: readonly [number, number], name: string): string {
  return `<path class="${name}" d="M${from[0]} ${from[1]}L${to[0]} ${to[1]}"/>`;
}

/** @param hint is shown over the mark */
export function mark(path: string, name: string, hint: string): string {
  return `<path class="${name}" d="${path}"><title>${escapeText(hint)}</title></path>`;
}

export function caption(x: number, y: number, content: string, name = "small", anchor = "start"): string {
  return `<text class="${name}" x="${x}" y="${y}" text-anchor="${anchor}">${escapeText(content)}</text>`;
}

/** With the whole text as a hint if it is cut. */
export function cutText(x: number, y: number, content: string, lengthMax: number, name = "small"): string {
  const shown = cutMiddle(content, lengthMax);
  if (shown === content) return caption(x, y, content, name);
  return `<text class="${name}" x="${x}" y="${y}"><title>${escapeText(content)}</title>${escapeText(shown)}</text>`;
}

/** Dates under a drawing. */
export function timeTicks({ ticks }: Scale, top: number, bottom: number): string {
  return ticks
    .map(
      (tick) =>
        `${line([tick.x, top], [tick.x, bottom], "grid")}${caption(tick.x, bottom + 15, tick.text, "small", "middle")}`,
    )
    .join("");
}

export const DRAWING_STYLE = `.drawing{display:block;max-width:100%;height:auto;min-width:640px;font-family:system-ui,"Segoe UI",Roboto,"Liberation Sans","DejaVu Sans",sans-serif}
.drawing text{fill:var(--ink);font-size:13px}
.drawing .small{fill:var(--dim);font-size:12px}
.drawing .name{font-weight:600;font-size:14px}
.drawing .bad{fill:var(--weak);font-weight:600}
.drawing .good{fill:var(--strong);font-weight:600}
.drawing .box{fill:var(--box);stroke:var(--line);stroke-width:1.2}
.drawing .box.weak{stroke:var(--weak);stroke-width:2}
.drawing .grid{stroke:var(--line);stroke-width:.6;opacity:.5;fill:none}
.drawing .link{stroke:var(--line);stroke-width:1.6;fill:none}
.drawing .link.weak{stroke:var(--weak);stroke-dasharray:6 4}
.drawing .window{fill:var(--strong);opacity:.35}
.drawing .gap{fill:none;stroke:var(--weak);stroke-width:2;stroke-dasharray:4 3}
.drawing .backup{fill:var(--ink);stroke:var(--ground);stroke-width:.8}
.drawing .backup.weak,.drawing .failed{fill:var(--weak)}
.drawing .passed{fill:var(--strong)}
.drawing .limit{stroke:var(--open);stroke-width:1.4;stroke-dasharray:6 4;fill:none}
`;
