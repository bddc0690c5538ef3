/** How to stop and start the server of a data directory: as the settings file says, else as it was started. Pure. */
import { dirname } from "node:path";
import { fail } from "../../base/errors";
import type { HostFacts, ServerFacts } from "./hostFacts";

export interface ServerControl {
  /** The kind of control that the plan names: `systemctl`, `pg_ctl`. */
  readonly stop: readonly string[];
  readonly start: readonly string[];
  /** Must run as PostgreSQL's account. */
  readonly asAccount: boolean;
  /** The server, if it runs. Default: that of postmaster.pid. */
  readonly find?: () => Promise<ServerFacts | null>;
}

/** Commands from the settings file. */
export interface ServerCommands {
  readonly stop?: readonly string[];
  readonly start?: readonly string[];
}

/**
 * @throws pgRunning (38) under a manager that would restart the server; optionRequired (37) when the start command is
 * unknown
 */
export function serverControl(facts: HostFacts, commands: ServerCommands, logFile: string): ServerControl {
  const { stop, start } = commands;
  if (stop !== undefined && start !== undefined) return { stop, start, asAccount: false };
  const unit = facts.server?.unit ?? null;
  if (unit !== null && /patroni|repmgrd|pg_autoctl/.test(unit)) {
    throw fail(
      "pgRunning",
      `the server is managed by '${unit}', which would restart it or fail over during the recovery`,
      {
        hint: [
          "Recover a managed cluster through its manager: patronictl pause, then see docs/hosts/recover.md.",
          'Or set commands in the settings file that bypass the manager: "postgres":{"stop":["…"],"start":["…"]}.',
        ],
      },
    );
  }
  const known = facts.hasSystemd ? (unit ?? facts.units[0] ?? null) : null;
  if (known !== null)
    return { stop: ["systemctl", "stop", known], start: ["systemctl", "start", known], asAccount: false };
  if (facts.debianCluster !== null) return debianControl(facts.debianCluster);
  return pgControl(facts, logFile);
}

function debianControl({ major, name }: { readonly major: string; readonly name: string }): ServerControl {
  const command = (verb: string, ...more: string[]): string[] => [
    "pg_ctlcluster",
    "--skip-systemctl-redirect",
    major,
    name,
    verb,
    ...more,
  ];
  return { stop: command("stop", "-m", "fast"), start: command("start"), asAccount: false };
}

/** Longer than any recovery: pg_ctl ends earlier if the server does. */
const START_SECONDS = "604800";

function pgControl(facts: HostFacts, logFile: string): ServerControl {
  const [, program, options] = /^(\S+)\s*([^\n]*)/.exec(facts.startedWith ?? "") ?? [];
  if (program === undefined || !program.startsWith("/")) {
    throw fail(
      "optionRequired",
      `the commands that stop and start the server of '${facts.configuredDirectory}' are unknown`,
      {
        hint: 'Set them in the settings file: "postgres":{"stop":["systemctl","stop","postgresql"],"start":["systemctl","start","postgresql"]}.',
      },
    );
  }
  const tool = `${dirname(program)}/pg_ctl`;
  const directory = facts.configuredDirectory;
  // As pg_ctl does for a restart: the options are already quoted.
  const given = options === undefined || options === "" ? [] : ["-o", options];
  return {
    stop: [tool, "stop", "-D", directory, "-m", "fast", "-w", "-t", "3600"],
    start: [tool, "start", "-D", directory, "-l", logFile, "-w", "-t", START_SECONDS, ...given],
    asAccount: true,
  };
}
