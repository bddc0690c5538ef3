/** Moves databases and roles from one cluster to another, and stops, repoints and restarts their applications. */
import * as pulumi from "@pulumi/pulumi";
import { BackupNow } from "pgbackstop";
import { apart, given, list, renderedName, requireDeclared, runOnHost, splitKnown } from "pgbackstop/kit";
import { DECLARED } from "./declared";
import { reportFromHost } from "./hostStep";
import type { MigrationArgs } from "./migrationArgs";
import { type CheckedSettings, MigrationJobs, type StepOptions } from "./migrationJobs";
import { mayRetireSource } from "./migrationReport";
import { checkMigration } from "./migrationRules";
import { knownServer, namespaceOf, serverFiles, settingsOf } from "./migrationServers";
import {
  binPathArgs,
  EVIDENCE_FILES,
  type KnownServer,
  migrateArgs,
  type MigrationFinding,
  type MigrationSettings,
  type MigrationStep,
  planSteps,
  runnerOf,
} from "./migrationSteps";
import { FILES_PLACEHOLDER } from "./reportScript";

/** Exit code of `plan` when something is in the way: a report, not a failure of the update. */
const OBSTRUCTED = 81;
/** Time limit of a step on a host. */
const LIMIT_SECONDS = 7 * 24 * 3600;

/**
 * Moves databases and roles from one server into another one, compares them to the last row, and says when the old one
 * may go: `pgbackstop-migration` as steps of a program, each of which a preview shows before it is done. It runs on the
 * host, or in the namespace of the cluster, that is the target; else on the source's.
 *
 * One stage after the other: `until` says how far an update goes. A step is done once. One that fails fails the update,
 * and is done again by the next one; `until: "release"` is the way back until the applications have used the target.
 * Destroying it removes what it has laid down in Kubernetes, with what it remembers there, and nothing else:
 * no data, no guard, no replicas.
 *
 * ```ts
 * const move = new Migration("to-18", {
 *   source: { address: "old.example.net", password: config.requireSecret("oldPassword"), ca: oldCa },
 *   target: { cluster: orders.access },
 *   drill: "weekly",
 *   workloads: [{ kind: "Deployment", name: "shop", namespace: "shop" }],
 *   secrets: [{ name: "shop-database", namespace: "shop", values: { host: orders.writeHost } }],
 *   until: "plan",
 * });
 * export const mayGo = move.mayRetireSource;
 * ```
 */
export class Migration extends pulumi.ComponentResource {
  /** Steps of this stage, in words, in order. */
  public readonly steps: pulumi.Output<string[]>;
  /** Results of the steps of `pgbackstop-migration`, as JSON text by their names. */
  public readonly reports: pulumi.Output<{ [step: string]: string }>;
  /** The comparison, as JSON text; empty before it was made. */
  public readonly report: pulumi.Output<string>;
  /**
   * True only if everything was compared, the source has been read-only since, every repository has a later backup, and
   * a drill restored one: in stage `retire`.
   */
  public readonly mayRetireSource: pulumi.Output<boolean>;

  constructor(name: string, args: MigrationArgs, opts?: pulumi.ComponentResourceOptions) {
    requireDeclared("Migration", name, args, DECLARED);
    const checked = checkedSettings(name, args);
    const { settings, texts } = checked;
    const steps = planSteps(settings);
    super("pgbackstop-migration:index:Migration", name, { until: settings.until, steps: texts }, opts);
    const reports = this.#carryOut(name, args, checked, steps);
    this.steps = pulumi.output(texts);
    this.reports = pulumi.all(reports);
    this.report = this.reports.apply((all) => all["verify"] ?? "");
    this.mayRetireSource = this.reports.apply((all) => mayRetireSource(all["finish"] ?? ""));
    this.registerOutputs({
      steps: this.steps,
      reports: this.reports,
      report: this.report,
      mayRetireSource: this.mayRetireSource,
    });
  }

