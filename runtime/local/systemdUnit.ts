/**
 * systemd's facts about an ended unit: from the environment of a unit started by `OnFailure` (systemd 251 and later),
 * else from `systemctl show`.
 */
import { execFile } from "node:child_process";

export interface UnitFacts {
  /** `success`, `exit-code`, `timeout`, `signal`, `oom-kill` … */
  readonly result: string;
  /** Exit code or the name of a signal; empty when unknown. */
  readonly status: string;
  /** 32 hexadecimal digits; empty when unknown. */
  readonly invocationId: string;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const TIMEOUT_MS = 5000;
const UNIT_NAME = /^[A-Za-z0-9:_.\\@-]{1,255}$/;

/** The unit whose end has started this process; null in any other process. */
export function monitoredUnit(env: Environment): { readonly unit: string; readonly facts: UnitFacts } | null {
  const result = env["MONITOR_SERVICE_RESULT"];
  if (result === undefined || result === "") return null;
  const facts = { result, status: env["MONITOR_EXIT_STATUS"] ?? "", invocationId: env["MONITOR_INVOCATION_ID"] ?? "" };
  return { unit: env["MONITOR_UNIT"] ?? "", facts };
}

/** The unit of this process itself, in its ExecStartPre, ExecStartPost or ExecStopPost. */
export function ownUnit(env: Environment): UnitFacts | null {
  const invocationId = env["INVOCATION_ID"];
  if (invocationId === undefined) return null;
  return { result: env["SERVICE_RESULT"] ?? "success", status: env["EXIT_STATUS"] ?? "", invocationId };
}

/** Null without systemd, or without such a unit. */
export function showUnit(unit: string): Promise<UnitFacts | null> {
  if (!UNIT_NAME.test(unit)) return Promise.resolve(null);
  const args = ["show", "--property=LoadState,Result,ExecMainStatus,InvocationID", "--", unit];
  return new Promise((resolve) => {
    execFile("systemctl", args, { timeout: TIMEOUT_MS }, (error, stdout) =>
      resolve(error === null ? parseShown(stdout) : null),
    );
  });
}

/** `Result=exit-code` and the like, one per line. */
export function parseShown(text: string): UnitFacts | null {
  const fields = new Map(
    text.split("\n").map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)] as const),
  );
  if (fields.get("LoadState") !== "loaded") return null;
  return {
    result: fields.get("Result") ?? "",
    status: fields.get("ExecMainStatus") ?? "",
    invocationId: fields.get("InvocationID") ?? "",
  };
}
