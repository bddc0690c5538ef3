/** What is wrong with the arguments of a migration, each as a fact, the rule that it breaks and the way out. Pure. */
import { WORKLOAD_KINDS } from "../../../runtime/cnpg/names";
import { type MigrationFinding, type MigrationSettings, runnerOf, STAGES, type ServerSettings } from "./migrationSteps";

const SSL_MODES = ["disable", "prefer", "require", "verify-ca", "verify-full"];
const PORT_MAX = 65_535;
const PROCESS_MAX = 999;
/** Read by `systemctl`; neither an option nor a pattern. */
const UNIT = /^[A-Za-z0-9@_:.\\][A-Za-z0-9@_:.\\-]*$/;
/** PostgreSQL's names may be anything; in a list of options a line would end one. */
const LINE_END = /[\0\r\n]/;

const OBJECT_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
/** Jobs have 63, the longest role is 21 long. */
const OBJECT_NAME_LENGTH_MAX = 40;

type Tell = (path: string, fact: string, rule: string, wayOut: string) => void;

/** In the order of the arguments; empty when it can be tried. */
export function checkMigration(settings: MigrationSettings): MigrationFinding[] {
  const found: MigrationFinding[] = [];
  const tell: Tell = (path, fact, rule, wayOut) => void found.push({ path, fact, rule, wayOut });
  if (!STAGES.some((stage) => stage === settings.until))
    tell("until", `"${settings.until}" is no stage`, `stages are ${STAGES.join(", ")}`, "begin with plan");
  checkServer("source", settings.source, settings, tell);
  checkServer("target", settings.target, settings, tell);
  if (runnerOf(settings) === null)
    tell(
      "target",
      "source and target are both only reached over the network",
      "pgbackstop migrate runs on a host or in a cluster's namespace",
      "give the access of a host or of a cluster as one of them",
    );
  checkName(settings, tell);
  checkApplications(settings, tell);
  checkRetire(settings, tell);
  checkValues(settings, tell);
  return found;
}

function checkServer(side: "source" | "target", server: ServerSettings, settings: MigrationSettings, tell: Tell): void {
  checkWay(side, server, settings, tell);
  checkWords(side, server, tell);
}

/** How the machine or the namespace that the migration runs in comes to this server. */
function checkWay(side: "source" | "target", server: ServerSettings, settings: MigrationSettings, tell: Tell): void {
  const runner = runnerOf(settings);
  const runnerPlace = runner === null ? null : settings[runner].place;
  if (server.place === "host" && runner === side && !server.hasRuntime)
    tell(`${side}.host`, "the engine of the host is stock pgBackRest", "it has no verb migrate", "run the migration from the other side");
  const isFar = server.place === "server" || (runner !== side && (server.place === "host" || runnerPlace === "host"));
  if (runnerPlace === "host" && server.isInSecret)
    tell(`${side}.passwordSecret`, "the migration runs on a host", "only a Job reads Secrets of Kubernetes", "give password and ca as values");
  if (server.lacksSuperuser === true)
    tell(
      `${side}.cluster`,
      "the cluster has no Secret of its superuser",
      "a migration signs in as one",
      `set superuserAccess of the cluster, or give the password of a superuser in ${side}`,
    );
  if (server.isElsewhere && !server.hasPassword)
    tell(
      `${side}.password`,
      "the cluster is in another namespace than the Jobs",
      "a Job reads Secrets of its own namespace only",
      `give password and ca of the ${side} as values`,
    );
  if (server.address === undefined && isFar)
    tell(
      `${side}.address`,
      `the ${side} has no address`,
      "it is reached over the network from the other side",
      "give the name by which the other side reaches it",
    );
}

function checkWords(side: "source" | "target", server: ServerSettings, tell: Tell): void {
  if (server.port !== undefined && !(Number.isInteger(server.port) && server.port > 0 && server.port <= PORT_MAX))
    tell(`${side}.port`, `${server.port} is no port`, `ports are 1 to ${PORT_MAX}`, "leave it out for 5432");
  if (server.sslMode !== undefined && !SSL_MODES.includes(server.sslMode))
    tell(`${side}.sslMode`, `"${server.sslMode}" is none of libpq's modes`, `modes are ${SSL_MODES.join(", ")}`, "leave it out for the default");
  if (server.sslMode?.startsWith("verify") === true && !server.hasCa)
    tell(
      `${side}.ca`,
      `${server.sslMode} without a certificate of the authority`,
      "a name is only verified against an authority",
      "give ca or caSecret",
    );
  for (const name of ["address", "user", "database"] as const)
    if (server[name] !== undefined && (server[name] === "" || LINE_END.test(server[name])))
      tell(`${side}.${name}`, "it is empty or has a line end", "it is one word of an option", "write it in one line, or leave it out");
}

