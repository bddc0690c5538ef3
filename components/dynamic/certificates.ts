/**
 * Self-signed certificates as they are in a state: one leaf for one side of a mutual TLS connection, trusted by being
 * known itself.
 */
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";

/** Null for invalid text. @param text only its first certificate counts */
export function findValidity(text: string): { readonly notBeforeMs: number; readonly notAfterMs: number } | null {
  try {
    const certificate = new X509Certificate(text);
    return { notBeforeMs: Date.parse(certificate.validFrom), notAfterMs: Date.parse(certificate.validTo) };
  } catch {
    return null;
  }
}

export function belongTogether(certificatePem: string, privateKeyPem: string): boolean {
  const spki = (key: ReturnType<typeof createPublicKey>): string =>
    key.export({ type: "spki", format: "pem" }).toString();
  return spki(createPublicKey(createPrivateKey(privateKeyPem))) === spki(new X509Certificate(certificatePem).publicKey);
}
