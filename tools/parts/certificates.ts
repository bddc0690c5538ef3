/**
 * Certificates for servers on this machine: a certificate authority of our own and server certificates that it signs.
 *
 * Written as X.509 v3 in DER (RFC 5280) with ECDSA P-256 and SHA-256 keys of node:crypto, so that no other program is needed. Names are
 * given as DNS names as well as addresses: pgBackRest up to 2.45 compares DNS names only.
 */
import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { join } from "node:path";

export interface CertificateFiles {
  /** Certificate of the authority, PEM: what a client is told to trust. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** A certificate of the same authority and key that ended yesterday. */
  readonly expiredCertFile: string;
  /** The certificate of another authority, which signed nothing here. */
  readonly otherCaFile: string;
}

interface Authority {
  readonly name: string;
  readonly privateKey: KeyObject;
  readonly pem: string;
}

interface Validity {
  readonly fromMs: number;
  readonly toMs: number;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Writes an authority and server certificates for localhost, 127.0.0.1, ::1 and `moreNames` (DNS names and IPv4 addresses) into `folder`. */
export function makeCertificates(folder: string, moreNames: readonly string[] = []): CertificateFiles {
  mkdirSync(folder, { recursive: true });
  const now = Date.now();
  const validity = { fromMs: now - DAY_MS, toMs: now + 30 * DAY_MS };
  const authority = makeAuthority("pgbackstop test authority", validity);
  const keys = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const files = {
    caFile: join(folder, "ca.crt"),
    certFile: join(folder, "server.crt"),
    keyFile: join(folder, "server.key"),
    expiredCertFile: join(folder, "expired.crt"),
    otherCaFile: join(folder, "other-ca.crt"),
  };
  writeFileSync(files.caFile, authority.pem);
  writeFileSync(files.otherCaFile, makeAuthority("pgbackstop other authority", validity).pem);
  writeFileSync(files.certFile, serverCertificate(authority, keys.publicKey, validity, moreNames));
  writeFileSync(files.expiredCertFile, serverCertificate(authority, keys.publicKey, { fromMs: now - 30 * DAY_MS, toMs: now - DAY_MS }, moreNames));
  writeFileSync(files.keyFile, keys.privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  chmodSync(files.keyFile, 0o600);
  return files;
}

function makeAuthority(name: string, validity: Validity): Authority {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const extensions = [
    extension("2.5.29.19", true, sequence(boolean(true))),
    // keyCertSign and cRLSign.
    extension("2.5.29.15", true, tagged(0x03, Uint8Array.of(1, 0x06))),
    extension("2.5.29.14", false, octets(keyId(publicKey))),
  ];
  return { name, privateKey, pem: certificate(name, name, publicKey, privateKey, validity, extensions) };
}

function serverCertificate(authority: Authority, publicKey: KeyObject, validity: Validity, moreNames: readonly string[]): string {
  const names = [
    ...["localhost", ...moreNames].map((name) =>
      isIPv4(name) ? tagged(0x87, Uint8Array.from(name.split("."), Number)) : tagged(0x82, Buffer.from(name)),
    ),
    tagged(0x87, Uint8Array.of(127, 0, 0, 1)),
    tagged(
      0x87,
      Uint8Array.from({ length: 16 }, (_, position) => (position === 15 ? 1 : 0)),
    ),
  ];
  const extensions = [
    extension("2.5.29.19", true, sequence()),
    // digitalSignature.
    extension("2.5.29.15", true, tagged(0x03, Uint8Array.of(7, 0x80))),
    // serverAuth.
    extension("2.5.29.37", false, sequence(objectId("1.3.6.1.5.5.7.3.1"))),
    extension("2.5.29.17", false, sequence(...names)),
    extension("2.5.29.14", false, octets(keyId(publicKey))),
    extension("2.5.29.35", false, sequence(tagged(0x80, keyId(createPublicKey(authority.privateKey))))),
  ];
  return certificate("localhost", authority.name, publicKey, authority.privateKey, validity, extensions);
}

function certificate(
  subject: string,
  issuer: string,
  publicKey: KeyObject,
  signer: KeyObject,
  validity: Validity,
  extensions: readonly Uint8Array[],
): string {
  const algorithm = sequence(objectId("1.2.840.10045.4.3.2"));
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const body = sequence(
    tagged(0xa0, integer(Uint8Array.of(2))),
    integer(serial),
    algorithm,
    distinguishedName(issuer),
    sequence(time(validity.fromMs), time(validity.toMs)),
    distinguishedName(subject),
    publicKey.export({ type: "spki", format: "der" }),
    tagged(0xa3, sequence(...extensions)),
  );
  const signature = sign("sha256", body, signer);
  const der = sequence(body, algorithm, tagged(0x03, Buffer.concat([Uint8Array.of(0), signature])));
  const lines =
    Buffer.from(der)
      .toString("base64")
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}

function extension(id: string, critical: boolean, value: Uint8Array): Uint8Array {
  return critical ? sequence(objectId(id), boolean(true), octets(value)) : sequence(objectId(id), octets(value));
}

function distinguishedName(commonName: string): Uint8Array {
  return sequence(tagged(0x31, sequence(objectId("2.5.4.3"), tagged(0x0c, Buffer.from(commonName)))));
}

function keyId(publicKey: KeyObject): Uint8Array {
  return createHash("sha1")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest();
}

function time(timeMs: number): Uint8Array {
  const text = new Date(timeMs).toISOString().replace(/[-:T]/g, "").slice(2, 14);
  return tagged(0x17, Buffer.from(`${text}Z`));
}

function objectId(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const groups = [part & 0x7f];
    for (let left = part >> 7; left > 0; left >>= 7) groups.unshift((left & 0x7f) | 0x80);
    bytes.push(...groups);
  }
  return tagged(0x06, Uint8Array.from(bytes));
}

function sequence(...parts: readonly Uint8Array[]): Uint8Array {
  return tagged(0x30, Buffer.concat(parts));
}

function integer(bytes: Uint8Array): Uint8Array {
  return tagged(0x02, bytes);
}

function boolean(value: boolean): Uint8Array {
  return tagged(0x01, Uint8Array.of(value ? 0xff : 0));
}

function octets(bytes: Uint8Array): Uint8Array {
  return tagged(0x04, bytes);
}

function tagged(tag: number, content: Uint8Array): Uint8Array {
  const size = content.length;
  const head = size < 0x80 ? [tag, size] : size < 0x100 ? [tag, 0x81, size] : [tag, 0x82, size >> 8, size & 0xff];
  return Buffer.concat([Uint8Array.from(head), content]);
}
