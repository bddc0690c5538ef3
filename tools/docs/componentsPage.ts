/** docs/reference/components.md and types.md: arguments, outputs and their types, from the docstrings. */
import { rangeText } from "../../runtime/base/declaredTypes";
import { projectFolder } from "../parts/cache";
import {
  type ChoiceType,
  type ComponentType,
  type Field,
  type FieldsType,
  type PublicType,
  readPublicTypes,
} from "./componentTypes";
import { document, table } from "./markdown";

/** Components by the folder of their source, in the order of the page. */
const GROUPS: readonly (readonly [folderName: string, title: string])[] = [
  ["repositories", "Repositories"],
  ["credentials", "Keys"],
  ["databases", "Databases"],
  ["actions", "Backups during an update"],
  ["drills", "Fire drills"],
  ["monitoring", "Monitoring and runbook"],
  ["dynamic", "Parts of B2Repository"],
];

let read: readonly PublicType[] | null = null;

/** Links of a page that stands alone stay in it. */
const ALONE = ["files.md", "reference.md"];

type Page = "components.md" | "files.md" | "reference.md" | "types.md";

/** Read once for both pages. */
export function publicTypes(): readonly PublicType[] {
  read ??= readPublicTypes(projectFolder());
  return read;
}

export function renderComponents(): string {
  const types = publicTypes();
  const components = types.filter((type) => type.kind === "component");
  const sections = GROUPS.flatMap(([folderName, title]) => [
    "",
    `## ${title}`,
    ...components
      .filter((component) => component.folderName === folderName)
      .flatMap((component) => componentText(component, types)),
  ]);
  return document(
    "# Components",
    "",
    "Arguments and outputs of every component. [types.md](types.md) has the types that a cell links to.",
    "`Input<T>` takes a plain value or an output of another resource. [Plain arguments](#plain-arguments) lists what must be known when the program runs, with the reason.",
    "`npm run docs -- --all` makes this page from the docstrings of `components/`.",
    "",
    ...GROUPS.map(([folderName, title]) => {
      const names = components
        .filter((component) => component.folderName === folderName)
        .map(({ name }) => `[${name}](#${name.toLowerCase()})`);
      return `- ${title}: ${names.join(", ")}`;
    }),
    ...sections,
    "",
    "## Plain arguments",
    "",
    "These decide which resources exist, so every preview must know them. Keys of maps (`repositories`, `drills`, `schedules`) and the presence of an argument decide it too.",
    "Every other value may come from another resource: a preview that does not know it yet shows what depends on it as unknown, and rules about it wait.",
    "",
    table(["argument", "of", "what it decides"], plainRows(types)),
  );
}

/** Each argument once, with the types that have it. */
function plainRows(types: readonly PublicType[]): string[][] {
  const owners = new Map<string, string[]>();
  for (const type of types) {
    if (type.kind !== "fields") continue;
    for (const { name, plain } of type.fields) {
      if (plain === null) continue;
      const row = `${name}\n${plain}`;
      owners.set(row, [...(owners.get(row) ?? []), type.name]);
    }
  }
  return [...owners]
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map(([row, names]) => {
      const [name = "", plain = ""] = row.split("\n");
      return [`\`${name}\``, names.join(", "), `${plain}.`];
    });
}

export function renderTypes(): string {
  const types = publicTypes();
  const ofComponents = new Set(types.flatMap((type) => (type.kind === "component" ? [type.args] : [])));
  const rest = types.filter((type) => type.kind !== "component" && !isOperators(type) && !ofComponents.has(type.name));
  const sorted = [...rest].sort((a, b) => (a.name < b.name ? -1 : 1));
  return document(
    "# Types of arguments and outputs",
    "",
    "The types that [components.md](components.md) names, in the order of the alphabet. `npm run docs -- --all` makes this page from the docstrings of `components/`.",
    ...sorted.flatMap((type) => {
      return type.kind === "component" ? [] : typeText(type, types, "types.md");
    }),
  );
}

/** Arguments and outputs of a package that builds on this one. @param folder with its `components` */
export function renderPackageReference(folder: string): string {
  const types = readPublicTypes(projectFolder(), `${folder}/components/index.ts`);
  const others = types.flatMap((type) => (type.kind === "component" || type.name.endsWith("nArgs") ? [] : [type]));
  return document(
    "# Arguments and outputs",
    "",
    "Types that are not here are those of [pgbackstop](../../../docs/reference/types.md).",
    "`npm run docs -- --all` makes this page from the docstrings of `components/`.",
    ...types.flatMap((type) => (type.kind === "component" ? componentText(type, types, "reference.md") : [])),
    ...others.flatMap((type) => typeText(type, types, "reference.md")),
  );
}

