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
  type CustomResource,
  declareKubernetes,
  declareKubernetesPatch,
  showChild,
  shownChild,
} from "../internal/kubernetesObjects";
import {
  deferredPaths,
  derivedApart,
  fillKnown,
  type KnownPart,
  type MakeAgain,
  splitKnown,
  suffixed,
  leaveOut,
  withoutSecrets,
  withValues,
} from "../internal/inputs";
import { withoutStackTraces } from "../internal/stackTraces";
import { logInTwoSteps, throwErrors, withoutSecretValues } from "../internal/validate";
import { parseDestinations, renderDestinations } from "../host/hostDestinations";
import { REPORT_KEYS } from "../../runtime/cnpg/names";
import type { DeclaredCluster } from "../plan/cluster/declaredCluster";
import { checkClusterPlan, planCluster } from "../plan/cluster/planCluster";
import { type RepositorySecrets, type ClusterPlan } from "../plan/cluster/clusterPlan";
import type { ClusterDatabasePlan } from "../plan/model/plan";
import { engineOf } from "../plan/engines/engines";
import type { Finding } from "../plan/findings/findings";
import { changedTypes, type CheckOptions, checkArguments, withDeferredMaps } from "../plan/arguments/checkArguments";
import { checkTransformedCluster } from "../plan/rules/finalCluster";
import type { DeployedRuntime, EngineContext } from "../render/engines/engine";
import { type BackupSpec, oneShotBackups, oneShotBackupsByRepository } from "../render/kubernetes/clusterObjects";
import { drillJobs, repositoryParts } from "../render/kubernetes/drillCronJob";
import { FULL_BACKUP_ROLE } from "../render/kubernetes/fullBackupGate";
import type { Manifest, RenderedObject } from "../render/kubernetes/objects";
import { REPLACE_ARCHIVER_ROLE } from "../render/kubernetes/replaceArchiverJob";
import { secretKeysOf } from "../render/kubernetes/secrets";
import { isDeferredTarget, type KnownTarget, knownTarget, openTarget } from "../repositories/common";
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
import { given } from "../plan/model/given";
import { view } from "../plan/model/deferred";
import { isUnknown } from "../plan/model/unknown";

/** The keys of one repository, as Secrets of the namespace name them; late values are outputs. */
export interface SecretKeyInputs {
  readonly accessKeyId?: KeyRef;
  readonly secretAccessKey?: KeyRef;
  readonly sessionToken?: KeyRef;
  readonly passphrase?: KeyRef;
  readonly region?: KeyRef;
  readonly ca?: KeyRef;
}

/** By the repositories' keys; outputs for targets that come later. */
export type SecretInputs = Readonly<Record<string, SecretKeyInputs | pulumi.Output<SecretKeyInputs>>>;

/** A cluster that is checked at once, and again when all values are known. */
export interface CheckedCluster {
  readonly known: ClusterPlan;
  /** The same with the values of some markers. */
  knowing(values: ReadonlyMap<string, unknown>): ClusterPlan;
  readonly deferred: KnownPart<object>["deferred"];
  /** True while a target is an output as a whole. */
  readonly awaitsTarget: boolean;
  /** True while values are late that others are calculated from. */
  readonly awaitsValues: boolean;
  /** Something of the database: immediate if it reads no late value. */
  readonly derive: <T>(make: (database: ClusterDatabasePlan) => T) => pulumi.Input<T>;
  /** Fails if a late value is wrong. */
  readonly resolved: pulumi.Output<ClusterPlan>;
  /** Logs warnings, including those of late values. */
  warn(resource: pulumi.Resource): void;
}

/** Late values that a first check would mistake for something else; any other one is inserted where it belongs. */
const AWAITED = /(^|\.)(at|clusterName|cron|backupAgeHours)$|^objectives\./;

