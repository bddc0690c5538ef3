/**
 * Dynamic resources whose methods are a short text. `pulumi.dynamic.Resource` finds out what methods capture, with the
 * TypeScript compiler: 0.3 s of every preview, and 2 kB for each resource, twice in the state. Methods here capture
 * nothing. The plugin that runs them is Pulumi's, and so are the resources' types.
 */
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../internal/children";

/** Names of a dynamic resource's methods. */
type Method = "check" | "configure" | "create" | "delete" | "diff" | "read" | "update";

/**
 * Methods that a module of this package exports. The plugin loads it by its name, so that it captures nothing of the
 * program and an updated package takes effect immediately. It does so at the first call: a preview that only creates
 * calls none, and without the package a resource without `read` and `delete` can still be read and removed.
 */
export function methodsOf<Module extends object>(
  name: string,
  methods: { readonly [K in Method]?: keyof Module & string },
): string {
  const fields = Object.entries(methods).map(([method, exported]) => `${method}: m("${exported}")`);
  const find = `const m = (name) => (...args) => require("${name}")[name](...args);`;
  return `exports.handler = () => { ${find} return { ${fields.join(", ")} }; };`;
}

/** Arrow functions that use nothing but their parameters and Node.js, so that they run without this package. */
export function ownMethods(methods: { readonly [K in Method]?: unknown }): string {
  const fields = Object.entries(methods).map(([method, value]) => `${method}: ${String(value)}`);
  return `exports.handler = () => ({ ${fields.join(", ")} });`;
}

/** How the engine finds a plugin that it does not find by name. */
type PluginSource = Pick<pulumi.CustomResourceOptions, "pluginDownloadURL" | "version">;

/** Types whose methods the plugin for other languages runs itself: empty in a program. */
const served = new Map<string, PluginSource>();

/** Says that this process is the plugin, and that it runs the methods of these types. */
export function serveTypes(types: readonly string[], source: PluginSource): void {
  for (const type of types) served.set(type, source);
}

/**
 * The type of a resource in the state, from its class. A program in another language has no process for
 * `pulumi-nodejs`.
 */
export function resourceType(type: string): string {
  return served.has(type) ? typeToken(type) : `pulumi-nodejs:dynamic/index:${type}`;
}

/** What a class of resources has in common. */
export interface DynamicClass {
  readonly type: string;
  /** From {@link methodsOf} or {@link ownMethods}. */
  readonly methods: string;
  /** Outputs that somebody reads. */
  readonly outputs: readonly string[];
  readonly secretOutputs?: string[];
}

export class DynamicResource extends pulumi.CustomResource {
  constructor(own: DynamicClass, name: string, args: object, opts: pulumi.CustomResourceOptions) {
    const { methods, outputs, secretOutputs, type } = own;
    const source = served.get(type);
    const inputs = { ...args, ...Object.fromEntries(outputs.map((output) => [output, undefined])) };
    const secret = secretOutputs === undefined ? undefined : { additionalSecretOutputs: secretOutputs };
    super(
      resourceType(type),
      name,
      source === undefined ? { ...inputs, __provider: methods } : inputs,
      pulumi.mergeOptions(pulumi.mergeOptions(opts, secret), source),
    );
  }
}
