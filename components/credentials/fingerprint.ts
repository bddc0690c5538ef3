/**
 * The record of a repository's passphrase: enough to notice another one, not enough to guess it. Each fingerprint has
 * its own salt, so that equal passphrases of two repositories do not show. A passphrase long enough to be random is
 * digested once. A shorter one may be guessed, so each guess costs time and memory (scrypt). Keep fingerprints secret
 * nevertheless.
 */
import { createHmac, randomBytes, scryptSync, timingSafeEqual } from "node:crypto";

/** 256 bits in base64. */
const RANDOM_CHARACTERS_MIN = 43;
const SALT_BYTES = 16;
const DIGEST_BYTES = 32;
/** 32 MiB per guess. */
const SCRYPT = { N: 32_768, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
/** Fingerprint of a repository without encryption. */
const NONE = "none";

/** `sha256:salt:digest`, `scrypt:salt:digest`, or `none` for an empty passphrase: no encryption. */
export function fingerprintOf(passphrase: string): string {
  if (passphrase === "") return NONE;
  const kind = passphrase.length >= RANDOM_CHARACTERS_MIN ? "sha256" : "scrypt";
  const salt = randomBytes(SALT_BYTES);
  return `${kind}:${salt.toString("base64")}:${digest(kind, passphrase, salt).toString("base64")}`;
}

/** True if `fingerprint` belongs to `passphrase`. A fingerprint of an unknown form accepts any. */
export function fitsFingerprint(passphrase: string, fingerprint: string): boolean {
  if (passphrase === "" || fingerprint === NONE) return (passphrase === "") === (fingerprint === NONE);
  const [kind = "", salt = "", expected = ""] = fingerprint.split(":");
  if (kind !== "sha256" && kind !== "scrypt") return true;
  const actual = digest(kind, passphrase, Buffer.from(salt, "base64"));
  const wanted = Buffer.from(expected, "base64");
  return actual.length === wanted.length && timingSafeEqual(actual, wanted);
}

function digest(kind: "sha256" | "scrypt", passphrase: string, salt: Buffer): Buffer {
  return kind === "sha256"
    ? createHmac("sha256", salt).update(passphrase).digest()
    : scryptSync(passphrase, salt, DIGEST_BYTES, SCRYPT);
}

/** A repository and its desired passphrase; empty for no encryption. */
export interface CipherInput {
  /** The repository's location, whatever its key. */
  readonly location: string;
  readonly passphrase: string;
}

/**
 * Faults if a repository would get another passphrase than its backups use: one text for each, with the remedy and
 * without secrets.
 * @param ciphers by the repository's key
 * @param fingerprints by location
 */
export function passphraseFaults(
  ciphers: Readonly<Record<string, CipherInput>>,
  fingerprints: Readonly<Record<string, string>>,
): string[] {
  return Object.entries(ciphers).flatMap(([key, { location, passphrase }]) => {
    const fingerprint = fingerprints[location];
    if (fingerprint === undefined || fitsFingerprint(passphrase, fingerprint)) return [];
    const fact =
      fingerprint === NONE
        ? `${location} was created without encryption, but a passphrase is set now`
        : `the passphrase of ${location} is not the one that encrypts its backups${passphrase === "" ? ": it was removed" : ""}`;
    return [
      `${key}: ${fact}; restore the old setting, and nothing is lost. A new passphrase needs a new repository: add one under another key at a new path, ` +
        `keep both until the backups in ${key} are no longer needed, then remove ${key}`,
    ];
  });
}

/** Updates the record: matching fingerprints stay, so that nothing changes without a cause. */
export function rememberPassphrases(
  ciphers: Readonly<Record<string, CipherInput>>,
  fingerprints: Readonly<Record<string, string>>,
): Record<string, string> {
  const fresh = Object.values(ciphers)
    .filter(({ location }) => fingerprints[location] === undefined)
    .map(({ location, passphrase }): [string, string] => [location, fingerprintOf(passphrase)]);
  return { ...fingerprints, ...Object.fromEntries(fresh) };
}
