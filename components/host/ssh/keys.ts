/** SSH keys: generated here, or parsed from arguments. */
import { utils } from "ssh2";
import { privateKeyOf } from "../../../runtime/storage/sftp/privateKey";

export interface KeyPair {
  /** In OpenSSH's format. */
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA…`. */
  readonly publicKey: string;
}

/**
 * A new pair, of a type that OpenSSH, libssh2 (stock pgBackRest) and the runtime accept.
 *
 * ssh2 1.17 drops leading zero bytes of a public key, which spoils one pair in 256: github.com/mscdex/ssh2/issues/1390.
 */
export function makeKeyPair(comment: string): KeyPair {
  const made = utils.generateKeyPairSync("ed25519", { comment });
  if (utils.parseKey(made.public) instanceof Error) return makeKeyPair(comment);
  return { privateKey: made.private, publicKey: publicKeyOf(made.private, undefined) };
}

/** The public half. @throws Error if it is no private key, or is locked; the message reveals nothing of the key */
export function publicKeyOf(privateKey: string, passphrase: string | undefined): string {
  const key = privateKeyOf(utils.parseKey(privateKey, passphrase));
  if ("reason" in key) throw new Error(`the private key cannot be used: ${key.reason}`);
  return `${key.type} ${key.getPublicSSH().toString("base64")}`;
}
