/** A repository in a directory of an SFTP server: a backup host, a NAS, a storage box. */
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../internal/children";
import { withDefault } from "../internal/inputs";
import { DEFAULTS } from "../plan/model/defaults";
import { cipherOf, isEncrypted, repositoryArguments, secretCipher, setChosen, shareableTarget } from "./common";
import { watchLocation } from "../credentials/renamedPassphrase";
import type { EncryptionArgs } from "./repositoryArgs";
import type { RepositoryTarget } from "./target";
import { given } from "../../runtime/base/given";

export interface SftpRepositoryArgs extends EncryptionArgs {
  /** Name or address of the server. @example "backup.example.net" */
  host: pulumi.Input<string>;
  /** Port of the SFTP server. @default 22 @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** Account on the server. It needs only SFTP and its directory. */
  user: pulumi.Input<string>;
  /** Absolute directory on the server. Created if missing; never removed. @example "/srv/pgbackrest/orders" */
  path: pulumi.Input<string>;
  /**
   * The server's public key: the line of `/etc/ssh/ssh_host_ecdsa_key.pub`, or of another of its keys. Stock pgBackRest
   * requests the ECDSA key if the server has one. Set this or `hostFingerprint`.
   * @example "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAI…"
   */
  hostKey?: pulumi.Input<string>;
  /**
   * The SHA-256 of that key, as `ssh-keygen -l` prints it or in hexadecimal digits. Set this or `hostKey`.
   * @example "SHA256:iP1dElqTjxRbndpI7ocznQNLUYseboQm52YZmJIuxm8"
   */
  hostFingerprint?: pulumi.Input<string>;
  /**
   * Private key that the account accepts, as ssh-keygen writes it. Secret; a separate file on the database's host, mode
   * 0600. Omit it if the host already has it: `secretFiles: { privateKey: "/run/secrets/box" }` next to `at` of the
   * database's repository.
   */
  privateKey?: pulumi.Input<string>;
  /** Passphrase of an encrypted private key. Secret. */
  privateKeyPassphrase?: pulumi.Input<string>;
  /** True if the server survives the loss of the database's site. If omitted, unknown. */
  offSite?: pulumi.Input<boolean>;
}

/**
 * A repository in a directory of an SFTP server. The server must prove the given key before it receives anything.
 *
 * Creates nothing itself: the account exists. Destroying it leaves every backup in place.
 *
 * ```ts
 * const box = new SftpRepository("orders-box", {
 *   host: "backup.example.net",
 *   user: "orders",
 *   path: "/srv/pgbackrest/orders",
 *   hostKey: config.require("hostKey"),
 *   privateKey: config.requireSecret("privateKey"),
 *   cipher: key.ref,
 * });
 * ```
 */
export class SftpRepository extends pulumi.ComponentResource {
  /** Pass this to a database: `repositories: { repo2: { at: box.target } }`. */
  public readonly target: RepositoryTarget;
  /** Secret. The passphrase that `encrypt` made, for a copy in a safe place: `export const key = box.passphrase`. */
  public readonly passphrase?: pulumi.Output<string>;
  /** `sftp://user@host/path`. */
  public readonly location: pulumi.Output<string>;

  constructor(name: string, args: SftpRepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = repositoryArguments("SftpRepository", name, args);
    const { host, path, user } = own;
    const encrypted = isEncrypted(`SftpRepository ${name}`, own);
    const port = withDefault(own.port, DEFAULTS.sftpPort);
    const watched = watchLocation(opts);
    super(typeToken("SftpRepository"), name, { host, port, user, path, encrypted }, watched.opts);
    const { cipher, passphrase } = cipherOf(name, own, this, opts?.protect);
    this.target = shareableTarget({
      name,
      path,
      ...given({ offSite: own.offSite }),
      sftp: {
        host,
        port,
        user,
        ...given({ hostKey: own.hostKey, hostFingerprint: own.hostFingerprint }),
        ...(own.privateKey === undefined ? {} : { privateKey: pulumi.secret(own.privateKey) }),
        ...(own.privateKeyPassphrase === undefined
          ? {}
          : { privateKeyPassphrase: pulumi.secret(own.privateKeyPassphrase) }),
      },
      ...secretCipher(cipher),
    });
    this.location = pulumi.interpolate`sftp://${user}@${host}${path}`;
    watched.record(this.target, this.location, this);
    this.registerOutputs({ location: this.location, ...setChosen(this, { passphrase }) });
  }
}
