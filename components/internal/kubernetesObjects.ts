/**
 * Kubernetes objects as children of components, made with the classes of `@pulumi/kubernetes`. The package's index
 * takes a second to load, one class less than a millisecond, so each class is loaded when the first object needs it.
 * Their type tokens are `kubernetes:core/v1:Secret` and `kubernetes:postgresql.cnpg.io/v1:Cluster`.
 */
import * as pulumi from "@pulumi/pulumi";
import { loadPackage } from "./cloudPackages";
import { type JudgedObject, judgedAgain } from "./registeredObjects";

// The package is an optional peer: programs without Kubernetes compile without it, because this form of the comment
// stays in the declarations.
/** @ts-ignore */
export type { CustomResource } from "@pulumi/kubernetes/apiextensions/customResource";
/** @ts-ignore */
export type { CustomResourcePatch } from "@pulumi/kubernetes/apiextensions/customResourcePatch";
/** @ts-ignore */
export type { Deployment } from "@pulumi/kubernetes/apps/v1/deployment";
/** @ts-ignore */
export type { CronJob } from "@pulumi/kubernetes/batch/v1/cronJob";
/** @ts-ignore */
import type { ConfigMap } from "@pulumi/kubernetes/core/v1/configMap";
/** @ts-ignore */
export type { ConfigMapPatch } from "@pulumi/kubernetes/core/v1/configMapPatch";
/** @ts-ignore */
export type { Secret } from "@pulumi/kubernetes/core/v1/secret";
/** @ts-ignore */
export type { Service } from "@pulumi/kubernetes/core/v1/service";
/** @ts-ignore */
export type { ServiceAccount } from "@pulumi/kubernetes/core/v1/serviceAccount";
/** @ts-ignore */
export type { PodDisruptionBudget } from "@pulumi/kubernetes/policy/v1/podDisruptionBudget";
export type { ConfigMap };

/** A Kubernetes object; `kind` and `apiVersion` decide the class. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: object;
}

interface ReadOutputs {
  readonly metadata: pulumi.Output<{ readonly managedFields?: readonly object[] }>;
  readonly spec: pulumi.Output<unknown>;
}

type ObjectClass = new (
  name: string,
  args: pulumi.Inputs | undefined,
  opts: pulumi.CustomResourceOptions,
) => pulumi.CustomResource;

/** Folders of the package that have a class of their own for each kind. Other kinds share `CustomResource`. */
const FOLDERS: Readonly<Record<string, string>> = {
  v1: "core/v1",
  "apps/v1": "apps/v1",
  "batch/v1": "batch/v1",
  "policy/v1": "policy/v1",
  "rbac.authorization.k8s.io/v1": "rbac/v1",
  "admissionregistration.k8s.io/v1": "admissionregistration/v1",
};

/**
 * @param judged what the object is to be, judged again as the engine has it
 * @throws RunError naming the package to install
 */
export function declareKubernetes(
  name: string,
  object: KubernetesObject,
  opts: pulumi.CustomResourceOptions,
  judged: JudgedObject | null = null,
): pulumi.CustomResource {
  const folder = FOLDERS[object.apiVersion];
  const type = folder === undefined ? load(name, "apiextensions", "CustomResource") : load(name, folder, object.kind);
  return make(type, name, { ...object }, optionsOf(name, object, "", judged, opts));
}

