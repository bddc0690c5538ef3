/**
 * Certificates for servers on this machine: our own authority, and server certificates that it signs. Addresses are
 * listed as DNS names too, because pgBackRest up to 2.45 compares DNS names only.
 */
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import { join } from "node:path";
import { type KeyPair, makeKeys, privateKeyText, signCertificate } from "../../../components/dynamic/x509";

export interface CertificateFiles {
  /** The authority's certificate, PEM, for clients to trust. */
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  /** A certificate of the same authority and key that expired yesterday. */
  readonly expiredCertFile: string;
  /** Another authority's certificate, which signed nothing here. */
  readonly otherCaFile: string;
}

interface Authority {
  readonly commonName: string;
  readonly keys: KeyPair;
  readonly pem: string;
}

interface Validity {
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const DAY_MS = 24 * 60 * 60 * 1000;
const LOOPBACK = ["127.0.0.1", "::1"];

/**
 * Writes an authority and server certificates for localhost, 127.0.0.1, ::1 and `moreNames` (DNS names and IPv4
 * addresses) into `folder`.
 */
export async function makeCertificates(folder: string, moreNames: readonly string[] = []): Promise<CertificateFiles> {
  mkdirSync(folder, { recursive: true });
  const now = Date.now();
  const validity = between(now - DAY_MS, now + 30 * DAY_MS);
  const authority = await makeAuthority("pgbackstop test authority", validity);
  const keys = await makeKeys();
  const files = {
    caFile: join(folder, "ca.crt"),
    certFile: join(folder, "server.crt"),
    keyFile: join(folder, "server.key"),
    expiredCertFile: join(folder, "expired.crt"),
    otherCaFile: join(folder, "other-ca.crt"),
  };
  writeFileSync(files.caFile, authority.pem);
  writeFileSync(files.otherCaFile, (await makeAuthority("pgbackstop other authority", validity)).pem);
  writeFileSync(files.certFile, await serverCertificate(authority, keys, validity, moreNames));
  writeFileSync(
    files.expiredCertFile,
    await serverCertificate(authority, keys, between(now - 30 * DAY_MS, now - DAY_MS), moreNames),
  );
  writeFileSync(files.keyFile, await privateKeyText(keys), { mode: 0o600 });
  chmodSync(files.keyFile, 0o600);
  return files;
}

async function makeAuthority(commonName: string, validity: Validity): Promise<Authority> {
  const keys = await makeKeys();
  return { commonName, keys, pem: await signCertificate({ ...validity, commonName, keys, usage: "authority" }) };
}

function serverCertificate(
  issuer: Authority,
  keys: KeyPair,
  validity: Validity,
  moreNames: readonly string[],
): Promise<string> {
  return signCertificate({
    ...validity,
    commonName: "localhost",
    keys,
    issuer,
    usage: "server",
    dnsNames: ["localhost", ...moreNames.filter((name) => !isIPv4(name))],
    addresses: [...moreNames.filter((name) => isIPv4(name)), ...LOOPBACK],
  });
}

function between(fromMs: number, toMs: number): Validity {
  return { notBefore: new Date(fromMs), notAfter: new Date(toMs) };
}
