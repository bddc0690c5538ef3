/**
 * Shared access signatures for one container, made from a key of the account: "Create a service SAS" (Azure Storage
 * REST API). The same arguments give the same signature, so that an update without changes changes nothing. Pure.
 */
import { createHmac } from "node:crypto";

export type SasRole = "reader" | "recovery" | "writer";

/**
 * In the order that the service asks for: read, add, create, write, delete, delete version, list. The writer's `d`
 * removes a blob by its name, which leaves a version; only `x` removes versions.
 */
export const SAS_PERMISSIONS: Readonly<Record<SasRole, string>> = {
  reader: "rl",
  recovery: "racwdxl",
  writer: "racwdl",
};

/** The version whose text is signed here. */
const VERSION = "2021-06-08";

export interface SasParts {
  readonly account: string;
  /** Base64. */
  readonly accountKey: string;
  readonly container: string;
  readonly permissions: string;
  /** Last day, `2027-12-31`. */
  readonly expires: string;
}

/** The query of a URL, without its question mark. */
export function containerSas({ account, accountKey, container, expires, permissions }: SasParts): string {
  const expiry = `${expires}T23:59:59Z`;
  const resource = `/blob/${account}/${container}`;
  // Permissions, start, expiry, resource, identifier, addresses, protocol, version, kind, snapshot, scope, headers.
  const fields = [permissions, "", expiry, resource, "", "", "https", VERSION, "c", "", "", "", "", "", "", ""];
  const key = Buffer.from(accountKey, "base64");
  const signature = createHmac("sha256", key).update(fields.join("\n"), "utf8").digest("base64");
  const query = { sp: permissions, se: expiry, spr: "https", sv: VERSION, sr: "c", sig: signature };
  return new URLSearchParams(query).toString();
}
