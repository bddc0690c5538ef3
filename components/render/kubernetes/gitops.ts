/**
 * The objects of clusters and of the plugin from one file, for clusters that Flux, Argo or kubectl create: the same
 * objects as from the components. Secrets are named and never contained: a file with a key or a passphrase is refused.
 * Pure.
 */
import type { KeyRefSettings, PodPlacement, SecretKeysSettings } from "../../plan/cluster/declaredCluster";
import type { DeclaredCluster } from "../../plan/cluster/declaredCluster";
import { checkClusterPlan, planCluster } from "../../plan/cluster/planCluster";
import { checkArguments } from "../../plan/arguments/checkArguments";
import { FILE } from "../../plan/arguments/fileTypes";
import { type ClusterPlan, type RepositorySecrets, runsInPods } from "../../plan/cluster/clusterPlan";
import { claim, type Claims } from "../../plan/findings/claims";
import { type Finding, finding, findingsBelow } from "../../plan/findings/findings";
import { NODE_IMAGE } from "../../plan/cluster/images";
import { checkPlugin } from "../../plan/rules/plugin";
import { expiresSnapshots } from "../../plan/cluster/snapshotPlan";
import type { RepositorySettings } from "../../plan/model/databaseSettings";
import { isFields } from "../../plan/model/anyValue";
import { archiveRole, archiverUse, archiveUses, inRole, keyOf } from "../../plan/repositories/archiveUses";
import { type StoreKind, storeKindOf, storeOf, type TargetSettings } from "../../plan/repositories/repositoryTypes";
import type { EngineContext } from "../engines/engine";
import { VERSION } from "../../../runtime/version";
import { bundleConfigMap, type RuntimeBundle } from "./bundle";
import { checkSpec, renderAttachment, renderCluster } from "./clusterObjects";
import { checkFlux, escapedForFlux, findVariables, type FluxSettings, withoutVariables } from "./flux";
import { certificateObjects, PLUGIN_DEFAULTS, renderPlugin } from "./plugin";
import { canonical, type Manifest } from "./objects";
import { existingKeysOf, type SecretNames } from "./secrets";
import { recoverySource } from "./source";
import { given } from "../../../runtime/base/given";
import { view } from "../../plan/model/deferred";

/** A repository as in a file: keys by the Secret that contains them. */
export interface FileRepository extends Omit<RepositorySettings, "at"> {
  readonly at: Omit<TargetSettings, StoreKind | "name" | "encrypted"> & {
    readonly [Kind in StoreKind]?: NonNullable<TargetSettings[Kind]> & {
      readonly existingSecret?: SecretNames<string>;
    };
  };
  readonly ca?: KeyRefSettings;
}

type FileCluster = Omit<DeclaredCluster, "repositories"> & {
  /** As in the components: no ConfigMap carries the runtime then. */
  readonly runtimeImage?: string;
  readonly repositories?: Readonly<Record<string, FileRepository>>;
};

/** The input of `pgbackstop render`. */
export interface GitopsFile {
  readonly plugin?: {
    readonly operatorNamespace?: string;
    readonly serviceName?: string;
    readonly replicas?: number;
    readonly image?: string;
    readonly runtimeImage?: string;
    readonly podPlacement?: PodPlacement;
    /** Certificates by cert-manager; if omitted, you create the two Secrets. */
    readonly certManager?: boolean;
  };
  /** Clusters by name. */
  readonly clusters?: Readonly<Record<string, FileCluster>>;
  /** Existing Clusters, by name, with the fields to apply. */
  readonly attach?: Readonly<Record<string, FileCluster>>;
  /** For a Kustomization of Flux with `postBuild.substitute`. */
  readonly flux?: FluxSettings;
}

export interface GitopsResult {
  readonly manifests: readonly Manifest[];
  /** Paths begin with the position in the file. */
  readonly findings: readonly Finding[];
}

/** Field names of secrets, anywhere in the file. */
export const SECRET_FIELDS = [
  "credentials",
  "cipher",
  "passphrase",
  "privateKey",
  "privateKeyPassphrase",
  "secretAccessKey",
];

const KUBERNETES_SECRETS =
  "name the Secret that holds it: at.s3.existingSecret, at.azure.existingSecret or at.gcs.existingSecret, with the names of its keys";

