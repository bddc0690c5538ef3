/**
 * Self-signed certificates (X.509 v3, ECDSA on P-256 with SHA-256) without any tool: one leaf for one side of a mutual TLS connection, trusted
 * by being known itself. Encoding: X.690 (DER); fields and extensions: RFC 5280.
 */
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, sign, X509Certificate } from "node:crypto";

/** What the certificate proves. */
export type CertificateUsage = "server" | "client";

export interface CertificateWish {
  readonly commonName: string;
  /** Names by which a server is called; empty for a client. */
  readonly dnsNames: readonly string[];
  readonly usage: CertificateUsage;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

export interface MadeCertificate {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
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

/** A new key with its certificate. */
export function makeCertificate(wish: CertificateWish): MadeCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const name = sequence(set(sequence(oid(OIDS.commonName), tagged(0x0c, Buffer.from(wish.commonName, "utf8")))));
  const algorithm = sequence(oid(OIDS.ecdsaWithSha256));
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(serial),
    algorithm,
    name,
    sequence(time(wish.notBefore), time(wish.notAfter)),
    name,
    spki,
    tagged(0xa3, sequence(...extensionsOf(wish, spki))),
  );
  const signature = sign("sha256", body, privateKey);
  const der = sequence(body, algorithm, bits(signature));
  return {
    certificatePem: pem("CERTIFICATE", der),
    privateKeyPem: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

/** Null for what is no certificate. @param text the first of it counts */
export function findValidity(text: string): { readonly notBeforeMs: number; readonly notAfterMs: number } | null {
  try {
    const certificate = new X509Certificate(text);
    return { notBeforeMs: Date.parse(certificate.validFrom), notAfterMs: Date.parse(certificate.validTo) };
  } catch {
    return null;
  }
}

/** True when the key is that of the certificate. */
export function belongTogether({ certificatePem, privateKeyPem }: MadeCertificate): boolean {
  const spki = (key: ReturnType<typeof createPublicKey>): string => key.export({ type: "spki", format: "pem" }).toString();
  return spki(createPublicKey(createPrivateKey(privateKeyPem))) === spki(new X509Certificate(certificatePem).publicKey);
}

function extensionsOf({ dnsNames, usage }: CertificateWish, spki: Buffer): Buffer[] {
  const extension = (id: string, critical: boolean, value: Buffer): Buffer =>
    sequence(oid(id), ...(critical ? [tagged(0x01, Buffer.from([0xff]))] : []), tagged(0x04, value));
  const keyId = createHash("sha1").update(spki).digest();
  return [
    extension(OIDS.basicConstraints, true, sequence()),
    // digitalSignature, the only thing that TLS 1.3 does with it.
    extension(OIDS.keyUsage, true, tagged(0x03, Buffer.from([7, 0x80]))),
    extension(OIDS.extendedKeyUsage, false, sequence(oid(usage === "server" ? OIDS.serverAuth : OIDS.clientAuth))),
    extension(OIDS.subjectKeyIdentifier, false, tagged(0x04, keyId)),
    // Tells the one before, which has the same name, from this one: OpenSSL looks for issuers by name first.
    extension(OIDS.authorityKeyIdentifier, false, sequence(tagged(0x80, keyId))),
    ...(dnsNames.length === 0
      ? []
      : [extension(OIDS.subjectAltName, false, sequence(...dnsNames.map((dnsName) => tagged(0x82, Buffer.from(dnsName, "ascii")))))]),
  ];
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

function set(...parts: Buffer[]): Buffer {
  return tagged(0x31, Buffer.concat(parts));
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
