/**
 * JSON schemas of what `pgbackstop topology` prints: dist/topology.schema.json and dist/topology-diff.schema.json, made
 * from the types of components/render/topology/topologyDocument.ts with their comments.
 *
 * Fields are added from version to version, so other fields are allowed. Before an update any value of a topology can
 * be unknown or secret, which is a word instead of the value.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { projectFolder } from "../cache";

type Schema = Readonly<Record<string, unknown>>;

const SOURCE = "components/render/topology/topologyDocument.ts";
const SCHEMAS = [
  {
    file: "topology.schema.json",
    title: "Topologies of a Pulumi stack: pgbackstop topology show --format=json",
    types: ["TopologyDocument"],
  },
  {
    file: "topology-diff.schema.json",
    title: "A comparison of topologies: pgbackstop topology diff --format=json",
    types: ["DiffDocument", "FailedDiffDocument"],
  },
] as const;
const HIDDEN = { enum: ["[secret]", "[unknown]"], description: "A secret, or a value that is known after the update." };

/** Writes both schemas. @throws Error for a type that JSON cannot have */
export function writeTopologySchemas(): void {
  for (const [file, schema] of topologySchemas())
    writeFileSync(join(projectFolder(), "dist", file), `${JSON.stringify(schema, undefined, 2)}\n`);
}

/** The types that a file of the project exports, by name. @throws Error for a name that it does not export */
export function exportedTypes(file: string): {
  readonly checker: ts.TypeChecker;
  typeOf(name: string): ts.Type;
} {
  const path = join(projectFolder(), file);
  const program = ts.createProgram([path], {
    strict: true,
    exactOptionalPropertyTypes: true,
    target: ts.ScriptTarget.ES2023,
    lib: ["lib.es2023.d.ts"],
    module: ts.ModuleKind.Node16,
    moduleResolution: ts.ModuleResolutionKind.Node16,
    types: ["node"],
  });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(path);
  const module = source === undefined ? undefined : checker.getSymbolAtLocation(source);
  const exported = module === undefined ? [] : checker.getExportsOfModule(module);
  return {
    checker,
    typeOf: (name) => {
      const symbol = exported.find((candidate) => candidate.name === name);
      if (symbol === undefined) throw new Error(`${file} has no type ${name}`);
      return checker.getDeclaredTypeOfSymbol(symbol);
    },
  };
}