const REPOSITORY = "(bootstrap\\.recovery\\.)?repositories\\.[^.]+\\.";
/** Late values that objects contain in another form, or that decide other values. */
const CALCULATED = new RegExp(
  [
    "^(acknowledge|drillChecks|drills|schedules|sizing|staleCheck|streaming)\\.(?!.*\\.resources\\.)",
    "^(archiveTimeoutSeconds|backupTarget|engineVersion|operatorVersion|postgresVersion|processMax)$",
    "^sharedPreloadLibraries|^bootstrap\\.(import\\.port|recovery\\.(continueArchive|from))",
    "^snapshots\\.(acceptDowntime|online|ownerReference)$",
    "^monitoring\\.(alertLabels(\\.|$)|disableDefaultQueries$|runbookUrl$)",
    `^${REPOSITORY}(blockIncremental|bundle|compress|schedules|at\\.(name|offSite|readOnly|requireMount)$)`,
    `^${REPOSITORY}at\\.s3\\.(facts|keyType|quirks|uriStyle)`,
  ].join("|"),
);

/** Nothing can be resolved without these values. The plan omits other late ones. */
const MARKED = /(^|\.)(at|cron)$|^(acknowledge\.mode|drillChecks\..+|sizing\.(databaseGiB|walGiBPerDay))$/;

/** What {@link openSettings} has made of the arguments. */
const OPENED: CheckOptions = {
  skipped: ["RepositoryTarget"],
  types: changedTypes({ CnpgBackupArgs: { "walStorage?": "any" } }),
};

function isLeftOut(path: string): boolean {
  return CALCULATED.test(path) && !MARKED.test(path);
}

/**
 * Resolves and checks known values at once, and the others when they arrive.
 * @param title of the component, for errors
 * @throws InputPropertiesError
 */
export function checkedCluster(title: string, name: string, settings: object, attached: boolean): CheckedCluster {
  const part = splitKnown(settings);
  const type = attached ? "CnpgBackupArgs" : "CnpgClusterArgs";
  const resolve = (values: unknown): ClusterPlan =>
    planCluster(name, withDeferredMaps(type, values) as DeclaredCluster);
  const paths = deferredPaths(part.value);
  const resolveKnown = (values: unknown): ClusterPlan =>
    resolve(paths.some(isLeftOut) ? leaveOut(values, isLeftOut) : values);
  const known = resolveKnown(part.value);
  const awaited = paths.filter((path) => AWAITED.test(path) || CALCULATED.test(path));
  const viewed = (values: unknown): ClusterPlan => planCluster(name, view(values) as DeclaredCluster);
  const judged = paths.length === 0 ? known : viewed(part.value);
  const findings = checkClusterPlan(judged, attached);
  throwErrors(title, findings);
  // An output may turn out to have no value.
  const check = (values: unknown, resolved: ClusterPlan): Finding[] => [
    ...checkArguments(type, values, OPENED),
    ...checkClusterPlan(resolved, attached),
  ];
  const checked = pulumi.all([pulumi.output(settings), withoutSecrets(part)]).apply(([values, open]) => {
    const resolved = resolve(values);
    const final = withoutSecretValues(check(values, resolved), () => check(open, viewed(open)));
    throwErrors(title, final);
    return { resolved, final };
  });
  const final = checked.apply((each): readonly Finding[] => each.final);
  return {
    known,
    knowing: (values) => resolveKnown(withValues(part.value, values)),
    deferred: part.deferred,
    awaitsTarget: awaited.some((path) => path.endsWith(".at")),
    awaitsValues: hasDeferredClaim(known) || awaited.some((path) => !/\.at$|^clusterName$/.test(path)),
    derive: (make) =>
      derivedApart(
        judged.database,
        (values) => viewed(withValues(part.value, values)).database,
        part.deferred,
        make,
      ) as never,
    resolved: checked.apply(({ resolved }) => resolved),
    warn: (resource) => logInTwoSteps(findings, final, resource),
  };
}

