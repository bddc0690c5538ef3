/** Arguments of a host: names, accounts, paths, ports. Pure. */
import { checkRange, isInRange } from "../arguments/ranges";
import { engineOf } from "../engines/engines";
import { type Finding, finding } from "../findings/findings";
import { isUnitDirectory } from "../model/defaults";
import { slotOf } from "../model/hostDefaults";
import type { HostPlan, TaskPlan } from "../model/plan";
import { abstaining, eachOf } from "../findings/abstain";
import { checkContainer } from "./container";
import { checkTime } from "./schedules";
import { checkPath, checkStanza, checkStreamInterval } from "./values";

export function checkHostArguments(plan: HostPlan): Finding[] {
  return abstaining(
    () => checkIdentity(plan),
    () => checkPaths(plan),
    () => checkAgent(plan),
    () => checkListen(plan),
    () => checkReport(plan),
    () => checkOtlp(plan),
    () => checkStreaming(plan),
    () => checkArchive(plan),
    () => checkContainer(plan),
    () => eachOf(plan.maintenance, checkTask),
    () => checkStale(plan),
  );
}

function checkStale({ maintenance, notices, notifies, stanza }: HostPlan): Finding[] {
  if (!maintenance.some(({ name }) => name === "stale")) return [];
  const unit = `pgbackstop-${stanza}-stale.service`;
  const isTaken = notices.some(
    ({ events, units }) => events.includes("stale") && (units.length === 0 || units.includes(unit)),
  );
  if (isTaken) return [];
  const [fact, hint] = notifies
    ? [
        `no target of notify subscribes to stale of ${unit}: it only fails when something is too old`,
        'add "stale" to the events of a target, and the unit to its units if it has some',
      ]
    : ["it only logs to the journal what is too old", 'set notify, for instance { targets: [{ type: "ntfy", … }] }'];
  return [finding("PB180", "maintenance.stale", fact, hint)];
}

function checkAgent(plan: HostPlan): Finding[] {
  if (!plan.agent) return [];
  const { directories, drillsOnly, engine, restoreOnly } = plan;
  const fact = !engineOf(engine).own
    ? `engine "${engine}" has no agent`
    : restoreOnly && !drillsOnly
      ? "a host with restoreOnly archives nothing, and archiving is all that an agent does"
      : isUnitDirectory(directories.units)
        ? null
        : `the agent is a unit, and systemd loads no units from ${directories.units}`;
  if (fact === null) return [];
  const hint = `leave agent out${restoreOnly ? "" : ', or use engine "runtime" with units in /etc/systemd/system'}`;
  return [finding("PB102", "agent", fact, hint)];
}

/** The form is that of the option `metrics-listen` (runtime/agent/metricsServer.ts). */
function checkListen(plan: HostPlan): Finding[] {
  const { metricsListen } = plan;
  if (metricsListen === undefined) return [];
  const path = "monitoring.listen";
  const port = Number(/^(?:\[[0-9A-Fa-f:]+\]|[^\s:[\]]+):(\d{1,5})$/.exec(metricsListen)?.[1]);
  if (!(port >= 1 && port <= 65_535))
    return [finding("PB130", path, `"${metricsListen}" is not an address with a port`, 'write "127.0.0.1:9854"')];
  if (plan.agent) return [];
  const hint = "leave it out: maintenance.metrics writes them as a file";
  return [finding("PB130", path, "there is no agent to serve metrics", hint)];
}

/** As the agent itself requires. */
function checkReport({ metricsListen, servesReport }: HostPlan): Finding[] {
  if (!servesReport) return [];
  const [fact, hint] =
    metricsListen === undefined
      ? ["nothing serves the report", 'set listen, for instance to "127.0.0.1:9854"']
      : /^(127(\.\d{1,3}){3}|\[::1\]|localhost):/.test(metricsListen)
        ? []
        : ["the password would cross the network unencrypted", "listen on 127.0.0.1; use ssh -L or a proxy with TLS"];
  return fact === undefined || hint === undefined ? [] : [finding("PB130", "monitoring.reportPassword", fact, hint)];
}

function checkOtlp({ maintenance, sendsMetrics }: HostPlan): Finding[] {
  if (!sendsMetrics || maintenance.some(({ name }) => name === "metrics")) return [];
  const hint = "add maintenance.metrics, or leave it out";
  return [finding("PB130", "monitoring.otlp", "no unit sends the metrics", hint)];
}

