/**
 * X.509 v3 certificates (RFC 5280) in DER (X.690) with ECDSA keys on P-256 and SHA-256, by node:crypto and without any other tool.
 */
import { createHash, createPublicKey, type KeyObject, randomBytes, sign } from "node:crypto";

/** What a certificate says; either of an authority, or of one side of a TLS connection. */
export interface CertificateContent {
  readonly commonName: string;
  readonly publicKey: KeyObject;
  /** Whose key signs; the same name and key as the certificate's own for one that signs itself. */
  readonly issuer: { readonly commonName: string; readonly privateKey: KeyObject };
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly usage: "authority" | "server" | "client";
  /** Names by which a server is called. */
  readonly dnsNames?: readonly string[];
  /** The same as addresses: 4 or 16 bytes each. */
  readonly addresses?: readonly Uint8Array[];
}

const OIDS = {
  commonName: "2.5.4.3",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  basicConstraints: "2.5.29.19",
  keyUsage: "2.5.29.15",
  extendedKeyUsage: "2.5.29.37",
  subjectAltName: "2.5.29.17",
  subjectKeyIdentifier: "2.5.29.14",
  authorityKeyIdentifier: "2.5.29.35",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;
/** RFC 5280 allows 20 bytes; the first bit must be 0. */
const SERIAL_BYTES = 16;
const TRUE = tagged(0x01, Buffer.from([0xff]));

/** The certificate as PEM. */
export function signCertificate(content: CertificateContent): string {
  const { commonName, publicKey, issuer, notBefore, notAfter } = content;
  const algorithm = sequence(oid(OIDS.ecdsaWithSha256));
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    algorithm,
    distinguishedName(issuer.commonName),
    sequence(time(notBefore), time(notAfter)),
    distinguishedName(commonName),
    publicKey.export({ type: "spki", format: "der" }),
    tagged(0xa3, sequence(...extensionsOf(content))),
  );
  return pem("CERTIFICATE", sequence(body, algorithm, bits(sign("sha256", body, issuer.privateKey))));
}

function extensionsOf({ publicKey, issuer, usage, dnsNames = [], addresses = [] }: CertificateContent): Buffer[] {
  const names = [...dnsNames.map((name) => tagged(0x82, Buffer.from(name, "ascii"))), ...addresses.map((bytes) => tagged(0x87, Buffer.from(bytes)))];
  // Tells the one before, which has the same name, from this one: OpenSSL looks for issuers by name first.
  const keyIds = [
    extension(OIDS.subjectKeyIdentifier, false, tagged(0x04, keyId(publicKey))),
    extension(OIDS.authorityKeyIdentifier, false, sequence(tagged(0x80, keyId(createPublicKey(issuer.privateKey))))),
  ];
  if (usage === "authority") {
    // keyCertSign and cRLSign.
    return [extension(OIDS.basicConstraints, true, sequence(TRUE)), extension(OIDS.keyUsage, true, tagged(0x03, Buffer.from([1, 0x06]))), ...keyIds];
  }
  return [
    extension(OIDS.basicConstraints, true, sequence()),
    // digitalSignature, the only thing that TLS 1.3 does with it.
    extension(OIDS.keyUsage, true, tagged(0x03, Buffer.from([7, 0x80]))),
    extension(OIDS.extendedKeyUsage, false, sequence(oid(usage === "server" ? OIDS.serverAuth : OIDS.clientAuth))),
    ...keyIds,
    ...(names.length === 0 ? [] : [extension(OIDS.subjectAltName, false, sequence(...names))]),
  ];
}

function extension(id: string, critical: boolean, value: Buffer): Buffer {
  return sequence(oid(id), ...(critical ? [TRUE] : []), tagged(0x04, value));
}

function distinguishedName(commonName: string): Buffer {
  return sequence(tagged(0x31, sequence(oid(OIDS.commonName), tagged(0x0c, Buffer.from(commonName, "utf8")))));
}

function keyId(publicKey: KeyObject): Buffer {
  return createHash("sha1")
    .update(publicKey.export({ type: "spki", format: "der" }))
    .digest();
}

function tagged(tag: number, content: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag]), lengthOf(content.length), content]);
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length]);
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return Buffer.from([0x80 | bytes.length, ...bytes]);
}

function sequence(...parts: Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}

function bits(bytes: Buffer): Buffer {
  return tagged(0x03, Buffer.concat([Buffer.from([0]), bytes]));
}

function oid(text: string): Buffer {
  const [first = 0, second = 0, ...rest] = text.split(".").map(Number);
  const bytes = [first * 40 + second];
  for (const part of rest) {
    const group = [part % 128];
    for (let left = Math.floor(part / 128); left > 0; left = Math.floor(left / 128)) group.unshift(0x80 | (left % 128));
    bytes.push(...group);
  }
  return tagged(0x06, Buffer.from(bytes));
}

/** UTCTime up to 2049, GeneralizedTime from then on (RFC 5280 4.1.2.5). */
function time(date: Date): Buffer {
  const digits = date
    .toISOString()
    .replace(/\.\d+Z$/, "Z")
    .replaceAll(/[-:T]/g, "");
  return date.getUTCFullYear() < 2050 ? tagged(0x17, Buffer.from(digits.slice(2), "ascii")) : tagged(0x18, Buffer.from(digits, "ascii"));
}

function pem(label: string, der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
