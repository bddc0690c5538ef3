/** A migration in Kubernetes: the objects of its Jobs, the Jobs, and their reports. */
import { createHash } from "node:crypto";
import * as pulumi from "@pulumi/pulumi";
import {
  apart,
  declareKubernetes,
  type DeployedRuntime,
  fields,
  given,
  MANAGED_BY,
  type Manifest,
  POSTGRES_IMAGES,
  readConfigMap,
  renderedName,
  type RuntimeInputs,
  runtimeOfJobs,
  splitKnown,
} from "pgbackstop/kit";
import { JOB_PATHS } from "../names";
import { type MigrationArgs, MigrationStage } from "./migrationArgs";
import {
  argsText,
  type MigrationObjects,
  objectNames,
  renderChangeJob,
  renderMigrateJob,
  renderMigrationObjects,
  type RepositoryVolumes,
  type SharedObjects,
  valueFile,
} from "./migrationObjects";
import { serverFiles, serverSources, settingsOf } from "./migrationServers";
import { type KnownServer, migrateArgs, type MigrationSettings, type MigrationStep } from "./migrationSteps";
import { kubernetesProgram, migrateProgram } from "./programs";

const TIMEOUT_MINUTES = 1440;
const DIGEST_DIGITS = 8;
/** Steps that a new image repeats: complete copies stay, and are compared. */
const REMADE = ["plan", "copy", "verify"];
const REMADE_UNTIL: readonly string[] = [MigrationStage.Plan, MigrationStage.Copy];
/** Parent and dependencies of Jobs. */
export interface StepOptions {
  readonly parent: pulumi.Resource;
  readonly dependsOn: readonly pulumi.Resource[];
}

interface Sides {
  readonly source: pulumi.Output<KnownServer>;
  readonly target: pulumi.Output<KnownServer>;
}

/** The settings of a migration, checked. */
export interface CheckedSettings {
  /** What is known now. Reading a deferred value ends what reads it. */
  readonly settings: MigrationSettings;
  /** For what acts: once all values are known and checked. */
  readonly settled: pulumi.Output<MigrationSettings>;
}

export class MigrationJobs {
  readonly #name: string;
  readonly #args: MigrationArgs;
  readonly #settings: MigrationSettings;
  readonly #settled: CheckedSettings["settled"];
  readonly #namespace: pulumi.Input<string>;
  readonly #objects: pulumi.Output<MigrationObjects>;
  readonly #shared: readonly pulumi.Resource[];

