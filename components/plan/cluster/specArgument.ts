/** The arguments `spec`, which are merged over the rendered objects before `overrides` are. Pure. */

import type { Finding } from "../findings/findings";
import { type Fields, isFields, isOutput } from "../model/anyValue";
import { isUnknown } from "../model/unknown";

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
  const { spec, ...rest } = settings;
  if (spec === undefined) return settings;
  const { overrides } = settings;
  const cluster = overSpec(spec, overrides?.cluster ?? {});
  return { ...rest, overrides: { ...overrides, cluster, bySpec: spec } } as T;
}

const OVERRIDDEN = "overrides.cluster.spec.";

/** The finding at the argument that has the field. */
export function asWritten({ bySpec }: Overrides, finding: Finding): Finding {
  if (!finding.path.startsWith(OVERRIDDEN)) return finding;
  const path = finding.path.slice(OVERRIDDEN.length);
  return hasPath(bySpec, path) ? { ...finding, path: `spec.${path}` } : finding;
}

/** Names may have dots. */
function hasPath(value: unknown, path: string): boolean {
  if (!isKnown(value)) return false;
  return Object.entries(value).some(
    ([key, item]) => path === key || (path.startsWith(`${key}.`) && hasPath(item, path.slice(key.length + 1))),
  );
}

/** One patch that sets the fields of `spec`, and then those of `overrides`. */
export function overSpec(spec: object | undefined, overrides: object): object {
  return spec === undefined ? overrides : (inTurn({ spec }, overrides) as object);
}

/** One patch with the effect of two. The first has values only; null and `$patch` of the second stay. */
function inTurn(first: unknown, second: unknown): unknown {
  if (typeof second === "string" && isUnknown(second) && typeof first === "object")
    return { ...(isKnown(first) ? first : {}), [second]: second };
  if (isKnown(first) && isKnown(second)) {
    const given = Object.entries(second).filter(([, value]) => value !== undefined);
    const merged = given.map(([key, value]) => [key, key in first ? inTurn(first[key], value) : value]);
    return { ...first, ...(Object.fromEntries(merged) as Fields) };
  }
  if (!isNamed(first) || !isNamed(second) || second.some(({ $patch }) => $patch === "replace")) return second;
  const isIn = (items: readonly Fields[], { name }: Fields): boolean => items.some((item) => item["name"] === name);
  return [
    ...first.map((item) => inTurn(item, second.find(({ name }) => name === item["name"]) ?? {})),
    ...second.filter((item) => !isIn(first, item)),
  ];
}

/** False for a value that comes later, which is one value. */
function isKnown(value: unknown): value is Fields {
  return isFields(value) && !isOutput(value);
}

/** A list whose items have names, which is merged by them. */
function isNamed(value: unknown): value is readonly Fields[] {
  return Array.isArray(value) && value.every((item) => isKnown(item) && ("name" in item || "$patch" in item));
}
