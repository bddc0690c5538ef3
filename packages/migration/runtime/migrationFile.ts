/**
 * The component's list of what to stop, start and change around a migration in Kubernetes, and the steps' record of the
 * previous state. Pure.
 */
import { fail } from "../../../runtime/base/errors";
import {
  at,
  isObject,
  type Json,
  type JsonObject,
  listAt,
  parseObject,
  textAt,
} from "../../../runtime/cnpg/kubernetes/clusterObject";
import { WORKLOAD_KINDS } from "../names";

export interface Workload {
  readonly kind: (typeof WORKLOAD_KINDS)[number];
  readonly name: string;
  /** Default: the Job's namespace. */
  readonly namespace: string | undefined;
}

export interface ChangedSecret {
  readonly name: string;
  readonly namespace: string | undefined;
  /** Key to the file with its new value. */
  readonly keys: Readonly<Record<string, string>>;
}

export interface MigrationFile {
  /** Secret of the {@link MigrationRecord}. */
  readonly record: string;
  /** Prefix of ConfigMaps for reports: `orders-report` and `plan` give `orders-report-plan`. */
  readonly report: string;
  readonly workloads: readonly Workload[];
  readonly secrets: readonly ChangedSecret[];
}

/** The state before a step changed it, written before the change. */
export interface MigrationRecord {
  /** Replicas by {@link workloadKey}. For a CronJob 1, or 0 if it was suspended. */
  readonly replicas: Readonly<Record<string, number>>;
  /** Values by {@link secretKey}: the Secret's value in base64; null for a key that did not exist. */
  readonly secrets: Readonly<Record<string, string | null>>;
  /** True once the applications were started on the target: nothing stops them from then on. */
  readonly moved: boolean;
}

/** @throws format */
export function parseMigrationFile(bytes: Uint8Array): MigrationFile {
  const file = parseObject(bytes, "file of a migration");
  const [record, report] = [textAt(file, "record"), textAt(file, "report")];
  if (record === undefined || report === undefined)
    throw fail("format", "the file of a migration has neither a record nor reports");
  return {
    record,
    report,
    workloads: listAt(file, "workloads").map(workloadOf),
    secrets: listAt(file, "secrets").map(secretOf),
  };
}

/** Empty if nothing is recorded yet. @throws format if another program wrote it: then nothing is changed */
export function parseRecord(text: string | undefined): MigrationRecord {
  if (text === undefined) return { replicas: {}, secrets: {}, moved: false };
  const value = parseObject(Buffer.from(text), "record of a migration");
  const [replicas, secrets] = [at(value, "replicas"), at(value, "secrets")];
  if (!isObject(replicas) || !isObject(secrets))
    throw fail("format", "the record of a migration was not written by this program");
  return {
    replicas: Object.fromEntries(Object.entries(replicas).map(([key, count]) => [key, replicasOf(count)])),
    secrets: Object.fromEntries(
      Object.entries(secrets).map(([key, old]) => [key, typeof old === "string" ? old : null]),
    ),
    moved: at(value, "moved") === true,
  };
}

export function workloadKey({ kind, name, namespace }: Workload): string {
  return `${namespace ?? ""}/${kind}/${name}`;
}

export function secretKey({ name, namespace }: ChangedSecret, key: string): string {
  return `${namespace ?? ""}/${name}/${key}`;
}

/** `app=shop,tier=web`; null for one that a query cannot express. */
export function selectorOf(workload: JsonObject): string | null {
  const labels = at(workload, "spec", "selector", "matchLabels");
  if (!isObject(labels) || listAt(workload, "spec", "selector", "matchExpressions").length > 0) return null;
  const terms = Object.entries(labels).map(([name, value]) => (typeof value === "string" ? `${name}=${value}` : name));
  return terms.length === 0 ? null : terms.join(",");
}

/** Fits a report into a ConfigMap: long lists are cut, and the document says so. */
export function boundReport(text: string, sizeBytesMax: number): string {
  if (Buffer.byteLength(text) <= sizeBytesMax) return text;
  const report = parseObject(Buffer.from(text), "report");
  for (let count = LIST_COUNT_MAX; count >= 1; count = Math.floor(count / 4)) {
    const cut = Object.entries(report).map(([name, value]): [string, Json] => [
      name,
      Array.isArray(value) ? (value.slice(0, count) as Json) : value,
    ]);
    const shorter = JSON.stringify({ ...Object.fromEntries(cut), truncated: true });
    if (Buffer.byteLength(shorter) <= sizeBytesMax) return shorter;
  }
  return JSON.stringify({ version: 1, truncated: true });
}

const LIST_COUNT_MAX = 4096;

function workloadOf(value: Json): Workload {
  const [givenKind, name] = [textAt(value, "kind"), textAt(value, "name")];
  const kind = WORKLOAD_KINDS.find((known) => known === givenKind);
  if (kind === undefined || name === undefined)
    throw fail(
      "format",
      `the file of a migration has a workload '${givenKind ?? ""} ${name ?? ""}' that cannot be stopped`,
    );
  return { kind, name, namespace: textAt(value, "namespace") };
}

function secretOf(value: Json): ChangedSecret {
  const [name, keys] = [textAt(value, "name"), at(value, "keys")];
  if (name === undefined || !isObject(keys))
    throw fail("format", "the file of a migration has a Secret without a name or keys");
  return {
    name,
    namespace: textAt(value, "namespace"),
    keys: Object.fromEntries(Object.keys(keys).map((key) => [key, textAt(keys, key) ?? ""])),
  };
}

function replicasOf(count: Json): number {
  if (typeof count !== "number" || !Number.isInteger(count) || count < 0)
    throw fail("format", `the record of a migration has '${JSON.stringify(count)}' as a number of replicas`);
  return count;
}