/** The path of a repository on a volume names the volume's claim. */
function hasDeferredClaim({ database, source }: ClusterPlan): boolean {
  const repositories = [...database.repositories, ...(source?.database.repositories ?? [])];
  return repositories.some(({ kind, path }) => kind === "posix" && isUnknown(path));
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
  /** Of the component, for errors. */
  readonly title: string;
  /** The component's name. */
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
    if (isDeferredTarget(declared)) {
      const from = knownTarget(declared).apply((target) => (target === null ? null : checked(target)));
      const made = withoutStackTraces(
        () => new DeferredRepositorySecret(own, { namespace, secretName, from }, { parent }),
      );
      showChild(parent, `${role}-${key}`, made.secret);
      secrets[key] = named[key] = deferredKeys(from, made, ca);
      continue;
    }
    const at = checked(declared);
    const isMade = at.s3 !== undefined && (at.s3.credentials !== undefined || at.cipher !== undefined);
    const create = (): RepositorySecret =>
      new RepositorySecret(own, { namespace, secretName, create: { from: at } }, { parent });
    const made = isMade ? withoutStackTraces(create) : null;
    if (made?.secret !== undefined) showChild(parent, `${role}-${key}`, made.secret);
    const content = made === null ? undefined : shownChild(made, CHILD_ROLES.content);
    if (content !== undefined) contents.push(content);
    const keysOf = (ref: SecretRef | undefined): SecretKeyInputs => ({
      ...(at.s3?.existingSecret === undefined ? {} : secretKeysOf(at.s3.existingSecret, true)),
      ...(ref === undefined ? {} : secretKeysOf(ref, at.s3?.credentials !== undefined)),
      ...given({ ca }),
    });
    secrets[key] = keysOf(made?.ref);
    named[key] = keysOf(made === null ? undefined : { ...made.ref, name: secretName });
  }
  return { secrets, named, contents };
}

/**
 * Of the Secret of a target that comes later, whatever it turns out to be: what an update creates must not depend on a
 * value that the preview does not know.
 */
