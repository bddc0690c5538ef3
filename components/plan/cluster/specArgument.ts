/** The arguments `spec`, which are merged over the rendered objects before `overrides` are. Pure. */

import type { Finding } from "../findings/findings";
import { areOneItem, isFields, isNamedList } from "../model/anyValue";
import { fields, givenFields, merged, readOr, without } from "../model/deferred";

interface Settings {
  readonly spec?: object | undefined;
  readonly overrides?: Overrides | undefined;
}

interface Overrides {
  readonly cluster?: object | undefined;
  /** What of it is the argument `spec`. */
  readonly bySpec?: object | undefined;
}

/** `spec` as part of the overrides, so that whatever reads these sees both. */
export function withSpec<T extends Settings>(settings: T): T {
  const { overrides = {}, spec } = settings;
  if (spec === undefined) return settings;
  const both = fields({ cluster: () => overSpec(spec, overrides.cluster ?? {}), bySpec: () => spec });
  return merged(without(settings, "spec"), { overrides: merged(overrides, both) }) as object as T;
}

const OVERRIDDEN = "overrides.cluster.spec.";

/** The finding at the argument that has the field. */
export function asWritten({ bySpec }: Overrides, finding: Finding): Finding {
  if (!finding.path.startsWith(OVERRIDDEN)) return finding;
  const path = finding.path.slice(OVERRIDDEN.length);
  return readOr(() => hasPath(bySpec, path), false) ? { ...finding, path: `spec.${path}` } : finding;
}

/** Names may have dots. Items of a list have theirs. */
function hasPath(value: unknown, path: string): boolean {
  const named = Array.isArray(value)
    ? Object.fromEntries(value.filter(isFields).map((item) => [item["name"], item]))
    : value;
  if (!isFields(named)) return false;
  return Object.keys(named).some(
    (key) => path === key || (path.startsWith(`${key}.`) && hasPath(named[key], path.slice(key.length + 1))),
  );
}

/** One patch that sets the fields of `spec`, and then those of `overrides`. */
export function overSpec(spec: object | undefined, overrides: object): object {
  return spec === undefined ? overrides : (inTurn({ spec }, overrides) as object);
}

/** One patch with the effect of two. The first has values only; null and `$patch` of the second stay. */
function inTurn(first: unknown, second: unknown): unknown {
  if (isFields(first) && isFields(second)) {
    const makers = Object.keys(second).map((key) => [
      key,
      () => (key in first && second[key] !== undefined ? inTurn(first[key], second[key]) : second[key]),
    ]);
    return merged(first, givenFields(Object.fromEntries(makers)));
  }
  if (!isNamedList(first) || !isNamedList(second) || second.some(({ $patch }) => $patch === "replace")) return second;
  return [
    ...first.map((item) => inTurn(item, second.find((other) => areOneItem(item, other)) ?? {})),
    ...second.filter((item) => !first.some((other) => areOneItem(item, other))),
  ];
}
