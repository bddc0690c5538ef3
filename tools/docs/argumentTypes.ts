/** components/plan/arguments/argumentTypes.ts: the arguments' types as data, from the declarations. */
import { choiceText, type Field, type FieldsType } from "./componentTypes";
import { publicTypes } from "./componentsPage";
import { literal } from "./literal";

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
    "/** Fields by the name of a type: under `...` the types whose fields it has too, then its other fields as declared. */",
    "export const ARGUMENT_TYPES = {",
    ...types.flatMap((type) => typeLines(type, types)),
    "} as const;",
    "",
    "export type ArgumentType = keyof typeof ARGUMENT_TYPES;",
    "",
    "/** Ranges of numbers by type and field, of the type that declares it: `@minimum`, `@exclusiveMinimum`, `@maximum`. */",
    "export const ARGUMENT_RANGES = {",
    ...boundLines(types, ({ items, range }) => range ?? items),
    "} as const;",
    "",
    "/** Types of section that have a field: `@for` and `@required`. */",
    "export const ARGUMENT_KINDS = {",
    ...boundLines(types, ({ kinds }) => kinds),
    "} as const;",
    "",
  ].join("\n");
}

/** No rule judges these choices, so the check of types does. */
const UNRULED = [
  "BackupTarget",
  "MailSecurity",
  "NotifyEvent",
  "NotifyType",
  "S3Quirks",
  "SnapshotOwner",
  "StanzaKind",
  "UriStyle",
];

/** Other choices are text: rules judge their values. */
function withoutChoices(type: FieldsType): FieldsType {
  const choices = publicTypes().flatMap((other) => (other.kind === "choice" ? [other] : []));
  const textOf = (name: string): string => {
    const choice = UNRULED.includes(name) ? choices.find((other) => other.name === name) : undefined;
    return choice === undefined ? "string" : `(${choiceText(choice)})`;
  };
  const names = new RegExp(`\\b(${choices.map(({ name }) => name).join("|")})\\b`, "g");
  return { ...type, fields: type.fields.map((field) => ({ ...field, type: field.type.replaceAll(names, textOf) })) };
}

/** Types that take fields from another have them under that one's name. */
function boundLines(types: readonly FieldsType[], valueOf: (field: Field) => object | null): readonly string[] {
  return types.flatMap((type) =>
    type.fields.flatMap((field) => {
      const value = valueOf(field);
      const isElsewhere = field.isInherited && !partsOf(type, types).left.has(lineOf(field));
      return value === null || isElsewhere
        ? []
        : [`  "${type.name}.${field.name}": ${literal(value, 2, type.name.length + field.name.length + 6)},`];
    }),
  );
}

/** A type whose fields another one has too, most of them unchanged, is named there; what differs is repeated. */
function typeLines(type: FieldsType, types: readonly FieldsType[]): readonly string[] {
  const { left, shared } = partsOf(type, types);
  const rows = [...(shared.length === 0 ? [] : [`"...": "${shared.join(", ")}",`]), ...left];
  if (rows.length === 0) return [`  ${type.name}: {},`];
  const line = `  ${type.name}: { ${rows.join(" ").slice(0, -1)} },`;
  return line.length <= 120 ? [line] : [`  ${type.name}: {`, ...rows.map(wrapped), "  },"];
}

/** As the formatter wraps a long value. */
function wrapped(row: string): string {
  return row.length <= 116 ? `    ${row}` : `    ${row.replace(": ", ":\n      ")}`;
}

function partsOf(
  type: FieldsType,
  types: readonly FieldsType[],
): { readonly shared: readonly string[]; readonly left: ReadonlySet<string> } {
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
  return { shared, left };
}

function lineOf({ name, optional, type }: Field): string {
  return `${optional ? `"${name}?"` : name}: ${type.includes('"') ? `'${type}'` : `"${type}"`},`;
}
