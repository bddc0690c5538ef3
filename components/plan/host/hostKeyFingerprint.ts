/** The one form in which a plan knows an SSH host: the SHA-256 of its key in hexadecimal digits, as stock pgBackRest wants it. Pure. */
import { findFingerprint, fingerprintOf, keyTypeOf } from "../../../runtime/storage/sftp/hostKey";
import { isUnknown } from "../model/unknown";

interface KnownBy {
  readonly hostKey?: string | undefined;
  readonly hostFingerprint?: string | undefined;
}

/** From the key or from any form of its SHA-256. What cannot be read comes back as it was given, and a rule says so. */
export function fingerprintFor({ hostKey, hostFingerprint }: KnownBy): string {
  const given = hostKey ?? hostFingerprint ?? "";
  if (isUnknown(given)) return given;
  if (hostKey === undefined) return findFingerprint(given, "sha256") ?? given;
  const [type = "", base64 = ""] = hostKey.trim().split(/\s+/);
  const blob = Buffer.from(base64, "base64");
  return keyTypeOf(blob) === type ? fingerprintOf(blob, "sha256") : given;
}
