/**
 * Conflicts of a new attachment, in the preview. The provider lets the API server try a changed patch, but never a new
 * one, so the preview reads the Cluster and compares its owners. In an update the API server decides.
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

/** Fails the preview if the Cluster is missing, or if other managers have set what the attachment would set. */
export function refuseConflicts({
  cluster,
  dependsOn,
  name,
  namespace,
  outline,
  parent,
  takeOver,
  title,
}: Attaching): void {
  if (!pulumi.runtime.isDryRun()) return;
  const { apiVersion, kind, spec } = outline;
  const fields = { spec: judgedFields(spec as AttachedSpec) };
  const id = pulumi.interpolate`${namespace}/${cluster}`;
  const live = readCustomObject(name, { apiVersion, kind }, id, { parent, ...(dependsOn ? { dependsOn } : {}) });
  pulumi.all([live, id, takeOver]).apply(([object, where, isForced]) => {
    if (!isForced) throwErrors(title, conflictsOf(object, fields, where));
  });
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
