/**
 * Common parts of the components for clusters: arguments without secrets, Secrets in the namespace, the runtime in it.
 */
import * as pulumi from "@pulumi/pulumi";
import { withCheckedCipher } from "../credentials/checkedPassphrase";
import { DeferredRepositorySecret, RepositorySecret } from "../credentials/repositorySecret";
import { CHILD_ROLES, childName, renderedName } from "../internal/children";
import { declareContent } from "../internal/content";
import {
  type ConfigMap,
  declareKubernetes,
  declareKubernetesPatch,
  showChild,
  shownChild,
} from "../internal/kubernetesObjects";
import { type Apart, apart, isDeferredInput, splitKnown, suffixed, textsOf, withoutSecrets } from "../internal/inputs";
import { judgedManifest } from "../internal/registeredObjects";
import { logInTwoSteps, throwErrors, withoutSecretValues } from "../internal/validate";
import { parseDestinations, renderDestinations } from "../host/hostDestinations";
import { REPORT_KEYS } from "../../runtime/cnpg/names";
import type { DeclaredCluster } from "../plan/cluster/declaredCluster";
import { checkClusterPlan, planCluster } from "../plan/cluster/planCluster";
import { type RepositorySecrets, type ClusterPlan } from "../plan/cluster/clusterPlan";
import { engineOf } from "../plan/engines/engines";
import type { Finding } from "../plan/findings/findings";
import type { DeployedRuntime, EngineContext } from "../render/engines/engine";
import { oneShotBackups, oneShotBackupsByRepository } from "../render/kubernetes/clusterObjects";
import { drillJobs, repositoryParts } from "../render/kubernetes/drillCronJob";
import { holdJob } from "../render/kubernetes/holdJob";
import { FULL_BACKUP_ROLE } from "../render/kubernetes/fullBackupGate";
import type { Manifest, RenderedObject } from "../render/kubernetes/objects";
import { REPLACE_ARCHIVER_ROLE } from "../render/kubernetes/replaceArchiverJob";
import { existingKeysOf, type SecretPart, secretKeysOf } from "../render/kubernetes/secrets";
import { type KnownTarget, knownTarget, openTarget } from "../repositories/common";
import type { RepositoryTarget, SecretRef } from "../repositories/target";
import type {
  ClusterAccess,
  ClusterBackupArgs,
  ClusterRepositoryArgs,
  ClusterVerbs,
  KeyRef,
  RecoveryArgs,
} from "./cnpgArgs";
import { NO_RUNTIME, type RuntimeInputs } from "./clusterRuntime";
import { given } from "../../runtime/base/given";
import { DEFAULTS } from "../plan/model/defaults";
import { DeferredRead, fields, list, merged, view, without } from "../plan/model/deferred";
import { storeKindOf, storeOf } from "../plan/repositories/repositoryTypes";

/** The keys of one repository, as Secrets of the namespace name them; deferred values are outputs. */
export type SecretKeyInputs = Readonly<Partial<Record<SecretPart | "ca", KeyRef>>>;

/** Secrets by the repositories' keys; outputs for targets that come later. */
export type SecretInputs = Readonly<Record<string, SecretKeyInputs | pulumi.Output<SecretKeyInputs>>>;

/** A cluster that is checked immediately, and again when all values are known. */
export interface CheckedCluster {
  /** Reading a deferred value ends what reads it. */
  readonly known: ClusterPlan;
  readonly derive: Apart<ClusterPlan>["derive"];
  /** What is made of the plan and other values. */
  readonly join: <Inputs extends object, Made>(
    inputs: Inputs,
    make: (plan: ClusterPlan, inputs: pulumi.Unwrap<Inputs>) => Made,
  ) => Apart<Made>;
  /** Fails if a deferred value is wrong. */
  readonly resolved: pulumi.Output<ClusterPlan>;
  /** Logs warnings, including those of deferred values. */
  warn(resource: pulumi.Resource): void;
}

/** In the place of a deferred value: stands for the check of all values, which fails if one of them is wrong. */
const ALL_CHECKED = "all values";

/**
 * Resolves and checks known values immediately, and the others when they arrive.
 * @param title of the component, for errors
 * @param settings of checked arguments, so that a deferred value has its declared type or none arrives
 * @throws InputPropertiesError
 */
