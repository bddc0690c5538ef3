/**
 * The dynamic resource that runs a command once on a host. Only the declaration: the engine loads its methods from
 * action.ts by this package's name, so that it captures nothing of the program and an updated package takes effect at
 * once.
 */
import * as pulumi from "@pulumi/pulumi";
import type { ActionInputs, ActionState } from "./action";

type ActionModule = typeof import("./action");

const provider: pulumi.dynamic.ResourceProvider<ActionInputs, ActionState> = {
  create: (inputs) => (require("pgbackstop/dynamic/action") as ActionModule).actionCreate(inputs),
  diff: (id, olds, news) => (require("pgbackstop/dynamic/action") as ActionModule).actionDiff(id, olds, news),
};

/** {@link ActionInputs}, known or late. */
type HostActionArgs = { readonly [K in keyof ActionInputs]: pulumi.Input<ActionInputs[K]> };

/** Runs when it is created or replaced; removing it does nothing. */
export class HostAction extends pulumi.dynamic.Resource {
  /** Label of the last backup. */
  declare readonly label: pulumi.Output<string>;

  constructor(name: string, args: HostActionArgs, opts: pulumi.CustomResourceOptions) {
    const own: pulumi.CustomResourceOptions = { additionalSecretOutputs: ["ranFor"] };
    super(
      provider,
      name,
      { ...args, label: undefined, ranFor: undefined },
      pulumi.mergeOptions(opts, own),
      "index",
      "HostAction",
    );
  }
}
