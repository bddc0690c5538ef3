/** PostgreSQL's settings of a host in the server's own form: declared and actual values are compared as texts. Pure. */
import { slotOf } from "../../plan/model/hostDefaults";
import type { HostPlan } from "../../plan/model/plan";
import { archiveCommand } from "./commandLine";

/**
 * The server's units for times in seconds, largest first (PostgreSQL, utils/misc/guc.c "time_unit_conversion_table").
 */
const UNITS: readonly (readonly [name: string, seconds: number])[] = [
  ["d", 86400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

/** Name to value. Omits `archive_timeout` if the plan does not manage it, and on a standby, where it has no effect. */
export function postgresSettings(plan: HostPlan): Record<string, string> {
  const { archiveTimeoutSeconds, slotKeepGiB } = plan;
  const slot = slotOf(plan);
  const archiver: Record<string, string> =
    slot !== undefined
      ? { max_slot_wal_keep_size: slotKeepGiB % 1024 === 0 ? `${slotKeepGiB / 1024}TB` : `${slotKeepGiB}GB` }
      : { archive_mode: "on", archive_command: archiveCommand(plan) };
  return {
    ...archiver,
    ...(archiveTimeoutSeconds === undefined || slot === "standby"
      ? {}
      : { archive_timeout: secondsSetting(archiveTimeoutSeconds) }),
  };
}

/** 300 is `5min`, 90 is `90s`, 0 is `0`. */
export function secondsSetting(seconds: number): string {
  if (seconds === 0) return "0";
  const [name, size] = UNITS.find((unit) => seconds % unit[1] === 0) ?? ["s", 1];
  return `${seconds / size}${name}`;
}
