/**
 * The dynamic resource that runs one step of a migration on a host. Only the declaration: the engine loads its methods
 * from migration.ts by this package's name, so that it captures nothing of the program and an updated package takes
 * effect at once.
 */
import * as pulumi from "@pulumi/pulumi";
import type { MigrationInputs, MigrationState } from "./migration";

type MigrationModule = typeof import("./migration");

const provider: pulumi.dynamic.ResourceProvider<MigrationInputs, MigrationState> = {
  create: (inputs) => (require("pgbackstop/dynamic/migration") as MigrationModule).migrationCreate(inputs),
  diff: (id, olds, news) => (require("pgbackstop/dynamic/migration") as MigrationModule).migrationDiff(id, olds, news),
};

/** {@link MigrationInputs}, known or late. */
type HostMigrationArgs = { readonly [K in keyof MigrationInputs]: pulumi.Input<MigrationInputs[K]> };

/** Runs when it is created or replaced; removing it does nothing. */
export class HostMigration extends pulumi.dynamic.Resource {
  /** The step's report. */
  declare readonly report: pulumi.Output<string>;

  constructor(name: string, args: HostMigrationArgs, opts: pulumi.CustomResourceOptions) {
    const own: pulumi.CustomResourceOptions = { additionalSecretOutputs: ["ranFor"] };
    super(
      provider,
      name,
      { ...args, report: undefined, ranFor: undefined },
      pulumi.mergeOptions(opts, own),
      "index",
      "HostMigration",
    );
  }
}
