/**
 * Addresses of a bucket: the connection, the Host header and the signature, and the certificate's name.
 *
 * As in stock, `repo-storage-host` and `repo-storage-port` change only the connection and the certificate's name. Host
 * header and signature keep the endpoint (pgBackRest 2.60 "storage/s3/storage").
 */
import { isIP } from "node:net";
import { type BackupError, fail } from "../../base/errors";

export interface S3Location {
  readonly endpoint: string;
  readonly bucket: string;
  readonly uriStyle: "host" | "path";
  readonly storageHost?: string;
  readonly storagePort: number;
}

export interface S3Address {
  /** `https://host:port` of the connection. */
  readonly origin: string;
  /** Host and port of the connection, for messages. */
  readonly connection: string;
  /** Host header. */
  readonly host: string;
  /** Name in the certificate; absent for an IP address, which is compared itself. */
  readonly tlsName?: string;
  /** `/bucket` or empty: precedes `/key`. */
  readonly pathPrefix: string;
}

/** @throws optionInvalidValue for a malformed endpoint, host or bucket */
export function addressOf(location: S3Location, repoIndex: number): S3Address {
  const endpoint = parseUrl(location.endpoint, `repo${repoIndex}-s3-endpoint`);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}$/.test(location.bucket))
    throw invalid(location.bucket, `repo${repoIndex}-s3-bucket`);
  const name = location.uriStyle === "host" ? `${location.bucket}.${endpoint.hostname}` : endpoint.hostname;
  const override =
    location.storageHost === undefined ? undefined : parseUrl(location.storageHost, `repo${repoIndex}-storage-host`);
  const protocol = override !== undefined && hasScheme(location.storageHost) ? override.protocol : endpoint.protocol;
  const defaultPort = protocol === "https:" ? 443 : 80;
  const endpointPort = endpoint.port === "" ? undefined : Number(endpoint.port);
  const overridePort = override === undefined || override.port === "" ? undefined : Number(override.port);
  // The option's default is 443 for every scheme; with http it cannot be meant.
  const optionPort = location.storagePort === 443 ? undefined : location.storagePort;
  const port =
    overridePort ??
    (override === undefined ? (endpointPort ?? optionPort) : (optionPort ?? endpointPort)) ??
    defaultPort;
  const hostPort = endpointPort ?? (override === undefined ? port : undefined);
  const connectName = override?.hostname ?? name;
  const bareName = connectName.replace(/^\[|\]$/g, "");
  return {
    origin: `${protocol}//${connectName}:${port}`,
    connection: `${connectName}:${port}`,
    host: hostPort === undefined || hostPort === defaultPort ? name : `${name}:${hostPort}`,
    ...(isIP(bareName) === 0 ? { tlsName: bareName } : {}),
    pathPrefix: location.uriStyle === "path" ? `/${location.bucket}` : "",
  };
}

function hasScheme(text: string | undefined): boolean {
  return text !== undefined && /^[a-z]+:\/\//i.test(text);
}

function parseUrl(text: string, option: string): URL {
  let url: URL;
  try {
    url = new URL(hasScheme(text) ? text : `https://${text}`);
  } catch (error) {
    throw invalid(text, option, error);
  }
  if (
    !["https:", "http:"].includes(url.protocol) ||
    url.pathname !== "/" ||
    url.search !== "" ||
    url.username !== "" ||
    url.password !== ""
  ) {
    throw invalid(text, option);
  }
  return url;
}

function invalid(value: string, option: string, cause?: unknown): BackupError {
  // An address with a user may contain a password.
  const shown = value.includes("@") ? "(an address with credentials)" : value;
  return fail("optionInvalidValue", `'${shown}' is not valid for '${option}' option`, {
    ...(cause === undefined ? {} : { cause }),
    hint: option.endsWith("bucket")
      ? "Use only the bucket's name."
      : "Use a host name, optionally with scheme and port, without a path.",
  });
}