function checkStreaming(plan: HostPlan): Finding[] {
  if (!("streamIntervalSeconds" in plan)) return [];
  return abstaining(
    () => checkStreamInterval(plan),
    () => {
      if (slotOf(plan) !== "standby") return [];
      const fact = "only a primary's unfinished segment can be streamed, and this server is a standby";
      return [finding("PB150", "streaming", fact, "leave streaming out")];
    },
    () => {
      if (plan.agent) return [];
      const hint = 'leave streaming out, or use engine "runtime" with units in /etc/systemd/system';
      return [finding("PB150", "streaming", "only an agent can stream, and there is none", hint)];
    },
  );
}

function checkArchive(plan: HostPlan): Finding[] {
  if (plan.archive === "command") return [];
  if (slotOf(plan) === undefined)
    return [
      finding("PB155", "archive", `"${plan.archive}" is unknown`, 'write "stream" or "standby", or leave it out'),
    ];
  if (plan.agent) return [];
  const hint = 'leave archive out, or use engine "runtime" with units in /etc/systemd/system';
  return [finding("PB155", "archive", "archiving through a slot needs an agent, and this host has none", hint)];
}

function checkTask(task: TaskPlan): Finding[] {
  const path = `maintenance.${task.name}`;
  return abstaining(
    () => checkTime(task, path),
    () => checkRange("VerifyTaskArgs.samplePercent", `${path}.samplePercent`, task.samplePercent),
  );
}

function checkIdentity(plan: HostPlan): Finding[] {
  return abstaining(
    () => {
      if (plan.connections.length === 1) return [];
      const given = plan.connections.length === 0 ? "none" : plan.connections.join(" and ");
      const fact = `exactly one kind of connection to the host is needed, given: ${given}`;
      return [finding("PB016", "connection", fact, "set connection: { local: {} }")];
    },
    () => checkStanza("stanza", plan.stanza),
    () =>
      plan.databaseUser === undefined || /^[^\0-\x1f]+$/.test(plan.databaseUser)
        ? []
        : [finding("PB014", "databaseUser", "it is not the name of a role", 'write a name, such as "postgres"')],
    () => {
      if (plan.container !== undefined || (/^[a-z_][a-z0-9_-]*$/.test(plan.user) && plan.user !== "root")) return [];
      const fact = `"${plan.user}" cannot be PostgreSQL's account: the server refuses to run as root`;
      return [finding("PB022", "user", fact, 'set the account that owns dataDirectory, usually "postgres"')];
    },
    () => checkRange("PostgresHostArgs.port", "port", plan.port, "not a port:"),
    () => checkRange("HostBaseArgs.processMax", "processMax", plan.processMax),
    () => checkPriority(plan),
    () => checkRange("PostgresHostArgs.slotKeepGiB", "slotKeepGiB", plan.slotKeepGiB),
    () => {
      if (plan.postgres === undefined || isInRange("HostPostgresArgs.version", plan.postgres.version)) return [];
      const fact = `${plan.postgres.version} is not a major version of PostgreSQL`;
      return [finding("PB014", "postgres.version", fact, "write a whole number, such as 17")];
    },
  );
}

function checkPriority({ backupPriority: { ioClass, ioLevel } }: HostPlan): Finding[] {
  if (ioLevel === undefined || ioClass !== "idle") return [];
  const fact = "it has no effect with ioClass idle, which has no levels";
  return [finding("PB014", "backupPriority.ioLevel", fact, 'set ioClass: "best-effort", or leave it out')];
}

function checkPaths(plan: HostPlan): Finding[] {
  const paths: [argument: string, read: () => string | undefined][] = [
    // A missing one is another finding.
    ["dataDirectory", () => plan.dataDirectory || undefined],
    ["socketDirectory", () => plan.socketDirectory],
    ["nodePath", () => plan.nodePath],
    ["pgbackrestPath", () => plan.pgbackrestPath],
    ["notify.existingFile", () => plan.notifyFile],
    ["monitoring.otlp.existingFile", () => plan.otlpFile],
    ...plan.drills.map((drill): [string, () => string | undefined] => [`drills.${drill.name}.path`, () => drill.path]),
    ...readersOf(plan.directories, (name) => `directories.${name}`),
    ...plan.repositories.flatMap((repository) =>
      readersOf(repository.secretFiles ?? {}, () => `repositories.${repository.name}.secretFiles`),
    ),
  ];
  return eachOf(paths, ([argument, read]) => checkPath(argument, read()));
}

function readersOf(
  paths: object,
  argumentOf: (name: string) => string,
): [argument: string, read: () => string | undefined][] {
  return Object.keys(paths).map((name) => [argumentOf(name), () => (paths as Record<string, string>)[name]]);
}
