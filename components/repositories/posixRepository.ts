/** A repository in a directory: another disk, a NAS or any other mount. */
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../internal/children";
import { withDefault } from "../internal/inputs";
import { cipherOf, isEncrypted, repositoryArguments, secretCipher, setChosen, shareableTarget } from "./common";
import { watchLocation } from "../credentials/renamedPassphrase";
import type { EncryptionArgs } from "./repositoryArgs";
import type { RepositoryTarget } from "./target";
import { given } from "../../runtime/base/given";

export interface PosixRepositoryArgs extends EncryptionArgs {
  /** Absolute path on the database's host. Created if missing; never removed. @example "/mnt/nas/pgbackrest" */
  path: pulumi.Input<string>;
  /**
   * True refuses writes while nothing is mounted at or above the path, so that a missing NAS does not fill the root
   * file system. An update fails before it creates or changes anything, and backups after a boot wait for network
   * mounts. While the NAS is missing only its repository fails, also for `stanza-create`, and the others get their
   * backups and WAL. No `RequiresMountsFor=` is written, because systemd would then block the backup of all of them.
   * @default false
   */
  requireMount?: pulumi.Input<boolean>;
  /** True if the directory survives the loss of the database's site: a mount of a machine elsewhere. @default false */
  offSite?: pulumi.Input<boolean>;
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
    const own = repositoryArguments("PosixRepository", name, args);
    const encrypted = isEncrypted(`PosixRepository ${name}`, own);
    const watched = watchLocation(opts);
    super(typeToken("PosixRepository"), name, { path: own.path, encrypted }, watched.opts);
    const { cipher, passphrase } = cipherOf(name, own, this, opts?.protect);
    this.target = shareableTarget({
      name,
      path: own.path,
      requireMount: withDefault(own.requireMount, false),
      ...given({ offSite: own.offSite }),
      ...secretCipher(cipher),
    });
    this.location = pulumi.output(own.path);
    watched.record(this.target, this.location, this);
    this.registerOutputs({ location: this.location, ...setChosen(this, { passphrase }) });
  }
}
