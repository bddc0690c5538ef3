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
    "/** By the name of a type: the types of its fields as the declarations have them, and under `...` those of others. */",
    "export const ARGUMENT_TYPES = {",
    ...types.flatMap((type) => typeLines(type, types)),
    "} as const;",
    "",
    "export type ArgumentType = keyof typeof ARGUMENT_TYPES;",
    "",
  ].join("\n");
}

/** Choices are text: rules judge their values. */
function withoutChoices(type: FieldsType): FieldsType {
  const choices = publicTypes().flatMap((other) => (other.kind === "choice" ? [other.name] : []));
  const names = new RegExp(`\\b(${choices.join("|")})\\b`, "g");
  return { ...type, fields: type.fields.map((field) => ({ ...field, type: field.type.replaceAll(names, "string") })) };
}

function typeLines(type: FieldsType, types: readonly FieldsType[]): readonly string[] {
  const left = new Map(type.fields.map((field) => [lineOf(field), field]));
  const shared: string[] = [];
  const smaller = types.filter(
    ({ fields }) => fields.length < type.fields.length && fields.length >= SHARED_FIELDS_MIN,
  );
  for (const other of smaller.toSorted((a, b) => b.fields.length - a.fields.length)) {
    const lines = other.fields.map(lineOf);
    if (!lines.every((line) => left.has(line))) continue;
    shared.push(other.name);
    for (const line of lines) left.delete(line);
  }
  const rows = [...(shared.length === 0 ? [] : [`"...": "${shared.join(", ")}",`]), ...left.keys()];
  if (rows.length === 0) return [`  ${type.name}: {},`];
  const line = `  ${type.name}: { ${rows.join(" ").slice(0, -1)} },`;
  return line.length <= 120 ? [line] : [`  ${type.name}: {`, ...rows.map((row) => `    ${row}`), "  },"];
}

function lineOf({ name, optional, type }: Field): string {
  return `${optional ? `"${name}?"` : name}: ${type.includes('"') ? `'${type}'` : `"${type}"`},`;
}
