/**
 * An object as the engine is about to make it, next to the one that was judged: the fields by which it runs, keeps and
 * finds backups. Transforms may change all others: images of a mirror, labels, places of pods. Pure.
 */
import { type Finding, finding } from "../findings/findings";
import { type Fields, isFields, valueAt } from "../model/anyValue";
import { isUnknown } from "../model/unknown";
import { ARGUMENTS_DECIDE, checkTransformedCluster } from "./finalCluster";

/** Fields by the object's kind. A step `*` is each item of a list by its name, or each key of a map. */
const DECIDING: Readonly<Record<string, readonly string[]>> = {
  ScheduledBackup: [
    "spec.schedule",
    "spec.suspend",
    "spec.cluster.name",
    "spec.method",
    "spec.target",
    "spec.online",
    "spec.onlineConfiguration",
    "spec.pluginConfiguration.name",
    "spec.pluginConfiguration.parameters",
  ],
  CronJob: ["spec.schedule", "spec.timeZone", "spec.suspend", "spec.jobTemplate.spec.template.spec.containers.*.args"],
  ConfigMap: ["data.*"],
  Pooler: ["spec.cluster.name", "spec.type", "spec.instances", "spec.pgbouncer.paused"],
  Deployment: ["spec.replicas", "spec.template.spec.containers.*.args"],
};

/** What the API server sets where nothing is given. */
const DEFAULTS: Readonly<Record<string, unknown>> = { "spec.suspend": false, "spec.pgbouncer.paused": false };

/** Errors of what an object has instead; markers (unknown.ts) stand for what a preview does not know. */
export type Compare = (judged: unknown, final: unknown) => readonly Finding[];

/**
 * Errors for what a transform has changed, notes for what `ignoreChanges` has kept.
 * @param before the object as it is; undefined for a new one
 */
export function judgeFinal(compare: Compare, judged: unknown, final: unknown, before: unknown): Finding[] {
  const changed = new Set(compare(before ?? judged, final).map(({ path }) => path));
  return compare(judged, final).map((error) =>
    changed.has(error.path)
      ? error
      : finding("PB206", error.path, "it stays as it was, which the topology does not show", "remove ignoreChanges"),
  );
}

/** True for kinds whose objects are compared. */
export function isComparedKind(kind: string): boolean {
  return kind === "Cluster" || kind in DECIDING;
}

/** Errors for each field that decides and is another one. They have no values, which may be secret. */
export function checkFinalObject(kind: string, judged: unknown, final: unknown): Finding[] {
  if (kind === "Cluster") return checkTransformedCluster(valueAt(judged, "spec"), valueAt(final, "spec"));
  return (DECIDING[kind] ?? []).flatMap((pattern) => changes(pattern, judged, final));
}

/** Errors for each field of a host's desired state that is another one. */
export function checkFinalFields(judged: unknown, final: unknown): Finding[] {
  return Object.keys(judged as Fields).flatMap((name) => changes(name, judged, final));
}

function changes(pattern: string, judged: unknown, final: unknown): Finding[] {
  return pathsOf(pattern.split("."), judged)
    .filter((path) => {
      const text = path.join(".");
      return !isEqual(namedAt(judged, path) ?? DEFAULTS[text], namedAt(final, path) ?? DEFAULTS[text]);
    })
    .map((path) => finding("PB202", path.join("."), "a transform changes it", ARGUMENTS_DECIDE));
}

/** Each path of the judged object that the pattern stands for. */
function pathsOf(pattern: readonly string[], judged: unknown): string[][] {
  const at = pattern.indexOf("*");
  if (at < 0) return [[...pattern]];
  const before = pattern.slice(0, at);
  const many = namedAt(judged, before);
  const names = Array.isArray(many) ? many.filter(isFields).map(({ name }) => String(name)) : Object.keys(many ?? {});
  return names.flatMap((name) => pathsOf([...before, name, ...pattern.slice(at + 1)], judged));
}

/** As {@link valueAt}, with items of lists by their names. */
function namedAt(value: unknown, path: readonly string[]): unknown {
  return path.reduce(
    (at: unknown, step) =>
      Array.isArray(at) ? at.filter(isFields).find(({ name }) => name === step) : valueAt(at, step),
    value,
  );
}

/** What a preview does not know equals anything, and a missing field equals an undefined one. */
function isEqual(left: unknown, right: unknown): boolean {
  if (isUnknown(left) || isUnknown(right)) return true;
  if (Array.isArray(left) && Array.isArray(right))
    return left.length === right.length && left.every((item, index) => isEqual(item, right[index]));
  if (!isFields(left) || !isFields(right)) return (left ?? undefined) === (right ?? undefined);
  return Object.keys({ ...left, ...right }).every((name) => isEqual(left[name], right[name]));
}