/** @param suffix of the type's name */
function optionsOf(
  name: string,
  { apiVersion, kind }: KubernetesObject,
  suffix: "" | "Patch",
  judged: JudgedObject | null,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResourceOptions {
  if (judged === null) return opts;
  return judgedAgain(name, `kubernetes:${FOLDERS[apiVersion] ?? apiVersion}:${kind}${suffix}`, judged, opts);
}

/** What each object waits for, directly or by others. */
const awaited = new WeakMap<pulumi.Resource, ReadonlySet<pulumi.Resource>>();

/**
 * Without dependencies that others of them wait for: the state of a stack has 150 bytes for each, and some objects wait
 * for ten.
 */
function make(
  type: ObjectClass,
  name: string,
  args: pulumi.Inputs,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResource {
  const { dependsOn } = opts;
  if (!isResources(dependsOn)) return new type(name, args, opts);
  const before = new Set(dependsOn.flatMap((each) => [...(awaited.get(each) ?? [])]));
  const needed = { ...opts, dependsOn: dependsOn.filter((each) => !before.has(each)) };
  const made = new type(name, args, needed);
  awaited.set(made, new Set([...before, ...dependsOn]));
  return made;
}

/** Those that no other of them waits for: whatever depends on these depends on all. */
export function leavesOf(resources: readonly pulumi.Resource[]): pulumi.Resource[] {
  const inner = new Set(resources.flatMap((each) => [...(awaited.get(each) ?? [])]));
  return resources.filter((each) => !inner.has(each));
}

function isResources(value: pulumi.CustomResourceOptions["dependsOn"]): value is pulumi.Resource[] {
  return Array.isArray(value) && value.every((each) => pulumi.Resource.isInstance(each));
}

/** Content of a ConfigMap, read and not managed. @param id `namespace/name`, once it may be read */
export function readConfigMap(
  name: string,
  id: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): pulumi.Output<Readonly<Record<string, string>> | undefined> {
  const read = load(name, "core/v1", "ConfigMap");
  return (new read(name, undefined, pulumi.mergeOptions(opts, { id })) as ConfigMap).data;
}

/**
 * A custom resource as the API server has it, with the managers of its fields; read and not managed. A provider whose
 * configuration is not known yet answers nothing.
 * @param id `namespace/name`
 */
export function readCustomObject(
  name: string,
  { apiVersion, kind }: Omit<KubernetesObject, "metadata">,
  id: pulumi.Input<string>,
  opts: pulumi.CustomResourceOptions,
): pulumi.CustomResource & ReadOutputs {
  const read = load(name, "apiextensions", "CustomResource");
  const asked = { apiVersion, kind, metadata: undefined, spec: undefined };
  return new read(name, asked, pulumi.mergeOptions(opts, { id })) as pulumi.CustomResource & ReadOutputs;
}

/** Manager of the fields that patches apply: a fixed name tells the API server whose they are. */
export const PATCH_MANAGER = "pgbackstop";

/** Annotations by which the provider knows who sets the fields of a patch, and whether it takes them from others. */
export const PATCH_ANNOTATIONS = ["pulumi.com/patchFieldManager", "pulumi.com/patchForce"] as const;

/**
 * Applies fields to an object that others own, by server-side apply with its own manager. Destroying it removes these
 * fields only.
 * @param takeOver fields that another manager has set; otherwise the update fails on them
 */
export function declareKubernetesPatch(
  name: string,
  object: KubernetesObject,
  takeOver: pulumi.Input<boolean>,
  opts: pulumi.CustomResourceOptions,
  judged: JudgedObject | null = null,
): pulumi.CustomResource {
  const [manager, force] = PATCH_ANNOTATIONS;
  const annotations = {
    [manager]: PATCH_MANAGER,
    ...(takeOver === false ? {} : { [force]: takeOver === true ? "true" : textIfTrue(takeOver) }),
  };
  const args = { ...object, metadata: { ...object.metadata, annotations } };
  const folder = FOLDERS[object.apiVersion];
  const type =
    folder === undefined
      ? load(name, "apiextensions", "CustomResourcePatch")
      : load(name, folder, `${object.kind}Patch`);
  return make(type, name, args, optionsOf(name, object, "Patch", judged, opts));
}

function textIfTrue(takeOver: pulumi.Input<boolean>): pulumi.Output<string | undefined> {
  return pulumi.output(takeOver).apply((known) => (known ? "true" : undefined));
}

function load(name: string, folder: string, className: string): ObjectClass {
  const file = `@pulumi/kubernetes/${folder}/${className.charAt(0).toLowerCase()}${className.slice(1)}`;
  const module = loadPackage(
    `The Kubernetes object ${name}`,
    "@pulumi/kubernetes",
    "4",
    () => require(file) as Readonly<Record<string, ObjectClass>>,
  );
  const made = module[className];
  if (made === undefined) throw new Error(`${file} exports no ${className}`);
  return made;
}

/** Children that components show, by component and role. */
const shown = new WeakMap<pulumi.Resource, Map<string, pulumi.Resource>>();

/**
 * Shows a child to programs, by the getters of its component. They are no fields, because the schema for other
 * languages reads every field as an output.
 */
export function showChild(component: pulumi.Resource, role: string, child: pulumi.Resource): void {
  const children = shown.get(component) ?? new Map<string, pulumi.Resource>();
  shown.set(component, children.set(role, child));
}

export function shownChild(component: pulumi.Resource, role: string): pulumi.Resource | undefined {
  return shown.get(component)?.get(role);
}

/** Children whose roles begin with `prefix`, by the rest of their roles. */
export function shownChildren<T extends pulumi.Resource>(
  component: pulumi.Resource,
  prefix: string,
): { [name: string]: T } {
  const entries = [...(shown.get(component) ?? [])].filter(([role]) => role.startsWith(prefix));
  return Object.fromEntries(entries.map(([role, child]) => [role.slice(prefix.length), child as T]));
}
