/**
 * CloudNativePG's `spec.postgresql.synchronous` for commits that wait for the sidecar's receiver (CloudNativePG 1.30,
 * pkg/postgres/replication/explicit.go and the Cluster's webhook). Pure.
 *
 * A commit must wait for the receiver **and** for every standby that the user requires. One setting says this only when
 * each listed name is required: with `FIRST 2 (pgbackstop, a, b)`, a and b alone are enough while the receiver is away.
 * So the list has as many instances as must answer. The operator lists well standbys first, and replaces one that is
 * not well by another.
 */
import { SYNCHRONOUS_NAME } from "../../../runtime/cnpg/names";
import { readOr } from "../model/deferred";
import type { ClusterPlan } from "./clusterPlan";

/** The field's content, and how many standbys must answer; or why one setting cannot say it. */
export type SynchronousField =
  | { readonly isSayable: true; readonly field: object; readonly standbys: number }
  | { readonly isSayable: false; readonly path: string; readonly fact: string; readonly hint: string };

/** As users write it; values of other types are refused. */
interface OwnSynchronous {
  readonly method?: unknown;
  readonly number?: unknown;
  readonly maxStandbyNamesFromCluster?: unknown;
  readonly standbyNamesPre?: unknown;
  readonly standbyNamesPost?: unknown;
  readonly dataDurability?: unknown;
}

interface ClusterSpec {
  readonly primaryUpdateStrategy?: unknown;
  readonly minSyncReplicas?: unknown;
  readonly maxSyncReplicas?: unknown;
  readonly postgresql?: {
    readonly synchronous?: OwnSynchronous | null;
    readonly parameters?: Readonly<Record<string, unknown>> | null;
  } | null;
}

const OWN = "spec.postgresql.synchronous";
const STANDBYS = "streaming.standbys";

/** What the user writes into the Cluster himself. */
export function specOf({ definition }: Pick<ClusterPlan, "definition">): ClusterSpec {
  return definition.spec;
}

/** The Cluster's field for a plan with `synchronous`. */
export function synchronousField(plan: Pick<ClusterPlan, "database" | "definition">): SynchronousField {
  const { maxSyncReplicas, minSyncReplicas, postgresql } = specOf(plan);
  const own = postgresql?.synchronous ?? undefined;
  const standbys = plan.database.synchronous?.standbys;
  if (minSyncReplicas !== undefined || maxSyncReplicas !== undefined) {
    const fact = "the operator refuses minSyncReplicas and maxSyncReplicas beside postgresql.synchronous";
    return refused("spec", fact, `remove them, and set ${STANDBYS}`);
  }
  if (own === undefined) {
    if (standbys === undefined) return fieldOf({}, 0, []);
    const { database } = plan;
    // Their number decides nothing else.
    const isBelow =
      isCount(standbys) && readOr(() => !isCount(database.instances) || standbys < database.instances, true);
    if (isBelow) return fieldOf({}, standbys, []);
    const fact = `${standbys} of ${database.instances} instances cannot be standbys`;
    return refused(STANDBYS, fact, "set less, or more instances");
  }
  if (standbys !== undefined)
    return refused(STANDBYS, `${OWN} says which standbys must answer`, "leave one of the two out");
  return composed(own, plan.database.instances);
}

/** Each name that the user's setting lists is required, and the receiver. */
function composed(own: OwnSynchronous, instances: number): SynchronousField {
  const { dataDurability, maxStandbyNamesFromCluster: most, method, number, standbyNamesPre, standbyNamesPost } = own;
  const before = standbyNamesPre ?? [];
  const after = standbyNamesPost ?? [];
  if (!isNames(before) || !isNames(after) || !isCount(number) || !(most === undefined || isCount(most)))
    return refused(OWN, "its numbers must be whole, and its names texts", `correct it, or set ${STANDBYS} instead`);
  if (dataDurability === "preferred") {
    const fact =
      "dataDurability preferred lets commits go on without an answer, and the operator refuses it with names";
    return refused(OWN, fact, 'set "required", or leave streaming.synchronous out');
  }
  const names = [...before, ...after];
  if (names.some((name) => name === "*" || name.toLowerCase() === SYNCHRONOUS_NAME)) {
    const fact = `streaming.synchronous adds ${SYNCHRONOUS_NAME}, and "*" would match it`;
    return refused(OWN, fact, "name other standbys, or none");
  }
  const listed = Math.min(most ?? instances - 1, instances - 1);
  const standbys = number - names.length;
  const isEach = standbys === listed;
  if (standbys > listed || number < 1)
    return refused(
      OWN,
      `${number} standbys must answer, and it lists ${listed + names.length}`,
      "set a smaller number",
    );
  if (!isEach && (method !== "first" || after.length > 0 || standbys < 0)) {
    const fact = `PostgreSQL cannot wait for a repository and for some of several standbys (${String(method)} ${number})`;
    return refused(OWN, fact, "set streaming.standbys instead: the operator chooses that many healthy standbys");
  }
  return fieldOf(own, standbys, before, names.length);
}

function fieldOf(own: OwnSynchronous, standbys: number, before: readonly string[], nameCount = 0): SynchronousField {
  const field = {
    ...own,
    method: "first",
    number: 1 + nameCount + standbys,
    maxStandbyNamesFromCluster: standbys,
    standbyNamesPre: [SYNCHRONOUS_NAME, ...before],
    dataDurability: "required",
  };
  return { isSayable: true, field, standbys: standbys + nameCount };
}

function refused(path: string, fact: string, hint: string): SynchronousField {
  return { isSayable: false, path, fact, hint };
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

function isNames(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((name) => typeof name === "string");
}
