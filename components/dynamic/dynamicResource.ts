/**
 * Dynamic resources whose methods are a short text. `pulumi.dynamic.Resource` finds out what methods capture, with the
 * TypeScript compiler: 0.3 s of every preview, and 2 kB for each resource, twice in the state. Methods here capture
 * nothing. The plugin that runs them is Pulumi's, and so are the resources' types.
 */
import * as pulumi from "@pulumi/pulumi";

/** Names of a dynamic resource's methods. */
type Method = "check" | "configure" | "create" | "delete" | "diff" | "read" | "update";

/**
 * Methods that a module of this package exports. The plugin loads it by its name, so that an updated package takes
 * effect at once, and at the first call: a preview that only creates calls none.
 */
export function methodsOf<Module extends object>(
  name: string,
  methods: { readonly [K in Method]?: keyof Module & string },
): string {
  const fields = Object.entries(methods).map(([method, exported]) => `${method}: m("${exported}")`);
  const find = `const m = (name) => (...args) => require("${name}")[name](...args);`;
  return `exports.handler = () => { ${find} return { ${fields.join(", ")} }; };`;
}

/**
 * Methods of an object that a module of this package exports, and loads only when one of them runs: without the package
 * a resource can still be read and removed, which needs none of them.
 */
export function lateMethodsOf<Module extends object>(
  name: string,
  exported: keyof Module & string,
  methods: readonly Method[],
): string {
  const fields = methods.map((method) => `${method}: m("${method}")`);
  const load = `const m = (k) => (...a) => require("${name}").${exported}[k](...a);`;
  return `exports.handler = () => { ${load} return { ${fields.join(", ")} }; };`;
}

/** Arrow functions that use nothing but their parameters and Node.js, so that they run without this package. */
export function ownMethods(methods: { readonly [K in Method]?: unknown }): string {
  const fields = Object.entries(methods).map(([method, value]) => `${method}: ${String(value)}`);
  return `exports.handler = () => ({ ${fields.join(", ")} });`;
}

export class DynamicResource extends pulumi.CustomResource {
  /** @param methods from {@link methodsOf}, {@link lateMethodsOf} or {@link ownMethods} */
  constructor(methods: string, name: string, props: pulumi.Inputs, opts: pulumi.CustomResourceOptions, type: string) {
    super(`pulumi-nodejs:dynamic/index:${type}`, name, { ...props, __provider: methods }, opts);
  }
}
