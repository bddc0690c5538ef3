/** Arguments of a host that a plan takes over unchanged or by default. Pure. */
import type { HostSettings } from "./databaseSettings";
import { DEFAULTS } from "./defaults";
import { fields } from "./deferred";

export const HOST_DEFAULTS = {
  port: DEFAULTS.port,
  user: DEFAULTS.user,
  pgbackrestPath: DEFAULTS.pgbackrestPath,
  processMax: DEFAULTS.processMax,
  archive: "command",
  slotKeepGiB: 16,
  restoreOnly: false,
  drillsOnly: false,
  allowRestart: false,
  restartCommand: [],
} as const satisfies Readonly<Partial<HostSettings>>;

export type HostDefaults = { readonly [Key in keyof typeof HOST_DEFAULTS]: Exclude<HostSettings[Key], undefined> };

export function withDefaults(settings: HostSettings): HostDefaults {
  const makers = Object.entries(HOST_DEFAULTS).map(([name, value]) => [
    name,
    () => settings[name as keyof HostDefaults] ?? value,
  ]);
  return fields(Object.fromEntries(makers));
}

/** How WAL leaves through a replication slot; undefined for `archive_command`, and for a value that a rule refuses. */
export function slotOf({ archive }: { readonly archive?: string }): "stream" | "standby" | undefined {
  return archive === "stream" || archive === "standby" ? archive : undefined;
}