/** @param bundle null omits the ConfigMaps with the program, and lists them */
export function renderGitops(file: GitopsFile, bundle: RuntimeBundle, withRuntime: boolean): GitopsResult {
  const { flux } = file;
  const secrets = secretsIn(file, "");
  const named = new Set(secrets.map(({ path }) => path));
  const shapes = [...secrets, ...checkArguments("RenderFile", file, FILE).filter(({ path }) => !named.has(path))];
  const wrong = shapes.length > 0 || flux === undefined ? shapes : checkFlux(flux);
  if (wrong.length > 0) return { manifests: [], findings: wrong };
  const checked = withoutVariables(file, flux ?? {});
  const made = [
    ...(file.plugin === undefined ? [] : [pluginOf(file.plugin, bundle, withRuntime)]),
    ...Object.entries(file.clusters ?? {}).map(([name, cluster]) =>
      clusterOf(`clusters.${name}`, name, [cluster, checked.clusters?.[name] ?? cluster], false, bundle, withRuntime),
    ),
    ...Object.entries(file.attach ?? {}).map(([name, cluster]) =>
      clusterOf(`attach.${name}`, name, [cluster, checked.attach?.[name] ?? cluster], true, bundle, withRuntime),
    ),
  ];
  const own = made.flatMap((each) => each.findings);
  const isPlanned = own.every(({ severity }) => severity !== "error");
  const findings = isPlanned ? [...own, ...sharedIn(file)] : own;
  const isWrong = findings.some(({ severity }) => severity === "error");
  if (isWrong) return { manifests: [], findings };
  const manifests = made.flatMap((each) => each.manifests);
  return flux === undefined
    ? { manifests, findings: [...findings, ...findVariables(manifests)] }
    : { manifests: escapedForFlux(manifests, flux), findings };
}

const NAME = "clusterName";

/** What two clusters of the file use, and only one may; variables of Flux by their names. */
function sharedIn({ attach = {}, clusters = {} }: GitopsFile): Finding[] {
  const claims: Claims = new Map();
  return Object.entries({ clusters, attach }).flatMap(([section, files]) =>
    Object.entries(files).flatMap(([name, file]) => {
      const { database } = planOf(name, file);
      const scope = ["", database.namespace];
      const role = archiveRole(file.bootstrap?.recovery?.continueArchive === true);
      const archiver = archiverUse(NAME, [...scope, database.cluster]);
      const archives = archiveUses(database, () => keyOf(...scope));
      const uses = [archiver, ...inRole(role, archives)];
      const path = `${section}.${name}`;
      const shared = claim(claims, database, path, database.repositories.length === 0 ? [] : uses);
      // An attachment has its cluster's name.
      return shared.map((each) => ({ ...each, path: each.path === NAME ? path : `${path}.${each.path}` }));
    }),
  );
}

function pluginOf(
  plugin: NonNullable<GitopsFile["plugin"]>,
  bundle: RuntimeBundle,
  withRuntime: boolean,
): GitopsResult {
  const namespace = plugin.operatorNamespace ?? PLUGIN_DEFAULTS.namespace;
  const serviceName = plugin.serviceName ?? PLUGIN_DEFAULTS.serviceName;
  const replicas = plugin.replicas ?? PLUGIN_DEFAULTS.replicas;
  const findings = findingsBelow("plugin", checkPlugin({ serviceName, replicas }));
  const runtime = bundleConfigMap(serviceName, namespace, bundle);
  const { cpu, memory } = PLUGIN_DEFAULTS;
  const plan = {
    namespace,
    serviceName,
    replicas,
    image: plugin.runtimeImage ?? plugin.image ?? NODE_IMAGE,
    runtime: { configMap: plugin.runtimeImage === undefined ? runtime.metadata.name : "" },
    memory,
    cpu,
    ...given({ placement: plugin.podPlacement }),
  };
  const objects = [...(plugin.certManager === true ? certificateObjects(plan) : []), ...renderPlugin(plan)].map(
    canonical,
  );
  const isMade = withRuntime && plugin.runtimeImage === undefined;
  return { manifests: [...(isMade ? [runtime] : []), ...objects.map(({ manifest }) => manifest)], findings };
}

