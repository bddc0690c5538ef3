/**
 * Certificates for servers on this machine: a certificate authority of our own and server certificates that it signs. Names are given as DNS
 * names as well as addresses: pgBackRest up to 2.45 compares DNS names only.
 */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { join } from "node:path";
import { signCertificate } from "../../components/dynamic/x509";

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
  readonly commonName: string;
  readonly privateKey: KeyObject;
  readonly pem: string;
}

interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const LOOPBACK = [Uint8Array.of(127, 0, 0, 1), Uint8Array.from({ length: 16 }, (_, position) => (position === 15 ? 1 : 0))];

/** Writes an authority and server certificates for localhost, 127.0.0.1, ::1 and `moreNames` (DNS names and IPv4 addresses) into `folder`. */
export function makeCertificates(folder: string, moreNames: readonly string[] = []): CertificateFiles {
  mkdirSync(folder, { recursive: true });
  const now = Date.now();
  const validity = between(now - DAY_MS, now + 30 * DAY_MS);
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
  writeFileSync(files.expiredCertFile, serverCertificate(authority, keys.publicKey, between(now - 30 * DAY_MS, now - DAY_MS), moreNames));
  writeFileSync(files.keyFile, keys.privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
  chmodSync(files.keyFile, 0o600);
  return files;
}

function makeAuthority(commonName: string, validity: Validity): Authority {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
  const pem = signCertificate({ ...validity, commonName, publicKey, issuer: { commonName, privateKey }, usage: "authority" });
  return { commonName, privateKey, pem };
}

function serverCertificate(issuer: Authority, publicKey: KeyObject, validity: Validity, moreNames: readonly string[]): string {
  return signCertificate({
    ...validity,
    commonName: "localhost",
    publicKey,
    issuer,
    usage: "server",
    dnsNames: ["localhost", ...moreNames.filter((name) => !isIPv4(name))],
    addresses: [...moreNames.filter((name) => isIPv4(name)).map((name) => Uint8Array.from(name.split("."), Number)), ...LOOPBACK],
  });
}

function between(fromMs: number, toMs: number): Validity {
  return { notBefore: new Date(fromMs), notAfter: new Date(toMs) };
}
