/**
 * The Cluster that an attachment patches. Server-side apply makes an object that is missing, so an update reads the
 * Cluster before it patches it. Conflicts of a new attachment are seen in the preview: the provider lets the API
 * server try a changed patch, but never a new one, so the preview compares the owners of fields. In an update the API
 * server decides.
 */
import * as pulumi from "@pulumi/pulumi";
import { PATCH_MANAGER, readCustomObject } from "../internal/kubernetesObjects";
import { throwErrors } from "../internal/validate";
import { fieldsOfOthers, hasApplied, type LiveObject, type OwnedField } from "../plan/cluster/fieldOwners";
import { type Finding, finding } from "../plan/findings/findings";
import { knownPart } from "../plan/model/deferred";
import type { Manifest } from "../render/kubernetes/objects";
import type { ClusterScope } from "./clusterParts";

export interface Attaching extends ClusterScope {
  /** The resource that reads the Cluster. */
  readonly name: string;
  readonly dependsOn: pulumi.ComponentResourceOptions["dependsOn"];
  /** The attachment, in which deferred values are not judged. */
  readonly outline: Manifest;
  readonly takeOver: pulumi.Input<boolean>;
}

/** Arguments that ask for fields of the Cluster, by the beginnings of the fields' paths. */
const ARGUMENTS: readonly (readonly [field: string, argument: string])[] = [
  ["spec.backup.target", "backupTarget"],
  ["spec.backup.volumeSnapshot", "snapshots"],
  ["spec.postgresql.parameters", "archiveTimeoutSeconds"],
  ["spec.postgresql.synchronous", "streaming.synchronous"],
];

/**
 * Fails if the Cluster is missing, and a preview if other managers have set what the attachment would set.
 * @returns what the attachment waits for
 */
export function readAttached({
  cluster,
  dependsOn,
  name,
  namespace,
  outline,
  parent,
  takeOver,
  title,
}: Attaching): pulumi.Resource {
  const { apiVersion, kind, spec } = outline;
  const id = pulumi.interpolate`${namespace}/${cluster}`;
  const live = readCustomObject(name, { apiVersion, kind }, id, { parent, ...(dependsOn ? { dependsOn } : {}) });
  if (!pulumi.runtime.isDryRun()) return live;
  const fields = { spec: judgedFields(spec as AttachedSpec) };
  pulumi.all([live.metadata, live.spec, id, takeOver]).apply(([metadata, own, where, isForced]) => {
    if (!isForced) throwErrors(title, conflictsOf({ metadata, spec: own }, fields, where));
  });
  return live;
}

interface AttachedSpec {
  readonly plugins?: readonly { readonly name: string }[];
}

/** Parameters of plugins come from objects that may not exist yet. */
function judgedFields(spec: AttachedSpec): object {
  const { plugins, ...known } = knownPart(spec) as AttachedSpec;
  return plugins === undefined ? known : { ...known, plugins: plugins.map(({ name }) => ({ name })) };
}

/** Conflicts of a Cluster without an attachment: the API server itself tries changes of one that is there. */
function conflictsOf(live: LiveObject, fields: object, where: string): readonly Finding[] {
  if (hasApplied(live, PATCH_MANAGER)) return [];
  return fieldsOfOthers(live, fields, PATCH_MANAGER).map((owned) => conflict(owned, where));
}

function conflict({ managers, path }: OwnedField, where: string): Finding {
  const argument = ARGUMENTS.find(([field]) => path.startsWith(field))?.[1];
  const owners = managers.map((manager) => `"${manager}"`).join(" and ");
  const fact = `${path} of Cluster ${where} belongs to the field manager ${owners}, with another value`;
  const change = argument === undefined ? "remove it there" : `change it there, leave ${argument} out`;
  return finding("PB205", argument ?? "clusterName", fact, `${change}, or set takeOverPlugins: true to replace it`);
}