export function checkedCluster(title: string, name: string, settings: object, attached: boolean): CheckedCluster {
  const part = splitKnown(settings);
  const planOf = (values: unknown): ClusterPlan => planCluster(name, values as DeclaredCluster);
  const known = planOf(view(part.value));
  const findings = checkClusterPlan(known, attached);
  throwErrors(title, findings);
  const checked = pulumi.all([pulumi.output(settings), withoutSecrets(part)]).apply(([values, open]) => {
    const resolved = planOf(values);
    const final = withoutSecretValues(checkClusterPlan(resolved, attached), () =>
      checkClusterPlan(planOf(view(open)), attached),
    );
    throwErrors(title, final);
    return { resolved, final };
  });
  const final = checked.apply((each): readonly Finding[] => each.final);
  const plans = new Map([["", known]]);
  const planWith = (values: unknown, arrived: ReadonlyMap<string, unknown>): ClusterPlan => {
    const key = [...arrived.keys()]
      .filter((marker) => part.deferred.has(marker))
      .toSorted()
      .join("");
    const plan = plans.get(key) ?? planOf(values);
    const isChecked = plans.has(key) || arrived.has(ALL_CHECKED);
    if (!isChecked && checkClusterPlan(plan, attached).some(({ severity }) => severity === "error"))
      throw new DeferredRead(ALL_CHECKED);
    plans.set(key, plan);
    return plan;
  };
  const join: CheckedCluster["join"] = (inputs, make) => {
    // Markers of the settings are the same as above.
    const { value, deferred } = splitKnown<object>({ settings, inputs });
    return apart({ value, deferred: new Map([...deferred, [ALL_CHECKED, checked]]) }, (values, arrived) => {
      const { settings: own, inputs: others } = values as Record<"settings" | "inputs", never>;
      return make(planWith(own, arrived), others);
    });
  };
  return {
    known,
    derive: join({}, (plan) => plan).derive,
    join,
    resolved: checked.apply(({ resolved }) => resolved),
    warn: (resource) => logInTwoSteps(findings, final, resource),
  };
}

/** The arguments without secrets, as {@link planCluster} takes them. */
export function openSettings(args: ClusterBackupArgs): object {
  const { plugin: _plugin, followRuntime: _follow, runtimeDelivery: _delivery, runtimeImage: _image, ...rest } = args;
  const { repositories, ...others } = rest;
  return { ...others, repositories: openRepositories(repositories) };
}

/** Replaces a cipher by its existence, and drops credentials. */
export function openRepositories(repositories: { readonly [key: string]: ClusterRepositoryArgs }): object {
  return Object.fromEntries(
    Object.entries(repositories).map(([key, { ca: _ca, ...repository }]) => [
      key,
      { ...repository, at: openTarget(repository.at) },
    ]),
  );
}

/** Where keys are put for one cluster. */
export interface ClusterScope {
  /** Title of the component, for errors. */
  readonly title: string;
  readonly name: string;
  /** Prefix of the Secrets' names. */
  readonly cluster: pulumi.Input<string>;
  readonly namespace: pulumi.Input<string>;
  readonly parent: pulumi.Resource;
}

/** Secrets of a component's repositories. */
export interface DeliveredSecrets {
  /** Their names wait for them. */
  readonly secrets: SecretInputs;
  /** Names that do not wait, for what depends on `contents`: the state then has each Secret once, not per property. */
  readonly named: SecretInputs;
  readonly contents: readonly pulumi.Resource[];
}

