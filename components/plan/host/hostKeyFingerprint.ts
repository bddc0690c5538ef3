/** The form of an SSH host key in plans: its SHA-256 in hexadecimal digits, as stock pgBackRest wants it. Pure. */
import { findFingerprint, fingerprintOf, keyTypeOf } from "../../../runtime/storage/sftp/hostKey";
import { isUnknown } from "../model/unknown";

interface KnownBy {
  readonly hostKey?: string | undefined;
  readonly hostFingerprint?: string | undefined;
}

/** From the key or any form of its SHA-256. Unreadable input is returned unchanged, and a rule reports it. */
export function fingerprintFor({ hostKey, hostFingerprint }: KnownBy): string {
  const given = hostKey ?? hostFingerprint ?? "";
  if (isUnknown(given)) return given;
  if (hostKey === undefined) return findFingerprint(given, "sha256") ?? given;
  const [type = "", base64 = ""] = hostKey.trim().split(/\s+/);
  const blob = Buffer.from(base64, "base64");
  return keyTypeOf(blob) === type ? fingerprintOf(blob, "sha256") : given;
}
