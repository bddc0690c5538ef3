/** Checks the arguments of a migration: each error as a fact, the rule that it breaks and the remedy. Pure. */
import { ARGUMENT_RANGES } from "../arguments/argumentTypes";
import { isInRange } from "../arguments/ranges";
import { rangeText } from "../../../runtime/base/declaredTypes";
import { WORKLOAD_KINDS } from "../../../runtime/cnpg/names";
import { type MigrationFinding, type MigrationSettings, runnerOf, STAGES, type ServerSettings } from "./migrationSteps";

const SSL_MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"];
/** Passed to `systemctl`, so no options or patterns. */
const UNIT = /^[A-Za-z0-9@_:.\\][A-Za-z0-9@_:.\\-]*$/;
/** PostgreSQL allows any name, but a line break would end an option. */
const LINE_END = /[\0\r\n]/;

const OBJECT_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
/** Names of Jobs allow 63; the longest role takes 21. */
const OBJECT_NAME_LENGTH_MAX = 40;

type Report = (path: string, fact: string, rule: string, remedy: string) => void;

export function checkMigration(settings: MigrationSettings): MigrationFinding[] {
  const findings: MigrationFinding[] = [];
  const report: Report = (path, fact, rule, remedy) => void findings.push({ path, fact, rule, remedy });
  if (!STAGES.some((stage) => stage === settings.until))
    report("until", `"${settings.until}" is not a stage`, `stages are ${STAGES.join(", ")}`, "start with plan");
  checkServer("source", settings.source, settings, report);
  checkServer("target", settings.target, settings, report);
  if (runnerOf(settings) === null)
    report(
      "target",
      "both source and target are only reachable over the network",
      "pgbackstop migrate runs on a host or in a cluster's namespace",
      "give the access of a host or of a cluster as one of them",
    );
  checkName(settings, report);
  checkApplications(settings, report);
  checkRetire(settings, report);
  checkValues(settings, report);
  return findings;
}

function checkServer(
  side: "source" | "target",
  server: ServerSettings,
  settings: MigrationSettings,
  report: Report,
): void {
  checkRoute(side, server, settings, report);
  checkParameters(side, server, report);
}

/** How the migration's machine or namespace reaches this server. */
function checkRoute(
  side: "source" | "target",
  server: ServerSettings,
  settings: MigrationSettings,
  report: Report,
): void {
  const runner = runnerOf(settings);
  const runnerKind = runner === null ? null : settings[runner].kind;
  if (server.kind === "host" && runner === side && !server.hasRuntime)
    report(
      `${side}.host`,
      "the engine of the host is stock pgBackRest",
      "stock has no verb migrate",
      "run the migration from the other side",
    );
  const isFar = server.kind === "server" || (runner !== side && (server.kind === "host" || runnerKind === "host"));
  if (runnerKind === "host" && server.isInSecret)
    report(
      `${side}.passwordSecret`,
      "the migration runs on a host",
      "only a Job can read Kubernetes Secrets",
      "give password and ca as values",
    );
  if (server.lacksSuperuser === true)
    report(
      `${side}.cluster`,
      "the cluster has no superuser Secret",
      "a migration signs in as superuser",
      `set superuserAccess of the cluster, or give the password of a superuser in ${side}`,
    );
  if (server.isElsewhere && !server.hasPassword)
    report(
      `${side}.password`,
      "the cluster and the Jobs are in different namespaces",
      "a Job can read Secrets of its own namespace only",
      `give password and ca of the ${side} as values`,
    );
  if (server.address === undefined && isFar)
    report(
      `${side}.address`,
      `the ${side} has no address`,
      "the other side reaches it over the network",
      "give the name by which the other side reaches it",
    );
}

function checkParameters(side: "source" | "target", server: ServerSettings, report: Report): void {
  if (server.port !== undefined && !isInRange("MigrationServerArgs.port", server.port))
    report(
      `${side}.port`,
      `${server.port} is not a port`,
      `ports are ${rangeText(ARGUMENT_RANGES["MigrationServerArgs.port"])}`,
      "leave it out for 5432",
    );
  if (server.sslMode !== undefined && !SSL_MODES.includes(server.sslMode))
    report(
      `${side}.sslMode`,
      `"${server.sslMode}" is not one of libpq's modes`,
      `modes are ${SSL_MODES.join(", ")}`,
      "leave it out for the default",
    );
  if (server.sslMode?.startsWith("verify") === true && !server.hasCa)
    report(
      `${side}.ca`,
      `${server.sslMode} without a CA certificate`,
      "verifying a name needs a CA",
      "give ca or caSecret",
    );
  for (const name of ["address", "user", "database"] as const)
    if (server[name] !== undefined && (server[name] === "" || LINE_END.test(server[name])))
      report(
        `${side}.${name}`,
        "it is empty or has a line end",
        "it is a value inside an option",
        "write it in one line, or leave it out",
      );
}

function checkName({ hasNamespace, name }: MigrationSettings, report: Report): void {
  if (hasNamespace && !(OBJECT_NAME.test(name) && name.length <= OBJECT_NAME_LENGTH_MAX))
    report(
      "name",
      `"${name}" cannot start the names of Kubernetes objects`,
      `at most ${OBJECT_NAME_LENGTH_MAX} lower case letters, digits and hyphens`,
      "rename the component",
    );
}