/** Creates a Secret for each repository with given keys or passphrase, and names existing ones. */
export function deliverSecrets(
  { cluster, name, namespace, parent, title }: ClusterScope,
  repositories: { readonly [key: string]: ClusterRepositoryArgs },
  { path, role }: { readonly path: string; readonly role: string } = { path: "repositories", role: "secret" },
): DeliveredSecrets {
  const secrets: Record<string, SecretInputs[string]> = {};
  const named: Record<string, SecretInputs[string]> = {};
  const contents: pulumi.Resource[] = [];
  for (const [key, { at: declared, ca }] of Object.entries(repositories)) {
    const checked = <T extends RepositoryTarget | KnownTarget>(target: T): T =>
      withCheckedCipher(title, `${path}.${key}.at`, target);
    const secretName = suffixed(cluster, `-${key}`);
    const own = renderedName(name, key);
    if (isDeferredInput(declared)) {
      const from = knownTarget(declared).apply((target) => (target === null ? null : checked(target)));
      const made = new DeferredRepositorySecret(own, { namespace, secretName, from }, { parent });
      showChild(parent, `${role}-${key}`, made.secret);
      secrets[key] = named[key] = deferredKeys(from, made, ca);
      continue;
    }
    const at = checked(declared);
    const keyKind = storeOf(at)?.credentials === undefined ? null : storeKindOf(at);
    const isMade = keyKind !== null || at.cipher !== undefined;
    const made = isMade ? new RepositorySecret(own, { namespace, secretName, create: { from: at } }, { parent }) : null;
    if (made?.secret !== undefined) showChild(parent, `${role}-${key}`, made.secret);
    const content = made === null ? undefined : shownChild(made, CHILD_ROLES.content);
    if (content !== undefined) contents.push(content);
    const keysOf = (ref: SecretRef | undefined): SecretKeyInputs => ({
      ...existingKeysOf(at),
      ...(ref === undefined ? {} : secretKeysOf(ref, keyKind)),
      ...given({ ca }),
    });
    secrets[key] = keysOf(made?.ref);
    named[key] = keysOf(made === null ? undefined : { ...made.ref, name: secretName });
  }
  return { secrets, named, contents };
}

/**
 * Keys of the Secret of a target that comes later, whatever it turns out to be: what an update creates must not depend
 * on a value that the preview does not know.
 */
function deferredKeys(
  from: ReturnType<typeof knownTarget>,
  secret: DeferredRepositorySecret,
  ca: KeyRef | undefined,
): pulumi.Output<SecretKeyInputs> {
  // Names of Secrets and of their keys.
  const existing = pulumi.unsecret(from).apply((target) => (target === null ? {} : existingKeysOf(target)));
  return pulumi
    .all([existing, secret.keys, pulumi.output(ca)])
    .apply(([own, keys, authority]): SecretKeyInputs => ({ ...own, ...keys, ...given({ ca: authority }) }));
}

/** Existing objects of the namespace, which rendering needs besides the plan. */
export interface RenderInputs {
  readonly secrets: SecretInputs;
  /** For the repositories of the restore. */
  readonly sourceSecrets: SecretInputs;
  readonly runtime: RuntimeInputs;
  /** Objects that name the plugin wait for it. */
  readonly pluginName: pulumi.Input<string> | undefined;
}

interface PlainInputs {
  readonly secrets: RepositorySecrets;
  readonly sourceSecrets: RepositorySecrets;
  readonly runtime: DeployedRuntime;
  readonly pluginName: string | undefined;
}

/** Renders a cluster's objects from its own context and its source's. */
export type RenderObjects = (
  resolved: ClusterPlan,
  context: EngineContext,
  sourceContext: EngineContext,
) => RenderedObject[];

/** Parent and dependencies of children. */
export interface ChildScope {
  /** Title of the component, for errors. */
  readonly title: string;
  readonly name: string;
  readonly parent: pulumi.Resource;
  /** Takes over fields that another manager has set. */
  readonly takeOver?: pulumi.Input<boolean>;
  /** What pods mount, besides the ConfigMaps among the children. */
  readonly contents?: readonly pulumi.Resource[];
}

/** For one-shot actions. @param clusterName waits for the objects that they act on */
export function clusterAccess(
  checked: CheckedCluster,
  inputs: RenderInputs,
  namespace: pulumi.Input<string>,
  clusterName: pulumi.Output<string>,
): ClusterAccess {
  const { derive } = checked.join(inputs, (plan, plain) => contextOf(plan, plain));
  // Plain values decide how many there are.
  const backups = derive(oneShotBackups) as ClusterAccess["backups"];
  const repositoryBackups = derive(oneShotBackupsByRepository) as Required<ClusterAccess>["repositoryBackups"];
  const access = { namespace, clusterName, backups, repositoryBackups };
  if (!engineOf(checked.known.database.engine).own) return access;
  const verbs = derive((context) => {
    const parts = repositoryParts(context);
    const made = { args: list(...parts.options), drills: drillJobs(context), hold: holdJob(context) };
    return merged(without(parts, "options"), made);
  });
  return { ...access, verbs: verbs as object as ClusterVerbs };
}

