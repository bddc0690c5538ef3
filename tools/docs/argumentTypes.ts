/** components/plan/arguments/argumentTypes.ts: the arguments' types as data, from the declarations. */
import type { Field, FieldsType } from "./componentTypes";
import { publicTypes } from "./componentsPage";

/** Smaller types are not worth a reference. */
const SHARED_FIELDS_MIN = 3;

export function renderArgumentTypes(): string {
  const types = publicTypes().flatMap((type) => (type.kind === "fields" ? [withoutChoices(type)] : []));
  return [
    "/**",
    " * The types of the components' arguments, for checks of values that TypeScript has not seen. `npm run docs` makes this",
    " * file from the declarations in components/: change those.",
    " */",
    "",
    "/** By the name of a type: under `...` the types whose fields it has too, then its other fields as declared. */",
    "export const ARGUMENT_TYPES = {",
    ...types.flatMap((type) => typeLines(type, types)),
    "} as const;",
    "",
    "export type ArgumentType = keyof typeof ARGUMENT_TYPES;",
    "",
    "/** Ranges of numbers by type and field, of the type that declares it: `@minimum`, `@exclusiveMinimum`, `@maximum`. */",
    "export const ARGUMENT_RANGES = {",
    ...rangeLines(types),
    "} as const;",
    "",
  ].join("\n");
}

/** Choices are text: rules judge their values. */
function withoutChoices(type: FieldsType): FieldsType {
  const choices = publicTypes().flatMap((other) => (other.kind === "choice" ? [other.name] : []));
  const names = new RegExp(`\\b(${choices.join("|")})\\b`, "g");
  return { ...type, fields: type.fields.map((field) => ({ ...field, type: field.type.replaceAll(names, "string") })) };
}

/** Types that take fields from another have them under that one's name. */
function rangeLines(types: readonly FieldsType[]): readonly string[] {
  return types.flatMap((type) =>
    type.fields.flatMap(({ isInherited, name, range }) => {
      if (range === null || isInherited) return [];
      const bounds = Object.entries(range).map(([bound, value]) => `${bound}: ${value}`);
      return [`  "${type.name}.${name}": { ${bounds.join(", ")} },`];
    }),
  );
}

/** A type whose fields another one has too, most of them unchanged, is named there; what differs is repeated. */
function typeLines(type: FieldsType, types: readonly FieldsType[]): readonly string[] {
  const own = new Map(type.fields.map((field) => [field.name, lineOf(field)]));
  const shared: string[] = [];
  const left = new Set(own.values());
  for (const other of types.toSorted((a, b) => b.fields.length - a.fields.length)) {
    if (other.fields.length >= type.fields.length || !other.fields.every(({ name }) => own.has(name))) continue;
    const same = other.fields.map(lineOf).filter((line) => left.has(line));
    if (same.length < SHARED_FIELDS_MIN || 2 * same.length <= other.fields.length) continue;
    // A field that differs here must not replace what an earlier one gives.
    const isRepeated = (name: string): boolean => left.has(own.get(name) ?? "");
    if (other.fields.some((field) => own.get(field.name) !== lineOf(field) && !isRepeated(field.name))) continue;
    shared.push(other.name);
    for (const line of same) left.delete(line);
  }
  const rows = [...(shared.length === 0 ? [] : [`"...": "${shared.join(", ")}",`]), ...left];
  if (rows.length === 0) return [`  ${type.name}: {},`];
  const line = `  ${type.name}: { ${rows.join(" ").slice(0, -1)} },`;
  return line.length <= 120 ? [line] : [`  ${type.name}: {`, ...rows.map((row) => `    ${row}`), "  },"];
}

function lineOf({ name, optional, type }: Field): string {
  return `${optional ? `"${name}?"` : name}: ${type.includes('"') ? `'${type}'` : `"${type}"`},`;
}
