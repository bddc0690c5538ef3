/**
 * A password as PostgreSQL stores it, RFC 5802 and 7677 ("scram-common.c", scram_build_secret): so the server, its log
 * and its WAL never see the password.
 */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { fail } from "../../base/errors";

const ITERATIONS = 4096;
const KEY_BYTES = 32;
export const SALT_BYTES = 16;
const LENGTH_MIN = 12;
const LENGTH_MAX = 256;

/** @throws optionInvalidValue for a password that clients might normalise, or that is too short */
export function scramVerifier(password: string, salt: Uint8Array): string {
  // Other characters pass SASLprep, which would change some of them.
  if (!/^[\x21-\x7e]+$/.test(password) || password.length < LENGTH_MIN || password.length > LENGTH_MAX)
    throw fail(
      "optionInvalidValue",
      `the password is not usable: use ${LENGTH_MIN} to ${LENGTH_MAX} printable ASCII characters without blanks`,
    );
  const salted = pbkdf2Sync(password, salt, ITERATIONS, KEY_BYTES, "sha256");
  const clientKey = createHmac("sha256", salted).update("Client Key").digest();
  const storedKey = createHash("sha256").update(clientKey).digest("base64");
  const serverKey = createHmac("sha256", salted).update("Server Key").digest("base64");
  return `SCRAM-SHA-256$${ITERATIONS}:${Buffer.from(salt).toString("base64")}$${storedKey}:${serverKey}`;
}
