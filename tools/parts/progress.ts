/**
 * Progress on the terminal: one line for each step with its seconds, a bar for work of known size.
 *
 * On a terminal the current line is redrawn in place. Elsewhere each step prints one line at its end and one every
 * thirty seconds before, so that logs stay readable.
 */
export interface ProgressBar {
  update(done: number, total?: number): void;
}

export interface Progress {
  /**
   * Runs `work` as one step: its text while it runs, its seconds at the end; `note` changes the text after the title.
   */
  step<T>(title: string, work: (note: (text: string) => void) => Promise<T>): Promise<T>;
  /** A step of known size in bytes: bar, rate and time to go. */
  bar<T>(title: string, totalBytes: number, work: (bar: ProgressBar) => Promise<T>): Promise<T>;
  /** A plain line. */
  line(text: string): void;
  /** A loud line about something that cannot run and how to get it. */
  loud(text: string): void;
}

interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Progress on `output` (default stdout). */
export function createProgress(output: Output = process.stdout): Progress {
  const painter = createPainter(output);
  const step = async <T>(
    title: string,
    work: (bar: ProgressBar, note: (text: string) => void) => Promise<T>,
    totalBytes?: number,
  ): Promise<T> => {
    const startedAtMs = performance.now();
    const state = { done: 0, total: totalBytes ?? 0, note: "" };
    const text = (): string => {
      const elapsedS = (performance.now() - startedAtMs) / 1000;
      const extra = totalBytes === undefined ? state.note : barText(state.done, state.total, elapsedS);
      return `  … ${title}${extra === "" ? "" : `  ${extra}`}  ${elapsedS.toFixed(0)} s`;
    };
    const timer = setInterval(() => painter.draw(text()), painter.isTerminal ? 200 : 30_000);
    timer.unref();
    if (painter.isTerminal) painter.draw(text());
    const end = (mark: string): void => {
      clearInterval(timer);
      const elapsedS = (performance.now() - startedAtMs) / 1000;
      const size =
        totalBytes === undefined || state.done === 0
          ? ""
          : `  ${formatBytes(state.done)}, ${formatBytes(state.done / Math.max(elapsedS, 0.001))}/s`;
      painter.line(`  ${mark} ${title}${state.note === "" ? "" : `  ${state.note}`}${size}  ${elapsedS.toFixed(1)} s`);
    };
    const bar: ProgressBar = {
      update: (done, total) => {
        state.done = done;
        if (total !== undefined) state.total = total;
      },
    };
    try {
      const result = await work(bar, (note) => {
        state.note = note;
      });
      end("✓");
      return result;
    } catch (error) {
      end("✗");
      throw error;
    }
  };
  return {
    step: (title, work) => step(title, (_bar, note) => work(note)),
    bar: (title, totalBytes, work) => step(title, (bar) => work(bar), totalBytes),
    line: (text) => painter.line(text),
    loud: (text) => painter.line(`  !! ${text}`),
  };
}

/** `1.4 GiB`, `12.0 KiB`, `900 B`. */
export function formatBytes(sizeBytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(Math.max(sizeBytes, 1)) / 10)));
  return `${(sizeBytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** A table with aligned columns; `right` names those aligned to the right. */
export function formatTable(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, column) => (widths[column] = Math.max(widths[column] ?? 0, cell.length)));
  const pad = (cell: string, column: number): string =>
    right.includes(column) ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0);
  return rows.map((row) => `  ${row.map(pad).join("  ").trimEnd()}`).join("\n");
}

function barText(done: number, total: number, elapsedS: number): string {
  const share = total > 0 ? Math.min(1, done / total) : 0;
  const filled = Math.round(share * 24);
  const rate = done / Math.max(elapsedS, 0.001);
  const leftS = rate > 0 && total > done ? (total - done) / rate : 0;
  const eta = leftS > 0 ? `  ${leftS.toFixed(0)} s left` : "";
  return `[${"█".repeat(filled)}${"░".repeat(24 - filled)}] ${formatBytes(done)} of ${formatBytes(total)}  ${formatBytes(rate)}/s${eta}`;
}

interface Painter {
  readonly isTerminal: boolean;
  draw(text: string): void;
  line(text: string): void;
}

function createPainter(output: Output): Painter {
  const isTerminal = output.isTTY === true;
  let drawn = false;
  return {
    isTerminal,
    draw: (text) => {
      if (!isTerminal) return void output.write(`${text}\n`);
      output.write(`\r\u001b[2K${text.slice(0, (output.columns ?? 80) - 1)}`);
      drawn = true;
    },
    line: (text) => {
      output.write(drawn ? `\r\u001b[2K${text}\n` : `${text}\n`);
      drawn = false;
    },
  };
}
