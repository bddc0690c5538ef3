/**
 * The JSON schemas of the files that `pgbackstop render` takes, of `pgbackstop.json` and of `notify.json`, from their
 * declarations. Editors read them: `# yaml-language-server: $schema=…`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseType } from "../../../runtime/base/declaredTypes";
import type { NumberRange } from "../../../runtime/base/declaredTypes";
import { OPEN_TYPES } from "../../../components/plan/arguments/checkArguments";
import { FILE_TYPES } from "../../../components/plan/arguments/fileTypes";
import { SECRET_FIELDS } from "../../../components/render/kubernetes/gitops";
import { FILE_DECLARATIONS } from "../../../runtime/base/fileDeclarations";
import type { Field, PublicType } from "../../docs/componentTypes";
import { publicTypes } from "../../docs/componentsPage";
import { fileTypes } from "../../docs/fileTypes";
import { projectFolder } from "../cache";

type Schema = Readonly<Record<string, unknown>>;

const TEXT = { type: "string" };
const NO_FIELD = {
  doc: "",
  fallback: null,
  examples: [],
  plain: null,
  range: null,
  items: null,
  kinds: null,
  since: null,
  isInherited: false,
};

/** Writes the schemas of the files that people write. */
export function writeFileSchemas(): void {
  for (const [file, schema] of Object.entries(fileSchemas()))
    writeFileSync(join(projectFolder(), "dist", file), `${JSON.stringify(schema, undefined, 2)}\n`);
}

/** Schemas by the file's name. */
export function fileSchemas(): Readonly<Record<string, Schema>> {
  const files = fileTypes().files.map(({ name, root, types }): readonly [string, Schema] => {
    // The settings file has the program's name.
    const file = name === "pgbackstop.json" ? "settings.schema.json" : name.replace(".json", ".schema.json");
    return [file, schemaOf(file, name, root, types)];
  });
  return { "render.schema.json": renderSchema(), ...Object.fromEntries(files) };
}

export function renderSchema(): Schema {
  return schemaOf("render.schema.json", "Files of pgbackstop render", "RenderFile", publicTypes());
}

function schemaOf(file: string, title: string, type: string, types: readonly PublicType[]): Schema {
  const root = projectFolder();
  const { name, version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, string>;
  const writer = new Writer(types);
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    $id: `https://cdn.jsdelivr.net/npm/${name}@${version}/dist/${file}`,
    title,
    ...writer.section(type),
    definitions: writer.definitions,
  };
}

/** A type becomes a definition, so that it is described once. */
class Writer {
  readonly definitions: Record<string, Schema> = {};
  readonly #types: ReadonlyMap<string, PublicType>;

  constructor(types: readonly PublicType[]) {
    this.#types = new Map(types.map((type) => [type.name, type]));
  }

  /** @param text as the declarations have it */
  schemaOf(text: string): Schema {
    const type = parseType(text);
    if (type.kind === "value") return { const: type.value };
    if (type.kind === "list") return { type: "array", items: this.schemaOf(type.of) };
    if (type.kind === "map")
      return {
        type: "object",
        ...(type.key === "string" ? {} : { propertyNames: this.schemaOf(type.key) }),
        additionalProperties: this.schemaOf(type.of),
      };
    if (type.kind === "either") {
      const parts = type.of.map((each) => this.schemaOf(each));
      return parts.every((part) => "const" in part) ? { enum: parts.map((part) => part["const"]) } : { anyOf: parts };
    }
    const { name } = type;
    if (name === "string") return TEXT;
    if (name === "number" || name === "boolean") return { type: name };
    if (name === "IntOrString") return { type: ["number", "string"] };
    const [, pattern] = FILE_DECLARATIONS.texts?.[name] ?? [];
    if (pattern !== undefined) return { type: "string", pattern };
    const named = this.#types.get(name);
    if (named?.kind === "choice") return { enum: named.values.map(({ value }) => value) };
    return named?.kind === "fields" || name in FILE_TYPES ? this.#definition(name) : {};
  }

