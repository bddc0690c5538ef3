/** The options of `pgbackstop-migration`, and its help text. */
import { parseArgs } from "node:util";
import { fail } from "../../../runtime/base/errors";
import { LogLevel } from "../../../runtime/base/log";

/** Steps in the order of a migration. */
export const MIGRATE_STEPS = ["plan", "copy", "verify", "finish", "release"] as const;
export type MigrateStep = (typeof MIGRATE_STEPS)[number];

const PROCESS_MAX = 999;

interface OptionHelp {
  readonly type: "boolean" | "string";
  readonly default?: boolean | string;
  readonly multiple?: true;
  readonly about: string;
}

const OPTIONS = {
  "from-server": { type: "string", about: "the old cluster: host=old.example.net user=postgres sslmode=verify-full" },
  "to-server": { type: "string", about: "the new cluster, in the same form; by default the server of this machine" },
  "from-password-file": { type: "string", about: "file with only the password for the old cluster" },
  "to-password-file": { type: "string", about: "file with only the password for the new cluster" },
  "pass-file": { type: "string", about: "password file in PostgreSQL's format (.pgpass), for both clusters" },
  "db-include": { type: "string", multiple: true, about: "database to move; by default all" },
  "db-exclude": { type: "string", multiple: true, about: "database that stays behind" },
  "keep-role": { type: "string", multiple: true, about: "role of the new cluster that is kept unchanged" },
  "role-passwords": { type: "boolean", default: true, about: "copy the hashes of passwords" },
  tablespaces: { type: "boolean", default: true, about: "keep the tablespaces of databases and tables" },
  disconnect: {
    type: "boolean",
    default: false,
    about: "end all client connections to the databases of the old cluster",
  },
  replace: {
    type: "boolean",
    default: false,
    about: "copy databases again that an earlier run has copied, and that differ now",
  },
  "source-stopped": {
    type: "boolean",
    default: false,
    about: "finish: the old cluster was shut down for good while it was read-only, and is not asked",
  },
  "process-max": { type: "string", default: "1", about: "databases to copy at a time" },
  "bin-path": { type: "string", about: "directory of pg_dump and psql, instead of the usual directories" },
  "backup-command": {
    type: "string",
    default: "pgbackstop",
    about: "command that finish runs with info and status, such as 'sudo pgbackstop --stanza=main'",
  },
  "backup-report": { type: "string", multiple: true, about: "instead, a file with the JSON of info or of status" },
  output: { type: "string", default: "text", about: "form of the report: text or json" },
  "log-level": { type: "string", default: "warn", about: `what is logged: ${Object.keys(LogLevel).join(", ")}` },
} as const satisfies Readonly<Record<string, OptionHelp>>;

export interface MigrateOptions {
  readonly step: MigrateStep;
  readonly fromServer: string | undefined;
  readonly toServer: string | undefined;
  readonly fromPasswordFile: string | undefined;
  readonly toPasswordFile: string | undefined;
  readonly passFile: string | undefined;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly keepRoles: readonly string[];
  readonly rolePasswords: boolean;
  readonly tablespaces: boolean;
  readonly disconnect: boolean;
  readonly replace: boolean;
  readonly sourceStopped: boolean;
  readonly processMax: number;
  readonly binPath: string | undefined;
  readonly backupCommand: string;
  readonly backupReports: readonly string[];
  readonly isJson: boolean;
  readonly logLevel: LogLevel;
}

/** @throws optionInvalid, optionInvalidValue, paramInvalid */
export function parseMigrate(args: readonly string[]): MigrateOptions {
  const { positionals, values } = parse(args);
  const [name = "", ...more] = positionals;
  const step = MIGRATE_STEPS.find((known) => known === name);
  if (step === undefined || more.length > 0)
    throw fail("paramInvalid", `pgbackstop-migration takes one step: ${MIGRATE_STEPS.join(", ")}`, {
      hint: "Start with: pgbackstop-migration plan",
    });
  const processMax = Number(values["process-max"]);
  if (!(Number.isInteger(processMax) && processMax >= 1 && processMax <= PROCESS_MAX))
    throw notAllowed("process-max", values["process-max"], `1 to ${PROCESS_MAX}`);
  const { output } = values;
  if (output !== "text" && output !== "json") throw notAllowed("output", output, "text, json");
  const logLevel = Object.keys(LogLevel).find((level): level is LogLevel => level === values["log-level"]);
  if (logLevel === undefined) throw notAllowed("log-level", values["log-level"], Object.keys(LogLevel).join(", "));
  return {
    step,
    fromServer: values["from-server"],
    toServer: values["to-server"],
    fromPasswordFile: values["from-password-file"],
    toPasswordFile: values["to-password-file"],
    passFile: values["pass-file"],
    include: values["db-include"] ?? [],
    exclude: values["db-exclude"] ?? [],
    keepRoles: values["keep-role"] ?? [],
    rolePasswords: values["role-passwords"],
    tablespaces: values.tablespaces,
    disconnect: values.disconnect,
    replace: values.replace,
    sourceStopped: values["source-stopped"],
    processMax,
    binPath: values["bin-path"],
    backupCommand: values["backup-command"],
    backupReports: values["backup-report"] ?? [],
    isJson: output === "json",
    logLevel,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, allowNegative: true });
  } catch (error) {
    // The rest of Node's text explains how to pass a parameter that begins with a dash.
    const [text = ""] = (error as Error).message.split(/\. |\n/);
    throw fail("optionInvalid", text, { hint: "pgbackstop-migration help lists the options." });
  }
}

function notAllowed(option: string, value: string, allowed: string): Error {
  return fail("optionInvalidValue", `'${value}' is not allowed for '${option}' option`, {
    hint: `Allowed: ${allowed}.`,
  });
}

export const migrateHelp = `pgbackstop-migration: moves databases and roles into a new PostgreSQL cluster

Usage:
    pgbackstop-migration [options] ${MIGRATE_STEPS.join("|")}

Options:
${helpLines().join("\n")}
`;

function helpLines(): string[] {
  const rows = Object.entries<OptionHelp>(OPTIONS).map(([name, option]): readonly [string, string] => {
    const isOn = option.default === true;
    const value = option.type === "boolean" ? "" : "=…";
    const fallback = typeof option.default === "string" ? ` [default=${option.default}]` : "";
    const notes = `${option.multiple === true ? "; repeat it for more" : ""}${fallback}`;
    return [`--${isOn ? "no-" : ""}${name}${value}`, `${isOn ? "do not " : ""}${option.about}${notes}`];
  });
  const width = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows.map(([name, about]) => `    ${name.padEnd(width)}${about}`);
}
