/**
 * The files `pgbackstop.json`, `notify.json` and `report.json`, from their declarations:
 * runtime/base/fileDeclarations.ts for the runtime's checks, docs/reference/files.md, and the types of their schemas.
 */
import type { Declarations } from "../../runtime/base/declaredTypes";
import { projectFolder } from "../parts/cache";
import { choiceText, type Field, type FieldsType, readTypes, type TextType } from "./componentTypes";
import { fieldsTable, publicTypes } from "./componentsPage";
import { literal } from "./literal";
import { document } from "./markdown";

interface DeclaredFile {
  readonly name: string;
  /** Type of the whole file. */
  readonly root: string;
  readonly about: readonly string[];
  readonly types: readonly FieldsType[];
}

let read: { readonly files: readonly DeclaredFile[]; readonly texts: readonly TextType[] } | null = null;

/** Read once for all that is made of them. */
export function fileTypes(): NonNullable<typeof read> {
  read ??= readFiles();
  return read;
}

function readFiles(): NonNullable<typeof read> {
  const root = projectFolder();
  const settings = readTypes(root, "runtime/config/settingsFields.ts");
  const texts = settings.filter((type) => type.kind === "text");
  const report = readTypes(root, "runtime/operations/report/reportFields.ts");
  const notify = [...readTypes(root, "components/credentials/notifyFile.ts"), ...publicTypes()];
  const targets = ["NotifyFile", "NotifyTargetArgs"].map((name) => {
    const type = notify.find((each) => each.name === name);
    if (type?.kind !== "fields") throw new Error(`${name} is no interface`);
    // No text of the file has a line end: it would get into headers and addresses.
    return plain(type, (text) => text.replaceAll(/\bstring\b/g, "Line"));
  });
  const files = [
    {
      name: "pgbackstop.json",
      root: "SettingsFile",
      about: [
        "Settings without an option of pgBackRest, in a file that pgBackRest does not read: `pgbackstop.json` beside the",
        "configuration file, or the file that `--settings` names. It contains no secret. Components write it.",
      ],
      types: settings.filter((type) => type.kind === "fields").map((type) => plain(type, (text) => text)),
    },
    {
      name: "notify.json",
      root: "NotifyFile",
      about: [
        "Targets of notifications ([notifications.md](../notifications.md) has an example): the file that `--notify-file` names,",
        "or `notify.json` in `$CREDENTIALS_DIRECTORY`. All of it is secret. `notify.targets` of a host writes it.",
      ],
      types: targets,
    },
    {
      name: "report.json",
      root: "ReportFile",
      about: [
        "What `pgbackstop report --format=json` writes about a host's database, and `pgbackstop report FILE …` makes a page of.",
        "It contains no secret. Fields are only added; a reader ignores those that it does not know.",
      ],
      types: report.filter((type) => type.kind === "fields").map((type) => plain(type, (text) => text)),
    },
  ];
  return { files, texts };
}

/** As a file has it: without outputs, choices by their values. */
function plain(type: FieldsType, change: (text: string) => string): FieldsType {
  const fields = type.fields.map((field) => ({ ...field, type: choicesIn(change(withoutInputs(field.type))) }));
  return { ...type, fields };
}

function withoutInputs(text: string): string {
  const shorter = text.replaceAll(/Input<([^<>]*)>/g, "$1").replaceAll(/\breadonly /g, "");
  return shorter === text ? text : withoutInputs(shorter);
}

function choicesIn(text: string): string {
  return publicTypes().reduce((shown, type) => {
    if (type.kind !== "choice") return shown;
    const values = choiceText(type);
    return shown
      .replace(new RegExp(`^${type.name}$`), values)
      .replace(new RegExp(`^${type.name}\\[\\]$`), `(${values})[]`);
  }, text);
}

export function renderFileDeclarations(): string {
  const { files, texts } = fileTypes();
  const types = files.flatMap((file) => file.types);
  const rows = <T>(valueOf: (field: Field) => T | null): Readonly<Record<string, T>> =>
    Object.fromEntries(
      types.flatMap(({ fields, name }) =>
        fields.flatMap((field) => {
          const value = valueOf(field);
          return value === null ? [] : [[`${name}.${field.name}`, value] as const];
        }),
      ),
    );
  const declarations: Declarations = {
    types: Object.fromEntries(
      types.map(({ fields, name }) => [
        name,
        Object.fromEntries(fields.map((field) => [`${field.name}${field.optional ? "?" : ""}`, field.type])),
      ]),
    ),
    ranges: rows(({ items, range }) => range ?? items),
    texts: Object.fromEntries(texts.map(({ doc, name, pattern }) => [name, [doc, pattern]])),
    kinds: rows(({ kinds }) => kinds),
  };
  return [
    "/**",
    " * The files `pgbackstop.json`, `notify.json` and `report.json` as data, for the checks of the runtime. `npm run docs`",
    " * makes this file from runtime/config/settingsFields.ts, NotifyTargetArgs and reportFields.ts: change those.",
    " */",
    'import type { Declarations } from "./declaredTypes";',
    "",
    `export const FILE_DECLARATIONS: Declarations = ${literal(declarations)};`,
    "",
    "/** The version that knows a field first, by `@since`. */",
    `export const FILE_SINCE: Readonly<Record<string, string>> = ${literal(rows(({ since }) => since))};`,
    "",
  ].join("\n");
}

export function renderFilesPage(): string {
  return document(
    "# Files",
    "",
    "What the runtime reads besides `pgbackrest.conf`. A field that is unknown, of another type or out of range ends the",
    "command with 27, and the message names it. Editors check these files by `pgbackstop/settings.schema.json` and",
    "`pgbackstop/notify.schema.json`; `pgbackstop/report.schema.json` describes the report.",
    "`npm run docs` makes this page from the declarations.",
    ...fileTypes().files.flatMap(({ about, name, types }) => [
      "",
      `## ${name}`,
      "",
      ...about,
      ...types.flatMap((type) => ["", `### ${type.name}`, "", type.doc, "", fieldsTable(type, types, "files.md")]),
    ]),
  );
}
