/** Progress of a long copy: a log line every two seconds, and a number on request. */
import type { Context } from "../../base/context";
import { formatSize } from "../../base/units";

const STEP_MS = 2000;

export class Progress {
  readonly #verb: string;
  readonly #totalBytes: number;
  readonly #report: (doneBytes: number, totalBytes: number) => void;
  readonly #ctx: Context;
  readonly #beganAtMs: number;
  #loggedAtMs: number;
  #doneBytes = 0;

  /**
   * The first parameter begins the lines: `copied`, `restored`. `report` is called at the start and with every line.
   */
  constructor(
    verb: string,
    totalBytes: number,
    ctx: Context,
    report: (doneBytes: number, totalBytes: number) => void = () => {},
  ) {
    this.#verb = verb;
    this.#totalBytes = totalBytes;
    this.#report = report;
    this.#ctx = ctx;
    this.#beganAtMs = ctx.clock.monotonicMs();
    this.#loggedAtMs = this.#beganAtMs;
    report(0, totalBytes);
  }

  add(sizeBytes: number): void {
    this.#doneBytes += sizeBytes;
    const nowMs = this.#ctx.clock.monotonicMs();
    if (nowMs - this.#loggedAtMs < STEP_MS) return;
    this.#loggedAtMs = nowMs;
    this.#report(this.#doneBytes, this.#totalBytes);
    const bytesPerSecond = Math.round((this.#doneBytes / (nowMs - this.#beganAtMs)) * 1000);
    this.#ctx.log.info(
      `${this.#verb} ${formatSize(this.#doneBytes)} of ${formatSize(this.#totalBytes)} (${this.percent()}%), ${formatSize(bytesPerSecond)}/s`,
    );
  }

  /** Percentage of the bytes so far, with two decimals; 100 without work. */
  percent(): string {
    return this.#totalBytes === 0 ? "100" : ((this.#doneBytes / this.#totalBytes) * 100).toFixed(2);
  }
}
