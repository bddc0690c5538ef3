/**
 * Checks that the answering host is the intended one: keys and fingerprints of SSH hosts, and known_hosts files. Pure.
 *
 * A key on the wire is the blob of RFC 4253 section 6.6, whose first string names its type. Fingerprints are digests of
 * the blob. Stock requires hexadecimal digits; `ssh-keygen -l` prints `SHA256:` and base64 or `MD5:` and pairs; all are
 * accepted. Known hosts are lines as sshd(8) describes them under "SSH_KNOWN_HOSTS FILE FORMAT". A host on another port
 * is `[host]:port`, and as in libssh2 also plain `host`.
 */
import { createHash, createHmac } from "node:crypto";
import type { SftpHostKeyCheck } from "../../config/types";

/**
 * Signature algorithms by type of host key, in order of preference. The order is libssh2's, so that the host's first
 * key is the one whose fingerprint stock accepts.
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

/** A host's key in a known_hosts file. */
export interface KnownKey {
  readonly type: string;
  readonly blob: Buffer;
  /** `@revoked`: a host with this key is refused. */
  readonly revoked: boolean;
}

/** Type of a key by its blob; `unknown` if it has no such field. */
export function keyTypeOf(blob: Buffer): string {
  const sizeBytes = blob.length < 4 ? 0 : blob.readUInt32BE(0);
  return sizeBytes === 0 || sizeBytes > 64 || blob.length < 4 + sizeBytes
    ? "unknown"
    : blob.toString("latin1", 4, 4 + sizeBytes);
}

/** `ssh-ed25519 SHA256:…`, as ssh-keygen prints it. */
export function describeKey(blob: Buffer): string {
  return `${keyTypeOf(blob)} SHA256:${createHash("sha256").update(blob).digest("base64").replaceAll("=", "")}`;
}

/** Digest of a key in the option's form: hexadecimal digits, lower case. */
export function fingerprintOf(blob: Buffer, hashType: keyof typeof HASH_SIZE_BYTES): string {
  return createHash(hashType).update(blob).digest("hex");
}

/** The configured fingerprint as lower-case hexadecimal digits; null if it is no digest of that type. */
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

/** Algorithms to request from the host: those of the given types of keys, or all. */
export function algorithmsOf(types: readonly string[] | null, without: readonly string[] = []): HostKeyAlgorithm[] {
  return KEY_TYPES.filter((type) => (types === null || types.includes(type)) && !without.includes(type)).flatMap(
    (type) => ALGORITHMS[type],
  );
}

/** The keys of a host in the text of a known_hosts file; unreadable lines are ignored. */
export function listKnownKeys(text: string, host: string, port: number): KnownKey[] {
  const names = [`[${host}]:${port}`, host];
  const keys: KnownKey[] = [];
  for (const line of text.split("\n")) {
    const fields = line.trim().split(/\s+/);
    const marker = fields[0]?.startsWith("@") === true ? fields.shift() : undefined;
    const [patterns, type, base64] = fields;
    // A certificate authority vouches for certificates, which are not requested.
    if (
      patterns === undefined ||
      type === undefined ||
      base64 === undefined ||
      patterns.startsWith("#") ||
      marker === "@cert-authority"
    )
      continue;
    if (!names.some((name) => matches(patterns, name.toLowerCase()))) continue;
    const blob = Buffer.from(base64, "base64");
    if (keyTypeOf(blob) === type) keys.push({ type, blob, revoked: marker === "@revoked" });
  }
  return keys;
}

/** True if this is the expected key. `known` are the keys of the known_hosts files. */
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

/** Matches a field of names: patterns with `*` and `?`, a leading `!` excludes, or one hashed name. */
function matches(field: string, name: string): boolean {
  if (field.startsWith("|1|")) {
    const [, , salt = "", hash = ""] = field.split("|");
    return createHmac("sha1", Buffer.from(salt, "base64")).update(name).digest("base64") === hash;
  }
  let isMatch = false;
  for (const pattern of field.toLowerCase().split(",")) {
    const negated = pattern.startsWith("!");
    if (!matchesPattern(negated ? pattern.slice(1) : pattern, name)) continue;
    if (negated) return false;
    isMatch = true;
  }
  return isMatch;
}

/**
 * Takes back only the last `*`, as ssh does. A regular expression with many of them would take years for a name that
 * does not match.
 */
function matchesPattern(pattern: string, name: string): boolean {
  let next = 0;
  /** Where the last `*` is, and where what it stands for ends. */
  let star: { readonly position: number; end: number } | null = null;
  for (let position = 0; position < name.length; ) {
    const character = pattern[next];
    if (character === "*") {
      star = { position: next++, end: position };
    } else if (character === "?" || character === name[position]) {
      next++;
      position++;
    } else if (star !== null) {
      next = star.position + 1;
      position = ++star.end;
    } else {
      return false;
    }
  }
  return /^\**$/.test(pattern.slice(next));
}
