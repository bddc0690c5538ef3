/** Values that copied, mistyped or generated text has in a field, and the fields of a declared type to try them in. */
import { type Declarations, fieldsOf, type Keys, type Shape } from "../../runtime/base/declaredTypes";
import { NIGHTLY } from "../../tools/parts/nightly";

/** What a copied or mistyped file has in a field. */
export const STRANGE = [
  null,
  "",
  "50Gi",
  "3",
  0,
  -1,
  0.5,
  1e300,
  true,
  [],
  [null],
  [[1]],
  {},
  { x: { y: 1 } },
  "\0",
  "x".repeat(3000),
];
/** The operator's own fields are thousands. */
const SKIPPED = ["ClusterSpec", "PoolerSpec"];
const DEPTH_MAX = 6;

/** Every field below a type, with an item of each list and map. @param keyBelow key of a map's item */
export function fieldsBelow(
  shape: Shape,
  keys: Keys,
  declarations: Declarations,
  keyBelow: (name: string) => string = () => "repo1",
): Keys[] {
  const below = (of: Shape, inner: Keys): Keys[] => fieldsBelow(of, inner, declarations, keyBelow);
  if (keys.length > DEPTH_MAX) return [];
  if (shape.kind === "list") return [[...keys, 0], ...below(shape.of, [...keys, 0])];
  if (shape.kind === "either") return shape.of.flatMap((each) => below(each, keys));
  if (shape.kind === "map") {
    const key = keyBelow(String(keys.at(-1)));
    return [[...keys, key], ...below(shape.of, [...keys, key])];
  }
  if (shape.kind !== "fields" || SKIPPED.includes(shape.name)) return [];
  return fieldsOf(shape.name, declarations)
    .filter((field) => field.shape.kind !== "never" && field.name !== "hosts")
    .flatMap((field) => [[...keys, field.name], ...below(field.shape, [...keys, field.name])]);
}

/** The value with another one at a location; sections that lead there are made. */
export function withValue(value: unknown, [key, ...rest]: Keys, strange: unknown): unknown {
  if (key === undefined) return strange;
  if (typeof key === "number") return [withValue(Array.isArray(value) ? value[0] : undefined, rest, strange)];
  const section: Record<string, unknown> = typeof value === "object" && value !== null ? { ...value } : {};
  section[key] = withValue(section[key], rest, strange);
  return section;
}

/** Some of them in the short form, at night all or another number. Each field gets another of `STRANGE`. */
export function drawn<T>(all: readonly T[], count: number, atNight = all.length): readonly T[] {
  const step = Math.max(1, Math.ceil(all.length / (NIGHTLY ? atNight : count)));
  // Not a multiple of the number of values.
  return all.filter((_, index) => index % (step % 2 === 0 ? step + 1 : step) === 0);
}