/** Kinds whose pods mount ConfigMaps and Secrets. */
const HAS_PODS: ReadonlySet<string> = new Set(["Cluster", "CronJob", "Job"]);

/**
 * Declares a child for every object from `render`. Known values decide which objects exist; their fields may come
 * later.
 * @param optionsOf additional options, by the object's role and the children declared before it
 */
export function declareObjects(
  scope: ChildScope,
  checked: CheckedCluster,
  inputs: RenderInputs,
  render: RenderObjects,
  optionsOf: (role: string, made: ReadonlyMap<string, pulumi.Resource>) => pulumi.CustomResourceOptions,
): Map<string, pulumi.Resource> {
  const roles = new Set<string>();
  const rendered = checked.join(inputs, (plan, plain) => onlyListed(roles, renderWith(render, plan, plain)));
  const made = new Map<string, pulumi.Resource>();
  const contents = [...(scope.contents ?? [])];
  for (const { role } of rendered.now) {
    // Which objects there are, and of which kind, never comes later.
    const filled = rendered.derive((objects) => loadManifest(objects, role)) as Manifest;
    const { kind } = filled;
    const object =
      role === "attachment" ? { ...filled, ...after(filled, made) } : kind === "Pooler" ? endingAtOnce(filled) : filled;
    const options = pulumi.mergeOptions({ parent: scope.parent }, optionsOf(role, made));
    const own = renderedName(scope.name, role);
    // The sidecar writes the report of full backups.
    const judged = role === FULL_BACKUP_ROLE ? null : judgedManifest(scope.title, scope.parent, filled);
    if (kind === "ConfigMap" && role !== FULL_BACKUP_ROLE) {
      const { object: map, content } = declareContent(own, object, options, judged);
      made.set(role, map).set(childName(role, "content"), content);
      contents.push(content);
      showChild(scope.parent, role, map);
      continue;
    }
    // Whatever mounts a ConfigMap or a Secret finds its content.
    const awaited = HAS_PODS.has(kind) ? pulumi.mergeOptions({ dependsOn: [...contents] }, options) : options;
    const child =
      role === "attachment"
        ? declareKubernetesPatch(own, object, scope.takeOver ?? false, awaited)
        : declareKubernetes(own, object, awaited, judged);
    made.set(role, child);
    showChild(scope.parent, role, child);
  }
  return made;
}

/**
 * CloudNativePG 1.30 makes a Pooler's Deployment and Service again until the Pooler is gone. So a deletion in the
 * foreground, the provider's default, never ends: the Pooler waits for them.
 */
function endingAtOnce({ metadata, ...object }: Manifest): Manifest {
  const annotations = textsOf(metadata.annotations ?? {}, { "pulumi.com/deletionPropagationPolicy": "background" });
  return { ...object, metadata: { ...metadata, annotations } } as Manifest;
}

/** One object as far as plain arguments decide it, without what children give. */
export function outlineOf(
  checked: CheckedCluster,
  render: RenderObjects,
  role: string,
  pluginName: string | undefined,
): Manifest {
  const inputs = { secrets: {}, sourceSecrets: {}, runtime: NO_RUNTIME, pluginName };
  return loadManifest(renderWith(render, checked.known, inputs), role);
}

/**
 * The fields of an attachment after the Job that replaces the Cluster's archiver. A preview asks the API server whether
 * it would accept a patch, unless a value is unknown; before the Job has run, it would not.
 */
function after(filled: object, made: ReadonlyMap<string, pulumi.Resource>): object {
  const job = made.get(REPLACE_ARCHIVER_ROLE) as pulumi.CustomResource | undefined;
  if (job === undefined) return filled;
  const { spec } = filled as { readonly spec: pulumi.Input<object> };
  return { ...filled, spec: pulumi.all([spec, job.id]).apply(([known]) => known) };
}

/** Location of a cluster's backups, for copies, which may have another engine. */
export function sourceOf(
  stanza: pulumi.Input<string>,
  { engine = DEFAULTS.engine, repositories }: Pick<ClusterBackupArgs, "engine" | "repositories">,
  more: Partial<RecoveryArgs> = {},
): RecoveryArgs {
  return { stanza, repositories, engine, ...more };
}

