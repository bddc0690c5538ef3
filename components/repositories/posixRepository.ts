/** A repository in a directory: another disk, a NAS or any other mount. */
import { requireArguments } from "../internal/validate";
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../internal/children";
import { cipherOf, isEncrypted, secretCipher, shareableTarget } from "./common";
import { watchLocation } from "../credentials/renamedPassphrase";
import type { CipherRef, RepositoryTarget } from "./target";
import { given } from "../plan/model/given";

export interface PosixRepositoryArgs {
  /** Absolute path on the database's host. Created if missing; never removed. @example "/mnt/nas/pgbackrest" */
  path: pulumi.Input<string>;
  /**
   * True refuses writes while nothing is mounted at or above the path, so that a missing NAS does not fill the root
   * file system. An update fails before it creates or changes anything, and backups after a boot wait for network
   * mounts. While the NAS is missing only its repository fails (its info files are missing), and the others get their
   * backups and WAL. No `RequiresMountsFor=` is written, because systemd would then block the backup of all of them.
   * @default false
   */
  requireMount?: pulumi.Input<boolean>;
  /** True if the directory survives the loss of the database's site: a mount of a machine elsewhere. @default false */
  offSite?: pulumi.Input<boolean>;
  /** Client-side encryption; without it everybody who can read the directory can read the files. */
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

/**
 * A repository in a directory.
 *
 * Creates nothing itself: the database that uses it creates the directory. Destroying it leaves every backup in place.
 *
 * `const nas = new PosixRepository("ledger-nas", { path: "/mnt/nas/pgbackrest", requireMount: true });`
 */
export class PosixRepository extends pulumi.ComponentResource {
  /** Pass this to a database: `repositories: { repo1: { at: nas.target } }`. */
  public readonly target: RepositoryTarget;
  /** Secret. The passphrase that `encrypt` made, for a copy in a safe place: `export const key = nas.passphrase`. */
  public readonly passphrase?: pulumi.Output<string>;
  /** The directory. */
  public readonly location: pulumi.Output<string>;

  constructor(name: string, args: PosixRepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    requireArguments("PosixRepository", name, args);
    const encrypted = isEncrypted(`PosixRepository ${name}`, args);
    const watched = watchLocation(`PosixRepository ${name}`, opts);
    super(typeToken("PosixRepository"), name, { path: args.path, encrypted }, watched.opts);
    const { cipher, passphrase } = cipherOf(name, args, this, opts?.protect);
    if (passphrase !== undefined) this.passphrase = passphrase;
    this.target = shareableTarget({
      name,
      path: args.path,
      requireMount: args.requireMount ?? false,
      ...given({ offSite: args.offSite }),
      ...secretCipher(cipher),
    });
    this.location = pulumi.output(args.path);
    watched.record(this.target, this.location, this);
    this.registerOutputs({ ...given({ passphrase }), location: this.location });
  }
}
