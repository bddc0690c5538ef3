/**
 * Compares arguments with their declarations, for what TypeScript has not seen: programs in other languages, files,
 * copied text. Pure.
 *
 * A value from another resource is skipped. It is given, and its type is compared when it arrives.
 */
import { nearNames } from "../../../runtime/base/nearNames";
import { type Finding, finding } from "../findings/findings";
import { isUnknown } from "../model/unknown";
import { ARGUMENT_TYPES } from "./argumentTypes";
import { checkUnruled } from "./ranges";
import { isFields, isOutput } from "../model/anyValue";

/** A type as the declarations have it: `Input<string>`, `KeyRef[]`, `{ [name: string]: PoolerArgs }`. */
type Shape =
  | { readonly kind: ScalarKind | "any" | "never" }
  | { readonly kind: "list" | "map"; readonly of: Shape }
  | { readonly kind: "fields"; readonly name: string }
  | { readonly kind: "choice"; readonly values: readonly string[] };

type ScalarKind = "text" | "number" | "boolean" | "numberOrText";

interface FieldShape {
  readonly name: string;
  /** Type that declares it. */
  readonly owner: string;
  readonly isRequired: boolean;
  readonly shape: Shape;
}

/** Names of arguments whose values no message repeats. */
const SECRET = /pass(word|phrase)|secret|token|privateKey|accessKey|url$/i;

/**
 * Types by name: their fields as declarations have them, under `...` the types whose fields they have too. `never` is a
 * field that the checked road does not have.
 */
export type TypeTable = Readonly<Record<string, Readonly<Record<string, string>>>>;

export interface CheckOptions {
  /** Default: those of the components' arguments. */
  readonly types?: TypeTable;
  /** What has the arguments, in messages. */
  readonly owner?: string;
  /** Types whose values have another form by now. */
  readonly skipped?: readonly string[];
  /** True for values of other versions, which may have other fields too. */
  readonly ignoresUnknown?: boolean;
}

/** The arguments' types with these fields added, replaced, or removed by `never`. */
export function changedTypes(changes: TypeTable): TypeTable {
  const declared: TypeTable = ARGUMENT_TYPES;
  const changed = Object.entries(changes).map(([name, fields]) => [name, { ...declared[name], ...fields }]);
  return { ...declared, ...(Object.fromEntries(changed) as TypeTable) };
}

/** @param name of a type */
export function checkArguments(name: string, args: unknown, options: CheckOptions = {}): Finding[] {
  return checkFields(name, args ?? {}, "", options);
}

/**
 * The values with each late map of texts as one entry, its marker under its marker: so it can be merged with others,
 * and whatever it becomes part of shows it.
 */
export function withDeferredMaps(name: string, values: unknown): unknown {
  return withMaps({ kind: "fields", name }, values);
}

function withMaps(shape: Shape, value: unknown): unknown {
  if (shape.kind === "map" && typeof value === "string" && isUnknown(value)) return { [value]: value };
  if (shape.kind === "list" && Array.isArray(value)) return value.map((item) => withMaps(shape.of, item));
  if (!isFields(value) || isDeferred(value) || !("of" in shape || "name" in shape)) return value;
  const shapeOfField = (key: string): Shape =>
    "of" in shape ? shape.of : (fieldsOf(shape.name).find(({ name }) => name === key)?.shape ?? { kind: "any" });
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withMaps(shapeOfField(key), item)]));
}

function checkFields(name: string, value: unknown, path: string, options: CheckOptions): Finding[] {
  if (options.skipped?.includes(name) === true) return [];
  if (!isFields(value)) return checkSection(value, path);
  const fields = fieldsOf(name, options.types);
  const values = new Map<string, unknown>(Object.entries(value));
  const owner = path === "" ? (options.owner ?? name.replace(/Args$/, "")) : path;
  return [
    ...(options.ignoresUnknown === true ? [] : checkNames(value, fields, owner, path, NEWER_FIELDS[name])),
    ...fields.flatMap((field) => {
      const given = values.get(field.name);
      const isMissing = field.isRequired && (given === undefined || given === null);
      return isMissing ? [missing(name, at(path, field.name))] : checkField(field, given, path, options);
    }),
  ];
}

/** Finds a value that is not a section. Undefined is fine: nothing was given. */
function checkSection(value: unknown, path: string): Finding[] {
  if (value === undefined || isFields(value)) return [];
  if (value === null) return [empty(path)];
  return [wrong(path, value, "a section with names", Array.isArray(value) ? "write a name instead of each dash" : "")];
}

