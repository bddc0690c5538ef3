/**
 * The JSON schema of the files that `pgbackstop render` takes, dist/render.schema.json, from the declarations of the
 * components' arguments. Editors read it: `# yaml-language-server: $schema=…`.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseType } from "../../../components/plan/arguments/checkArguments";
import { SECRET_FIELDS } from "../../../components/render/kubernetes/gitops";
import { type Field, type PublicType, readPublicTypes } from "../../docs/componentTypes";
import { projectFolder } from "../cache";

type Schema = Readonly<Record<string, unknown>>;

const TEXT = { type: "string" };
/** What belongs to a program and has no effect in a file. */
const NOT_IN_FILES: Readonly<Record<string, readonly string[]>> = {
  CnpgClusterArgs: ["plugin", "followRuntime", "runtimeDelivery"],
  CnpgBackupArgs: ["clusterName", "plugin", "followRuntime", "runtimeDelivery"],
  PostgresHostArgs: ["connection"],
  RepositoryTarget: ["name"],
};
/** What a file has besides the arguments. */
const ONLY_IN_FILES: Readonly<Record<string, Readonly<Record<string, Schema>>>> = {
  PostgresHostArgs: {
    nodePath: { ...TEXT, description: "Node.js on the host." },
    secretsDirectory: { ...TEXT, description: "Directory of the secrets, by the credentials' names." },
  },
  RepositoryTarget: { encrypted: { type: "boolean", description: "On hosts: the passphrase is in secretsDirectory." } },
};
/** Files give them by the names of the clusters, or leave them out. */
const OPTIONAL = ["repositories", "path"];

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
  const named = (type: string): Schema => ({ type: "object", additionalProperties: writer.schemaOf(type) });
  const plugin = ["operatorNamespace", "serviceName", "replicas", "image", "runtimeImage", "podPlacement"];
  const properties = {
    plugin: sectionOf({ ...writer.fields("CnpgPluginArgs", plugin), certManager: { type: "boolean" } }, []),
    clusters: { ...named("CnpgClusterArgs"), description: "New Clusters, by name." },
    attach: { ...named("CnpgBackupArgs"), description: "Existing Clusters, by name." },
    hosts: { ...named("PostgresHostArgs"), description: "Hosts, by name, for --format=nixos." },
    flux: sectionOf({ variables: { type: "array", items: TEXT } }, []),
  };
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    $id: `https://cdn.jsdelivr.net/npm/${name}@${version}/dist/render.schema.json`,
    title: "Files of pgbackstop render",
    ...sectionOf(properties, []),
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
    return named?.kind === "fields" ? this.#definition(name) : {};
  }

  #definition(name: string): Schema {
    if (this.definitions[name] === undefined) {
      // Stands for it in a type that refers to itself.
      this.definitions[name] = {};
      const required = this.#fields(name).filter(({ optional }) => !optional);
      this.definitions[name] = sectionOf(
        { ...this.fields(name), ...ONLY_IN_FILES[name] },
        required.map((field) => field.name).filter((field) => !OPTIONAL.includes(field)),
      );
    }
    return { $ref: `#/definitions/${name}` };
  }

  /** @param only the fields to include; default all */
  fields(name: string, only?: readonly string[]): Record<string, Schema> {
    const taken = this.#fields(name).filter((field) => only?.includes(field.name) ?? true);
    return Object.fromEntries(taken.map((field) => [field.name, described(this.schemaOf(field.type), field)]));
  }

  #fields(name: string): readonly Field[] {
    const type = this.#types.get(name);
    if (type?.kind !== "fields") return [];
    // The operator's fields of these names refer to Secrets.
    const left = [...(type.isOperators ? [] : SECRET_FIELDS), ...(NOT_IN_FILES[name] ?? [])];
    return type.fields.filter((field) => !left.includes(field.name));
  }
}

function sectionOf(properties: Readonly<Record<string, Schema>>, required: readonly string[]): Schema {
  return { type: "object", properties, required, additionalProperties: false };
}

/** Draft 7 ignores what is beside a reference. */
function described(schema: Schema, { doc, examples, fallback }: Field): Schema {
  const lines = [
    doc,
    ...(fallback === null ? [] : [`Default: ${fallback}.`]),
    ...examples.map((text) => `Example: ${text}`),
  ];
  const description = lines.filter((line) => line !== "").join("\n");
  if (description === "") return schema;
  return "$ref" in schema ? { allOf: [schema], description } : { ...schema, description };
}
