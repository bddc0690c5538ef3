/**
 * The engine's methods for a self-signed certificate: created once, kept, and renewed before it ends or when its inputs
 * change. The previous one stays next to the new one, in the same text, while it is valid: peers that know only one of
 * them keep working.
 */
import type * as pulumi from "@pulumi/pulumi";
import { belongTogether, findValidity } from "./certificates";
import { makeKeys, privateKeyText, signCertificate } from "./x509";

export interface CertificateInputs {
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  readonly usage: "server" | "client";
  readonly validDays: number;
  /** Days before the end when an update starts to renew it. */
  readonly renewDays: number;
  /** A new text renews it. */
  readonly rotation: string;
}

export interface CertificateState extends CertificateInputs {
  /** The certificate, and the previous one while it is valid. */
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  /** RFC 3339. */
  readonly notAfter: string;
}

const DAY_MS = 86_400_000;
/** Other machines' clocks may be behind. */
const EARLIER_MS = 3_600_000;

/** @throws Error for invalid days */
export async function certificateCreate(
  inputs: CertificateInputs,
  nowMs = Date.now(),
): Promise<pulumi.dynamic.CreateResult<CertificateState>> {
  checkDays(inputs);
  return { id: inputs.commonName, outs: await stateOf(inputs, nowMs, "") };
}

/** The certificate is renewed in place, so that objects which name it stay. */
export function certificateDiff(
  _id: string,
  olds: CertificateState,
  news: CertificateInputs,
  nowMs = Date.now(),
): pulumi.dynamic.DiffResult {
  checkDays(news);
  return { changes: isAnother(olds, news) || isDue(olds, news, nowMs) };
}

export async function certificateUpdate(
  _id: string,
  olds: CertificateState,
  news: CertificateInputs,
  nowMs = Date.now(),
): Promise<pulumi.dynamic.UpdateResult<CertificateState>> {
  checkDays(news);
  const [before = ""] = olds.certificatePem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n?/) ?? [];
  const isValid = (findValidity(before)?.notAfterMs ?? 0) > nowMs;
  return { outs: await stateOf(news, nowMs, isValid ? before : "") };
}

async function stateOf(inputs: CertificateInputs, nowMs: number, before: string): Promise<CertificateState> {
  const notAfter = new Date(Math.floor((nowMs + inputs.validDays * DAY_MS) / 1000) * 1000);
  const { commonName, dnsNames, usage } = inputs;
  const keys = await makeKeys();
  const certificate = await signCertificate({
    commonName,
    dnsNames,
    usage,
    keys,
    notBefore: new Date(nowMs - EARLIER_MS),
    notAfter,
  });
  const privateKeyPem = await privateKeyText(keys);
  if (!belongTogether(certificate, privateKeyPem))
    throw new Error(`the certificate ${commonName} does not match its own key`);
  return { ...inputs, certificatePem: `${certificate}${before}`, privateKeyPem, notAfter: notAfter.toISOString() };
}

function isAnother(olds: CertificateState, news: CertificateInputs): boolean {
  const key = ({ commonName, dnsNames, rotation, usage, validDays }: CertificateInputs): string =>
    JSON.stringify([commonName, dnsNames, usage, validDays, rotation]);
  return key(olds) !== key(news);
}

function isDue(olds: CertificateState, { renewDays }: CertificateInputs, nowMs: number): boolean {
  const end = findValidity(olds.certificatePem)?.notAfterMs ?? 0;
  return end - renewDays * DAY_MS <= nowMs;
}

function checkDays({ renewDays, validDays }: CertificateInputs): void {
  const whole = (days: number): boolean => Number.isSafeInteger(days) && days >= 1 && days <= 36_500;
  if (whole(validDays) && whole(renewDays) && renewDays < validDays) return;
  throw new Error(`a certificate for ${validDays} days cannot be renewed ${renewDays} days before it expires`);
}
