/**
 * Figures of two programs that ran in pairs, as a table.
 *
 * A ratio is the median of the pairs' ratios, which is robust on a machine whose speed drifts. The lowest and highest
 * ratios stand beside it.
 */
import { type Cost, median } from "./measure";

export type Program = "stock" | "ours";
export const PROGRAMS: readonly Program[] = ["stock", "ours"];

export interface Row {
  readonly title: string;
  /** As given to `add`. */
  readonly key: string;
  readonly digits: number;
  /** Highest ratio that meets the target. */
  readonly ratioMax?: number;
  /** Highest value of ours that meets the target, in the row's unit; replaces the ratio's target. */
  readonly oursMax?: number;
}

const MIB = 1024 * 1024;

export class Figures {
  readonly #values = new Map<string, Record<Program, number[]>>();

  add(key: string, program: Program, value: number): void {
    const values = this.#values.get(key) ?? { stock: [], ours: [] };
    values[program].push(value);
    this.#values.set(key, values);
  }

  /** As `KEY wall` and `KEY cpu` in seconds, `KEY memory` in MiB. */
  addCost(key: string, program: Program, cost: Cost): void {
    this.add(`${key} wall`, program, cost.wallS);
    this.add(`${key} cpu`, program, cost.cpuS);
    this.add(`${key} memory`, program, cost.peakMemoryBytes / MIB);
  }

  median(key: string, program: Program): number {
    return median(this.#of(key)[program]);
  }

  /** Ours divided by stock's. */
  ratio(key: string): number {
    return median(this.#ratios(key));
  }

  /** The table as Markdown, and a text for each row that misses its target. */
  table(rows: readonly Row[], stockName: string): { readonly text: string; readonly missed: readonly string[] } {
    const lines = [
      `| measure | ${stockName} | pgbackstop | ratio | lowest – highest | target |`,
      "| --- | ---: | ---: | ---: | ---: | ---: |",
    ];
    const missed: string[] = [];
    for (const { title, key, digits, ratioMax, oursMax } of rows) {
      const [stock, ours] = [this.median(key, "stock"), this.median(key, "ours")];
      const ratios = this.#ratios(key);
      const target = oursMax !== undefined ? `ours ≤ ${oursMax}` : ratioMax !== undefined ? `≤ ${ratioMax}` : "";
      const spread = `${Math.min(...ratios).toFixed(2)} – ${Math.max(...ratios).toFixed(2)}`;
      lines.push(
        `| ${title} | ${stock.toFixed(digits)} | ${ours.toFixed(digits)} | ${this.ratio(key).toFixed(2)} | ${spread} | ${target} |`,
      );
      if (oursMax !== undefined && ours > oursMax) missed.push(`${title} ${ours.toFixed(digits)} (${target})`);
      if (ratioMax !== undefined && this.ratio(key) > ratioMax)
        missed.push(`${title} ${this.ratio(key).toFixed(3)} (${target})`);
    }
    return { text: lines.join("\n"), missed };
  }

  #of(key: string): Readonly<Record<Program, readonly number[]>> {
    const values = this.#values.get(key);
    if (values === undefined || values.stock.length === 0 || values.stock.length !== values.ours.length)
      throw new Error(`no pairs of '${key}'`);
    return values;
  }

  #ratios(key: string): number[] {
    const { stock, ours } = this.#of(key);
    return stock.map((value, index) => (ours[index] ?? 0) / value);
  }
}