function deferredKeys(
  from: ReturnType<typeof knownTarget>,
  secret: DeferredRepositorySecret,
  ca: KeyRef | undefined,
): pulumi.Output<SecretKeyInputs> {
  // Names of Secrets and of their keys.
  const existing = pulumi.unsecret(from).apply((target) => target?.s3?.existingSecret ?? null);
  return pulumi.all([existing, secret.keys, pulumi.output(ca)]).apply(([ref, keys, authority]): SecretKeyInputs => {
    const own = ref === null ? {} : secretKeysOf(ref, true);
    return { ...own, ...keys, ...given({ ca: authority }) };
  });
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

const NOTHING: PlainInputs = { secrets: {}, sourceSecrets: {}, runtime: NO_RUNTIME, pluginName: undefined };

/** Renders a cluster's objects from its own context and its source's. */
export type RenderObjects = (
  resolved: ClusterPlan,
  context: EngineContext,
  sourceContext: EngineContext,
) => RenderedObject[];

/** Parent and dependencies of children. */
export interface ChildScope {
  /** Of the component, for errors. */
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
  const outline = contextOf(checked.known, NOTHING, true);
  const oneShot = { backups: oneShotBackups(outline), repositoryBackups: oneShotBackupsByRepository(outline) };
  const access = {
    namespace,
    clusterName,
    ...(checked.awaitsValues ? deferredBackups(checked, oneShot) : (fillKnown(oneShot, checked.deferred) as OneShot)),
  };
  if (!engineOf(checked.known.database.engine).own) return access;
  const part = splitKnown<object>(inputs, checked.deferred.size);
  const context = contextOf(checked.known, part.value as PlainInputs, true);
  const drills = drillJobs(context);
  const deferred = new Map([...checked.deferred, ...part.deferred]);
  const verbs = fillKnown({ ...repositoryParts(context), drills }, deferred) as ClusterVerbs;
  const { awaitsTarget, awaitsValues, known } = checked;
  const isKnown = !isUnknown(known.database.cluster) && !awaitsTarget && !awaitsValues && !awaitsKeys(part);
  if (isKnown && !isRuntimeDeferred(inputs)) return { ...access, verbs };
  const final = finalOf(checked, inputs, (resolved, values) => {
    const whole = contextOf(resolved, values, true);
    return { ...repositoryParts(whole), drills: drillJobs(whole) };
  });
  const deferredDrills = Object.keys(drills).map((name) => [name, final.apply((whole) => whole.drills[name])]);
  return {
    ...access,
    verbs: {
      args: verbs.args,
      volumeMounts: final.apply(({ volumeMounts }) => [...volumeMounts]),
      volumes: final.apply(({ volumes }) => [...volumes]),
      drills: Object.fromEntries(deferredDrills) as ClusterVerbs["drills"],
    },
  };
}

type OneShot = Pick<ClusterAccess, "backups" | "repositoryBackups">;
type Backups = Readonly<Record<string, readonly BackupSpec[]>>;

const SPEC_FIELDS = ["cluster", "method", "pluginConfiguration", "target", "online"];

/** One-shot backups from complete values. Plain values decide how many there are. */
function deferredBackups(
  { resolved }: CheckedCluster,
  { backups, repositoryBackups }: { readonly backups: Backups; readonly repositoryBackups: Record<string, Backups> },
): OneShot {
  const whole = resolved.apply((plan) => contextOf(plan, NOTHING, true));
  const specsOf = (known: Backups, read: (context: EngineContext) => Backups | undefined): OneShot["backups"] =>
    mapValues(known, (specs, type) =>
      specs.map((_spec, index) =>
        Object.fromEntries(
          SPEC_FIELDS.map((field) => [field, whole.apply((context) => read(context)?.[type]?.[index]?.[field])]),
        ),
      ),
    );
  return {
    backups: specsOf(backups, oneShotBackups),
    repositoryBackups: mapValues(repositoryBackups, (known, name) =>
      specsOf(known, (context) => oneShotBackupsByRepository(context)[name]),
    ),
  };
}

function mapValues<From, To>(
  values: Readonly<Record<string, From>>,
  convert: (value: From, name: string) => To,
): Record<string, To> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name, convert(value, name)]));
}

/** A key of a Secret that comes later may be the usual one, which is written in a shorter form. */
function awaitsKeys({ value }: KnownPart<object>): boolean {
  return deferredPaths(value).some((path) => /^(s|sourceS)ecrets\..+\.key$/.test(path));
}

/** From complete values. */
function finalOf<T>(
  { resolved }: CheckedCluster,
  inputs: RenderInputs,
  derive: (resolved: ClusterPlan, values: PlainInputs) => T,
): pulumi.Output<T> {
  return pulumi
    .all([resolved, pulumi.output<object>(inputs)])
    .apply<T>(([plan, values]) => derive(plan, values as PlainInputs));
}

/** Objects whose texts depend on values in ways that markers cannot express. */
const DEFERRED_ROLES: readonly string[] = [
  "config",
  "drill-config",
  "stanza",
  "object-store",
  "source-config",
  "source-stanza",
  "source-object-store",
  "stale-config",
  "prometheus-rule",
  REPLACE_ARCHIVER_ROLE,
];

/** Kinds whose pods mount ConfigMaps and Secrets. */
const HAS_PODS: ReadonlySet<string> = new Set(["Cluster", "CronJob", "Job"]);

