/**
 * The dynamic resource behind a clone. Only the declaration: the engine loads its methods from clone.ts by this
 * package's name, so that it captures nothing of the program and an updated package takes effect immediately.
 */
import * as pulumi from "@pulumi/pulumi";
import type { CloneInputs, CloneStatus } from "./clone";
import { DynamicResource, methodsOf } from "./dynamicResource";

type CloneModule = typeof import("./clone");

const METHODS = methodsOf<CloneModule>("pgbackstop/dynamic/clone", {
  create: "create",
  diff: "diff",
  read: "read",
  update: "update",
  delete: "remove",
});

type CloneArgs = { readonly [K in keyof CloneInputs]: pulumi.Input<NonNullable<CloneInputs[K]>> };

/** A clone on a host, until it closes itself. */
export class CloneResource extends DynamicResource {
  /** Secret. */
  declare readonly password: pulumi.Output<string>;
  declare readonly status: pulumi.Output<CloneStatus>;

  constructor(name: string, args: CloneArgs, opts: pulumi.CustomResourceOptions) {
    const own: pulumi.CustomResourceOptions = { additionalSecretOutputs: ["password", "keptSignIn"] };
    const inputs = { ...args, password: undefined, status: undefined };
    super(METHODS, name, inputs, pulumi.mergeOptions(opts, own), "CloneResource");
  }
}
