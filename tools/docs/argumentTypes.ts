/** components/plan/arguments/argumentTypes.ts: the arguments' types as data, from the declarations. */
import { choiceText, type Field, type FieldsType, type PublicType, readPublicTypes } from "./componentTypes";
import { projectFolder } from "../parts/cache";
import { publicTypes } from "./componentsPage";
import { literal } from "./literal";

/** Smaller types are not worth a reference. */
const SHARED_FIELDS_MIN = 3;

export function renderArgumentTypes(): string {
  return renderTypes(publicTypes());
}

/** The same of a package that builds on this one. @param folder with its `components` */
export function renderPackageTypes(folder: string): string {
  return renderTypes(readPublicTypes(projectFolder(), `${folder}/components/index.ts`));
}

function renderTypes(all: readonly PublicType[]): string {
  const types = all.flatMap((type) => (type.kind === "fields" ? [withoutChoices(type, all)] : []));
  return [
    "/**",
    " * The types of the components' arguments, for checks of values that TypeScript has not seen. `npm run docs` makes this",
    " * file from the declarations of the components: change those.",
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
    ...constant(
      "ARGUMENT_RANGES",
      boundLines(types, ({ items, range }) => range ?? items),
    ),
    "",
    "/** Types of section that have a field: `@for` and `@required`. */",
    ...constant(
      "ARGUMENT_KINDS",
      boundLines(types, ({ kinds }) => kinds),
    ),
    "",
    "/** What a field decides that may not come later: `@plain`. */",
    ...constant(
      "ARGUMENT_PLAIN",
      boundLines(types, ({ plain }) => plain),
    ),
    "",
  ].join("\n");
}

function constant(name: string, lines: readonly string[]): readonly string[] {
  if (lines.length === 0) return [`export const ${name} = {} as const;`];
  return [`export const ${name} = {`, ...lines, "} as const;"];
}

/** Choices whose values a rule judges, in words about them. For the check of types they are text. */
const RULED = [
  "AcknowledgeArgs.mode",
  "AffinityArgs.podAntiAffinityType",
  "AzureNewContainer.redundancy",
  "AzureNewKeys.signedBy",
  "AzureSharedKey.signedBy",
  "BackupNowArgs.type",
  "BucketProtectionArgs.lockMode",
  "ClusterBackupArgs.engine",
  "CnpgClusterArgs.primaryUpdateMethod",
  "CnpgClusterArgs.primaryUpdateStrategy",
  "CompressArgs.type",
  "DrillArgs.level",
  "DrillArgs.pick",
  "DrillNowArgs.level",
  "DrillNowArgs.pick",
  "HostContainerArgs.engine",
  "MigrationArgs.until",
  "MigrationServerArgs.sslMode",
  "MigrationWorkloadArgs.kind",
  "PostgresHostArgs.archive",
  "PostgresHostArgs.engine",
  "R2NewBucket.location",
  "R2RepositoryArgs.jurisdiction",
  "StreamingArgs.synchronous",
];

/** The check of types judges every other choice. */
function withoutChoices(type: FieldsType, all: readonly PublicType[]): FieldsType {
  const choices = all.flatMap((other) => (other.kind === "choice" ? [other] : []));
  const names = new RegExp(`\\b(${choices.map(({ name }) => name).join("|")})\\b`, "g");
  const fields = type.fields.map((field) => {
    const textOf = (name: string): string => {
      const choice = isRuled(type.name, field) ? undefined : choices.find((other) => other.name === name);
      return choice === undefined ? "string" : `(${choiceText(choice)})`;
    };
    return { ...field, type: field.type.replaceAll(names, textOf) };
  });
  return { ...type, fields };
}

/** A field that a type has from another one is ruled by that one's name. */
function isRuled(type: string, { isInherited, name }: Field): boolean {
  return isInherited ? RULED.some((ruled) => ruled.endsWith(`.${name}`)) : RULED.includes(`${type}.${name}`);
}

/** Types that take fields from another have them under that one's name. */
function boundLines(
  types: readonly FieldsType[],
  valueOf: (field: Field) => object | string | null,
): readonly string[] {
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
  // The formatter breaks no line behind a key of fewer than five characters.
  return row.length <= 116 || row.indexOf(":") < 5 ? `    ${row}` : `    ${row.replace(": ", ":\n      ")}`;
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
