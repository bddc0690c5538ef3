/**
 * Resources that the plugin creates, updates and deletes in its own process. A program in another language has no
 * `@pulumi/pulumi` and no copy of this package, so the engine could not start Pulumi's process for dynamic resources.
 *
 * The engine gives secrets to this process as marked objects, and keeps in the state what it gets back: a value that
 * came as a secret leaves as one.
 */
import * as pulumi from "@pulumi/pulumi";
import { create, diff, update } from "../dynamic/passphrase";
import { typeToken } from "../internal/children";

type Values = Record<string, unknown>;
type Methods = Omit<pulumi.dynamic.ResourceProvider, "configure">;

/** Methods by the name of the resource's class. */
const RESOURCES: Readonly<Record<string, Methods>> = { Passphrase: { create, diff, update } };

export const OWN_TYPES = Object.keys(RESOURCES);

/** The methods that the SDK's server calls for custom resources. */
export class OwnResources
  implements Required<Pick<pulumi.provider.Provider, "check" | "create" | "delete" | "diff" | "read" | "update">>
{
  async check(urn: string, olds: Values, news: Values): Promise<pulumi.provider.CheckResult> {
    const { check } = methodsOf(urn);
    if (check === undefined) return { inputs: news };
    const { inputs, failures = [] } = await check(plain(olds), plain(news));
    return { inputs: inputs === undefined ? news : asSecretAs(news, inputs as Values), failures };
  }

  async diff(id: string, urn: string, olds: Values, news: Values): Promise<pulumi.provider.DiffResult> {
    return (await methodsOf(urn).diff?.(id, plain(olds), plain(news))) ?? {};
  }

  async create(urn: string, inputs: Values): Promise<pulumi.provider.CreateResult> {
    const { id, outs } = await methodsOf(urn).create(plain(inputs));
    return { id, outs: asSecretAs(inputs, outs as Values) };
  }

  async read(id: string, urn: string, props: Values = {}): Promise<pulumi.provider.ReadResult> {
    const { read } = methodsOf(urn);
    if (read === undefined) return { id, props };
    const result = await read(id, plain(props));
    return { ...result, props: asSecretAs(props, result.props as Values) };
  }

  async update(id: string, urn: string, olds: Values, news: Values): Promise<pulumi.provider.UpdateResult> {
    const outs = (await methodsOf(urn).update?.(id, plain(olds), plain(news)))?.outs as Values | undefined;
    return { outs: asSecretAs({ ...olds, ...news }, outs ?? {}) };
  }

  async delete(id: string, urn: string, props: Values): Promise<void> {
    await methodsOf(urn).delete?.(id, plain(props));
  }
}

function methodsOf(urn: string): Methods {
  const type = urn.split("::")[2]?.split("$").at(-1) ?? "";
  const methods = Object.entries(RESOURCES).find(([name]) => typeToken(name) === type)?.[1];
  if (methods === undefined) throw new Error(`${type} is not a resource of this plugin`);
  return methods;
}

/** Without the marks of secrets, at any depth. */
function plain(values: Values): Values {
  return plainValue(values) as Values;
}

function plainValue(value: unknown): unknown {
  if (pulumi.runtime.isRpcSecret(value)) return plainValue(pulumi.runtime.unwrapRpcSecret(value));
  if (Array.isArray(value)) return value.map(plainValue);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plainValue(field)]));
}

/** Marks the fields whose counterparts in `given` have a secret at any depth. */
function asSecretAs(given: Values, values: Values): Values {
  const mark = (value: unknown): unknown => ({
    [pulumi.runtime.specialSigKey]: pulumi.runtime.specialSecretSig,
    value,
  });
  const hasSecret = (key: string): boolean =>
    JSON.stringify(given[key] ?? null).includes(pulumi.runtime.specialSecretSig);
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, hasSecret(key) ? mark(value) : value]));
}