/** Schemas by the file's name. @throws Error for a type that JSON cannot have */
export function topologySchemas(): Map<string, Schema> {
  const root = projectFolder();
  const { name, version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Record<string, string>;
  const { checker, typeOf } = exportedTypes(SOURCE);
  return new Map(
    SCHEMAS.map(({ file, title, types }) => {
      const writer = new Writer(checker);
      const documents = types.map((each) => writer.schemaOf(typeOf(each), each));
      const schema = {
        $schema: "http://json-schema.org/draft-07/schema#",
        $id: `https://cdn.jsdelivr.net/npm/${name}@${version}/dist/${file}`,
        title,
        ...(documents.length === 1 ? { allOf: documents } : { anyOf: documents }),
        definitions: writer.definitions,
      };
      return [file, schema] as const;
    }),
  );
}

/** Named types become definitions, so that a type is described once. */
class Writer {
  readonly definitions: Record<string, Schema> = {};
  readonly #checker: ts.TypeChecker;
  #isInTopology = false;

  constructor(checker: ts.TypeChecker) {
    this.#checker = checker;
  }

  /** @param path of the value, for errors */
  schemaOf(type: ts.Type, path: string): Schema {
    if (type.isUnion()) return this.#unionOf(type, path);
    if (type.isStringLiteral() || type.isNumberLiteral()) return { const: type.value };
    if ((type.flags & ts.TypeFlags.BooleanLiteral) !== 0) return { const: this.#checker.typeToString(type) === "true" };
    if ((type.flags & ts.TypeFlags.String) !== 0) return { type: "string" };
    if ((type.flags & ts.TypeFlags.Number) !== 0) return { type: "number" };
    if ((type.flags & ts.TypeFlags.Null) !== 0) return { type: "null" };
    if (this.#checker.isArrayType(type)) {
      const [item] = this.#checker.getTypeArguments(type as ts.TypeReference);
      if (item !== undefined) return { type: "array", items: this.#hideable(this.schemaOf(item, `${path}[]`)) };
    }
    if ((type.flags & ts.TypeFlags.Object) !== 0) return this.#objectOf(type, path);
    throw new Error(`${path}: JSON has no ${this.#checker.typeToString(type)}`);
  }

  /** `undefined` is an absent field. */
  #unionOf(type: ts.UnionType, path: string): Schema {
    const types = type.types.filter((each) => (each.flags & ts.TypeFlags.Undefined) === 0);
    const isBoolean = (each: ts.Type): boolean => (each.flags & ts.TypeFlags.BooleanLiteral) !== 0;
    const parts = types.filter((each) => !isBoolean(each)).map((each) => this.schemaOf(each, path));
    if (types.filter(isBoolean).length === 2) parts.push({ type: "boolean" });
    else parts.push(...types.filter(isBoolean).map((each) => this.schemaOf(each, path)));
    const [only] = parts;
    if (only !== undefined && parts.length === 1) return only;
    return parts.every((part) => "const" in part) ? { enum: parts.map((part) => part["const"]) } : { anyOf: parts };
  }

  #objectOf(type: ts.Type, path: string): Schema {
    const symbol = type.aliasSymbol ?? type.symbol;
    const isNamed = (symbol.flags & ts.SymbolFlags.Interface) !== 0 && type.aliasSymbol === undefined;
    if (!isNamed) return this.#fieldsOf(type, path);
    const { name } = symbol;
    if (this.definitions[name] === undefined) {
      // Stands for it in a type that refers to itself.
      this.definitions[name] = {};
      if (name === "Topology") this.#isInTopology = true;
      const doc = this.#docOf(symbol);
      this.definitions[name] = { ...(doc === "" ? {} : { description: doc }), ...this.#fieldsOf(type, name) };
      if (name === "Topology") this.#isInTopology = false;
    }
    return { $ref: `#/definitions/${name}` };
  }

  #fieldsOf(type: ts.Type, path: string): Schema {
    const index = this.#checker.getIndexTypeOfType(type, ts.IndexKind.String);
    if (index !== undefined)
      return { type: "object", additionalProperties: this.#hideable(this.schemaOf(index, `${path}.*`)) };
    const properties = this.#checker.getPropertiesOfType(type);
    // JSON has no undefined: such a field is absent.
    const isOptional = (property: ts.Symbol): boolean =>
      (property.flags & ts.SymbolFlags.Optional) !== 0 || hasUndefined(this.#checker.getTypeOfSymbol(property));
    const fields = properties.map((property) => {
      const schema = this.schemaOf(this.#checker.getTypeOfSymbol(property), `${path}.${property.name}`);
      const doc = this.#docOf(property);
      const shown = property.name === "version" ? schema : this.#hideable(schema);
      return [property.name, doc === "" ? shown : described(shown, doc)] as const;
    });
    return {
      type: "object",
      properties: Object.fromEntries(fields),
      required: properties.filter((property) => !isOptional(property)).map(({ name }) => name),
    };
  }

  #hideable(schema: Schema): Schema {
    if (!this.#isInTopology || schema["type"] === "string") return schema;
    this.definitions["hidden"] = HIDDEN;
    return { anyOf: [...((schema["anyOf"] as Schema[] | undefined) ?? [schema]), { $ref: "#/definitions/hidden" }] };
  }

  #docOf(symbol: ts.Symbol): string {
    return ts.displayPartsToString(symbol.getDocumentationComment(this.#checker)).trim();
  }
}

function hasUndefined(type: ts.Type): boolean {
  return type.isUnion() && type.types.some((each) => (each.flags & ts.TypeFlags.Undefined) !== 0);
}

/** Draft 7 ignores siblings of a reference. */
function described(schema: Schema, description: string): Schema {
  return "$ref" in schema ? { allOf: [schema], description } : { ...schema, description };
}
