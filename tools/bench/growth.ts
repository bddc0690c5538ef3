/**
 * How costs grow: a line through three sizes of the same work (cost = fixed + each * count), what it predicts for a
 * size that this machine cannot hold, and whether the cost grows faster than the work.
 *
 * Each size is twice the one before. For any cost of the form fixed + each * count ^ exponent the two differences then
 * show the exponent, whatever the fixed cost is.
 */
import { formatBytes } from "../parts/progress";
import type { Cost } from "./measure";
import type { Program } from "./figures";

export interface GrowthRow {
  /** The work, as given to `add`. */
  readonly key: string;
  readonly title: string;
  /** One of what is counted, and several. */
  readonly unit: readonly [one: string, several: string];
  /** The count that the fit is extrapolated to. */
  readonly to: number;
  /** Highest ratio of our processor time for each unit to stock's that meets the target. */
  readonly ratioMax?: number;
}

export interface Fit {
  readonly fixed: number;
  readonly each: number;
  /** The largest distance of a measured cost from the line, as a share of the cost. */
  readonly error: number;
}

type Point = readonly [count: number, value: number];

const MIB = 1024 * 1024;
/** Repeated runs differ by this share, and at least by the `noise` of what is measured. */
const NOISE_SHARE = 0.08;
/** Sorting costs a little more for each item of a longer list. */
const EXPONENT_MAX = 1.15;

/** Least squares. */
export function fitLine(points: readonly Point[]): Fit {
  const mean = (of: (point: Point) => number): number =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [meanCount, meanValue] = [mean(([count]) => count), mean(([, value]) => value)];
  const spread = mean(([count]) => (count - meanCount) ** 2);
  const each = mean(([count, value]) => (count - meanCount) * (value - meanValue)) / spread;
  const fixed = meanValue - each * meanCount;
  const errors = points.map(([count, value]) => Math.abs(fixed + each * count - value) / Math.max(value, 1e-9));
  return { fixed, each, error: Math.max(...errors) };
}

/** Null where growth cannot be told from noise. */
export function exponentOf(points: readonly Point[], noise: number): number | null {
  const [first = 0, second = 0, third = 0] = points.map(([, value]) => value);
  const least = Math.max(third * NOISE_SHARE, noise);
  if (third - first < 2 * least || third <= second) return null;
  return Math.log2((third - second) / Math.max(second - first, least / 2));
}

/** True only if noise cannot explain it. */
export function growsTooFast(points: readonly Point[], noise: number): boolean {
  const [first = 0, second = 0, third = 0] = points.map(([, value]) => value);
  const least = Math.max(third * NOISE_SHARE, noise);
  return exponentOf(points, noise) !== null && third - second - least > 2 ** EXPONENT_MAX * (second - first + least);
}

export class Growth {
  readonly #costs = new Map<string, Record<Program, [count: number, cost: Cost][]>>();

  add(key: string, program: Program, count: number, cost: Cost): void {
    const costs = this.#costs.get(key) ?? { stock: [], ours: [] };
    costs[program].push([count, cost]);
    this.#costs.set(key, costs);
  }

  /** The table as Markdown, and a text for each row that misses its target. Works without figures are omitted. */
  table(rows: readonly GrowthRow[]): { readonly text: string; readonly missed: readonly string[] } {
    const lines = [
      "| work | sizes | measured | fixed | for each | error | exponent | predicted | stock for each | ratio |",
      "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ];
    const missed: string[] = [];
    for (const row of rows) {
      const costs = this.#costs.get(row.key);
      if (costs === undefined) continue;
      for (const measure of [PROCESSOR, MEMORY]) {
        const points = (program: Program): Point[] =>
          costs[program].map(([count, cost]): Point => [count, measure.of(cost)]);
        const { line, faults } = lineOf(row, measure, points("ours"), points("stock"));
        lines.push(line);
        missed.push(...faults);
      }
    }
    return { text: lines.join("\n"), missed };
  }
}

interface Measure {
  readonly name: string;
  readonly of: (cost: Cost) => number;
  readonly text: (value: number) => string;
  readonly noise: number;
}

const PROCESSOR: Measure = { name: "processor", of: ({ cpuS }) => cpuS, text: secondsText, noise: 0.03 };
const MEMORY: Measure = {
  name: "memory",
  of: ({ peakMemoryBytes }) => peakMemoryBytes,
  text: sizeText,
  noise: 24 * MIB,
};

function lineOf(
  { ratioMax, title, to, unit: [one, several] }: GrowthRow,
  { name, noise, text }: Measure,
  ours: readonly Point[],
  stock: readonly Point[],
): { readonly line: string; readonly faults: readonly string[] } {
  const { each, error, fixed } = fitLine(ours);
  const exponent = exponentOf(ours, noise);
  const stockEach = exponentOf(stock, noise) === null ? null : fitLine(stock).each;
  const ratio = exponent === null || stockEach === null ? null : each / stockEach;
  const titled = `${title}: ${name}`;
  const cells = [
    titled,
    `${ours.map(([count]) => shown(count)).join(" · ")} ${several}`,
    ours.map(([, value]) => text(value)).join(" · "),
    ...(exponent === null
      ? ["", "within noise", "", ""]
      : [text(Math.max(fixed, 0)), text(each), `${(error * 100).toFixed(0)} %`, exponent.toFixed(2)]),
    exponent === null ? "" : `${text(Math.max(fixed, 0) + each * to)} (${shown(to)})`,
    stockEach === null ? "" : text(stockEach),
    ratio === null ? "" : ratio.toFixed(2) + (ratioMax === undefined ? "" : ` (≤ ${ratioMax})`),
  ];
  const faults = [
    ...(growsTooFast(ours, noise)
      ? [`${titled} grows with the exponent ${exponent?.toFixed(2)} (≤ ${EXPONENT_MAX})`]
      : []),
    ...(ratio !== null && ratioMax !== undefined && ratio > ratioMax
      ? [`${titled}, for each ${one}: ${ratio.toFixed(2)} of stock's (≤ ${ratioMax})`]
      : []),
  ];
  return { line: `| ${cells.join(" | ")} |`, faults };
}

function shown(count: number): string {
  return count.toLocaleString("en", { maximumFractionDigits: 2 });
}

const SECONDS: readonly (readonly [size: number, name: string])[] = [
  [86_400, "d"],
  [3600, "h"],
  [60, "min"],
  [1, "s"],
  [1e-3, "ms"],
  [1e-6, "µs"],
];

/** `1.2 ms` */
function secondsText(valueS: number): string {
  const [size, name] = SECONDS.find(([least]) => Math.abs(valueS) >= least * (least >= 60 ? 2 : 1)) ?? [1e-6, "µs"];
  const value = valueS / size;
  return `${value.toFixed(Math.abs(value) < 10 ? 2 : 0)} ${name}`;
}

function sizeText(valueBytes: number): string {
  return Math.abs(valueBytes) < MIB ? `${(valueBytes / 1024).toFixed(2)} KiB` : formatBytes(valueBytes);
}
