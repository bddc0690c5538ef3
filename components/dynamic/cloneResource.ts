/** The declaration of the dynamic resource behind a clone; clone.ts has its methods. */
import type * as pulumi from "@pulumi/pulumi";
import type { CloneInputs, CloneStatus } from "./clone";
import { type DynamicClass, DynamicResource, methodsOf } from "./dynamicResource";

type CloneModule = typeof import("./clone");

const CLONE: DynamicClass = {
  type: "CloneResource",
  methods: methodsOf<CloneModule>("pgbackstop/dynamic/clone", {
    create: "create",
    diff: "diff",
    read: "read",
    update: "update",
    delete: "remove",
  }),
  outputs: ["password", "status"],
  secretOutputs: ["password", "keptSignIn"],
};

type CloneArgs = { readonly [K in keyof CloneInputs]: pulumi.Input<NonNullable<CloneInputs[K]>> };

/** A clone on a host, until it closes itself. */
export class CloneResource extends DynamicResource {
  /** Secret. */
  declare readonly password: pulumi.Output<string>;
  declare readonly status: pulumi.Output<CloneStatus>;

  constructor(name: string, args: CloneArgs, opts: pulumi.CustomResourceOptions) {
    super(CLONE, name, args, opts);
  }
}
