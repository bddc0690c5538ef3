/** The client's private key. */
import { userInfo } from "node:os";
import type { ParsedKey } from "ssh2";
import { fail } from "../../base/errors";
import type { SftpConfig } from "../../config/types";
import { readNamedFile } from "../namedFile";
import type { SftpEndpoint } from "./failure";

type ParseKey = (text: Buffer, passphrase?: string) => ParsedKey | Error;

/**
 * Caches the key for the next connection while the file is unchanged: opening an encrypted key takes a second of
 * processor time.
 */
export class PrivateKey {
  #text: Buffer | undefined;
  #parsed: ParsedKey | undefined;

  /** @throws fileOpen, crypto */
  load(
    parseKey: ParseKey,
    config: SftpConfig,
    endpoint: SftpEndpoint,
    readFile: (path: string) => Uint8Array,
  ): ParsedKey {
    const path = expandHome(config.privateKeyFile);
    const { repoIndex } = endpoint;
    const text = Buffer.from(readNamedFile(path, "private key", "sftp-private-key-file", { readFile, repoIndex }));
    if (this.#parsed !== undefined && this.#text?.equals(text) === true) return this.#parsed;
    const parsed = privateKeyOf(parseKey(text, config.privateKeyPassphrase?.reveal()));
    if ("reason" in parsed) {
      throw fail("crypto", `unable to use private key '${path}': ${parsed.reason}`, {
        repoIndex,
        hint: parsed.isLocked
          ? `is repo${repoIndex}-sftp-private-key-passphrase set and right?`
          : "Use a key in a format of ssh-keygen.",
      });
    }
    this.#text = text;
    this.#parsed = parsed;
    return parsed;
  }
}

/**
 * The first key of a file, or why it cannot be used: the library's messages are about the form of the key, never its
 * content.
 */
export function privateKeyOf(parsed: unknown): ParsedKey | { readonly reason: string; readonly isLocked: boolean } {
  const key = (Array.isArray(parsed) ? parsed[0] : parsed) as ParsedKey | Error;
  if (!(key instanceof Error)) return key.isPrivateKey() ? key : { reason: "it is a public key", isLocked: false };
  return { reason: key.message, isLocked: /passphrase|decrypt|integrity/i.test(key.message) };
}

/** Expands `~/x` for the user of this process, as in stock. */
export function expandHome(path: string): string {
  const trimmed = path.trim();
  return trimmed.startsWith("~/") ? `${userInfo().homedir}${trimmed.slice(1)}` : trimmed;
}
