/**
 * Options of pgBackRest that users pass on: known ones, at their level, with values in range, and none that an argument
 * decides. Pure.
 */
import { SERVED } from "../../../runtime/config/files";
import { findOption, optionName, similarNames } from "../../../runtime/config/optionName";
import type { OptionRow } from "../../../runtime/config/options";
import { renderConf } from "../../../runtime/config/render";
import { engineOf } from "../engines/engines";
import { type Finding, finding } from "../findings/findings";
import type { ClusterDatabasePlan, DatabasePlan, HostPlan } from "../model/plan";
import { abstaining, eachOf } from "../findings/abstain";
import { commandOf, nameOf, optionValue } from "../model/confOptions";
import type { RepositoryPlan } from "../repositories/repositoryTypes";

/** Options of a database that arguments decide; empty for one that nothing may change. */
const OF_DATABASE: Readonly<Record<string, string>> = {
  "compress-level": "compress of each repository",
  "compress-type": "compress of each repository",
  compress: "compress of each repository",
  "lock-path": "directories.lock",
  "log-path": "directories.log",
  "pg-path": "dataDirectory",
  "pg-port": "port",
  "pg-socket-path": "socketDirectory",
  "pg-user": "databaseUser",
  "spool-path": "directories.spool",
  "start-fast": "",
};
/** The same for a repository, without `repo-`. */
const OF_REPOSITORY: Readonly<Record<string, string>> = {
  "azure-account": "account of the repository component",
  "azure-container": "container of the repository component",
  "azure-endpoint": "endpoint of the repository component",
  "azure-key-type": "credentials of the repository component",
  "azure-uri-style": "uriStyle of the repository component",
  block: "blockIncremental",
  bundle: "bundle",
  "gcs-bucket": "bucket of the repository component",
  "gcs-endpoint": "endpoint of the repository component",
  "gcs-key-type": "credentials of the repository component",
  "gcs-user-project": "userProject of the repository component",
  "cipher-type": "cipher of the repository component",
  path: "path of the repository component",
  "retention-diff": "keepDiffCount",
  "retention-full": "keepFullCount or keepDays",
  "retention-full-type": "keepFullCount or keepDays",
  "s3-bucket": "bucket of the repository component",
  "s3-endpoint": "endpoint of the repository component",
  "s3-key-type": "keyType of the repository component",
  "s3-region": "region of the repository component",
  "s3-uri-style": "uriStyle of the repository component",
  "sftp-host": "host of the repository component",
  "sftp-host-fingerprint": "hostKey of the repository component",
  "sftp-host-key-check-type": "hostKey of the repository component",
  "sftp-host-key-hash-type": "hostKey of the repository component",
  "sftp-host-port": "port of the repository component",
  "sftp-host-user": "user of the repository component",
  "sftp-private-key-file": "privateKey of the repository component, or secretFiles",
  "storage-ca-file": "caFile of the repository component",
  "storage-host": "endpoint of the repository component",
  "storage-port": "port of the repository component",
  "storage-upload-chunk-size": "",
  type: "at",
};
const REPOSITORY_PREFIX = "repo-";

export function checkOptions(plan: HostPlan | ClusterDatabasePlan): Finding[] {
  const engine = engineOf(plan.engine);
  const all = [
    ...Object.keys(plan.options).map((key) => `options.${key}`),
    ...plan.repositories.flatMap(({ name, options }) =>
      Object.keys(options).map((key) => `repositories.${name}.options.${key}`),
    ),
  ];
  if (!engine.own && !engine.stock) {
    const fact = `${engine.title} does not use pgBackRest`;
    return all.map((path) => wrong(path, fact, 'leave it out, or use engine "runtime" or "pgbackrest"'));
  }
  return abstaining(
    () => eachOf(Object.keys(plan.options), (key) => checkDatabaseOption(plan, key)),
    () =>
      eachOf(plan.repositories, (repository) =>
        checkRepositoryOptions(plan, repository, `repositories.${repository.name}`),
      ),
  );
}

