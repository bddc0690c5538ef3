/** The declarations of the dynamic resources behind a backup host; repositoryHost.ts has their methods. */
import type * as pulumi from "@pulumi/pulumi";
import { type DynamicClass, DynamicResource, methodsOf } from "./dynamicResource";
import type { KeyInputs, RepositoryHostInputs } from "./repositoryHost";

type Module = typeof import("./repositoryHost");

const MODULE = "pgbackstop/dynamic/repositoryHost";
const HOST: DynamicClass = {
  type: "RepositoryHostState",
  methods: methodsOf<Module>(MODULE, {
    create: "repositoryHostCreate",
    diff: "repositoryHostDiff",
    read: "repositoryHostRead",
    update: "repositoryHostUpdate",
    delete: "repositoryHostRemove",
  }),
  outputs: ["hostKey"],
  secretOutputs: ["keptSignIn"],
};
const KEY: DynamicClass = {
  type: "SshKey",
  methods: methodsOf<Module>(MODULE, { create: "keyCreate", diff: "keyDiff", update: "keyUpdate" }),
  outputs: ["privateKey", "publicKey"],
  secretOutputs: ["privateKey"],
};

type Deferred<T> = { readonly [K in keyof T]: pulumi.Input<NonNullable<T[K]>> };

/** The accounts of a backup host, their confinement by sshd, their directories and keys. */
export class RepositoryHostResource extends DynamicResource {
  declare readonly hostKey: pulumi.Output<string>;

  constructor(name: string, args: Deferred<RepositoryHostInputs>, opts: pulumi.CustomResourceOptions) {
    super(HOST, name, args, opts);
  }
}

/** An SSH key pair: generated once, or derived from the private half. */
export class SshKey extends DynamicResource {
  /** Secret. */
  declare readonly privateKey: pulumi.Output<string>;
  declare readonly publicKey: pulumi.Output<string>;

  constructor(name: string, args: Deferred<KeyInputs>, opts: pulumi.CustomResourceOptions) {
    super(KEY, name, args, opts);
  }
}
