/**
 * Compares values of files and programs with the types that declare them. Every road in uses it: components' arguments,
 * the files of `render`, topologies, `pgbackstop.json`, `notify.json`. Pure.
 *
 * Tables of types are made from TypeScript declarations (`npm run docs`).
 */
import { nearNames } from "./nearNames";

/**
 * Types by name: their fields as declarations have them, under `...` the types whose fields they have too. `never` is a
 * field that the checked road does not have.
 */
export type TypeTable = Readonly<Record<string, Readonly<Record<string, string>>>>;

/** A whole number from `min`, or any from `from` or above `above`; at most `max`. Of a list, how many items. */
export interface NumberRange {
  readonly min?: number;
  readonly from?: number;
  readonly above?: number;
  readonly max?: number;
}

/** What `npm run docs` reads from declarations. Keys are `Type.field`, with the type that declares the field. */
export interface Declarations {
  readonly types: TypeTable;
  readonly ranges?: Readonly<Record<string, NumberRange>>;
  /** Texts with a name: what is expected, and a pattern. */
  readonly texts?: Readonly<Record<string, readonly [expected: string, pattern: string]>>;
  /** Fields that only sections of some `type` have. */
  readonly kinds?: Readonly<Record<string, FieldKinds>>;
  /** What a field decides that may not come later. */
  readonly plain?: Readonly<Record<string, string>>;
}

export interface FieldKinds {
  readonly takenBy: readonly string[];
  readonly isRequired: boolean;
}

export interface DeclaredOptions {
  /** What has the fields, in messages. */
  readonly owner: string;
  /** Types whose values have another form by now. */
  readonly skipped?: readonly string[];
  /** Types whose rules judge which fields are given. */
  readonly judged?: readonly string[];
  /** True for values of other versions, which may have other fields too. */
  readonly ignoresUnknown?: boolean;
  /** Types of values of other versions. */
  readonly open?: readonly string[];
  /** A deferred value is given; its type is compared when it arrives. */
  readonly isDeferred?: (value: unknown) => boolean;
  /** True for an argument, as `Type.field`, that may come later only if it is an `Input`. */
  readonly refusesDeferred?: (argument: string) => boolean;
  /** True for a path whose value no message repeats. */
  readonly isSecret?: (path: string) => boolean;
  /** A component in the place of one of its outputs. */
  readonly isComponent?: (value: unknown) => boolean;
}

export type Keys = readonly (string | number)[];

export interface Problem {
  readonly kind: "unknown" | "missing" | "empty" | "deferred" | "wrong";
  readonly path: string;
  /** The path's names and positions. */
  readonly keys: Keys;
  /** `Type.field`, with the type in which it was looked for; empty for a whole section or an item. */
  readonly argument: string;
  /** Follows the field's name: `is empty`. Of an unknown field a whole sentence. */
  readonly fact: string;
  readonly hint: string;
}

/** With `isInput`, what a program may pass as an output. */
export type Shape = AnyShape & { readonly isInput?: boolean };

type AnyShape =
  | { readonly kind: "text" | "number" | "boolean" | "any" | "never" }
  | { readonly kind: "pattern"; readonly expected: string; readonly pattern: RegExp }
  | { readonly kind: "value"; readonly value: string | number }
  | { readonly kind: "either"; readonly of: readonly Shape[] }
  | { readonly kind: "list"; readonly of: Shape }
  | { readonly kind: "map"; readonly of: Shape; readonly key: Shape }
  | { readonly kind: "fields"; readonly name: string };

export interface FieldShape {
  readonly name: string;
  /** Type that declares it. */
  readonly owner: string;
  readonly isRequired: boolean;
  readonly shape: Shape;
}

/** @param name of a type */
export function checkDeclared(
  name: string,
  value: unknown,
  declarations: Declarations,
  options: DeclaredOptions,
): Problem[] {
  return new Checker(declarations, options).fields(name, value, []);
}

