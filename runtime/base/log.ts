/**
 * Log lines in stock's format, so that existing parsers keep working, or one JSON object a line.
 *
 * Text: `2026-11-20 06:40:59.123 P00 INFO: text`. An error carries its code, `ERROR: [055]: text`. Each hint follows on
 * its own line, indented to the end of the level (pgBackRest 2.60 "common/log"); the last one points into the
 * troubleshooting guide. JSON: `{time, process, level, code?, kind?, repo?, text, hints?, troubleshooting?}`.
 */
import { shownText } from "./bytes";
import { type Clock, formatLocalTime } from "./clock";
import { type BackupError, stockErrorName } from "./errors";
import { printable } from "./printable";
import { hintLines, troubleshootingAnchor } from "./troubleshooting";

export const LogLevel = { off: 0, error: 1, warn: 2, info: 3, detail: 4, debug: 5, trace: 6 } as const;
export type LogLevel = keyof typeof LogLevel;

export interface Log {
  error(error: BackupError): void;
  warn(text: string): void;
  info(text: string): void;
  /** A function is called only if a sink takes the level: there may be a line for each of 100,000 files. */
  detail(text: string | (() => string)): void;
  debug(text: string): void;
  trace(text: string): void;
}

export interface LogSink {
  readonly level: LogLevel;
  readonly format: "text" | "json";
  /** False omits time and process, as stock does on stderr. */
  readonly timestamp: boolean;
  /** Receives complete lines with their line end. */
  write(text: string): void;
}

/** Writes each message to every sink that takes its level. `processNo` is 0 for the main process, 1… for workers. */
export function createLog(clock: Clock, sinks: readonly LogSink[], processNo = 0): Log {
  const emit = (level: Exclude<LogLevel, "off">, given: string | (() => string), error?: BackupError): void => {
    const listening = sinks.filter((sink) => LogLevel[sink.level] >= LogLevel[level]);
    if (listening.length === 0) return;
    const timeMs = clock.nowMs();
    const text = typeof given === "string" ? given : given();
    for (const sink of listening) {
      const line =
        sink.format === "json"
          ? jsonLine(timeMs, processNo, level, text, error)
          : shownText(textLine(timeMs, processNo, level, text, error, sink));
      sink.write(printable(line));
    }
  };
  return {
    error: (error) => emit("error", error.message, error),
    warn: (text) => emit("warn", text),
    info: (text) => emit("info", text),
    detail: (text) => emit("detail", text),
    debug: (text) => emit("debug", text),
    trace: (text) => emit("trace", text),
  };
}

/** Discards everything. */
export const silentLog: Log = { error() {}, warn() {}, info() {}, detail() {}, debug() {}, trace() {} };

function textLine(
  timeMs: number,
  processNo: number,
  level: LogLevel,
  text: string,
  error: BackupError | undefined,
  sink: LogSink,
): string {
  const label = error?.kind === "assert" ? "ASSERT" : level.toUpperCase();
  const head = sink.timestamp
    ? `${formatLocalTime(timeMs)} P${String(processNo).padStart(2, "0")} ${label.padStart(6)}: `
    : `${label}: `;
  const code = error === undefined ? "" : `[${String(error.exitCode).padStart(3, "0")}]: `;
  const lines = [...text.split("\n"), ...(error === undefined ? [] : hintLines(error))];
  const indent = " ".repeat(head.length);
  return `${head}${code}${lines.map((line, lineNo) => (lineNo === 0 ? line : indent + line)).join("\n")}\n`;
}

function jsonLine(
  timeMs: number,
  processNo: number,
  level: LogLevel,
  text: string,
  error: BackupError | undefined,
): string {
  const record: Record<string, unknown> = { time: new Date(timeMs).toISOString(), process: processNo, level, text };
  if (error !== undefined) {
    record.code = error.exitCode;
    record.kind = stockErrorName(error.kind);
    if (error.repoIndex !== undefined) record.repo = error.repoIndex;
    if (error.hints.length > 0) record.hints = error.hints;
    const anchor = troubleshootingAnchor(error);
    if (anchor !== null) record.troubleshooting = anchor;
  }
  return `${JSON.stringify(record)}\n`;
}