/**
 * Fields with other names than these.
 * @param owner what has the names
 * @param otherwise what to do with a name that is near to none
 */
function checkNames(
  section: object,
  fields: readonly FieldShape[],
  owner: string,
  path: string,
  otherwise?: string,
): Finding[] {
  const known = new Set(fields.map(({ name }) => name));
  const names = fields.flatMap(({ name, shape }) => (shape.kind === "never" ? [] : [name]));
  return Object.entries(section).flatMap(([key, value]) => {
    if (value === undefined || known.has(key)) return [];
    const letters = key.replaceAll(/[-_]/g, "").toLowerCase();
    const same = names.filter((name) => name.toLowerCase() === letters);
    const meant = same.length > 0 ? same : nearNames(key, names);
    const all = otherwise ?? `it takes ${names.toSorted().join(", ")}`;
    const hint = meant.length > 0 ? `did you mean ${meant.join(" or ")}?` : all;
    return [finding("PB190", at(path, key), `${owner} has no field '${key}'`, hint)];
  });
}

function missing(name: string, path: string): Finding {
  return finding("PB118", path, "it is required, and not given", REMEDIES[`${name}.${path}`] ?? `set ${path}`);
}

function checkField(
  { name, owner, shape }: FieldShape,
  value: unknown,
  path: string,
  options: CheckOptions,
): Finding[] {
  if (value === undefined) return [];
  if (shape.kind === "never") return [finding("PB190", at(path, name), "only a program has it", "leave it out")];
  if (value === null) return [empty(at(path, name))];
  const findings = checkShape(shape, value, at(path, name), options);
  return findings.length > 0 ? findings : checkUnruled(`${owner}.${name}`, at(path, name), value);
}

function checkShape(shape: Shape, value: unknown, path: string, options: CheckOptions): Finding[] {
  if (shape.kind === "any" || shape.kind === "never" || isDeferred(value)) return [];
  if (value === null) return [empty(path)];
  switch (shape.kind) {
    case "fields":
      return checkFields(shape.name, value, path, options);
    case "list":
      if (!Array.isArray(value)) return [wrong(path, value, "a list", "write each value as an item of a list")];
      return value.flatMap((item, index) =>
        item === undefined ? [] : checkShape(shape.of, item, `${path}[${index}]`, options),
      );
    case "map":
      if (!isFields(value)) return checkSection(value, path);
      return Object.entries(value).flatMap(([key, item]) =>
        item === undefined ? [] : checkShape(shape.of, item, at(path, key), options),
      );
    case "choice":
      if (shape.values.includes(value as string)) return [];
      return [wrong(path, value, `one of ${shape.values.join(", ")}`, "")];
    default:
      return checkScalar(shape.kind, value, path);
  }
}

/** What is expected of each kind, and JavaScript's types for it. */
const KINDS: Readonly<Record<ScalarKind, readonly [expected: string, ...types: string[]]>> = {
  text: ["text", "string"],
  number: ["a number", "number"],
  boolean: ["true or false", "boolean"],
  numberOrText: ["a number or text", "number", "string"],
};

function checkScalar(kind: ScalarKind, value: unknown, path: string): Finding[] {
  const [expected, ...types] = KINDS[kind];
  const fits = types.includes(typeof value) && (typeof value !== "number" || Number.isFinite(value));
  return fits ? [] : [wrong(path, value, expected, remedyOf(kind, value, path))];
}

function remedyOf(kind: ScalarKind, value: unknown, path: string): string {
  if (kind === "text") {
    if (typeof value !== "number" && typeof value !== "boolean") return "";
    return SECRET.test(path) ? "write it in quotes" : `write it in quotes: "${value}"`;
  }
  if (typeof value !== "string") return "";
  if (kind === "boolean") {
    const meant = [/^(true|yes|on)$/i, /^(false|no|off)$/i].findIndex((pattern) => pattern.test(value));
    return meant < 0 ? "" : `write ${meant === 0} without quotes`;
  }
  const digits = value.replaceAll(/[_ ]/g, "");
  if (/^-?\d+(\.\d+)?$/.test(digits)) return `write ${digits} without quotes`;
  const unit = /(GiB|MiB|GB|Seconds|Minutes|Milliseconds|Hours|Days|Percent|USD)\w*$/.exec(path)?.[1];
  if (unit !== undefined) return `write the number alone: its unit is in the name, ${unit}`;
  return "write the number alone";
}