  /** Declares everything but Jobs. */
  constructor(
    name: string,
    args: MigrationArgs,
    { settings, settled }: CheckedSettings,
    namespace: pulumi.Input<string>,
    steps: readonly MigrationStep[],
    sides: Sides,
    parent: pulumi.Resource,
  ) {
    this.#name = name;
    this.#args = args;
    this.#settings = settings;
    this.#settled = settled;
    this.#namespace = namespace;
    const runtime = runtimeOfJobs({ name, namespace, parent }, args, false);
    const verbs = steps.flatMap(({ verb }) => verb ?? []);
    this.#objects = this.#deferredObjects(runtime);
    this.#shared = [
      ...this.#declareShared(verbs, parent),
      this.#declareProgram(parent),
      ...this.#declareArgs(verbs, sides, parent),
      ...this.#declareSecrets(parent),
    ];
  }

  #deferredObjects(runtime: RuntimeInputs): pulumi.Output<MigrationObjects> {
    const sources = serverSources(this.#args, this.#settings, objectNames(this.#name).servers);
    return pulumi
      .all([
        this.#namespace,
        pulumi.output(runtime as pulumi.Input<DeployedRuntime>),
        this.#args.image ?? POSTGRES_IMAGES[0]?.image ?? "",
        sources,
        pulumi.output(this.#args.podPlacement),
        this.#settled,
      ])
      .apply(([namespace, program, postgresImage, known, placement, settings]): MigrationObjects => {
        return {
          name: this.#name,
          namespace,
          workloads: settings.workloads,
          secrets: settings.secrets,
          runtime: program,
          postgresImage,
          serverSources: known,
          ...given({ placement }),
        };
      });
  }

  /** Deferred names spoil only what is made of them. */
  #declareShared(verbs: readonly string[], parent: pulumi.Resource): pulumi.Resource[] {
    const inputs = { settings: settingsOf(this.#name, this.#args), namespace: this.#namespace };
    const shared = apart(splitKnown<object>(inputs), (values) => {
      const known = values as { readonly settings: MigrationSettings; readonly namespace: string };
      const objects = fields<SharedObjects>({
        name: () => this.#name,
        namespace: () => known.namespace,
        workloads: () => known.settings.workloads,
        secrets: () => known.settings.secrets,
      });
      return renderMigrationObjects(objects, verbs);
    });
    return shared.now.map(({ role }, index) =>
      declareKubernetes(
        renderedName(this.#name, role),
        shared.derive((objects) => objects[index]?.manifest) as Manifest,
        {
          parent,
          // Written by the Jobs.
          ...(role === "record" || role.startsWith("report-") ? { ignoreChanges: ["data"] } : {}),
        },
      ),
    );
  }

  /** It stays as it was when the migration began. */
  #declareProgram(parent: pulumi.Resource): pulumi.Resource {
    const object = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: objectNames(this.#name).program, namespace: this.#namespace, labels: MANAGED_BY },
      binaryData: { "kubernetes.cjs.gz": kubernetesProgram(), "migrate.cjs.gz": migrateProgram() },
    };
    return declareKubernetes(renderedName(this.#name, "program"), object, {
      parent,
      ignoreChanges: ["binaryData"],
      hideDiffs: ["binaryData"],
    });
  }

  #declareArgs(
    verbs: readonly NonNullable<MigrationStep["verb"]>[],
    { source, target }: Sides,
    parent: pulumi.Resource,
  ): pulumi.Resource[] {
    if (verbs.length === 0) return [];
    const data = pulumi
      .all([source, target, this.#settled])
      .apply(([from, to, settings]) =>
        Object.fromEntries(
          verbs.map((verb) => [
            verb,
            argsText(migrateArgs(settings, verb, { source: from, target: to }, JOB_PATHS.servers)),
          ]),
        ),
      );
    const metadata = { name: objectNames(this.#name).args, namespace: this.#namespace, labels: MANAGED_BY };
    const object = { apiVersion: "v1", kind: "ConfigMap", metadata, data };
    return [declareKubernetes(renderedName(this.#name, "words"), object, { parent })];
  }

  /** New values, and the servers' credentials that are given as values. */
  #declareSecrets(parent: pulumi.Resource): pulumi.Resource[] {
    const names = objectNames(this.#name);
    const values = Object.fromEntries(
      (this.#args.secrets ?? []).flatMap((secret, index) =>
        Object.entries(secret.values).map(([key, value]) => [valueFile(index, key), value]),
      ),
    );
    return [
      { role: "values", name: names.values, texts: values },
      { role: "servers", name: names.servers, texts: serverFiles(this.#args) },
    ].flatMap(({ name, role, texts }) => {
      if (Object.keys(texts).length === 0) return [];
      const metadata = { name, namespace: this.#namespace, labels: MANAGED_BY };
      const object = { apiVersion: "v1", kind: "Secret", metadata, stringData: pulumi.secret(pulumi.all(texts)) };
      return [declareKubernetes(renderedName(this.#name, role), object, { parent })];
    });
  }

  /** Workloads or Secrets. */
  change(step: MigrationStep, opts: StepOptions): pulumi.Resource {
    return this.#job(
      step.role,
      this.#objects.apply((objects) => renderChangeJob(objects, step)),
      opts,
    );
  }

  /** A step of `pgbackstop-migration`. @returns the Job, and its report */
  migrate(
    step: MigrationStep,
    opts: StepOptions,
  ): { readonly done: pulumi.Resource; readonly report: pulumi.Output<string> } {
    const verb = step.verb ?? "plan";
    const verbs = verb === "finish" ? this.#args.target.cluster?.verbs : undefined;
    const manifest = pulumi
      .all([this.#objects, pulumi.output<RepositoryVolumes | null>((verbs as RepositoryVolumes | undefined) ?? null)])
      .apply(([objects, repositories]) => renderMigrateJob(objects, step, repositories));
    const { image, planTriggers = [] } = this.#args;
    // A Job that failed because of its image must get the corrected one; all other steps ignore it.
    const images = image === undefined || !REMADE.includes(verb) ? [] : [image];
    const done = this.#job(step.role, manifest, opts, [...(verb === "plan" ? planTriggers : []), ...images]);
    const id = pulumi
      .all([this.#namespace, done.id])
      .apply(([namespace]) => `${namespace}/${objectNames(this.#name).report}-${verb}`);
    const data = readConfigMap(renderedName(this.#name, `told-${verb}`), id, {
      parent: opts.parent,
      dependsOn: [done],
    });
    return { done, report: data.apply((known) => known?.["report"] ?? "") };
  }

  /** Another Job of a rendered spec, such as a drill's. */
  run(role: string, spec: pulumi.Inputs, opts: StepOptions): pulumi.Resource {
    const manifest = pulumi
      .output(spec)
      .apply((known): Manifest => ({ apiVersion: "batch/v1", kind: "Job", metadata: { name: "" }, spec: known }));
    return this.#job(role, manifest, opts);
  }

  /**
   * Runs once: only a new name creates another one, and that only before the switch. The next update recreates a failed
   * one.
   */
  #job(
    role: string,
    manifest: pulumi.Output<Manifest>,
    { dependsOn, parent }: StepOptions,
    triggers: readonly pulumi.Input<string>[] = [],
  ): pulumi.CustomResource {
    const minutes = this.#args.timeoutMinutes ?? TIMEOUT_MINUTES;
    const name = pulumi.all([...triggers]).apply((values) => `${this.#name}-${role}${digestOf(values)}`);
    const metadata = {
      name,
      namespace: this.#namespace,
      labels: MANAGED_BY,
      annotations: { "pulumi.com/replaceUnready": "true" },
    };
    const object = {
      apiVersion: "batch/v1",
      kind: "Job",
      metadata,
      spec: manifest.apply((made) => made["spec"] as object),
    };
    return declareKubernetes(renderedName(this.#name, role), object, {
      parent,
      dependsOn: [...this.#shared, ...dependsOn],
      // From the switch on applications use the target: another comparison would find their changes.
      ignoreChanges: [
        "spec",
        "metadata.labels",
        ...(REMADE_UNTIL.includes(this.#settings.until) ? [] : ["metadata.name"]),
      ],
      deleteBeforeReplace: true,
      customTimeouts: { create: `${minutes}m`, update: `${minutes}m` },
    });
  }
}

function digestOf(values: readonly string[]): string {
  if (values.length === 0) return "";
  return `-${createHash("sha256").update(JSON.stringify(values)).digest("hex").slice(0, DIGEST_DIGITS)}`;
}
