/** Arguments that several repository components share. */
import type * as pulumi from "@pulumi/pulumi";
import type { CipherRef, LockMode } from "./target";

/** Client-side encryption: `cipher`, or `encrypt` for a new passphrase. */
export interface EncryptionArgs {
  /**
   * Passphrase of client-side encryption: the owner of the disks sees neither contents nor names of tables.
   * Omitting it is a warning where others own them.
   */
  cipher?: CipherRef;
  /**
   * True encrypts with a new random passphrase, which this component makes and protects, instead of `cipher`. It is in
   * this stack's state only, as a secret: keep a copy of the output `passphrase` elsewhere, because without it nobody
   * can read the backups. Decide before the first backup.
   * @default false
   * @plain whether a passphrase is made
   */
  encrypt?: boolean;
}

/** Where files are in a bucket, and how many. */
export interface BucketContentArgs extends EncryptionArgs {
  /** Prefix of all keys, with a leading slash. @default "/pgbackrest" */
  path?: pulumi.Input<string>;
  /** Expected average size in the bucket, for `monthlyCostUsd`. Versions that can be restored count too. @from 0 */
  expectedStoredGiB?: pulumi.Input<number>;
}

/** Protection of stored files against deletion. */
export interface BucketProtectionArgs {
  /**
   * Object lock: days for which no key can delete a stored file, counted from its upload. Set at least the time for
   * which a full backup must be safe; more than retention only costs. A bucket with object lock keeps it forever; 0
   * stops locking new files.
   * @default no object lock
   * @example 30
   * @plain whether the bucket has object lock, which it keeps forever
   * @minimum 0 @maximum 3000
   */
  immutableDays?: number;
  /**
   * Days for which overwritten or deleted files can be restored. At least 7, and one more than `immutableDays`.
   * @default 14
   * @minimum 1 @maximum 3000
   */
  undeleteDays?: pulumi.Input<number>;
  /** Mode of the object lock. @default "governance" @plain whether the preview refuses a lock that nobody can end */
  lockMode?: LockMode;
  /**
   * Must be true for mode "compliance": nobody can delete locked files, and you pay for them, until the days are over.
   * @default false
   * @plain whether the preview refuses a lock that nobody can end
   */
  acceptIrreversible?: boolean;
}
