/** A repository in a directory: another disk, a NAS or anything else that is mounted. */
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../internal/children";
import { secretCipher } from "./common";
import type { CipherRef, RepositoryTarget } from "./target";

export interface PosixRepositoryArgs {
  /**
   * Absolute path on the host of the database. Made when it is missing; never removed.
   * @example "/mnt/nas/pgbackrest"
   */
  path: pulumi.Input<string>;
  /**
   * True refuses to write while nothing is mounted at or above the path, so that a NAS that is away does not fill the root file system: an
   * update fails before it makes or changes anything, and the backups after a boot wait for network mounts. While the NAS is away its
   * repository alone fails (its info files are not there), the others get their backups and WAL; no `RequiresMountsFor=` is written,
   * because systemd would then keep the backup from all of them.
   * @default false
   */
  requireMount?: boolean;
  /**
   * True where the loss of the database's site leaves the directory: a mount of a machine that stands elsewhere.
   * @default false
   */
  offSite?: boolean;
  /** Client-side encryption; without it the files are readable for everybody who can read the directory. */
  cipher?: CipherRef;
}

/**
 * A repository in a directory.
 *
 * Creates nothing by itself: the database that uses it makes the directory. Destroying it leaves every backup in place.
 *
 * `const nas = new PosixRepository("ledger-nas", { path: "/mnt/nas/pgbackrest", requireMount: true });`
 */
export class PosixRepository extends pulumi.ComponentResource {
  /** Give this to a database: `repositories: { repo1: { at: nas.target } }`. */
  public readonly target: RepositoryTarget;
  /** The directory. */
  public readonly location: pulumi.Output<string>;

  constructor(name: string, args: PosixRepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    super(typeToken("PosixRepository"), name, { path: args.path, encrypted: args.cipher !== undefined }, opts);
    this.target = {
      name,
      path: args.path,
      requireMount: args.requireMount ?? false,
      ...(args.offSite === undefined ? {} : { offSite: args.offSite }),
      ...secretCipher(args.cipher),
    };
    this.location = pulumi.output(args.path);
    this.registerOutputs({ location: this.location });
  }
}