  /** In sequence. */
  #carryOut(
    name: string,
    args: MigrationArgs,
    checked: CheckedSettings,
    steps: readonly MigrationStep[],
  ): Record<string, pulumi.Output<string>> {
    const { settings } = checked;
    const reports: Record<string, pulumi.Output<string>> = {};
    const namespace = namespaceOf(args);
    const isNeeded = namespace !== undefined && needsJobs(settings);
    const sides = sidesOf(args, checked);
    const jobs = isNeeded
      ? new MigrationJobs(name, args, checked, namespace, jobSteps(settings, steps), sides, this)
      : undefined;
    const work: Work = { name, args, ...checked, jobs, sides };
    let dependsOn: pulumi.Resource[] = [];
    for (const step of steps) {
      const opts = { parent: this, dependsOn };
      if (step.action === "migrate") {
        const { done, report } = runMigrate(work, step, opts);
        reports[step.verb ?? ""] = report;
        dependsOn = [done];
      } else dependsOn = [runOther(work, step, opts)];
    }
    return reports;
  }
}

interface ShownSettings extends CheckedSettings {
  /** Of the steps. */
  readonly texts: pulumi.Input<pulumi.Input<string>[]>;
}

interface Work extends CheckedSettings {
  readonly name: string;
  readonly args: MigrationArgs;
  readonly jobs: MigrationJobs | undefined;
  readonly sides: { readonly source: pulumi.Output<KnownServer>; readonly target: pulumi.Output<KnownServer> };
}

/** @throws InputPropertiesError, for deferred values when they arrive */
function checkedSettings(name: string, args: MigrationArgs): ShownSettings {
  const all = settingsOf(name, args);
  const { derive, now } = apart(splitKnown<object>(all), (values) => values as MigrationSettings);
  throwFindings(name, args, checkMigration(now));
  const known = pulumi.output<object>(all);
  const settled = pulumi.all([known, pulumi.isSecret(known)]).apply(([resolved, secret]) => {
    const final = resolved as MigrationSettings;
    const findings = checkMigration(final);
    const shown = secret ? findings.map((each) => ({ ...each, fact: "the value is secret" })) : findings;
    throwFindings(name, args, shown);
    return final;
  });
  const texts = derive((settings) => list(...planSteps(settings).map((step) => () => step.text)));
  return { settings: now, settled, texts };
}

function sidesOf(args: MigrationArgs, { settled }: CheckedSettings): Work["sides"] {
  return {
    source: knownServer(args.source, settled, "source"),
    target: knownServer(args.target, settled, "target"),
  };
}

/** In every stage, so that its record outlives each. */
function needsJobs({ secrets, source, target, workloads }: MigrationSettings): boolean {
  const isInCluster = target.kind === "cluster" || (target.kind === "server" && source.kind === "cluster");
  return isInCluster || workloads.length > 0 || secrets.length > 0;
}

/** Steps of `pgbackstop-migration` report into the namespace only if they run in it. */
function jobSteps(settings: MigrationSettings, steps: readonly MigrationStep[]): MigrationStep[] {
  const runner = runnerOf(settings);
  const isInCluster = runner !== null && settings[runner].kind === "cluster";
  return steps.filter(({ action }) => action !== "migrate" || isInCluster);
}

