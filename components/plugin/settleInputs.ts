/**
 * Arguments as a program in another language sends them, to what a component's constructor takes.
 *
 * Such a program may hand over any value as an output: in YAML `${nas.target}` is one as a whole, and secret as a whole when something in it
 * is. A constructor wants plain what decides which children exist. The package's schema says which is which: its `plain` parts are waited for
 * and taken out, everything else stays an output, with what it depends on and whether it is secret.
 */
import * as pulumi from "@pulumi/pulumi";

/** A type of the schema, as far as it matters here. */
export interface TypeSpec {
  readonly type?: string;
  /** `#/types/<token>`. */
  readonly $ref?: string;
  readonly plain?: boolean;
  readonly items?: TypeSpec;
  readonly additionalProperties?: TypeSpec;
}

/** Types of the schema by their token; those without properties are enumerations. */
export type ObjectSpecs = Readonly<Record<string, { readonly properties?: Readonly<Record<string, TypeSpec>> }>>;

/** A part that has to be plain and is not known yet. */
export interface Missing {
  readonly path: string;
  readonly output: pulumi.Output<unknown>;
}

export interface Settled {
  readonly value: Readonly<Record<string, unknown>>;
  /** Not empty only in previews. */
  readonly missing: readonly Missing[];
  /** Paths of what no argument is called. */
  readonly unknownNames: readonly string[];
}

/** Makes a part of an output's value an output again. */
type Lift = (part: unknown) => unknown;

/** Settles the arguments of one component. */
export async function settleInputs(inputs: pulumi.Inputs, properties: Readonly<Record<string, TypeSpec>>, types: ObjectSpecs): Promise<Settled> {
  const settler = new Settler(types);
  const value = await settler.object(inputs, properties, "", (part) => part);
  return { value, missing: settler.missing, unknownNames: settler.unknownNames };
}

class Settler {
  readonly missing: Missing[] = [];
  readonly unknownNames: string[] = [];
  readonly #types: ObjectSpecs;

  constructor(types: ObjectSpecs) {
    this.#types = types;
  }

  async object(value: object, properties: Readonly<Record<string, TypeSpec>>, path: string, lift: Lift): Promise<Record<string, unknown>> {
    const settled: Record<string, unknown> = {};
    for (const [name, part] of Object.entries(value)) {
      const type = properties[name];
      const place = path === "" ? name : `${path}.${name}`;
      if (type === undefined) this.unknownNames.push(place);
      else if (part !== undefined && part !== null) settled[name] = await this.#part(part, type, place, lift);
    }
    return settled;
  }

  async #part(value: unknown, type: TypeSpec, path: string, lift: Lift): Promise<unknown> {
    if (pulumi.Output.isInstance(value)) return this.#output(value, type, path);
    if (Array.isArray(value) && type.items !== undefined) {
      const { items } = type;
      return Promise.all(value.map((item: unknown, index) => this.#part(item, items, `${path}[${index}]`, lift)));
    }
    if (isObject(value)) {
      const properties = this.#types[type.$ref?.replace("#/types/", "") ?? ""]?.properties;
      if (properties !== undefined) return this.object(value, properties, path, lift);
      const { additionalProperties } = type;
      if (additionalProperties !== undefined) {
        const parts = Object.entries(value).map(
          async ([key, part]) => [key, await this.#part(part, additionalProperties, `${path}.${key}`, lift)] as const,
        );
        return Object.fromEntries(await Promise.all(parts));
      }
    }
    return type.plain === true ? value : lift(value);
  }

  async #output(output: pulumi.Output<unknown>, type: TypeSpec, path: string): Promise<unknown> {
    if (!this.#hasPlainParts(type)) return output;
    const known = await findValue(output);
    if (known === null) {
      this.missing.push({ path, output });
      return undefined;
    }
    if (known.value === undefined || known.value === null) return undefined;
    return this.#part(known.value, type, path, (part) => output.apply(() => part));
  }

  /** Also true for every object: the constructor looks which of its fields are given. */
  #hasPlainParts(type: TypeSpec): boolean {
    const isStructure = this.#types[type.$ref?.replace("#/types/", "") ?? ""]?.properties !== undefined;
    return type.plain === true || isStructure || (type.additionalProperties ?? type.items)?.plain === true;
  }
}

/** The value of an output, or null when it, or something in it, is not known in this preview. */
async function findValue(output: pulumi.Output<unknown>): Promise<{ readonly value: unknown } | null> {
  // The SDK hides both from its declarations; its own provider for components reads them likewise.
  if (!("isKnown" in output && "promise" in output && typeof output.promise === "function")) throw new Error("an output of another SDK");
  const isKnown: unknown = await output.isKnown;
  return isKnown === true ? { value: (await output.promise()) as unknown } : null;
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
