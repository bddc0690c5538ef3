/** Checks the arguments of a migration: each error as a fact, the rule that it breaks and the remedy. Pure. */
import { attempt, isWithin, rangeText } from "pgbackstop/kit";
import { WORKLOAD_KINDS } from "../names";
import { ARGUMENT_RANGES } from "./argumentTypes";
import { type MigrationFinding, type MigrationSettings, runnerOf, STAGES, type ServerSettings } from "./migrationSteps";

const SSL_MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"];
/** Passed to `systemctl`, so no options or patterns. */
const UNIT = /^[A-Za-z0-9@_:.\\][A-Za-z0-9@_:.\\-]*$/;
/** PostgreSQL allows any name, but a line break would end an option. */
const LINE_END = /[\0\r\n]/;

const OBJECT_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
/** Names of Jobs allow 63; the longest role takes 21. */
const OBJECT_NAME_LENGTH_MAX = 40;

/** What is wrong, the rule and the remedy; null if nothing is. */
type Judged = readonly [fact: string, rule: string, remedy: string] | null;
type Report = (path: string, ...judges: readonly (() => Judged)[]) => void;

/** A rule that reads a deferred value says nothing; the check runs again when all values have arrived. */
export function checkMigration(settings: MigrationSettings): MigrationFinding[] {
  const findings: MigrationFinding[] = [];
  const report: Report = (path, ...judges) => {
    for (const judge of judges) {
      const said = attempt(judge);
      if (said === null || said instanceof Error) continue;
      const [fact, rule, remedy] = said;
      findings.push({ path, fact, rule, remedy });
    }
  };
  report("until", () =>
    !STAGES.some((stage) => stage === settings.until)
      ? [`"${settings.until}" is not a stage`, `stages are ${STAGES.join(", ")}`, "start with plan"]
      : null,
  );
  checkServer("source", settings.source, settings, report);
  checkServer("target", settings.target, settings, report);
  report("target", () =>
    runnerOf(settings) === null
      ? [
          "both source and target are only reachable over the network",
          "pgbackstop-migration runs on a host or in a cluster's namespace",
          "give the access of a host or of a cluster as one of them",
        ]
      : null,
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
  report(`${side}.host`, () =>
    server.kind === "host" && runner === side && !server.hasRuntime
      ? [
          "the engine of the host is stock pgBackRest",
          "a step needs the Node.js that engine runtime has",
          "run the migration from the other side",
        ]
      : null,
  );
  const isFar = server.kind === "server" || (runner !== side && (server.kind === "host" || runnerKind === "host"));
  report(`${side}.passwordSecret`, () =>
    runnerKind === "host" && server.isInSecret
      ? ["the migration runs on a host", "only a Job can read Kubernetes Secrets", "give password and ca as values"]
      : null,
  );
  report(`${side}.cluster`, () =>
    server.lacksSuperuser === true
      ? [
          "the cluster has no superuser Secret",
          "a migration signs in as superuser",
          `set spec.enableSuperuserAccess of the cluster, or give the password of a superuser in ${side}`,
        ]
      : null,
  );
  report(`${side}.password`, () =>
    server.isElsewhere && !server.hasPassword
      ? [
          "the cluster and the Jobs are in different namespaces",
          "a Job can read Secrets of its own namespace only",
          `give password and ca of the ${side} as values`,
        ]
      : null,
  );
  report(`${side}.address`, () =>
    server.address === undefined && isFar
      ? [
          `the ${side} has no address`,
          "the other side reaches it over the network",
          "give the name by which the other side reaches it",
        ]
      : null,
  );
}

function checkParameters(side: "source" | "target", server: ServerSettings, report: Report): void {
  report(`${side}.port`, () =>
    server.port !== undefined && !isInRange("MigrationServerArgs.port", server.port)
      ? [
          `${server.port} is not a port`,
          `ports are ${rangeText(ARGUMENT_RANGES["MigrationServerArgs.port"])}`,
          "leave it out for 5432",
        ]
      : null,
  );
  report(`${side}.sslMode`, () =>
    server.sslMode !== undefined && !SSL_MODES.includes(server.sslMode)
      ? [
          `"${server.sslMode}" is not one of libpq's modes`,
          `modes are ${SSL_MODES.join(", ")}`,
          "leave it out for the default",
        ]
      : null,
  );
  report(`${side}.ca`, () =>
    server.sslMode?.startsWith("verify") === true && !server.hasCa
      ? [`${server.sslMode} without a CA certificate`, "verifying a name needs a CA", "give ca or caSecret"]
      : null,
  );
  for (const name of ["address", "user", "database"] as const)
    report(`${side}.${name}`, () =>
      server[name] !== undefined && (server[name] === "" || LINE_END.test(server[name]))
        ? ["it is empty or has a line end", "it is a value inside an option", "write it in one line, or leave it out"]
        : null,
    );
}

function checkName({ hasNamespace, name }: MigrationSettings, report: Report): void {
  report("name", () =>
    hasNamespace && !(OBJECT_NAME.test(name) && name.length <= OBJECT_NAME_LENGTH_MAX)
      ? [
          `"${name}" cannot start the names of Kubernetes objects`,
          `at most ${OBJECT_NAME_LENGTH_MAX} lower case letters, digits and hyphens`,
          "rename the component",
        ]
      : null,
  );
}

function checkApplications(settings: MigrationSettings, report: Report): void {
  const { hasNamespace, secrets, units, workloads } = settings;
  report("namespace", () =>
    (workloads.length > 0 || secrets.length > 0) && !hasNamespace
      ? [
          "there is no namespace for the Jobs that change workloads and Secrets",
          "neither side is a cluster that provides one",
          "set namespace",
        ]
      : null,
  );
  for (const [index, workload] of workloads.entries()) {
    const { kind } = workload;
    report(`workloads[${index}].kind`, () =>
      !WORKLOAD_KINDS.some((known) => known === kind)
        ? [
            `a ${kind} can be neither scaled nor suspended`,
            `a workload is one of ${WORKLOAD_KINDS.join(", ")}`,
            "stop it before the update",
          ]
        : null,
    );
    report(`workloads[${index}].name`, () =>
      workload.name === "" ? ["it is empty", "a workload is named", "name it"] : null,
    );
  }
  report("workloads", () => {
    const [path] = repeated(workloads.map(({ kind, name, namespace }) => `${namespace ?? ""}/${kind}/${name}`));
    if (path === undefined) return null;
    return [`${path.replace(/^\//, "")} is listed twice`, "the migration remembers its replicas once", "name it once"];
  });
  for (const [index, { keys }] of secrets.entries())
    report(`secrets[${index}].values`, () =>
      keys.length === 0
        ? ["it is empty", "an entry lists the keys of a Secret that change", "give the keys with their new values"]
        : null,
    );
  report("secrets", () => {
    const [path] = repeated(secrets.map(({ name, namespace }) => `${namespace ?? ""}/${name}`));
    if (path === undefined) return null;
    const fact = `${path.replace(/^\//, "")} is listed twice`;
    return [fact, "the migration remembers its old values once", "put all keys into one entry"];
  });
  for (const [index, names] of units.entries()) {
    report(`units[${index}].names`, () =>
      names.length === 0 ? ["it is empty", "an entry lists the units of a host that stop", "name them"] : null,
    );
    for (const unit of names)
      report(`units[${index}].names`, () =>
        !UNIT.test(unit)
          ? [`"${unit}" is not a unit name`, "patterns and options are not allowed", "write it in full: shop.service"]
          : null,
      );
  }
}

/** Only the last stage needs these. They are checked from the start: by then the applications have moved. */
function checkRetire(settings: MigrationSettings, report: Report): void {
  const { drill, drills, target, until } = settings;
  report("drill", () =>
    target.kind === "cluster" && drill !== undefined && !drills.includes(drill)
      ? [
          `the target declares no drill '${drill}'`,
          "a drill runs as declared",
          `declared are: ${drills.join(", ") || "none"}`,
        ]
      : null,
  );
  report("drill", () =>
    target.kind !== "cluster" && drill !== undefined
      ? ["the target is not a cluster", "a drill of a host needs no declaration", "leave it out"]
      : null,
  );
  if (until !== "retire") return;
  report("until", () =>
    target.kind === "server"
      ? [
          "the target is only reachable over the network",
          "its repositories, which must hold a backup, are not known here",
          "stop at switch; back up, drill and run pgbackstop-migration finish where it runs",
        ]
      : null,
  );
  report("namespace", () =>
    target.isElsewhere
      ? [
          "the Jobs are not in the target's namespace",
          "the drill and the check of its repositories need its Secrets",
          "leave namespace out",
        ]
      : null,
  );
  report("until", () =>
    target.kind === "cluster" && !target.hasRuntime
      ? [
          "the engine of the target is not runtime",
          "the last stage checks backups and drills of this package",
          "stop at switch",
        ]
      : null,
  );
  report("drill", () =>
    target.kind === "cluster" && target.hasRuntime && drill === undefined
      ? [
          "no drill is named",
          "the source may be removed only after a restore of the target's backup",
          "declare one on the target, and name it",
        ]
      : null,
  );
}

function checkValues(settings: MigrationSettings, report: Report): void {
  for (const path of ["databases", "excludedDatabases", "keepRoles"] as const)
    report(path, () =>
      settings[path].some((name) => name === "" || LINE_END.test(name))
        ? ["a name is empty or has a line end", "each is a value inside an option", "write it as it is in the source"]
        : null,
    );
  report("excludedDatabases", () => {
    const name = settings.databases.find((each) => settings.excludedDatabases.includes(each));
    if (name === undefined) return null;
    return [`'${name}' is in databases too`, "a database is either copied or excluded", "name it in one of them"];
  });
  report("processMax", () =>
    !isInRange("MigrationArgs.processMax", settings.processMax)
      ? [
          `${settings.processMax} is not a number of databases`,
          `${rangeText(ARGUMENT_RANGES["MigrationArgs.processMax"])} are copied at a time`,
          "leave it out for 2",
        ]
      : null,
  );
  const runner = runnerOf(settings);
  report("binDirectory", () =>
    settings.binDirectory !== undefined && (runner === null || settings[runner].kind !== "host")
      ? ["the migration runs in a Job", "a Job uses the programs of its image", "set image instead"]
      : null,
  );
  report("binDirectory", () =>
    settings.binDirectory !== undefined &&
    (!settings.binDirectory.startsWith("/") || LINE_END.test(settings.binDirectory))
      ? [
          `"${settings.binDirectory}" is not an absolute path`,
          "it is a directory of the host",
          "begin it with /, or leave it out",
        ]
      : null,
  );
}

function repeated(names: readonly string[]): string[] {
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
}

function isInRange(argument: keyof typeof ARGUMENT_RANGES, value: number): boolean {
  return isWithin(ARGUMENT_RANGES[argument], value);
}
