/**
 * Converts the arguments of a program in another language to a component constructor's.
 *
 * Such a program may pass any value as an output. In YAML `${nas.target}` is one output, and all of it is secret if any
 * part is. A constructor needs plain values for parts that decide which children exist. The package's schema names
 * these: its `plain` parts are awaited and unwrapped. All others stay outputs, with their dependencies and secrecy.
 */
import * as pulumi from "@pulumi/pulumi";
import { isFields } from "../plan/model/anyValue";

/** The part of a schema type that is used here. */
export interface TypeSpec {
  readonly type?: string;
  /** `#/types/<token>`. */
  readonly $ref?: string;
  readonly plain?: boolean;
  readonly items?: TypeSpec;
  readonly additionalProperties?: TypeSpec;
}

/** Named parts of an object. */
export interface ObjectSpec {
  readonly properties: Readonly<Record<string, TypeSpec>>;
}

/** Types of the schema by their token; those without properties are enumerations. */
export type ObjectSpecs = Readonly<Record<string, Partial<ObjectSpec>>>;

/** A part that must be plain and is not known yet. */
export interface Missing {
  readonly path: string;
  readonly output: pulumi.Output<unknown>;
}

export interface Settled {
  readonly value: Readonly<Record<string, unknown>>;
  /** Not empty only in previews. */
  readonly missing: readonly Missing[];
}

/** Turns a part of an output's value back into an output. */
type Lift = (part: unknown) => unknown;

/**
 * Settles the arguments of one component. Those that it does not have, or that have another type, stay: its constructor
 * refuses them.
 */
export async function settleInputs(inputs: pulumi.Inputs, spec: ObjectSpec, types: ObjectSpecs): Promise<Settled> {
  const settler = new Settler(types);
  const value = await settler.object(inputs, spec, "", (part) => part);
  return { value, missing: settler.missing };
}

class Settler {
  readonly missing: Missing[] = [];
  readonly #types: ObjectSpecs;

  constructor(types: ObjectSpecs) {
    this.#types = types;
  }

  async object(value: object, { properties }: ObjectSpec, path: string, lift: Lift): Promise<Record<string, unknown>> {
    const settled: Record<string, unknown> = {};
    for (const [name, part] of Object.entries(value)) {
      if (part === undefined || part === null) continue;
      settled[name] = await this.#part(part, properties[name] ?? {}, path === "" ? name : `${path}.${name}`, lift);
    }
    return settled;
  }

  async #part(value: unknown, type: TypeSpec, path: string, lift: Lift): Promise<unknown> {
    if (pulumi.Output.isInstance(value)) return this.#output(value, type, path);
    if (Array.isArray(value) && type.items !== undefined) {
      const { items } = type;
      return Promise.all(value.map((item: unknown, index) => this.#part(item, items, `${path}[${index}]`, lift)));
    }
    if (isFields(value)) {
      const { properties } = this.#types[type.$ref?.replace("#/types/", "") ?? ""] ?? {};
      if (properties !== undefined) return this.object(value, { properties }, path, lift);
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
      return output;
    }
    if (known.value === undefined || known.value === null) return undefined;
    return this.#part(known.value, type, path, (part) => output.apply(() => part));
  }

  /** Also true for every object: the constructor checks which of its fields are given. */
  #hasPlainParts(type: TypeSpec): boolean {
    const isStructure = this.#types[type.$ref?.replace("#/types/", "") ?? ""]?.properties !== undefined;
    return type.plain === true || isStructure || (type.additionalProperties ?? type.items)?.plain === true;
  }
}

/** The value of an output; null if any part of it is unknown in this preview. */
async function findValue(output: pulumi.Output<unknown>): Promise<{ readonly value: unknown } | null> {
  // The SDK's declarations hide both; its own component provider reads them in the same way.
  if (!("isKnown" in output && "promise" in output && typeof output.promise === "function"))
    throw new Error("an output of another SDK");
  const isKnown: unknown = await output.isKnown;
  return isKnown === true ? { value: (await output.promise()) as unknown } : null;
}