/** Objects whose names or times are calculated from the Cluster's name. */
const NAMED_BY_CLUSTER = /^(drill|expiry)(-|$)/;
/** CronJobs that mount the repositories' Secrets and volumes. */
const USES_TARGETS = /^drill-/;
/** Fields of a Cluster's `spec` that depend on what its repositories are. */
const TARGET_FIELDS = ["plugins", "externalClusters"];

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
  const part = splitKnown<object>(inputs, checked.deferred.size);
  const deferred = new Map([...checked.deferred, ...part.deferred]);
  const outline = renderWith(render, checked.known, part.value as PlainInputs, true);
  const final = finalOf(checked, inputs, (resolved, values) =>
    onlyListed(outline, renderWith(render, resolved, values, false)),
  );
  const made = new Map<string, pulumi.Resource>();
  const contents = [...(scope.contents ?? [])];
  const isNameDeferred = isUnknown(checked.known.database.cluster);
  const awaitsValues = checked.awaitsValues || awaitsKeys(part);
  for (const { role, manifest } of outline) {
    const { apiVersion, kind, metadata, ...fields } = manifest;
    const makeAgain: MakeAgain = (path, markers) =>
      pulumi.all(markers.map((marker) => deferred.get(marker))).apply((values) => {
        const plan = checked.knowing(new Map(markers.map((marker, index) => [marker, values[index]])));
        const again = loadManifest(renderWith(render, plan, part.value as PlainInputs, true), role);
        return pulumi.output(fillKnown(valueIn(again, path), deferred));
      });
    const whenKnown = (field: string): pulumi.Output<unknown> =>
      final.apply((objects) => loadManifest(objects, role)[field]);
    const isNamed = isNameDeferred && NAMED_BY_CLUSTER.test(role);
    const isWhole =
      isNamed ||
      awaitsValues ||
      DEFERRED_ROLES.includes(role) ||
      (checked.awaitsTarget && USES_TARGETS.test(role)) ||
      (kind === "CronJob" && isRuntimeDeferred(inputs));
    const filled = isWhole
      ? Object.fromEntries(Object.keys(fields).map((field) => [field, whenKnown(field)]))
      : (fillKnown(fields, deferred, makeAgain) as object);
    if (!isWhole && checked.awaitsTarget && isCluster(role))
      Object.assign(filled, { spec: specWhenKnown(filled, whenKnown("spec")) });
    const identity = (
      isNamed ? whenKnown("metadata") : fillKnown(metadata, deferred, makeAgain, ["metadata"])
    ) as object;
    if (role === FULL_BACKUP_ROLE)
      Object.assign(identity, {
        annotations: final.apply((objects) => loadManifest(objects, role).metadata.annotations),
      });
    const values = role === "attachment" ? after(filled, made) : filled;
    const object = { apiVersion, kind, metadata: identity, ...values };
    const options = pulumi.mergeOptions({ parent: scope.parent }, optionsOf(role, made));
    const own = renderedName(scope.name, role);
    if (kind === "ConfigMap" && role !== FULL_BACKUP_ROLE) {
      const { object: map, content } = declareContent(own, object, options);
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
        : declareKubernetes(own, object, awaited);
    made.set(role, child);
    showChild(scope.parent, role, child);
    if (role === "cluster") checkTransformed(scope.title, filled, child);
  }
  return made;
}

/** A transform of the program changes an object after its component has judged it. */
function checkTransformed(title: string, judged: object, made: pulumi.Resource): void {
  pulumi
    .all([(judged as { readonly spec: unknown }).spec, (made as CustomResource & { readonly spec?: unknown }).spec])
    .apply(([wanted, final]) => {
      if (final !== undefined) throwErrors(title, checkTransformedCluster(wanted, final));
    });
}

/** One object as far as plain arguments decide it, with markers for other values and without what children give. */
export function outlineOf(
  { known }: CheckedCluster,
  render: RenderObjects,
  role: string,
  pluginName: string | undefined,
): Manifest {
  return loadManifest(renderWith(render, known, { ...NOTHING, pluginName }, true), role);
}