/** @param files what is rendered, and the same for checks, without variables of Flux */
function clusterOf(
  path: string,
  name: string,
  [file, checked]: readonly [FileCluster, FileCluster],
  attached: boolean,
  bundle: RuntimeBundle,
  withRuntime: boolean,
): GitopsResult {
  const findings = findingsBelow(path, checkClusterPlan(planOf(name, checked), attached));
  if (findings.some(({ severity }) => severity === "error")) return { manifests: [], findings };
  const { runtimeImage } = file;
  const recovery = file.bootstrap?.recovery;
  const resolved = planOf(name, file);
  const { database, schedules, definition, source } = resolved;
  const runtime = bundleConfigMap(database.cluster, database.namespace, bundle);
  const context: EngineContext = {
    database,
    schedules,
    definition,
    secrets: secretsOf(file.repositories ?? {}),
    runtime:
      runtimeImage === undefined
        ? { configMap: runtime.metadata.name, image: NODE_IMAGE, version: VERSION }
        : { configMap: "", image: runtimeImage, version: VERSION },
  };
  const from =
    source === null
      ? null
      : recoverySource({ ...context, secrets: secretsOf((recovery?.repositories ?? {}) as Repositories) }, source);
  const inSpec = attached ? [] : findingsBelow(path, checkSpec(context, from));
  if (inSpec.length > 0) return { manifests: [], findings: [...findings, ...inSpec] };
  const objects = attached ? renderAttachment(context) : renderCluster(context, from);
  const isRuntime =
    runtimeImage === undefined && (runsInPods(resolved) || expiresSnapshots(database, definition.snapshots));
  return {
    manifests: [...(withRuntime && isRuntime ? [runtime] : []), ...objects.map(({ manifest }) => manifest)],
    findings,
  };
}

function planOf(name: string, { runtimeImage: _image, ...file }: FileCluster): ClusterPlan {
  const recovery = file.bootstrap?.recovery;
  const settings: DeclaredCluster = {
    ...file,
    repositories: settingsOf(file.repositories ?? {}),
    // No update waits here.
    firstBackupTimeoutMinutes: 0,
    ...(recovery === undefined
      ? {}
      : {
          bootstrap: {
            ...file.bootstrap,
            recovery: { ...recovery, repositories: settingsOf(recovery.repositories as Repositories) },
          },
        }),
  };
  return planCluster(name, view(settings));
}

type Repositories = Readonly<Record<string, FileRepository>>;

function settingsOf(repositories: Repositories): Record<string, RepositorySettings> {
  const entries = Object.entries(repositories).map(
    ([key, { at, ca: _ca, ...repository }]): [string, RepositorySettings] => {
      const { azure: _azure, gcs: _gcs, s3: _s3, ...others } = at;
      const { existingSecret, ...location } = storeOf(at) ?? { existingSecret: undefined };
      const hasExistingSecret = existingSecret !== undefined;
      const kind = storeKindOf(at);
      const keys = { hasExistingSecret, ...(kind === "s3" ? { hasKeys: false } : { hasKey: false }) };
      const target: TargetSettings = {
        ...others,
        name: key,
        encrypted: existingSecret?.passphraseKey !== undefined,
        ...(kind === null ? {} : { [kind]: { ...location, ...keys } }),
      };
      return [key, { ...repository, at: target }];
    },
  );
  return Object.fromEntries(entries);
}

function secretsOf(repositories: Repositories): RepositorySecrets {
  return Object.fromEntries(
    Object.entries(repositories).map(([key, { at, ca }]): [string, SecretKeysSettings] => [
      key,
      { ...existingKeysOf(at), ...given({ ca }) },
    ]),
  );
}

/** Secrets in a file, at any position. @param remedy where the secrets belong */
export function secretsIn(value: unknown, path: string, remedy = KUBERNETES_SECRETS): Finding[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, item]) => {
    const own = path === "" ? name : `${path}.${name}`;
    if (!SECRET_FIELDS.includes(name) || isKeyRef(item)) return secretsIn(item, own, remedy);
    return [finding("PB116", own, "a GitOps file must not contain secrets", `remove it, and ${remedy}`)];
  });
}

/** The operator's fields of these names refer to a key of a Secret. */
function isKeyRef(value: unknown): boolean {
  return isFields(value) && Object.keys(value).toSorted().join() === "key,name";
}
