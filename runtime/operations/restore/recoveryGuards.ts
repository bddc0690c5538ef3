/**
 * Settings that decide whether a recovery reaches its end: one list for `restore`, `recover`, its undo, `rollback`,
 * drills, opened backups and clusters. Pure.
 *
 * - WAL says which limits it was written with. With lower ones replay pauses ("recovery has paused") or the server ends
 *   (PostgreSQL "xlogrecovery.c", CheckRequiredParameterValues).
 * - Settings of a standby or of another recovery end replay early, delay it, or run programs.
 *
 * Lines in postgresql.auto.conf override them wherever the configuration is, because the last line of a name wins. The
 * configuration stays as its owner wrote it: at the end of the recovery, PostgreSQL runs a command that removes the
 * lines.
 */
import { LIMIT_NAMES, type RecoveryLimits } from "../../format/page/pgControl";
import {
  blockIn,
  removeBlockCommand,
  settingIn,
  settingLines,
  type Settings,
  settingsIn,
  withBlock,
  withoutBlock,
} from "../shared/settingsText";
import { RECOVERY_HEAD, type RestoreType } from "./recovery";

/** Values with which a setting of another recovery, or of a standby, has no effect on this one. */
export const NEUTRAL: Readonly<Record<string, string>> = {
  recovery_target: "",
  recovery_target_lsn: "",
  recovery_target_name: "",
  recovery_target_time: "",
  recovery_target_xid: "",
  recovery_target_action: "pause",
  recovery_target_inclusive: "true",
  recovery_target_timeline: "latest",
  recovery_min_apply_delay: "0",
  archive_cleanup_command: "",
  recovery_end_command: "",
};

/** PostgreSQL's defaults. */
const DEFAULT_LIMITS: RecoveryLimits = {
  max_connections: 100,
  max_worker_processes: 8,
  max_wal_senders: 10,
  max_prepared_transactions: 0,
  max_locks_per_transaction: 64,
};

interface Guarded {
  readonly type: RestoreType;
  /** Replay pauses at a target, which only a hot standby can. */
  readonly pauses: boolean;
  /** Names that the recovery itself sets. */
  readonly own: ReadonlySet<string>;
  /** Text of the server's configuration files, the last one counts; null if they are unknown. */
  readonly texts: readonly string[] | null;
  /** Limits in pg_control. */
  readonly limits: RecoveryLimits;
}

/** A standby keeps its delay and its commands, and names the primary in `primary_conninfo`. */
export function guardsOf({ limits, own, pauses, texts, type }: Guarded): Readonly<Record<string, string>> {
  if (type === "none") return {};
  const isWanted = ([name]: [string, string]): boolean => type !== "standby" || name.startsWith("recovery_target");
  const values = {
    ...Object.fromEntries(Object.entries(NEUTRAL).filter(isWanted)),
    ...(pauses ? { hot_standby: "on" } : {}),
  };
  const tooLow = LIMIT_NAMES.flatMap((name) => {
    const isLow = texts !== null && Number(settingIn(name, texts) ?? DEFAULT_LIMITS[name]) < limits[name];
    return isLow ? [[name, String(limits[name])] as const] : [];
  });
  const all = { ...values, ...Object.fromEntries(tooLow) };
  return Object.fromEntries(Object.entries(all).filter(([name]) => !own.has(name)));
}

const BLOCK = "settings of this recovery";
const END = "recovery_end_command";

/** PostgreSQL runs it in the data directory. A standby keeps the lines: it needs them as long as it is one. */
const END_COMMAND = removeBlockCommand(BLOCK, "postgresql.auto.conf");

/**
 * Text of postgresql.auto.conf with these lines. They come before the recovery's own, because PostgreSQL refuses even
 * an empty target after another one ("xlogrecovery.c", assign_recovery_target_name). Those of `lasting` stay after the
 * recovery.
 */
export function withGuards(text: string, guards: Settings, lasting: Settings = {}): string {
  if (Object.keys(guards).length === 0) return text;
  const begin = text.lastIndexOf(RECOVERY_HEAD);
  const at = begin === -1 ? text.length : begin;
  const end = END in guards ? { [END]: END_COMMAND } : {};
  const head = [text.slice(0, at), ...settingLines(lasting).map((line) => `${line}\n`)].join("");
  return withBlock(head, BLOCK, { ...guards, ...end }) + text.slice(at);
}

/** Guards with higher limits, for a recovery that has stopped for lower ones. */
export function withLimits(text: string, limits: Partial<RecoveryLimits>): string {
  const end = (settingIn(END, [text]) ?? "") === "" ? { [END]: END_COMMAND } : {};
  return withBlock(text, BLOCK, { ...settingsIn(blockIn(text, BLOCK)), ...limits, ...end });
}

export function withoutGuards(text: string): string {
  return withoutBlock(text, BLOCK);
}

/** Limits of `needed` that are higher than those of `given`. */
export function higherLimits(needed: RecoveryLimits, given: RecoveryLimits): Partial<RecoveryLimits> {
  return Object.fromEntries(LIMIT_NAMES.flatMap((name) => (needed[name] > given[name] ? [[name, needed[name]]] : [])));
}