function checkName({ hasNamespace, name }: MigrationSettings, tell: Tell): void {
  if (hasNamespace && !(OBJECT_NAME.test(name) && name.length <= OBJECT_NAME_LENGTH_MAX))
    tell(
      "name",
      `"${name}" does not begin names of objects in Kubernetes`,
      `at most ${OBJECT_NAME_LENGTH_MAX} lower case letters, digits and hyphens`,
      "name the component otherwise",
    );
}

function checkApplications(settings: MigrationSettings, tell: Tell): void {
  const { hasNamespace, secrets, units, workloads } = settings;
  if ((workloads.length > 0 || secrets.length > 0) && !hasNamespace)
    tell(
      "namespace",
      "workloads and Secrets are changed, and there is no namespace for the Jobs that do it",
      "neither side is a cluster that gives one",
      "set namespace",
    );
  for (const [index, { kind, name }] of workloads.entries()) {
    if (!WORKLOAD_KINDS.some((known) => known === kind))
      tell(
        `workloads[${index}].kind`,
        `a ${kind} can be neither scaled nor suspended`,
        `a workload is one of ${WORKLOAD_KINDS.join(", ")}`,
        "stop it before the update",
      );
    if (name === "") tell(`workloads[${index}].name`, "it is empty", "a workload is named", "name it");
  }
  for (const path of repeated(workloads.map(({ kind, name, namespace }) => `${namespace ?? ""}/${kind}/${name}`)))
    tell("workloads", `${path.slice(1)} is there twice`, "its replicas are remembered once", "name it once");
  for (const [index, { keys }] of secrets.entries())
    if (keys.length === 0)
      tell(`secrets[${index}].values`, "it is empty", "a Secret is listed for the keys that change", "give the keys with their new values");
  for (const path of repeated(secrets.map(({ name, namespace }) => `${namespace ?? ""}/${name}`)))
    tell("secrets", `${path.replace(/^\//, "")} is there twice`, "its old values are remembered once", "put all keys into one entry");
  for (const [index, names] of units.entries()) {
    if (names.length === 0) tell(`units[${index}].names`, "it is empty", "a host is listed for the units that stop", "name them");
    for (const unit of names)
      if (!UNIT.test(unit))
        tell(`units[${index}].names`, `"${unit}" is no name of a unit`, "patterns and options are not taken", "write it in full: shop.service");
  }
}

/** What only the last stage needs; told from the beginning, because nobody wants to hear it with the applications moved. */
function checkRetire(settings: MigrationSettings, tell: Tell): void {
  const { drill, drills, target, until } = settings;
  if (target.place === "cluster" && drill !== undefined && !drills.includes(drill))
    tell("drill", `the target declares no drill '${drill}'`, "a drill is made as it is declared", `declared are: ${drills.join(", ") || "none"}`);
  if (target.place !== "cluster" && drill !== undefined)
    tell("drill", "the target is no cluster", "a drill of a host needs no declaration", "leave it out");
  if (until !== "retire") return;
  if (target.place === "server")
    tell(
      "until",
      "the target is only reached over the network",
      "its repositories, where a backup has to be, are not known here",
      "stop at switch; back up and drill where it runs, and ask there: pgbackstop migrate finish",
    );
  if (target.isElsewhere)
    tell(
      "namespace",
      "the Jobs are not in the namespace of the target",
      "the drill and the look at its repositories need its Secrets",
      "leave namespace out",
    );
  if (target.place === "cluster" && !target.hasRuntime)
    tell("until", "the engine of the target is not runtime", "backups and drills are looked for in repositories of this package", "stop at switch");
  if (target.place === "cluster" && target.hasRuntime && drill === undefined)
    tell(
      "drill",
      "no drill is named",
      "the source may go only when a backup of the target has been brought back",
      "declare one on the target, and name it",
    );
}

function checkValues(settings: MigrationSettings, tell: Tell): void {
  const { binDirectory, databases, excludedDatabases, keepRoles, processMax } = settings;
  for (const [path, names] of Object.entries({ databases, excludedDatabases, keepRoles }))
    for (const name of names)
      if (name === "" || LINE_END.test(name))
        tell(path, "a name is empty or has a line end", "each is one word of an option", "write it as it is in the source");
  for (const name of databases)
    if (excludedDatabases.includes(name))
      tell("excludedDatabases", `'${name}' is in databases too`, "a database goes or stays", "name it in one of them");
  if (!(Number.isInteger(processMax) && processMax >= 1 && processMax <= PROCESS_MAX))
    tell("processMax", `${processMax} is no number of databases`, `1 to ${PROCESS_MAX} go at a time`, "leave it out for 2");
  if (binDirectory === undefined) return;
  const runner = runnerOf(settings);
  if (runner === null || settings[runner].place !== "host")
    tell("binDirectory", "the migration runs in a Job", "its programs are those of its image", "set image instead");
  if (!binDirectory.startsWith("/") || LINE_END.test(binDirectory))
    tell("binDirectory", `"${binDirectory}" is no absolute path`, "it is a directory of the host", "write it from / on, or leave it out");
}

function repeated(names: readonly string[]): string[] {
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
}
