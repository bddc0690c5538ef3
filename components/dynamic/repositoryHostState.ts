/**
 * The dynamic resources behind a backup host. Only the declarations: the engine loads their methods from
 * repositoryHost.ts by this package's name, so that it captures nothing of the program and an updated package takes
 * effect immediately.
 */
import * as pulumi from "@pulumi/pulumi";
import { DynamicResource, methodsOf } from "./dynamicResource";
import type { KeyInputs, RepositoryHostInputs } from "./repositoryHost";

type Module = typeof import("./repositoryHost");

const MODULE = "pgbackstop/dynamic/repositoryHost";
const HOST_METHODS = methodsOf<Module>(MODULE, {
  create: "repositoryHostCreate",
  diff: "repositoryHostDiff",
  read: "repositoryHostRead",
  update: "repositoryHostUpdate",
  delete: "repositoryHostRemove",
});
const KEY_METHODS = methodsOf<Module>(MODULE, { create: "keyCreate", diff: "keyDiff", update: "keyUpdate" });

type Deferred<T> = { readonly [K in keyof T]: pulumi.Input<NonNullable<T[K]>> };

/** The accounts of a backup host, their confinement by sshd, their directories and keys. */
export class RepositoryHostResource extends DynamicResource {
  declare readonly hostKey: pulumi.Output<string>;

  constructor(name: string, args: Deferred<RepositoryHostInputs>, opts: pulumi.CustomResourceOptions) {
    const own: pulumi.CustomResourceOptions = { additionalSecretOutputs: ["keptSignIn"] };
    super(HOST_METHODS, name, { ...args, hostKey: undefined }, pulumi.mergeOptions(opts, own), "RepositoryHostState");
  }
}

/** An SSH key pair: generated once, or derived from the private half. */
export class SshKey extends DynamicResource {
  /** Secret. */
  declare readonly privateKey: pulumi.Output<string>;
  declare readonly publicKey: pulumi.Output<string>;

  constructor(name: string, args: Deferred<KeyInputs>, opts: pulumi.CustomResourceOptions) {
    const own: pulumi.CustomResourceOptions = { additionalSecretOutputs: ["privateKey"] };
    super(
      KEY_METHODS,
      name,
      { ...args, privateKey: undefined, publicKey: undefined },
      pulumi.mergeOptions(opts, own),
      "SshKey",
    );
  }
}
