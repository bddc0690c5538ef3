/**
 * Settings that production needs while its files are served by us: lines at the end of postgresql.auto.conf, because
 * the last line of a name wins. They go when the directory becomes a plain one. Pure.
 */

import { type Settings, settingLines } from "../shared/settingsText";

/**
 * The kernel passes a sync of one file on to us, and no sync of a whole file system: recovery after a crash must sync
 * files one by one, or a later loss of power takes pages that were written before it. Prefetching would fetch pages
 * that a record is about to restore.
 */
export function productionSettings(pgVersion: string): Settings {
  const major = Number(pgVersion);
  return {
    fsync: "on",
    ...(major >= 14 ? { recovery_init_sync_method: "fsync" } : {}),
    ...(major >= 15 ? { recovery_prefetch: "off" } : {}),
  };
}

export function withSettings(text: string, settings: Settings): string {
  const head = text === "" || text.endsWith("\n") ? text : `${text}\n`;
  return `${head}${settingLines(settings).join("\n")}\n`;
}

/**
 * Without the lines that {@link withSettings} has added. ALTER SYSTEM keeps lines of other names, but no comments: so
 * the restored text tells which of equal lines is ours. A line that ALTER SYSTEM has changed stays.
 */
export function withoutSettings(text: string, settings: Settings, restored: string): string {
  const ours = new Set(settingLines(settings));
  const lines = text.split("\n");
  const countIn = (all: readonly string[], line: string): number => all.filter((each) => each === line).length;
  for (const line of ours)
    if (countIn(lines, line) > countIn(restored.split("\n"), line)) lines.splice(lines.lastIndexOf(line), 1);
  return lines.join("\n");
}
