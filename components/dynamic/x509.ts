/** X.509 v3 certificates (RFC 5280) in DER (X.690) with ECDSA keys on P-256 and SHA-256, by node:crypto alone. */
import { randomBytes, webcrypto } from "node:crypto";

export type KeyPair = webcrypto.CryptoKeyPair;

/** Content of a certificate, either of an authority or of one side of a TLS connection. */
export interface CertificateContent {
  readonly commonName: string;
  readonly keys: KeyPair;
  /** Whose key signs; absent: its own. */
  readonly issuer?: { readonly commonName: string; readonly keys: KeyPair };
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly usage: "authority" | "server" | "client";
  /** Names and addresses by which a server is called. */
  readonly dnsNames?: readonly string[];
  readonly addresses?: readonly string[];
}

/** RFC 5280 allows 20 bytes; the first bit must be 0. */
const SERIAL_BYTES = 16;

export function makeKeys(): Promise<KeyPair> {
  return webcrypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign", "verify"]);
}

/** PKCS #8 as PEM. */
export async function privateKeyText({ privateKey }: KeyPair): Promise<string> {
  const { PemConverter } = await load();
  return `${PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", privateKey), "PRIVATE KEY")}\n`;
}

/** The certificate as PEM. */
export async function signCertificate(content: CertificateContent): Promise<string> {
  const { commonName, keys, issuer = content, notBefore, notAfter } = content;
  const { X509CertificateGenerator } = await load();
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40;
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: serial.toString("hex"),
      subject: [{ CN: [commonName] }],
      issuer: [{ CN: [issuer.commonName] }],
      notBefore,
      notAfter,
      publicKey: keys.publicKey,
      signingKey: issuer.keys.privateKey,
      signingAlgorithm: { name: "ECDSA", hash: "SHA-256" },
      extensions: await extensionsOf(content, issuer.keys),
    },
    webcrypto,
  );
  return `${certificate.toString("pem")}\n`;
}

/**
 * Loaded with the first certificate: it takes 0.4 s, and most updates make none. The library needs the metadata
 * alongside it.
 */
async function load() {
  await import("reflect-metadata");
  return import("@peculiar/x509");
}

async function extensionsOf({ usage, keys, dnsNames = [], addresses = [] }: CertificateContent, issuer: KeyPair) {
  const x509 = await load();
  const { digitalSignature, keyCertSign } = x509.KeyUsageFlags;
  const names = [
    ...dnsNames.map((value) => ({ type: "dns", value }) as const),
    ...addresses.map((value) => ({ type: "ip", value }) as const),
  ];
  const isAuthority = usage === "authority";
  const purpose = usage === "server" ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
  return [
    new x509.BasicConstraintsExtension(isAuthority, undefined, true),
    new x509.KeyUsagesExtension(isAuthority ? keyCertSign : digitalSignature, true),
    ...(isAuthority ? [] : [new x509.ExtendedKeyUsageExtension([purpose])]),
    // Tell a certificate from the one before, which has the same name: OpenSSL looks for issuers by name first.
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
    await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey, false, webcrypto),
    ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
  ];
}
