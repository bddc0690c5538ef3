/**
 * The dynamic resource that runs one step of a migration on a host. Only the declaration: what it does is in migration.ts, loaded by the name of this
 * package when the engine calls, so that nothing of the program is captured and an updated package takes effect at once.
 */
import * as pulumi from "@pulumi/pulumi";
import type { MigrationInputs, MigrationState } from "./migration";

type MigrationModule = typeof import("./migration");

const provider: pulumi.dynamic.ResourceProvider<MigrationInputs, MigrationState> = {
  create: (inputs) => (require("pgbackstop/dynamic/migration") as MigrationModule).migrationCreate(inputs),
  diff: (id, olds, news) => (require("pgbackstop/dynamic/migration") as MigrationModule).migrationDiff(id, olds, news),
};

/** {@link MigrationInputs}, now or later. */
type HostMigrationArgs = { readonly [K in keyof MigrationInputs]: pulumi.Input<MigrationInputs[K]> };

/** Runs when it is created, and again when it is replaced; removing it does nothing. */
export class HostMigration extends pulumi.dynamic.Resource {
  /** What the step has answered. */
  declare readonly report: pulumi.Output<string>;

  constructor(name: string, args: HostMigrationArgs, opts: pulumi.CustomResourceOptions) {
    const own: pulumi.CustomResourceOptions = { additionalSecretOutputs: ["ranFor"] };
    super(provider, name, { ...args, report: undefined, ranFor: undefined }, pulumi.mergeOptions(opts, own), "index", "HostMigration");
  }
}