  #definition(name: string): Schema {
    if (this.definitions[name] === undefined) {
      // Stands for it in a type that refers to itself.
      this.definitions[name] = {};
      this.definitions[name] = this.section(name);
    }
    return { $ref: `#/definitions/${name}` };
  }

  section(name: string): Schema {
    const fields = this.#fields(name);
    return {
      type: "object",
      properties: Object.fromEntries(fields.map((field) => [field.name, described(this.schemaOf(field.type), field)])),
      required: fields.flatMap((field) => (field.optional ? [] : [field.name])),
      // Below them an editor still shows what no version of the operator knows.
      additionalProperties: OPEN_TYPES.includes(name),
      ...kindsOf(fields),
    };
  }

  /** As declared, with what a file has differently. */
  #fields(name: string): readonly Field[] {
    const type = this.#types.get(name);
    const { "...": [base] = [""], ...changes } = FILE_TYPES[name] ?? {};
    const fields = new Map(this.#baseFields(base, type).map((field) => [field.name, field]));
    for (const [key, [text, doc]] of Object.entries(changes)) {
      const own = key.replace("?", "");
      const before = fields.get(own) ?? NO_FIELD;
      fields.set(own, { ...before, name: own, type: text, doc: doc ?? before.doc, optional: own !== key });
    }
    // The operator's fields of these names refer to Secrets.
    const isOperators = type?.kind === "fields" && type.isOperators;
    return [...fields.values()].filter(
      (field) => field.type !== "never" && (isOperators || !SECRET_FIELDS.includes(field.name)),
    );
  }

  #baseFields(base: string, type: PublicType | undefined): readonly Field[] {
    return type?.kind === "fields" ? type.fields : base === "" ? [] : this.#fields(base);
  }
}

/** What sections of each type must have, and must not. */
function kindsOf(fields: readonly Field[]): Schema {
  const kinds = new Set(fields.flatMap((field) => field.kinds?.takenBy ?? []));
  if (kinds.size === 0) return {};
  const rules = [...kinds].map((kind) => ({
    if: { properties: { type: { const: kind } }, required: ["type"] },
    // oxlint-disable-next-line unicorn/no-thenable -- a keyword of JSON schema
    then: {
      required: fields.flatMap(({ kinds: own, name }) =>
        own?.isRequired === true && own.takenBy.includes(kind) ? [name] : [],
      ),
      properties: Object.fromEntries(
        fields.flatMap(({ kinds: own, name }) => (own === null || own.takenBy.includes(kind) ? [] : [[name, false]])),
      ),
    },
  }));
  return { allOf: rules };
}

/** Draft 7 ignores siblings of a reference. */
function described(schema: Schema, { doc, examples, fallback, items, range }: Field): Schema {
  const lines = [
    doc,
    ...(fallback === null ? [] : [`Default: ${fallback}.`]),
    ...examples.map((text) => `Example: ${text}`),
  ];
  const description = lines.filter((line) => line !== "").join("\n");
  const more = {
    ...boundsOf(range, schema),
    ...itemsOf(items),
    ...defaultOf(schema, fallback),
    ...(description === "" ? {} : { description }),
  };
  if (Object.keys(more).length === 0) return schema;
  return "$ref" in schema ? { allOf: [schema], ...more } : { ...schema, ...more };
}

/** Draft 7 applies each bound to values of its type only. */
function boundsOf(range: NumberRange | null, { type }: Schema): Schema {
  if (range === null) return {};
  const { above, from, max, min = from } = range;
  return {
    ...(range.min !== undefined && type === "number" ? { type: "integer" } : {}),
    ...(min === undefined ? { exclusiveMinimum: above } : { minimum: min }),
    ...(max === undefined ? {} : { maximum: max }),
  };
}

function itemsOf(items: NumberRange | null): Schema {
  if (items === null) return {};
  return { minItems: items.min, ...(items.max === undefined ? {} : { maxItems: items.max }) };
}

/** A default that is a value of the type, and no sentence. */
function defaultOf({ type }: Schema, fallback: string | null): Schema {
  if (fallback === null || !/^("[^"]*"|\d+(\.\d+)?|true|false)$/.test(fallback)) return {};
  const value: unknown = JSON.parse(fallback);
  return type === undefined || type === typeof value ? { default: value } : {};
}
