/**
 * Is the host that answers the one that was meant? Keys and fingerprints of SSH hosts, and files of known hosts. Pure.
 *
 * A key on the wire is the blob of RFC 4253 section 6.6, whose first string names its type. Fingerprints are digests of the blob: stock
 * wants hexadecimal digits, `ssh-keygen -l` prints `SHA256:` and base64 or `MD5:` and pairs; all are taken. Known hosts are lines as
 * sshd(8) describes them under "SSH_KNOWN_HOSTS FILE FORMAT"; a host on another port is `[host]:port`, and as in libssh2 also plain `host`.
 */
import { createHash, createHmac } from "node:crypto";
import type { SftpHostKeyCheck } from "../../config/types";

/**
 * Algorithms that a host proves the possession of a key with, by the type of the key, in the order in which they are asked for: libssh2's,
 * so that a fingerprint that stock accepts is of the key that comes first.
 */
const ALGORITHMS = {
  "ecdsa-sha2-nistp256": ["ecdsa-sha2-nistp256"],
  "ecdsa-sha2-nistp384": ["ecdsa-sha2-nistp384"],
  "ecdsa-sha2-nistp521": ["ecdsa-sha2-nistp521"],
  "ssh-ed25519": ["ssh-ed25519"],
  "ssh-rsa": ["rsa-sha2-512", "rsa-sha2-256"],
} as const;
type KeyType = keyof typeof ALGORITHMS;
export type HostKeyAlgorithm = (typeof ALGORITHMS)[KeyType][number];

const KEY_TYPES = Object.keys(ALGORITHMS) as KeyType[];
const HASH_SIZE_BYTES = { md5: 16, sha1: 20, sha256: 32 } as const;

/** A key that a file of known hosts has for the host. */
export interface KnownKey {
  readonly type: string;
  readonly blob: Buffer;
  /** `@revoked`: whoever shows this key is refused. */
  readonly revoked: boolean;
}

/** Type of a key by its blob; `unknown` when it has no such field. */
export function keyTypeOf(blob: Buffer): string {
  const sizeBytes = blob.length < 4 ? 0 : blob.readUInt32BE(0);
  return sizeBytes === 0 || sizeBytes > 64 || blob.length < 4 + sizeBytes ? "unknown" : blob.toString("latin1", 4, 4 + sizeBytes);
}

/** `ssh-ed25519 SHA256:…`, as ssh-keygen shows it. */
export function describeKey(blob: Buffer): string {
  return `${keyTypeOf(blob)} SHA256:${createHash("sha256").update(blob).digest("base64").replaceAll("=", "")}`;
}

/** Digest of a key as the option wants it: hexadecimal digits, lower case. */
export function fingerprintOf(blob: Buffer, hashType: keyof typeof HASH_SIZE_BYTES): string {
  return createHash(hashType).update(blob).digest("hex");
}

/** The configured fingerprint as lower-case hexadecimal digits, or null when it is not one of that digest. */
export function findFingerprint(text: string, hashType: keyof typeof HASH_SIZE_BYTES): string | null {
  const trimmed = text.trim();
  const prefixed = /^(md5|sha1|sha256):(.+)$/i.exec(trimmed);
  if (prefixed !== null && prefixed[1]?.toLowerCase() !== hashType) return null;
  const body = prefixed?.[2] ?? trimmed;
  const hex = body.replaceAll(":", "").toLowerCase();
  const sizeBytes = HASH_SIZE_BYTES[hashType];
  if (/^[0-9a-f]+$/.test(hex) && hex.length === 2 * sizeBytes) return hex;
  const bytes = /^[A-Za-z0-9+/]+=*$/.test(body) ? Buffer.from(body, "base64") : Buffer.alloc(0);
  return bytes.length === sizeBytes ? bytes.toString("hex") : null;
}

/** What to ask the host for: algorithms of the given types of keys, of all when none is given. */
export function algorithmsOf(types: readonly string[] | null, without: readonly string[] = []): HostKeyAlgorithm[] {
  return KEY_TYPES.filter((type) => (types === null || types.includes(type)) && !without.includes(type)).flatMap((type) => ALGORITHMS[type]);
}

/** The keys of a host in the text of a file of known hosts; lines that cannot be read say nothing. */
export function listKnownKeys(text: string, host: string, port: number): KnownKey[] {
  const names = [`[${host}]:${port}`, host];
  const keys: KnownKey[] = [];
  for (const line of text.split("\n")) {
    const words = line.trim().split(/\s+/);
    const marker = words[0]?.startsWith("@") === true ? words.shift() : undefined;
    const [patterns, type, base64] = words;
    // A certificate authority vouches for certificates, which are not asked for.
    if (patterns === undefined || type === undefined || base64 === undefined || patterns.startsWith("#") || marker === "@cert-authority") continue;
    if (!names.some((name) => matches(patterns, name.toLowerCase()))) continue;
    const blob = Buffer.from(base64, "base64");
    if (keyTypeOf(blob) === type) keys.push({ type, blob, revoked: marker === "@revoked" });
  }
  return keys;
}

/** Is this key the one that the check asks for? `known` are the keys of the files of known hosts. */
export function isExpectedKey(blob: Buffer, check: SftpHostKeyCheck, known: readonly KnownKey[]): boolean {
  switch (check.type) {
    case "none":
      return true;
    case "fingerprint":
      return fingerprintOf(blob, check.hashType) === findFingerprint(check.fingerprint, check.hashType);
    case "known-hosts": {
      const same = known.filter((key) => key.blob.equals(blob));
      return same.length > 0 && !same.some((key) => key.revoked);
    }
  }
}

/** A field of names: patterns with `*` and `?`, `!` before one that excludes, or one hashed name. */
function matches(field: string, name: string): boolean {
  if (field.startsWith("|1|")) {
    const [, , salt = "", hash = ""] = field.split("|");
    return createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === hash;
  }
  let found = false;
  for (const pattern of field.toLowerCase().split(",")) {
    const negated = pattern.startsWith("!");
    if (!matchesPattern(negated ? pattern.slice(1) : pattern, name)) continue;
    if (negated) return false;
    found = true;
  }
  return found;
}

function matchesPattern(pattern: string, name: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`).test(name);
}
