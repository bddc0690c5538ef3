/** Changes in which repositories must hold WAL before PostgreSQL removes it, or before a commit returns. Pure. */
import type { SynchronousNode } from "../topology/topology";
import { type Collector, isHidden, section, type Value, valueText } from "./change";

/** Named repositories are between; nothing is below. */
const RANK: Readonly<Record<string, number>> = { any: 0, all: 2 };
const NAMED = 1;

/**
 * Strongest first: all repositories, the named ones, one, none.
 * @param was `all`, `any`, or names such as `repo1,repo2`; null for none
 */
export function diffPolicy(
  to: Collector,
  path: string,
  was: Value,
  is: Value,
  sentence: (value: Value) => string,
): void {
  const rank = (value: Value): number => (value === null ? -1 : (RANK[String(value)] ?? NAMED));
  const names = (value: Value): string[] => (rank(value) === NAMED ? String(value).split(",") : []);
  const added = names(is).filter((name) => !names(was).includes(name)).length;
  const removed = names(was).filter((name) => !names(is).includes(name)).length;
  const bothNamed = rank(was) === NAMED && rank(is) === NAMED;
  // More named repositories are safer; other ones are neither safer nor weaker, and the order says nothing.
  if (!bothNamed || added + removed > 0)
    to.rank(path, was, is, (value) => (bothNamed ? (value === is ? added : removed) : rank(value)), sentence);
}

/** What commits wait for. Without it, the other fields have no meaning. */
export function diffSynchronous(
  to: Collector,
  old: SynchronousNode | undefined,
  now: SynchronousNode | undefined,
): void {
  diffPolicy(to, "streaming.synchronous", policyOf(old), policyOf(now), (value) =>
    value === null
      ? "commits wait for no repository"
      : `commits wait for ${value === "all" ? "all repositories" : value === "any" ? "one repository" : valueText(value)}`,
  );
  if (old === undefined || now === undefined) return;
  const streaming = section(to, "streaming", old, now);
  const patience = (value: Value): number => (value === null ? Number.POSITIVE_INFINITY : Number(value));
  streaming.rank("degradeAfterSeconds", patience, (value) =>
    value === null
      ? "commits wait for repositories as long as it takes"
      : `commits stop waiting for repositories after ${valueText(value)} s without an answer`,
  );
  streaming.rank("standbys", Number, (value) => `commits wait for standbys: ${valueText(value)}`);
}

function policyOf(node: SynchronousNode | undefined): Value {
  if (node === undefined) return null;
  const { mode, repositories = [] } = node;
  if (mode !== "named") return mode;
  // A topology from a file may hide the list.
  const list: unknown = repositories;
  if (!Array.isArray(list)) return String(list);
  return repositories.find(isHidden) ?? repositories.join(",");
}