function empty(path: string): Finding {
  return finding("PB191", path, "it is empty", "give it a value, or leave it out");
}

function wrong(path: string, value: unknown, expected: string, remedy: string): Finding {
  return finding("PB191", path, `it is ${described(value, path)}, and must be ${expected}`, remedy);
}

function described(value: unknown, path: string): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a section";
  if (typeof value === "function") return "a function";
  if (typeof value === "number" && !Number.isFinite(value)) return String(value);
  const isText = typeof value === "string";
  if (SECRET.test(path)) return isText ? "text" : `a ${typeof value}`;
  const shown = isText && value.length > 40 ? `${value.slice(0, 40)}…` : value;
  return `the ${isText ? "text" : typeof value} ${JSON.stringify(shown)}`;
}

function at(path: string, key: string): string {
  return path === "" ? key : `${path}.${key}`;
}

/** Outputs and promises, and the markers that stand for them. */
function isDeferred(value: unknown): boolean {
  return isUnknown(value) || isOutput(value);
}

/** Rules judge which of their fields are given. */
const JUDGED: readonly string[] = ["RepositoryTarget"];

/** Of types that the operator's versions add fields to. */
const NEWER_FIELDS: Readonly<Record<string, string>> = {
  ClusterSpec: "a field of a newer operator belongs into overrides.cluster.spec",
  PoolerSpec: "a field of a newer operator belongs into overrides.poolers",
};

/** Of required arguments that a program need not write itself. */
const REMEDIES: Readonly<Record<string, string>> = {
  "CnpgRestoreArgs.storageGiB": "set it, or take it from the source cluster: ...orders.like",
};

const known = new WeakMap<TypeTable, Map<string, readonly FieldShape[]>>();

function fieldsOf(name: string, types: TypeTable = ARGUMENT_TYPES): readonly FieldShape[] {
  const read = known.get(types) ?? new Map<string, readonly FieldShape[]>();
  known.set(types, read);
  const before = read.get(name);
  if (before !== undefined) return before;
  const { "...": others, ...rows } = types[name] ?? {};
  const fields = new Map<string, FieldShape>();
  for (const other of others?.split(", ") ?? [])
    for (const field of fieldsOf(other, types)) fields.set(field.name, field);
  for (const [key, text] of Object.entries(rows)) {
    const own = { owner: name, name: key.replace(/\?$/, ""), isRequired: !key.endsWith("?") && !JUDGED.includes(name) };
    fields.set(own.name, { ...own, shape: shapeOf(text, types) });
  }
  const all = [...fields.values()];
  read.set(name, all);
  return all;
}

const SCALARS: Readonly<Record<string, Shape>> = {
  string: { kind: "text" },
  number: { kind: "number" },
  boolean: { kind: "boolean" },
  IntOrString: { kind: "numberOrText" },
  never: { kind: "never" },
};

/** Types of packages, and what the declarations leave open, may be anything. */
function shapeOf(text: string, types: TypeTable): Shape {
  const type = parseType(text);
  if (type.kind !== "name") return { kind: type.kind, of: shapeOf(type.of, types) };
  const [, owner, field = ""] = /^(\w+)\["(\w+)"\]$/.exec(type.name) ?? [];
  if (owner !== undefined) return fieldsOf(owner, types).find(({ name }) => name === field)?.shape ?? { kind: "any" };
  if (Object.hasOwn(types, type.name)) return { kind: "fields", name: type.name };
  if (type.name.startsWith('"')) return { kind: "choice", values: JSON.parse(`[${type.name.replaceAll("|", ",")}]`) };
  return SCALARS[type.name] ?? { kind: "any" };
}

/** A type as the declarations have it: a list or map of another one, or a name. What may be an output is its value. */
export function parseType(
  text: string,
): { readonly kind: "list" | "map"; readonly of: string } | { readonly kind: "name"; readonly name: string } {
  const type = text.replace(/ \| undefined$/, "");
  const input = /^Input<(.*)>$/.exec(type)?.[1];
  if (input !== undefined) return parseType(input);
  if (type.endsWith("[]")) return { kind: "list", of: type.slice(0, -2) };
  const item = /^\{ \[\w+: string\]: (.*) \}$/.exec(type)?.[1];
  return item === undefined ? { kind: "name", name: type } : { kind: "map", of: item };
}