/** Host name of a Service of a cluster, inside Kubernetes. */
export function serviceHost(
  cluster: pulumi.Output<string>,
  suffix: string,
  namespace: pulumi.Input<string>,
): pulumi.Output<string> {
  return pulumi.interpolate`${cluster}-${suffix}.${namespace}.svc`;
}

const OUTPUTS = [
  ...(["clusterName", "stanza", "repositoryNames", "scheduleNames", "destinations"] as const),
  ...(["writeHost", "readOnlyHost", "readHost"] as const),
];

/** Outputs that the state of a cluster's component has: those of all, and more of some. */
export function clusterOutputs<More extends string>(
  component: { readonly [Name in (typeof OUTPUTS)[number] | More]: unknown },
  ...more: readonly More[]
): object {
  return Object.fromEntries([...OUTPUTS, ...more].map((name) => [name, component[name]]));
}

/** Host names of CloudNativePG's Services. */
export function clusterHosts(
  cluster: pulumi.Output<string>,
  namespace: pulumi.Input<string>,
): Readonly<Record<"read" | "readOnly" | "write", pulumi.Output<string>>> {
  const hostOf = (suffix: string): pulumi.Output<string> => serviceHost(cluster, suffix, namespace);
  return { write: hostOf("rw"), readOnly: hostOf("ro"), read: hostOf("r") };
}

/** Options of the ConfigMap that reports full backups: it comes last, and the provider waits as long as it may. */
export function fullBackupOptions(
  { known }: CheckedCluster,
  made: ReadonlyMap<string, pulumi.Resource>,
): pulumi.CustomResourceOptions {
  const limit = `${known.definition.firstBackupTimeoutMinutes}m`;
  return {
    dependsOn: [...made.values()],
    customTimeouts: { create: limit, update: limit },
    // The sidecar writes it.
    ignoreChanges: ["data"],
  };
}

/** JSON text of the repositories' content, as the sidecar has reported it; empty if the update does not wait. */
export function destinationsOf(made: ReadonlyMap<string, pulumi.Resource>): pulumi.Output<string> {
  const report = made.get(FULL_BACKUP_ROLE) as ConfigMap | undefined;
  if (report === undefined) return pulumi.output("");
  return report.data.apply((data) => {
    const text = data?.[REPORT_KEYS.destinations];
    return text === undefined ? "" : renderDestinations(parseDestinations(JSON.parse(text)));
  });
}

/** Names of all declared ScheduledBackups, including those of snapshots. */
export function scheduleNamesOf(cluster: string, made: ReadonlyMap<string, pulumi.Resource>): string[] {
  const prefix = "schedule-";
  return [...made.keys()].flatMap((role) =>
    role.startsWith(prefix) ? [`${cluster}-${role.slice(prefix.length)}`] : [],
  );
}

function renderWith(render: RenderObjects, plan: ClusterPlan, inputs: PlainInputs): RenderedObject[] {
  const context = contextOf(plan, inputs);
  return render(plan, context, merged(context, { secrets: inputs.sourceSecrets }));
}

function contextOf({ database, schedules, definition }: ClusterPlan, inputs: PlainInputs): EngineContext {
  const { runtime, secrets } = inputs;
  return merged({ database, definition, schedules, secrets, runtime }, fields({ pluginName: () => inputs.pluginName }));
}

/**
 * @param roles of the first rendering
 * @throws Error for an object that no preview has shown: the argument that decides it must be plain
 */
function onlyListed(roles: Set<string>, rendered: readonly RenderedObject[]): readonly RenderedObject[] {
  if (roles.size === 0) for (const { role } of rendered) roles.add(role);
  const stranger = rendered.find(({ role }) => !roles.has(role));
  if (stranger !== undefined) throw new Error(`${stranger.role} is rendered but not listed`);
  return rendered;
}

function loadManifest(objects: readonly RenderedObject[], role: string): Manifest {
  const rendered = objects.find((object) => object.role === role);
  if (rendered === undefined)
    throw new pulumi.RunError(
      `${role} was declared for an argument that comes later, which has no value: give it one, or leave it out`,
    );
  return rendered.manifest;
}
