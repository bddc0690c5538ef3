/**
 * Resources of a provider by their type tokens, with the inputs that this package sets: nothing of the provider's
 * package is needed but the provider, which the engine installs by itself. If a program has the package, its version
 * counts, so that there is one provider.
 */
import * as pulumi from "@pulumi/pulumi";
import { valueAt } from "../plan/model/anyValue";

class PackagedResource extends pulumi.CustomResource {}

export interface PackagedResources<Inputs> {
  declare<Token extends keyof Inputs & string>(
    token: Token,
    name: string,
    inputs: Inputs[Token],
    opts: pulumi.CustomResourceOptions,
    outputs?: readonly string[],
  ): pulumi.CustomResource;
  /** That of the program's package, if it has one. */
  version(): string;
}

/** A text among the outputs with which a resource was declared. */
export function outputOf(resource: pulumi.CustomResource, field: string): pulumi.Output<string> {
  return pulumi.output({ value: valueAt(resource, field) }).apply(({ value }) => String(value));
}

/** @param version of the provider that the tokens and inputs are from */
export function packagedResources<Inputs>(packageName: string, version: string): PackagedResources<Inputs> {
  const find = (): string => {
    try {
      const { version: own } = require(`${packageName}/package.json`) as { readonly version?: unknown };
      return typeof own === "string" ? own : version;
    } catch {
      return version;
    }
  };
  // Node does not remember that a package is missing.
  let known: string | undefined;
  const installed = (): string => (known ??= find());
  return {
    declare(token, name, inputs, opts, outputs = []) {
      const versioned = { version: installed(), ...opts };
      // The SDK gives a resource the fields that its inputs name.
      const fields = { ...Object.fromEntries(outputs.map((field) => [field, undefined])), ...inputs };
      return new PackagedResource(token, name, fields, versioned);
    },
    version: installed,
  };
}