function checkApplications(settings: MigrationSettings, report: Report): void {
  const { hasNamespace, secrets, units, workloads } = settings;
  if ((workloads.length > 0 || secrets.length > 0) && !hasNamespace)
    report(
      "namespace",
      "there is no namespace for the Jobs that change workloads and Secrets",
      "neither side is a cluster that provides one",
      "set namespace",
    );
  for (const [index, { kind, name }] of workloads.entries()) {
    if (!WORKLOAD_KINDS.some((known) => known === kind))
      report(
        `workloads[${index}].kind`,
        `a ${kind} can be neither scaled nor suspended`,
        `a workload is one of ${WORKLOAD_KINDS.join(", ")}`,
        "stop it before the update",
      );
    if (name === "") report(`workloads[${index}].name`, "it is empty", "a workload is named", "name it");
  }
  for (const path of repeated(workloads.map(({ kind, name, namespace }) => `${namespace ?? ""}/${kind}/${name}`)))
    report(
      "workloads",
      `${path.slice(1)} is listed twice`,
      "the migration remembers its replicas once",
      "name it once",
    );
  for (const [index, { keys }] of secrets.entries())
    if (keys.length === 0)
      report(
        `secrets[${index}].values`,
        "it is empty",
        "an entry lists the keys of a Secret that change",
        "give the keys with their new values",
      );
  for (const path of repeated(secrets.map(({ name, namespace }) => `${namespace ?? ""}/${name}`)))
    report(
      "secrets",
      `${path.replace(/^\//, "")} is listed twice`,
      "the migration remembers its old values once",
      "put all keys into one entry",
    );
  for (const [index, names] of units.entries()) {
    if (names.length === 0)
      report(`units[${index}].names`, "it is empty", "an entry lists the units of a host that stop", "name them");
    for (const unit of names)
      if (!UNIT.test(unit))
        report(
          `units[${index}].names`,
          `"${unit}" is not a unit name`,
          "patterns and options are not allowed",
          "write it in full: shop.service",
        );
  }
}

/** Only the last stage needs these. They are checked from the start: by then the applications have moved. */
function checkRetire(settings: MigrationSettings, report: Report): void {
  const { drill, drills, target, until } = settings;
  if (target.kind === "cluster" && drill !== undefined && !drills.includes(drill))
    report(
      "drill",
      `the target declares no drill '${drill}'`,
      "a drill runs as declared",
      `declared are: ${drills.join(", ") || "none"}`,
    );
  if (target.kind !== "cluster" && drill !== undefined)
    report("drill", "the target is not a cluster", "a drill of a host needs no declaration", "leave it out");
  if (until !== "retire") return;
  if (target.kind === "server")
    report(
      "until",
      "the target is only reachable over the network",
      "its repositories, which must hold a backup, are not known here",
      "stop at switch; back up, drill and run pgbackstop migrate finish where it runs",
    );
  if (target.isElsewhere)
    report(
      "namespace",
      "the Jobs are not in the target's namespace",
      "the drill and the check of its repositories need its Secrets",
      "leave namespace out",
    );
  if (target.kind === "cluster" && !target.hasRuntime)
    report(
      "until",
      "the engine of the target is not runtime",
      "the last stage checks backups and drills of this package",
      "stop at switch",
    );
  if (target.kind === "cluster" && target.hasRuntime && drill === undefined)
    report(
      "drill",
      "no drill is named",
      "the source may be removed only after a restore of the target's backup",
      "declare one on the target, and name it",
    );
}

function checkValues(settings: MigrationSettings, report: Report): void {
  const { binDirectory, databases, excludedDatabases, keepRoles, processMax } = settings;
  for (const [path, names] of Object.entries({ databases, excludedDatabases, keepRoles }))
    for (const name of names)
      if (name === "" || LINE_END.test(name))
        report(
          path,
          "a name is empty or has a line end",
          "each is a value inside an option",
          "write it as it is in the source",
        );
  for (const name of databases)
    if (excludedDatabases.includes(name))
      report(
        "excludedDatabases",
        `'${name}' is in databases too`,
        "a database is either copied or excluded",
        "name it in one of them",
      );
  if (!isInRange("MigrationArgs.processMax", processMax))
    report(
      "processMax",
      `${processMax} is not a number of databases`,
      `${rangeText(ARGUMENT_RANGES["MigrationArgs.processMax"])} are copied at a time`,
      "leave it out for 2",
    );
  if (binDirectory === undefined) return;
  const runner = runnerOf(settings);
  if (runner === null || settings[runner].kind !== "host")
    report("binDirectory", "the migration runs in a Job", "a Job uses the programs of its image", "set image instead");
  if (!binDirectory.startsWith("/") || LINE_END.test(binDirectory))
    report(
      "binDirectory",
      `"${binDirectory}" is not an absolute path`,
      "it is a directory of the host",
      "begin it with /, or leave it out",
    );
}

function repeated(names: readonly string[]): string[] {
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
}