function runMigrate(
  { args, jobs, name, settings, settled, sides }: Work,
  step: MigrationStep,
  opts: StepOptions,
): { readonly done: pulumi.Resource; readonly report: pulumi.Output<string> } {
  const host = args[runnerOf(settings) ?? "target"].host;
  if (host === undefined) return loadJobs(jobs).migrate(step, opts);
  const verb = step.verb ?? "plan";
  const known = pulumi.all([settled, sides.source, sides.target]);
  const backups = pulumi.output(host.runtimeArgv);
  const { report, resource } = reportFromHost(
    renderedName(name, step.role),
    {
      host,
      args: known.apply(([all, source, target]) =>
        migrateArgs(all, verb, { source, target }, FILES_PLACEHOLDER, FILES_PLACEHOLDER),
      ),
      files: serverFiles(args),
      asked:
        verb === "finish"
          ? Object.entries(EVIDENCE_FILES).map(([asked, file]) => ({
              file,
              argv: backups.apply((argv) => [...argv, "--output=json", asked]),
            }))
          : [],
      acceptedCode: verb === "plan" ? OBSTRUCTED : 0,
      what: `migrate ${verb}`,
      limitSeconds: LIMIT_SECONDS,
      triggers: verb === "plan" ? (args.planTriggers ?? []) : [],
    },
    { parent: opts.parent, dependsOn: [...opts.dependsOn] },
  );
  return { done: resource, report };
}

function runOther(
  { args, jobs, name, settings, settled }: Work,
  step: MigrationStep,
  opts: StepOptions,
): pulumi.Resource {
  const child = renderedName(name, step.role);
  const options = { parent: opts.parent, dependsOn: [...opts.dependsOn] };
  const { cluster, host } = args.target;
  switch (step.action) {
    case "stop-units":
    case "start-units":
      return runUnits(args, step, child, options);
    case "backup":
      return new BackupNow(child, given({ host, cluster }), options);
    case "drill": {
      const spec = cluster?.verbs?.drills[settings.drill ?? ""];
      if (host === undefined) return loadJobs(jobs).run(step.role, spec ?? {}, opts);
      return runOnHost(
        child,
        {
          host,
          account: host.user,
          runs: pulumi
            .all([host.runtimeArgv, settled])
            .apply(([argv, known]) => [
              [...argv, "--log-level-console=info", ...binPathArgs(known), "drill", "--pick=newest"],
            ]),
          what: "run a drill",
          limitSeconds: LIMIT_SECONDS,
          triggers: [],
        },
        options,
      ).resource;
    }
    default:
      return loadJobs(jobs).change(step, opts);
  }
}

function runUnits(
  args: MigrationArgs,
  { action, unitsIndex = 0 }: MigrationStep,
  child: string,
  options: pulumi.CustomResourceOptions,
): pulumi.Resource {
  const units = args.units?.[unitsIndex];
  if (units === undefined) throw new Error(`${child}: there are no units ${unitsIndex}`);
  const verb = action === "stop-units" ? "stop" : "start";
  const names = verb === "stop" ? units.names : units.names.toReversed();
  return runOnHost(
    child,
    {
      host: units.host,
      // systemd requires root for this.
      account: "root",
      runs: names.map((name) => ["systemctl", verb, "--", name]),
      what: `${verb} ${names.join(", ")}`,
      limitSeconds: LIMIT_SECONDS,
      triggers: [],
    },
    options,
  ).resource;
}

/** The checks guarantee a namespace wherever a Job is planned. */
function loadJobs(jobs: MigrationJobs | undefined): MigrationJobs {
  if (jobs === undefined) throw new Error("there is no namespace for the Jobs of the migration");
  return jobs;
}

function throwFindings(name: string, { source, target }: MigrationArgs, checked: readonly MigrationFinding[]): void {
  const both = Object.entries({ source, target }).flatMap(([side, { cluster, host }]): MigrationFinding[] =>
    cluster === undefined || host === undefined
      ? []
      : [{ path: side, fact: "host and cluster are given", rule: "a side is one of them", remedy: "leave one out" }],
  );
  const all = [...both, ...checked];
  if (all.length === 0) return;
  const reasonOf = ({ fact, rule, remedy }: MigrationFinding): string => `${fact} (${rule}): ${remedy}`;
  throw new pulumi.InputPropertiesError({
    message: `Migration ${name}: ${all.length} ${all.length === 1 ? "error" : "errors"} in the arguments\n${all.map((each) => `  ${each.path}: ${reasonOf(each)}`).join("\n")}`,
    errors: all.map((each) => ({ propertyPath: each.path, reason: reasonOf(each) })),
  });
}
