/**
 * docs/reference/options.md, from the option table: what each option of pgBackRest does here, or why it does nothing. A
 * row that is not acted on needs a reason below.
 */
import { OPTIONS, type OptionRow } from "../../runtime/config/options";
import { COMMANDS, type CommandName } from "../../runtime/config/commands";
import { document, table } from "./markdown";

/** Why options do nothing or are refused, by prefix of their names; the first match counts. */
const REASONS: readonly (readonly [prefix: string, reason: string])[] = [
  ["archive-missing-retry", "a segment is called missing only after every repository has answered that it is"],
  ["beta", "there are no features behind it"],
  ["cmd-ssh", "no connection to another host is opened: each host runs the program itself"],
  ["compress-level-network", "nothing is compressed for a connection between hosts"],
  [
    "job-retry",
    "each request retries by itself within io-timeout, and a damaged copy is replaced by another repository's",
  ],
  ["log-subprocess", "workers are threads; they write into the one log"],
  ["pg-host", "the command runs on the cluster's host; a configured host other than this one fails"],
  ["pg-version-force", "the version is read from pg_control; forks that tell another one are not supported"],
  ["repo-block", "not acted on: files are written whole; block incremental backups of stock are read"],
  [
    "repo-host",
    "the command runs where the repository can be reached as a directory or bucket; a configured host fails",
  ],
  ["repo-s3-requester-pays", "requests are made as the bucket's owner makes them"],
  ["repo-s3-service", "requests are signed for the service s3"],
  ["repo-s3-role", "only with repo-s3-key-type=auto"],
  ["repo-s3-process-cmd", "only with repo-s3-key-type=process"],
  ["repo-s3-sts-host", "only with repo-s3-key-type=web-id"],
  ["repo-sftp-public-key-file", "the public half is in the private key"],
  ["repo-storage-prefetch", "reads are streams that run ahead by themselves"],
  ["repo-storage-read-over", "short gaps are read over by a fixed limit"],
  ["repo-storage-tag", "objects are written without tags"],
  ["report", "stock's check prints the report; support tickets of this program do not need one"],
  ["pg", "the first cluster of the stanza is used"],
  ["sck-", "connections are kept alive as Node.js does it"],
  ["stop-auto", "without effect since PostgreSQL 9.6"],
  ["tcp-keep-alive-", "connections are kept alive as Node.js does it"],
  ["tls-cipher-", "the ciphers of Node.js are used; they can be set with its own --tls-cipher-list"],
  ["tls-server-", "there is no server: each host runs the program itself"],
];

/** Options that a stock command takes and ours does not: command, prefix of names, reason. */
export const NOT_TAKEN: readonly (readonly [command: string, prefix: string, reason: string])[] = [
  ["manifest", "pg-host", "only the repository is read, here; in a configuration file the option is passed over"],
];

/** Null if no reason is listed. */
export function findReason(row: OptionRow): string | null {
  const reason = REASONS.find(
    ([prefix]) => row.name === prefix || (prefix.length > 2 && row.name.startsWith(prefix)),
  )?.[1];
  return reason ?? row.refused ?? null;
}

export function renderOptions(): string {
  const acted = OPTIONS.filter((row) => row.acted && row.own !== true);
  const own = OPTIONS.filter((row) => row.own === true);
  const refused = OPTIONS.filter((row) => !row.acted && row.refused !== undefined);
  const without = OPTIONS.filter((row) => !row.acted && row.refused === undefined);
  const refusedValues = OPTIONS.flatMap((row) =>
    Object.entries(row.refusedValues ?? {}).map(([value, reason]) => [`\`${row.name}=${value}\``, reason]),
  );
  return document(
    "# Options",
    "",
    "Every option of pgBackRest 2.60's reference, and what it does here. `help COMMAND` and `help COMMAND OPTION` print more.",
    "You can share a configuration file with pgBackRest: options without effect are read and checked all the same.",
    "`npm run docs` makes this page from the option table, `runtime/config/options.ts`.",
    "",
    "## Acted on",
    "",
    actedTable(acted),
    "",
    "## Not pgBackRest's",
    "",
    "Options of this program alone. pgBackRest refuses them or warns about them, so they belong on the command line.",
    "",
    actedTable(own),
    "",
    "## Read and without effect",
    "",
    table(
      ["option", "why"],
      without.map((row) => [`\`${nameOf(row)}\``, findReason(row) ?? ""]),
    ),
    "",
    "## Refused",
    "",
    "Ignoring these would be dangerous: a command that they concern fails with 67 when they are set.",
    "",
    table(
      ["option", "what to do instead"],
      [...refused.map((row) => [`\`${nameOf(row)}\``, row.refused ?? ""]), ...refusedValues],
    ),
    "",
    "## Not taken by a command",
    "",
    "Every other option that pgBackRest 2.60's `help COMMAND` shows is taken by the same command here; a test asks both.",
    "",
    table(
      ["command", "option", "why"],
      NOT_TAKEN.map(([command, prefix, reason]) => [`\`${command}\``, `\`${prefix.replace("-", "N-")}…\``, reason]),
    ),
  );
}

function actedTable(rows: readonly OptionRow[]): string {
  return table(
    ["option", "default", "commands", "what it sets"],
    rows.map((row) => [`\`${nameOf(row)}\``, defaultsOf(row), commandsOf(row), row.doc]),
  );
}

/** Defaults of one command, or of all that differ. */
export function defaultsOf(row: OptionRow, command?: CommandName): string {
  const rules = command === undefined ? Object.values(row.forCommand ?? {}) : [row.forCommand?.[command] ?? {}];
  const own = rules.flatMap((rule) => rule.default ?? []);
  const all =
    command !== undefined && own.length > 0 ? own : [...(row.default === undefined ? [] : [row.default]), ...own];
  return [...new Set(all)].map((value) => `\`${value}\``).join(", ");
}

/** With a placeholder for the index in options of repositories and clusters. */
export function nameOf(row: OptionRow): string {
  return row.group === undefined ? row.name : row.name.replace(new RegExp(`^${row.group}-`), `${row.group}N-`);
}

function commandsOf(row: OptionRow): string {
  const working = COMMANDS.filter((command) => command !== "help" && command !== "version");
  const missing = working.filter((command) => !row.commands.includes(command));
  if (missing.length === 0) return "all";
  return missing.length <= 4
    ? `all but ${missing.join(", ")}`
    : COMMANDS.filter((command) => row.commands.includes(command)).join(", ");
}
