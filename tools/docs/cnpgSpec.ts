/**
 * components/databases/cnpgSpec.ts: what CloudNativePG knows below `spec`, as types, from the custom resource
 * definitions of all supported versions. Equal parts are one type.
 */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

interface Schema {
  readonly type?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: Schema;
  /** The first and the last version that have the field, if not all have it. */
  readonly versions?: string;
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
 * What CloudNativePG 1.28 to 1.30 knows below \`spec\`, by the names of its API reference. \`npm run docs\` makes this
 * file from its custom resource definitions. A field that only some versions have says so: in others, the API
 * server drops it.
 */
import type * as pulumi from "@pulumi/pulumi";

/** A number, or text: a quantity of Kubernetes, a port. Unions exist in no schema of Pulumi. */
export type IntOrString = pulumi.Inputs[string];
`;

/** Versions, ascending, and the sources of their definitions. */
const VERSIONS = { "1.28": "cnpg-1.28", "1.29": "cnpg-1.29", "1.30": "cnpg" } as const;

/** @param folders with the definitions */
export function renderCnpgSpec(folders: Readonly<Record<(typeof VERSIONS)[keyof typeof VERSIONS], string>>): string {
  const specs = Object.entries(KINDS).map(([kind, file]): [string, Schema] => {
    const ofVersions = Object.entries(VERSIONS).map(([version, source]): [string, Schema] => {
      const definition = load(readFileSync(join(folders[source], file), "utf8")) as Definition;
      const spec = definition.spec.versions[0]?.schema.openAPIV3Schema.properties.spec;
      if (spec === undefined) throw new Error(`${file} has no schema`);
      return [version, spec];
    });
    return [kind, ofAllVersions(new Map(ofVersions))];
  });
  return [HEADER, ...interfacesOf(Object.fromEntries(specs))].join("\n");
}

/** One schema with the fields of all versions, each as the newest one has it. @param schemas by version, ascending */
export function ofAllVersions(schemas: ReadonlyMap<string, Schema>): Schema {
  const all = [...schemas.keys()];
  const partOf = (read: (schema: Schema) => Schema | undefined): Map<string, Schema> =>
    new Map(
      [...schemas].flatMap(([version, schema]) => {
        const part = read(schema);
        return part === undefined ? [] : [[version, part] as const];
      }),
    );
  const names = new Set([...schemas.values()].flatMap(({ properties = {} }) => Object.keys(properties)));
  const properties = [...names].toSorted().map((name): [string, Schema] => {
    const parts = partOf((schema) => schema.properties?.[name]);
    const having = [...parts.keys()];
    const [first, last] = [having[0], having.at(-1)];
    const from = first === all[0] ? "" : `From CloudNativePG ${first} on.`;
    const until = last === all.at(-1) ? "" : `Not after CloudNativePG ${last}.`;
    const versions =
      from !== "" && until !== ""
        ? `Only in CloudNativePG ${first === last ? first : `${first} to ${last}`}.`
        : from + until;
    return [name, { ...ofAllVersions(parts), ...(versions === "" ? {} : { versions }) }];
  });
  const [items, values] = [partOf((schema) => schema.items), partOf((schema) => schema.additionalProperties)];
  return {
    ...[...schemas.values()].at(-1),
    ...(names.size === 0 ? {} : { properties: Object.fromEntries(properties) }),
    ...(items.size === 0 ? {} : { items: ofAllVersions(items) }),
    ...(values.size === 0 ? {} : { additionalProperties: ofAllVersions(values) }),
  };
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
      .map(([name, field]) => {
        const doc = field.versions === undefined ? "" : `  /** ${field.versions} */\n`;
        return `${doc}  ${name}?: ${this.#typeOf(field, [...path, name])};`;
      })
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
