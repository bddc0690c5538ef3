/** Self-signed certificates: one leaf for one side of a mutual TLS connection, trusted by being known itself. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from "node:crypto";
import { signCertificate } from "./x509";

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

/** A new key with its certificate. */
export function makeCertificate({ commonName, ...wish }: CertificateWish): MadeCertificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    certificatePem: signCertificate({ ...wish, commonName, publicKey, issuer: { commonName, privateKey } }),
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