/** @param at path of the repository's argument */
export function checkRepositoryOptions(plan: DatabasePlan, repository: RepositoryPlan, at: string): Finding[] {
  return eachOf(Object.keys(repository.options), (key) => checkRepositoryOption(plan, repository, key, at));
}

function checkDatabaseOption(plan: HostPlan | ClusterDatabasePlan, key: string): Finding[] {
  const path = `options.${key}`;
  const name = nameOf(key);
  const command = commandOf(key);
  const row = find(name, path);
  if (Array.isArray(row)) return row;
  if (row.group === "repo") {
    const own = `repositories.repoN.options: { "${row.name.slice(REPOSITORY_PREFIX.length)}": … }`;
    return [wrong(path, `${name} belongs to one repository`, `write ${own}`)];
  }
  const argument = ownedBy(plan, row, command);
  if (argument !== null) return [decided(path, name, argument)];
  if (plan.kind === "cnpg" && engineOf(plan.engine).stock && (command !== null || row.group === "pg")) {
    const fact = "Dalibo's plugin takes options as variables, which apply to every command and to no server";
    return [wrong(path, fact, 'leave it out, or use engine "runtime"')];
  }
  if (command !== null && row.commands.length > 0 && !row.commands.some((each) => each === command)) {
    return [wrong(path, `${command} does not take ${name}`, `use one of ${row.commands.join(", ")}, or no command`)];
  }
  return abstaining(
    () => checkRow(row, path, name),
    () => checkValue(row, name, plan.options[key], path),
    () => checkEffect(plan, row, path, name),
    () => checkQueue(plan, row, key, path),
    () => checkServed(plan, command, path, name),
  );
}

function checkQueue({ engine, options }: DatabasePlan, row: OptionRow, key: string, path: string): Finding[] {
  if (row.name !== "archive-push-queue-max") return [];
  const whose = engineOf(engine).own ? "that no repository accepts" : "for all repositories, even if only one is down,";
  const fact = `beyond ${options[key] ?? ""}, WAL ${whose} is dropped: no point in time between the last segment and the next backup can be restored`;
  return [finding("PB079", path, fact, "leave it out and watch the disk")];
}

function checkCertificate({ options }: RepositoryPlan, row: OptionRow, key: string, path: string): Finding[] {
  if (row.name !== "repo-storage-verify-tls" || options[key] !== "n") return [];
  const fact = "nothing checks the certificate: anyone between can read and change the backups";
  return [
    finding("PB088", path, fact, "leave it out; caFile of the repository component names an authority of your own"),
  ];
}

function checkRepositoryOption(plan: DatabasePlan, given: RepositoryPlan, key: string, at: string): Finding[] {
  const { name: repository } = given;
  const path = `${at}.options.${key}`;
  if (key.includes(":")) {
    const fact = "an option of a repository applies to every command";
    return [wrong(path, fact, `write "${nameOf(key)}"`)];
  }
  const written = /^repo\d*-(.+)$/.exec(key)?.[1];
  if (written !== undefined) return [wrong(path, "the repository's number is added here", `write "${written}"`)];
  const own = `${repository}-${key}`;
  if (similarRow(own) === null && similarRow(key) !== null) {
    const fact = `${key} belongs to the database, not to one of its repositories`;
    return [wrong(path, fact, `write options: { "${key}": … } beside repositories`)];
  }
  const row = find(own, path);
  if (Array.isArray(row)) return row;
  const argument = OF_REPOSITORY[key];
  if (argument !== undefined) return [decided(path, key, argument)];
  const types = row.depend?.option === "repo-type" ? row.depend.values : undefined;
  if (types !== undefined && given.kind !== "unknown" && !types.includes(given.kind)) {
    const fact = `${key} is for repositories of type ${types.join(", ")}, and ${repository} is of type ${given.kind}`;
    return [wrong(path, fact, "leave it out")];
  }
  return abstaining(
    () => checkRow(row, path, key),
    () => checkValue(row, own, given.options[key], path),
    () => checkEffect(plan, row, path, key),
    () => checkCertificate(given, row, key, path),
  );
}

