/** The declaration of the dynamic resource behind an application key of Backblaze B2; b2.ts has its methods. */
import * as pulumi from "@pulumi/pulumi";
import { type DynamicClass, DynamicResource, methodsOf } from "./dynamicResource";

export interface B2ApplicationKeyArgs {
  /**
   * Prefix of the key's name in the console; a unique suffix is added. Letters, digits and hyphens, at most 80.
   * A new prefix applies to the next key: an existing key keeps its name.
   * @example "orders-writer"
   */
  keyName: pulumi.Input<string>;
  /** Capabilities of the key, by Backblaze's names. @example ["listBuckets", "listFiles", "readFiles"] */
  capabilities: pulumi.Input<pulumi.Input<string>[]>;
  /** Ids of the buckets that the key may access; at least one. */
  bucketIds: pulumi.Input<pulumi.Input<string>[]>;
  /**
   * Limits the key to files with this prefix. pgBackRest also lists the root of the bucket: prefer one bucket per
   * repository.
   */
  namePrefix?: pulumi.Input<string>;
  /**
   * The key expires after this many seconds, below 1000 days. If omitted, it does not expire.
   * @minimum 1 @maximum 86399999
   */
  validDurationSeconds?: pulumi.Input<number>;
  /**
   * Any text. A new text creates a new key, and deletes the old one once everything that uses it has the new one.
   * @example "2026-11"
   */
  rotationTrigger?: pulumi.Input<string>;
}

type B2Module = typeof import("./b2");

const KEY: DynamicClass = {
  type: "B2ApplicationKey",
  methods: methodsOf<B2Module>("pgbackstop/dynamic/b2", {
    configure: "configureProvider",
    check: "keyCheck",
    diff: "keyDiff",
    create: "keyCreate",
    read: "keyRead",
    update: "keyUpdate",
    delete: "keyDelete",
  }),
  outputs: ["applicationKeyId", "applicationKey", "fullKeyName", "apiVersion", "expiresAtMs", "accountId"],
  secretOutputs: ["applicationKey"],
};

/**
 * An application key of Backblaze B2 for single buckets.
 *
 * A key cannot be changed: every other argument makes a new one first and deletes the old one last; another name alone
 * makes none. Its secret is in the state, encrypted; B2 shows it once. Who signs in is configuration, as with
 * `B2Bucket`.
 *
 * ```ts
 * const bucket = new B2Bucket("backups", { bucketName: "acme-orders-pg" });
 * new B2ApplicationKey("reader", {
 *   keyName: "orders-reader",
 *   bucketIds: [bucket.bucketId],
 *   capabilities: ["listBuckets", "listFiles", "readFiles"],
 * });
 * ```
 */
export class B2ApplicationKey extends DynamicResource {
  /** The key's id. */
  declare readonly applicationKeyId: pulumi.Output<string>;
  /** Secret. */
  declare readonly applicationKey: pulumi.Output<string>;
  /** The whole name, as the console shows it. */
  declare readonly fullKeyName: pulumi.Output<string>;
  /** Milliseconds since 1970; null for a key that does not end. */
  declare readonly expiresAtMs: pulumi.Output<number | null>;

  constructor(name: string, args: B2ApplicationKeyArgs, opts: pulumi.CustomResourceOptions = {}) {
    const owner = `${pulumi.getProject()}/${pulumi.getStack()}/${name}`;
    super(KEY, name, { ...args, owner }, opts);
  }
}
