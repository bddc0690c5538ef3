/**
 * components/databases/cnpgSpec.ts: what CloudNativePG knows below `spec`, as types, from its custom resource
 * definitions. Equal parts are one type.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
  readonly "x-kubernetes-int-or-string"?: boolean;
}

interface Definition {
  readonly spec: {
    readonly versions: readonly {
      readonly schema: { readonly openAPIV3Schema: { readonly properties: { readonly spec: Schema } } };
    }[];
  };
}

const { load } = createRequire(__filename)("js-yaml") as { load(text: string): unknown };

/** Where the types are. */
export const CNPG_SPEC = "components/databases/cnpgSpec.ts";

/** Kinds, and the files of their definitions. */
const KINDS = { Cluster: "postgresql.cnpg.io_clusters.yaml", Pooler: "postgresql.cnpg.io_poolers.yaml" } as const;

/** Names for parts whose first field says too little. */
const NAMES: Readonly<Record<string, string>> = {
  "azureCredentials.connectionString": "SecretKey",
  "initdb.secret": "Reference",
  "volumeSnapshots.storage": "DataSource",
};

const HEADER = `/**
 * What CloudNativePG knows below \`spec\`, by the names of its API reference. \`npm run docs\` makes this file from its
 * custom resource definitions.
 */
import type * as pulumi from "@pulumi/pulumi";

/** A number, or text: a quantity of Kubernetes, a port. Unions exist in no schema of Pulumi. */
export type IntOrString = pulumi.Inputs[string];
`;

/** @param folder with the definitions */
export function renderCnpgSpec(folder: string): string {
  const specs = Object.entries(KINDS).map(([kind, file]): [string, Schema] => {
    const definition = load(readFileSync(join(folder, file), "utf8")) as Definition;
    const spec = definition.spec.versions[0]?.schema.openAPIV3Schema.properties.spec;
    if (spec === undefined) throw new Error(`${file} has no schema`);
    return [kind, spec];
  });
  return [HEADER, ...interfacesOf(Object.fromEntries(specs))].join("\n");
}

/** @param specs by kind */
export function interfacesOf(specs: Readonly<Record<string, Schema>>): readonly string[] {
  const types = new Types();
  for (const [kind, spec] of Object.entries(specs)) types.nameOf(spec, [kind]);
  return types.interfaces();
}

class Types {
  /** Names by their fields. */
  readonly #names = new Map<string, string>();

  /** @param path field names, starting with the kind */
  nameOf(schema: Schema, path: readonly string[]): string {
    const fields = Object.entries(schema.properties ?? {})
      .map(([name, field]) => `  ${name}?: ${this.#typeOf(field, [...path, name])};`)
      .join("\n");
    const name = this.#names.get(fields) ?? this.#newName(path);
    this.#names.set(fields, name);
    return name;
  }

  interfaces(): string[] {
    return [...this.#names]
      .toSorted(([, left], [, right]) => (left < right ? -1 : 1))
      .map(([fields, name]) => `export interface ${name} {\n${fields}\n}\n`);
  }

  #typeOf(schema: Schema, path: readonly string[]): string {
    const { additionalProperties: values, items, properties } = schema;
    if (schema["x-kubernetes-int-or-string"] === true) return "pulumi.Input<IntOrString>";
    if (properties !== undefined) return this.nameOf(schema, path);
    if (items !== undefined) {
      const item = this.#typeOf(items, [...path.slice(0, -1), singular(path.at(-1) ?? "")]);
      return isInput(item) ? `pulumi.Input<${item}[]>` : `${item}[]`;
    }
    if (values !== undefined) {
      const value = `{ [name: string]: ${this.#typeOf(values, path)} }`;
      return value.includes(" pulumi.Input<") ? `pulumi.Input<${value}>` : value;
    }
    if (schema.type === "object") return "pulumi.Inputs";
    return `pulumi.Input<${schema.type === "integer" ? "number" : schema.type}>`;
  }

  /** The last field that it is the value of, after as many of those above as make it unique. */
  #newName(path: readonly string[]): string {
    const taken = new Set(this.#names.values());
    const known = NAMES[path.slice(-2).join(".")];
    const parts = path.map((part) => inCapitals(part.replace("DuringSchedulingIgnoredDuringExecution", "")));
    const names = parts.map((_part, index) => `${parts.slice(-1 - index).join("")}Spec`);
    const name = [...(known === undefined ? [] : [`${known}Spec`]), ...names].find((each) => !taken.has(each));
    if (name === undefined) throw new Error(`${path.join(".")} has no name of its own`);
    return name;
  }
}

function isInput(type: string): boolean {
  return type.startsWith("pulumi.Input<");
}

function singular(name: string): string {
  return name.replace(/ies$/, "y").replace(/(?<!s)s$/, "");
}

/** `pg_basebackup` as `PgBasebackup`. */
function inCapitals(name: string): string {
  return name.replaceAll(/(?:^|_)([a-z])/g, (_match, letter: string) => letter.toUpperCase());
}