function similarRow(name: string): OptionRow | null {
  try {
    return findOption(name)?.row ?? null;
  } catch {
    return null;
  }
}

/** The row of a name as the file has it; findings for any other name. */
function find(name: string, path: string): OptionRow | Finding[] {
  const row = similarRow(name);
  if (row === null) {
    const similar = similarNames(name).join(" or ");
    const hint = similar === "" ? "see docs/reference/options.md" : `did you mean ${similar}?`;
    return [wrong(path, `pgBackRest has no option ${name}`, hint)];
  }
  const key = /^[a-z]+(\d+)-/.exec(name)?.[1];
  const current = optionName(row, key === undefined ? undefined : Number(key));
  if (current === name) return row;
  return [
    wrong(path, `${name} is another form of ${current}`, `write "${current}", with the value y or n for a switch`),
  ];
}

/** What is never passed on. */
function checkRow(row: OptionRow, path: string, name: string): Finding[] {
  if (row.secret === true) {
    const fact = `${name} is a secret, and options are stored in readable files`;
    return [wrong(path, fact, "give it to the repository component (credentials, cipher), or use secretFiles")];
  }
  if (row.section === "command-line") {
    return [wrong(path, `${name} is an option of a command line`, "leave it out: it is not read from a file")];
  }
  return [];
}

function checkValue(row: OptionRow, name: string, value: string | undefined, path: string): Finding[] {
  if (row.secret === true || row.section === "command-line") return [];
  if (typeof value !== "string")
    return [wrong(path, "the value is not a text", 'write for instance "4", "y" or "30s"')];
  try {
    renderConf([
      { name: row.section === "stanza" ? "main" : "global", options: [{ name, value: optionValue(row, value) }] },
    ]);
    return [];
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    const hint = row.type === "boolean" ? 'write "y" or "n"' : `see ${name} in docs/reference/options.md`;
    return [wrong(path, error.message, hint)];
  }
}

/** The runtime fails on some options of stock, and has no use for others. */
function checkEffect({ engine }: DatabasePlan, row: OptionRow, path: string, name: string): Finding[] {
  if (!engineOf(engine).own || row.acted || row.secret === true || row.section === "command-line") return [];
  if (row.refused !== undefined) return [wrong(path, `the runtime does not support ${name}`, row.refused)];
  return [finding("PB171", path, `the runtime has no use for ${name}: only stock pgBackRest reads it`, "leave it out")];
}

/** PostgreSQL's commands are served: by the agent of a host, or the sidecar of a cluster. */
function checkServed(
  plan: HostPlan | ClusterDatabasePlan,
  command: string | null,
  path: string,
  name: string,
): Finding[] {
  if (!engineOf(plan.engine).own || (plan.kind === "host" && !plan.agent)) return [];
  if (!SERVED.some((served) => served === command)) return [];
  const [server, title] = plan.kind === "host" ? ["agent", "the agent"] : ["cnpg-instance", "the sidecar"];
  const fact = `${title} serves ${command ?? ""}, and reads no options of that command`;
  return [finding("PB171", path, fact, `write "${server}:${name}"`)];
}

/** The argument that decides an option; null if none does. */
function ownedBy(plan: HostPlan | ClusterDatabasePlan, row: OptionRow, command: string | null): string | null {
  if (row.name === "process-max") return command === null ? "processMax" : null;
  // A unit's process has no right to less than the unit's own.
  if (row.name === "priority" && plan.kind === "host" && (command === null || command === "backup"))
    return "backupPriority";
  // PostgreSQL asks the agent for WAL, which has the keys.
  if (row.name === "recovery-option") return plan.kind === "host" && plan.agent ? "" : null;
  return OF_DATABASE[row.name] ?? null;
}

function decided(path: string, name: string, argument: string): Finding {
  if (argument === "") return wrong(path, `this package sets ${name} itself, and depends on its value`, "leave it out");
  return wrong(path, `${name} is decided by ${argument}`, `set ${argument}`);
}

function wrong(path: string, fact: string, hint: string): Finding {
  return finding("PB170", path, fact, hint);
}