/** The text of a problem in a file: `field 'a.b' is empty`. */
export function problemText({ fact, kind, path }: Problem): string {
  if (kind === "unknown") return `has an unknown field '${path}'`;
  return path === "" ? fact : `field '${path}' ${fact}`;
}

/** The way out as a sentence. */
export function problemHint({ hint }: Problem): string[] {
  return hint === "" ? [] : [`${hint.charAt(0).toUpperCase()}${hint.slice(1)}${hint.endsWith("?") ? "" : "."}`];
}

/** The end of a name that says what its number counts. */
const UNIT = /(Milliseconds|Seconds|Minutes|Hours|Days|GiBPerDay|GiB|MiB|GB|Percent)$/;

/** Characters of a value that a message repeats. */
const QUOTED_MAX = 40;

class Checker {
  readonly #declared: Declarations;
  readonly #options: DeclaredOptions;

  constructor(declarations: Declarations, options: DeclaredOptions) {
    this.#declared = declarations;
    this.#options = options;
  }

  fields(name: string, value: unknown, keys: Keys): Problem[] {
    if (this.#options.skipped?.includes(name) === true) return [];
    const { ignoresUnknown = false, open = [] } = this.#options;
    if (!ignoresUnknown && open.includes(name))
      return new Checker(this.#declared, { ...this.#options, ignoresUnknown: true }).fields(name, value, keys);
    if (!isFields(value))
      return this.#section(value, keys, typeof value === "string" ? this.#sectionOf(name, value) : "");
    if (this.#options.isComponent?.(value) === true) return [this.#output(name, value, keys)];
    const values = new Map<string, unknown>(Object.entries(value));
    const kind = values.get("type");
    const all = fieldsOf(name, this.#declared);
    const fields = all.flatMap((field) => this.#fieldOfKind(field, kind));
    const ofKind = fields.length < all.length ? ` of type ${String(kind)}` : "";
    const owner = keys.length === 0 ? this.#options.owner : `${pathText(keys)}${ofKind}`;
    return [
      ...(ignoresUnknown ? [] : this.#names(name, value, fields, owner, keys)),
      ...fields.flatMap((field) => {
        const given = values.get(field.name);
        const isRequired = field.isRequired && this.#options.judged?.includes(field.owner) !== true;
        const isMissing = isRequired && (given === undefined || given === null);
        return isMissing ? [missing(name, [...keys, field.name])] : this.#field(field, given, keys);
      }),
    ];
  }

  /** Nothing for a field that only sections of another type have. */
  #fieldOfKind(field: FieldShape, kind: unknown): FieldShape[] {
    const kinds = this.#declared.kinds?.[`${field.owner}.${field.name}`];
    if (kinds === undefined || typeof kind !== "string" || !this.#isKind(field.owner, kind)) return [field];
    return kinds.takenBy.includes(kind) ? [{ ...field, isRequired: kinds.isRequired }] : [];
  }

  #isKind(owner: string, kind: string): boolean {
    const { kinds = {} } = this.#declared;
    return Object.entries(kinds).some(([name, { takenBy }]) => name.startsWith(`${owner}.`) && takenBy.includes(kind));
  }

  /** Finds a value that is not a section. Undefined is fine: nothing was given. */
  #section(value: unknown, keys: Keys, remedy = ""): Problem[] {
    if (value === undefined || isFields(value)) return [];
    if (value === null) return [empty(keys)];
    const hint = Array.isArray(value) ? "write a name instead of each dash" : remedy;
    return [this.#wrong(keys, value, "a section with names", hint)];
  }

  /** A component was passed, and one of its outputs is meant. */
  #output(name: string, component: Record<string, unknown>, keys: Keys): Problem {
    const outputs = Object.keys(component).filter(
      (key) => isFields(component[key]) && !key.startsWith("__") && this.fields(name, component[key], []).length === 0,
    );
    const hint = outputs.length === 0 ? "pass one of its outputs" : `pass ${outputs.join(" or ")} of it`;
    return problem("wrong", keys, "is a component, and must be one of its outputs", hint);
  }

  /** `{ cron: "0 3 * * 0" }` for a text in the place of a section with one required text; empty for others. */
  #sectionOf(name: string, text: string): string {
    if (text === "" || text.length > QUOTED_MAX) return "";
    const required = fieldsOf(name, this.#declared).filter(({ isRequired }) => isRequired);
    const [only] = required;
    if (only === undefined || required.length > 1 || only.shape.kind !== "text" || this.#isSecret(only.name)) return "";
    return `write { ${only.name}: ${JSON.stringify(text)} }`;
  }

  #names(type: string, section: object, fields: readonly FieldShape[], owner: string, keys: Keys): Problem[] {
    const known = new Set(fields.map(({ name }) => name));
    const names = fields.flatMap(({ name, shape }) => (shape.kind === "never" ? [] : [name]));
    return Object.entries(section).flatMap(([key, value]) => {
      if (value === undefined || known.has(key)) return [];
      const letters = key.replaceAll(/[-_]/g, "").toLowerCase();
      const same = names.filter((name) => name.toLowerCase() === letters);
      // `rpoMinutes` is near to `rtoMinutes`, and means `rpoSeconds`.
      const inOtherUnit = names.filter((name) => UNIT.test(name) && name.replace(UNIT, "") === key.replace(UNIT, ""));
      const meant = [same, inOtherUnit, nearNames(key, names)].find((some) => some.length > 0) ?? [];
      const hint = meant.length > 0 ? `did you mean ${meant.join(" or ")}?` : `it takes ${names.toSorted().join(", ")}`;
      return [unknown(type, [...keys, key], `${owner} has no field '${key}'`, hint)];
    });
  }

  #field({ name, owner, shape }: FieldShape, value: unknown, keys: Keys): Problem[] {
    if (value === undefined) return [];
    if (shape.kind === "never") return [unknown(owner, [...keys, name], "only a program has it", "leave it out")];
    const own = [...keys, name];
    const problems = this.#shape(shape, value, own).flatMap((each) => this.#ofField(each, `${owner}.${name}`));
    const range = problems.length > 0 ? undefined : this.#declared.ranges?.[`${owner}.${name}`];
    if (range === undefined) return problems;
    const isList = Array.isArray(value);
    const amount = isList ? value.length : value;
    if (typeof amount !== "number" || isWithin(range, amount)) return [];
    const argument = `${owner}.${name}`;
    const whole = range.min !== undefined && !Number.isInteger(amount) ? "a whole number, " : "";
    const fact = isList ? `has ${amount} items, and must have ` : `is ${amount}, and must be ${whole}`;
    return [problem("wrong", own, fact + rangeText(range), "", argument)];
  }

  #shape(shape: Shape, value: unknown, keys: Keys): Problem[] {
    if (this.#isDeferred(value)) return shape.isInput === true ? [] : [deferred(keys, shape)];
    if (shape.kind === "any" || shape.kind === "never") return [];
    if (value === null) return [empty(keys)];
    switch (shape.kind) {
      case "fields":
        return this.fields(shape.name, value, keys);
      case "list":
        if (!Array.isArray(value)) return [this.#wrong(keys, value, "a list", "write each value as an item of a list")];
        return value.flatMap((item, index) =>
          item === undefined ? [empty([...keys, index])] : this.#shape(shape.of, item, [...keys, index]),
        );
      case "map":
        if (!isFields(value)) return this.#section(value, keys);
        return Object.entries(value).flatMap(([key, item]) => {
          if (!fits(shape.key, key)) return [this.#wrong([...keys, key], key, expectedOf(shape.key), "")];
          return item === undefined ? [] : this.#shape(shape.of, item, [...keys, key]);
        });
      case "either": {
        const tried = shape.of.map((each) => ({ each, problems: this.#shape(each, value, keys) }));
        if (tried.some(({ problems }) => problems.length === 0)) return [];
        // A list with a wrong item is meant as the list, and names as the map.
        const isMeant = ({ kind }: Shape): boolean =>
          kind === "list" ? Array.isArray(value) : kind === "map" && isFields(value);
        const meant = tried.find(({ each }) => isMeant(each));
        return meant?.problems ?? [this.#wrong(keys, value, expectedOf(shape), "")];
      }
      default:
        if (fits(shape, value)) return [];
        return [this.#wrong(keys, value, expectedOf(shape), this.#remedyOf(shape.kind, value, pathText(keys)))];
    }
  }

  /** A value, or an item, that comes later where a plain one belongs gets the reason of its field. */
  #ofField(raw: Problem, argument: string): Problem[] {
    if (raw.kind !== "deferred" || raw.argument !== "") return [raw];
    if (this.#options.refusesDeferred?.(argument) !== true) return [];
    const reason = this.#declared.plain?.[argument];
    const about = reason === undefined ? {} : { fact: `${IS_DEFERRED}: it decides ${reason}`, hint: PASS_ITSELF };
    return [{ ...raw, argument, ...about }];
  }

  #remedyOf(kind: Shape["kind"], value: unknown, path: string): string {
    if (kind === "text" || kind === "pattern") {
      if (typeof value !== "number" && typeof value !== "boolean") return "";
      return this.#isSecret(path) ? "write it in quotes" : `write it in quotes: "${value}"`;
    }
    if (typeof value !== "string") return "";
    if (kind === "boolean") {
      const meant = [/^(true|yes|on)$/i, /^(false|no|off)$/i].findIndex((pattern) => pattern.test(value));
      return meant < 0 ? "" : `write ${meant === 0} without quotes`;
    }
    if (kind !== "number") return "";
    const digits = value.replaceAll(/[_ ]/g, "");
    if (/^-?\d+(\.\d+)?$/.test(digits)) return `write ${digits} without quotes`;
    const unit = /(GiB|MiB|GB|Seconds|Minutes|Milliseconds|Hours|Days|Percent|USD)\w*$/.exec(path)?.[1];
    if (unit !== undefined) return `write the number alone: its unit is in the name, ${unit}`;
    return "write the number alone";
  }

  #wrong(keys: Keys, value: unknown, expected: string, hint: string): Problem {
    const fact = `is ${this.#described(value, pathText(keys))}, and must be ${expected}`;
    return problem("wrong", keys, fact, hint);
  }

  #described(value: unknown, path: string): string {
    if (Array.isArray(value)) return "a list";
    if (typeof value === "object") return "a section";
    if (typeof value === "function") return "a function";
    if (typeof value === "number" && !Number.isFinite(value)) return String(value);
    const isText = typeof value === "string";
    if (this.#isSecret(path)) return isText ? "text" : `a ${typeof value}`;
    const shown = isText && value.length > QUOTED_MAX ? `${value.slice(0, QUOTED_MAX)}…` : value;
    return `the ${isText ? "text" : typeof value} ${JSON.stringify(shown)}`;
  }

  #isSecret(path: string): boolean {
    return this.#options.isSecret?.(path) === true;
  }

  #isDeferred(value: unknown): boolean {
    return this.#options.isDeferred?.(value) === true;
  }
}

function missing(type: string, keys: Keys): Problem {
  return problem("missing", keys, "is required, and not given", `set ${pathText(keys)}`, `${type}.${keys.at(-1)}`);
}

function empty(keys: Keys): Problem {
  return problem("empty", keys, "is empty", "give it a value, or leave it out");
}

const IS_DEFERRED = "comes from another resource, and must be known when the program runs";
const PASS_ITSELF = "pass the value itself";

function deferred(keys: Keys, shape: Shape): Problem {
  const parts = shape.kind === "list" ? "items" : "fields";
  return ["any", "fields", "list", "map"].includes(shape.kind)
    ? problem(
        "deferred",
        keys,
        `${IS_DEFERRED}: what it has decides which resources exist`,
        `pass its ${parts} instead`,
      )
    : problem("deferred", keys, IS_DEFERRED, PASS_ITSELF);
}

function unknown(type: string, keys: Keys, fact: string, hint: string): Problem {
  return problem("unknown", keys, fact, hint, `${type}.${keys.at(-1)}`);
}

function problem(kind: Problem["kind"], keys: Keys, fact: string, hint: string, argument = ""): Problem {
  return { kind, path: pathText(keys), keys, argument, fact, hint };
}

function fits(shape: Shape, value: unknown): boolean {
  if (shape.kind === "text") return typeof value === "string";
  if (shape.kind === "number") return typeof value === "number" && Number.isFinite(value);
  if (shape.kind === "boolean") return typeof value === "boolean";
  if (shape.kind === "pattern") return typeof value === "string" && shape.pattern.test(value);
  return shape.kind !== "value" || value === shape.value;
}

function expectedOf(shape: Shape): string {
  switch (shape.kind) {
    case "boolean":
      return "true or false";
    case "either": {
      const texts = shape.of.map(expectedOf);
      const isChoice = shape.of.every(({ kind }) => kind === "value");
      return isChoice ? `one of ${texts.join(", ")}` : `${texts.slice(0, -1).join(", ")} or ${texts.at(-1)}`;
    }
    case "fields":
    case "map":
      return "a section with names";
    case "list":
      return shape.of.kind === "pattern" ? `a list of ${shape.of.expected}` : "a list";
    case "number":
      return "a number";
    case "pattern":
      return shape.expected;
    case "value":
      return String(shape.value);
    default:
      return "text";
  }
}

/** @param value of a number, or of the length of a list */
export function isWithin({ above, from, max = Number.MAX_VALUE, min }: NumberRange, value: number): boolean {
  if (!(value <= max)) return false;
  if (min !== undefined) return Number.isSafeInteger(value) && value >= min;
  return from === undefined ? value > (above ?? Number.NEGATIVE_INFINITY) : value >= from;
}

/** `1 to 999` */
export function rangeText({ above, from, max, min = from }: NumberRange): string {
  if (min === undefined) return `more than ${above}${max === undefined ? "" : ` and at most ${max}`}`;
  return max === undefined ? `${min} or more` : `${min} to ${max}`;
}

/** The value with the fields of each section in the order of their declaration. @param name of its type */
export function inDeclaredOrder(
  name: string,
  value: unknown,
  declarations: Declarations,
  isKept: FieldChoice = () => true,
): unknown {
  return inOrder({ kind: "fields", name }, value, declarations, isKept);
}

/** @param argument `Type.field` */
type FieldChoice = (argument: string) => boolean;

function inOrder(shape: Shape, value: unknown, declarations: Declarations, isKept: FieldChoice): unknown {
  const inner = (of: Shape, item: unknown): unknown => inOrder(of, item, declarations, isKept);
  if (shape.kind === "list" && Array.isArray(value)) return value.map((item) => inner(shape.of, item));
  if (!isFields(value)) return value;
  if (shape.kind === "map")
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inner(shape.of, item)]));
  if (shape.kind !== "fields") return value;
  const fields = fieldsOf(shape.name, declarations).filter(
    (field) => Object.hasOwn(value, field.name) && isKept(`${field.owner}.${field.name}`),
  );
  return Object.fromEntries(fields.map((field) => [field.name, inner(field.shape, value[field.name])]));
}

const known = new WeakMap<TypeTable, Map<string, readonly FieldShape[]>>();

/** Also those of the types that it takes fields from. Empty for a name without a type. */
export function fieldsOf(name: string, declarations: Declarations): readonly FieldShape[] {
  const { types } = declarations;
  const read = known.get(types) ?? new Map<string, readonly FieldShape[]>();
  known.set(types, read);
  const before = read.get(name);
  if (before !== undefined) return before;
  const { "...": others, ...rows } = types[name] ?? {};
  const fields = new Map<string, FieldShape>();
  for (const other of others?.split(", ") ?? [])
    for (const field of fieldsOf(other, declarations)) fields.set(field.name, field);
  for (const [key, text] of Object.entries(rows)) {
    const own = { owner: name, name: key.replace(/\?$/, ""), isRequired: !key.endsWith("?") };
    fields.set(own.name, { ...own, shape: shapeOf(text, declarations) });
  }
  const all = [...fields.values()];
  read.set(name, all);
  return all;
}

const SCALARS: Readonly<Record<string, Shape>> = {
  string: { kind: "text" },
  number: { kind: "number" },
  boolean: { kind: "boolean" },
  IntOrString: { kind: "either", of: [{ kind: "number" }, { kind: "text" }] },
  never: { kind: "never" },
};

function shapeOf(text: string, declarations: Declarations): Shape {
  const type = parseType(text);
  const shape = shapeOfParsed(type, declarations);
  return type.isInput === true ? { ...shape, isInput: true } : shape;
}

/** Types of packages, and what the declarations leave open, may be anything. */
function shapeOfParsed(type: ParsedType, declarations: Declarations): Shape {
  if (type.kind === "either") return { kind: "either", of: type.of.map((each) => shapeOf(each, declarations)) };
  if (type.kind === "list") return { kind: "list", of: shapeOf(type.of, declarations) };
  if (type.kind === "map")
    return { kind: "map", of: shapeOf(type.of, declarations), key: shapeOf(type.key, declarations) };
  if (type.kind === "value") return type;
  const { name } = type;
  const [, owner, field = ""] = /^(\w+)\["(\w+)"\]$/.exec(name) ?? [];
  if (owner !== undefined)
    return fieldsOf(owner, declarations).find((each) => each.name === field)?.shape ?? { kind: "any" };
  if (Object.hasOwn(declarations.types, name)) return { kind: "fields", name };
  const named = declarations.texts?.[name];
  if (named !== undefined) return { kind: "pattern", expected: named[0], pattern: new RegExp(named[1]) };
  return SCALARS[name] ?? { kind: "any" };
}

export type ParsedType = AnyParsedType & { readonly isInput?: boolean };

type AnyParsedType =
  | { readonly kind: "list"; readonly of: string }
  | { readonly kind: "map"; readonly of: string; readonly key: string }
  | { readonly kind: "either"; readonly of: readonly string[] }
  | { readonly kind: "value"; readonly value: string | number }
  | { readonly kind: "name"; readonly name: string };

/** A type as the declarations have it. What may be an output is its value, marked. */
export function parseType(text: string): ParsedType {
  const type = text.replace(/ \| undefined$/, "").replaceAll(/\breadonly /g, "");
  const alternatives = alternativesOf(type);
  if (alternatives.length > 1) return { kind: "either", of: alternatives };
  const input = /^Input<(.*)>$/.exec(type)?.[1];
  if (input !== undefined) return { ...parseType(input), isInput: true };
  const inner = /^\((.*)\)$/.exec(type)?.[1];
  if (inner !== undefined) return parseType(inner);
  const [, key = "", item] = /^\{ \[\w+: (\w+)\]: (.*) \}$/.exec(type) ?? [];
  if (item !== undefined) return { kind: "map", of: item, key };
  if (type.endsWith("[]")) return { kind: "list", of: type.slice(0, -2) };
  if (/^("[^"]*"|\d+)$/.test(type)) return { kind: "value", value: JSON.parse(type) as string | number };
  return { kind: "name", name: type };
}

/** Those inside of brackets belong to a part. */
function alternativesOf(type: string): string[] {
  const alternatives: string[] = [];
  let depth = 0;
  for (const part of type.split(" | ")) {
    if (depth > 0) alternatives.push(`${alternatives.pop()} | ${part}`);
    else alternatives.push(part);
    depth += part.replaceAll(/[^(<{]/g, "").length - part.replaceAll(/[^)>}]/g, "").length;
  }
  return alternatives;
}

/** `targets[0].url` */
export function pathText(keys: Keys): string {
  return keys.reduce<string>(
    (path, key) => (typeof key === "number" ? `${path}[${key}]` : path === "" ? key : `${path}.${key}`),
    "",
  );
}

/** True for an object that is no list. */
export function isFields(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