/** A part of an object that was made again: an item of a list has its place. */
function valueIn(made: unknown, path: readonly string[]): unknown {
  return path.reduce((value, key) => (value as Readonly<Record<string, unknown>> | undefined)?.[key], made);
}

/**
 * The fields of an attachment after the Job that replaces the Cluster's archiver. A preview asks the API server whether
 * it would accept a patch, unless a value is unknown; before the Job has run, it would not.
 */
function after(fields: object, made: ReadonlyMap<string, pulumi.Resource>): object {
  const job = made.get(REPLACE_ARCHIVER_ROLE) as pulumi.CustomResource | undefined;
  if (job === undefined) return fields;
  const { spec } = fields as { readonly spec: pulumi.Input<object> };
  return { ...fields, spec: pulumi.all([spec, job.id]).apply(([known]) => known) };
}

/** Location of a cluster's backups, for copies. */
export function sourceOf(
  stanza: pulumi.Input<string>,
  { engine, repositories }: Pick<ClusterBackupArgs, "engine" | "repositories">,
  postgresVersion?: pulumi.Input<number>,
): RecoveryArgs {
  return { stanza, repositories, ...given({ engine, postgresVersion }) };
}

/** Host name of a Service of a cluster, inside Kubernetes. */
export function serviceHost(
  cluster: pulumi.Output<string>,
  suffix: string,
  namespace: pulumi.Input<string>,
): pulumi.Output<string> {
  return pulumi.interpolate`${cluster}-${suffix}.${namespace}.svc`;
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

/** Which volumes and commands a Job has depends on where its runtime comes from. */
function isRuntimeDeferred({ runtime }: RenderInputs): boolean {
  return typeof runtime.configMap !== "string";
}

function isCluster(role: string): boolean {
  return role === "cluster" || role === "attachment";
}

/** A Cluster's `spec`, whose parts about repositories come from complete values. */
function specWhenKnown(filled: object, final: pulumi.Output<unknown>): unknown {
  const spec = "spec" in filled ? (filled.spec as object) : {};
  if (pulumi.Output.isInstance(spec)) return final;
  const fields = TARGET_FIELDS.filter((field) => field in spec);
  const parts = fields.map((field) => [field, final.apply((known) => (known as Record<string, unknown>)[field])]);
  return { ...spec, ...(Object.fromEntries(parts) as object) };
}

/** Names of all declared ScheduledBackups, including those of snapshots. */
export function scheduleNamesOf(cluster: string, made: ReadonlyMap<string, pulumi.Resource>): string[] {
  const prefix = "schedule-";
  return [...made.keys()].flatMap((role) =>
    role.startsWith(prefix) ? [`${cluster}-${role.slice(prefix.length)}`] : [],
  );
}

function renderWith(
  render: RenderObjects,
  resolved: ClusterPlan,
  inputs: PlainInputs,
  isOutline: boolean,
): RenderedObject[] {
  const context = contextOf(resolved, inputs, isOutline);
  return render(resolved, context, { ...context, secrets: inputs.sourceSecrets });
}

function contextOf(
  { database, schedules, definition }: ClusterPlan,
  { pluginName, runtime, secrets }: PlainInputs,
  isOutline: boolean,
): EngineContext {
  return { database, definition, schedules, secrets, runtime, pluginName, isOutline };
}

/** @throws Error for an object that no preview has shown: the argument that decides it must be plain */
function onlyListed(
  outline: readonly RenderedObject[],
  rendered: readonly RenderedObject[],
): readonly RenderedObject[] {
  const stranger = rendered.find(({ role }) => !outline.some((listed) => listed.role === role));
  if (stranger !== undefined) throw new Error(`${stranger.role} is rendered but not listed`);
  return rendered;
}

function loadManifest(objects: readonly RenderedObject[], role: string): Manifest {
  const rendered = objects.find((object) => object.role === role);
  if (rendered === undefined) throw new Error(`${role} is listed but not rendered`);
  return rendered.manifest;
}
