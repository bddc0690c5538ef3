/**
 * The JSON schema of the files that `pgbackstop render` takes, dist/render.schema.json, from the declarations of the
 * components' arguments. Editors read it: `# yaml-language-server: $schema=…`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseType } from "../../../components/plan/arguments/checkArguments";
import type { NumberRange } from "../../../components/plan/arguments/ranges";
import { FILE_TYPES } from "../../../components/plan/arguments/fileTypes";
import { SECRET_FIELDS } from "../../../components/render/kubernetes/gitops";
import { type Field, type PublicType, readPublicTypes } from "../../docs/componentTypes";
import { projectFolder } from "../cache";

type Schema = Readonly<Record<string, unknown>>;

const TEXT = { type: "string" };
const NO_FIELD = { doc: "", fallback: null, examples: [], plain: null, range: null, isInherited: false };

export function writeRenderSchema(): void {
  writeFileSync(
    join(projectFolder(), "dist", "render.schema.json"),
    `${JSON.stringify(renderSchema(), undefined, 2)}\n`,
  );
}

export function renderSchema(): Schema {
  const root = projectFolder();
  const { name, version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, string>;
  const writer = new Writer(readPublicTypes(root));
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    $id: `https://cdn.jsdelivr.net/npm/${name}@${version}/dist/render.schema.json`,
    title: "Files of pgbackstop render",
    ...writer.section("RenderFile"),
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
    if (type.kind !== "name") {
      const of = this.schemaOf(type.of);
      return type.kind === "list" ? { type: "array", items: of } : { type: "object", additionalProperties: of };
    }
    const { name } = type;
    if (name === "string") return TEXT;
    if (name === "number" || name === "boolean") return { type: name };
    if (name === "IntOrString") return { type: ["number", "string"] };
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
      additionalProperties: false,
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

/** Draft 7 ignores what is beside a reference. */
function described(schema: Schema, { doc, examples, fallback, range }: Field): Schema {
  const lines = [
    doc,
    ...(fallback === null ? [] : [`Default: ${fallback}.`]),
    ...examples.map((text) => `Example: ${text}`),
  ];
  const description = lines.filter((line) => line !== "").join("\n");
  const more = { ...boundsOf(range), ...defaultOf(schema, fallback), ...(description === "" ? {} : { description }) };
  if (Object.keys(more).length === 0) return schema;
  return "$ref" in schema ? { allOf: [schema], ...more } : { ...schema, ...more };
}

function boundsOf(range: NumberRange | null): Schema {
  if (range === null) return {};
  const { above, max, min } = range;
  return {
    ...(min === undefined ? { exclusiveMinimum: above } : { type: "integer", minimum: min }),
    ...(max === undefined ? {} : { maximum: max }),
  };
}

/** A default that is a value of the type, and no sentence. */
function defaultOf({ type }: Schema, fallback: string | null): Schema {
  if (fallback === null || !/^("[^"]*"|\d+(\.\d+)?|true|false)$/.test(fallback)) return {};
  const value: unknown = JSON.parse(fallback);
  return type === undefined || type === typeof value ? { default: value } : {};
}
