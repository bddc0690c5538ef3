/**
 * The dynamic resources behind a backup host. Only the declarations: the engine loads their methods from
 * repositoryHost.ts by this package's name, so that it captures nothing of the program and an updated package takes
 * effect at once.
 */
import * as pulumi from "@pulumi/pulumi";
import type { KeyInputs, KeyState, RepositoryHostInputs, RepositoryHostState } from "./repositoryHost";

type Module = typeof import("./repositoryHost");

const hostProvider: pulumi.dynamic.ResourceProvider<RepositoryHostInputs, RepositoryHostState> = {
  create: (inputs) => (require("pgbackstop/dynamic/repositoryHost") as Module).repositoryHostCreate(inputs),
  diff: (id, olds, news) => (require("pgbackstop/dynamic/repositoryHost") as Module).repositoryHostDiff(id, olds, news),
  read: (id, props) => (require("pgbackstop/dynamic/repositoryHost") as Module).repositoryHostRead(id, props),
  update: (id, olds, news) =>
    (require("pgbackstop/dynamic/repositoryHost") as Module).repositoryHostUpdate(id, olds, news),
  delete: (id, props) => (require("pgbackstop/dynamic/repositoryHost") as Module).repositoryHostRemove(id, props),
};

const keyProvider: pulumi.dynamic.ResourceProvider<KeyInputs, KeyState> = {
  create: (inputs) => (require("pgbackstop/dynamic/repositoryHost") as Module).keyCreate(inputs),
  diff: (id, olds, news) => (require("pgbackstop/dynamic/repositoryHost") as Module).keyDiff(id, olds, news),
  update: (id, olds, news) => (require("pgbackstop/dynamic/repositoryHost") as Module).keyUpdate(id, olds, news),
};

type Deferred<T> = { readonly [K in keyof T]: pulumi.Input<NonNullable<T[K]>> };

/** The accounts of a backup host, their confinement by sshd, their directories and keys. */
export class RepositoryHostResource extends pulumi.dynamic.Resource {
  declare readonly hostKey: pulumi.Output<string>;

  constructor(name: string, args: Deferred<RepositoryHostInputs>, opts: pulumi.CustomResourceOptions) {
    const own: pulumi.CustomResourceOptions = { additionalSecretOutputs: ["keptSignIn"] };
    super(
      hostProvider,
      name,
      { ...args, hostKey: undefined },
      pulumi.mergeOptions(opts, own),
      "index",
      "RepositoryHostState",
    );
  }
}

/** An SSH key pair: generated once, or derived from the private half. */
export class SshKey extends pulumi.dynamic.Resource {
  /** Secret. */
  declare readonly privateKey: pulumi.Output<string>;
  declare readonly publicKey: pulumi.Output<string>;

  constructor(name: string, args: Deferred<KeyInputs>, opts: pulumi.CustomResourceOptions) {
    const own: pulumi.CustomResourceOptions = { additionalSecretOutputs: ["privateKey"] };
    super(
      keyProvider,
      name,
      { ...args, privateKey: undefined, publicKey: undefined },
      pulumi.mergeOptions(opts, own),
      "index",
      "SshKey",
    );
  }
}