function typeText(type: ChoiceType | FieldsType, types: readonly PublicType[], page: Page): readonly string[] {
  if (type.doc === "") throw new Error(`${type.name} has no docstring`);
  const body = type.kind === "fields" ? fieldsTable(type, types, page) : choiceText(type);
  return ["", `## ${type.name}`, "", type.doc, "", body];
}

function componentText(
  component: ComponentType,
  types: readonly PublicType[],
  page: Page = "components.md",
): readonly string[] {
  const args = types.find((type): type is FieldsType => type.kind === "fields" && type.name === component.args);
  return [
    "",
    `${page === "reference.md" ? "##" : "###"} ${component.name}`,
    "",
    component.doc,
    "",
    ...(args === undefined || args.fields.length === 0
      ? ["It takes no arguments.", ""]
      : [fieldsTable(args, types, page), ""]),
    component.outputs.length === 0 ? "It has no outputs." : outputsTable("output", component.outputs, types, page),
    ...(component.children.length === 0
      ? []
      : ["", outputsTable("child, in TypeScript", component.children, types, page)]),
  ];
}

/** Fields that must be given come first. */
export function fieldsTable(type: FieldsType, types: readonly PublicType[], page: Page): string {
  const fields = [...type.fields.filter((field) => !field.optional), ...type.fields.filter((field) => field.optional)];
  if (fields.length === 0) return "It has no fields.";
  return table(
    [page === "types.md" || page === "files.md" ? "field" : "argument", "type", "default", "what"],
    fields.map((field) => [
      `\`${field.name}\``,
      linked(field.type, types, page),
      defaultOf(field),
      textOf(field, types),
    ]),
  );
}

function outputsTable(title: string, fields: readonly Field[], types: readonly PublicType[], page: Page): string {
  return table(
    [title, "type", "what"],
    fields.map((field) => [`\`${field.name}\``, linked(field.type, types, page), textOf(field, types)]),
  );
}

/** A table, or one line when the values speak for themselves. */
function choiceText({ name, values }: ChoiceType): string {
  const [first] = values;
  if (first !== undefined && values.every(({ doc }) => doc === "")) {
    return `${values.map(({ value }) => `\`"${value}"\``).join(", ")}; in TypeScript also \`${name}.${first.key}\` and so on.`;
  }
  return table(
    ["value", "in TypeScript", "what"],
    values.map(({ key, value, doc }) => [`\`"${value}"\``, `\`${name}.${key}\``, doc]),
  );
}

function defaultOf({ fallback, optional }: Field): string {
  if (fallback !== null)
    return /^("[^"]*"|[\d.]+|\[.*\]|\{.*\}|true|false)$/.test(fallback) ? `\`${fallback}\`` : fallback;
  return optional ? "" : "required";
}

/**
 * The docstring. If it is missing or names only the default, the first sentence of its type's docstring comes first.
 * @throws Error when both are missing
 */
function textOf(field: Field, types: readonly PublicType[]): string {
  const named = types.find(({ name }) => new RegExp(`\\b${name}\\b`).test(field.type));
  const ofType = /^(?:If omitted|$)/.test(field.doc) ? (named?.doc.match(/^[^]*?\.(?=\s|$)/)?.[0] ?? "") : "";
  const doc = `${ofType} ${field.doc}`.trim();
  if (doc === "") throw new Error(`${field.name}: ${field.type} has no docstring`);
  const { items, kinds, range } = field;
  const bounds = [
    ...(range === null ? [] : [`Range: ${rangeText(range)}.`]),
    ...(items === null ? [] : [`Items: ${rangeText(items)}.`]),
    ...(kinds === null ? [] : [`${kinds.isRequired ? "Required by" : "Of"} ${kinds.takenBy.join(", ")}.`]),
  ];
  return [doc, ...bounds, ...field.examples.map((example) => `Example: \`${example}\`.`)].join(" ");
}

/** The type as code, linked to the first public type in it. */
function linked(type: string, types: readonly PublicType[], page: Page): string {
  const [target] = [...type.matchAll(/\w+/g)].flatMap(([name]) =>
    ALONE.includes(page) ? types.filter((own) => own.name === name).map(() => ({ page, name })) : pagesOf(name, types),
  );
  if (target === undefined) return `\`${type}\``;
  return `[\`${type}\`](${target.page === page ? "" : target.page}#${target.name.toLowerCase()})`;
}

/** Where a name is described: arguments of a component with the component. */
function pagesOf(
  name: string,
  types: readonly PublicType[],
): readonly { readonly page: Page; readonly name: string }[] {
  const component = types.find((type) => type.kind === "component" && (type.name === name || type.args === name));
  if (component !== undefined) return [{ page: "components.md", name: component.name }];
  return types.some((type) => type.name === name && !isOperators(type)) ? [{ page: "types.md", name }] : [];
}

function isOperators(type: PublicType): boolean {
  return type.kind === "fields" && type.isOperators;
}
