/**
 * Where a bucket is: what to connect to, what the Host header and the signature say, and which name the certificate must have.
 *
 * As in stock, `repo-storage-host` and `repo-storage-port` change the connection only, certificate name included; Host header and signature
 * keep the endpoint (pgBackRest 2.60 "storage/s3/storage").
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
  /** `https://host:port` to connect to. */
  readonly origin: string;
  /** For messages: host and port of the connection. */
  readonly connection: string;
  /** Host header. */
  readonly host: string;
  /** Name that the certificate must carry; absent for an IP address, which is then compared itself. */
  readonly tlsName?: string;
  /** `/bucket` or empty: what stands before `/key`. */
  readonly pathPrefix: string;
}

/** @throws optionInvalidValue when endpoint, host or bucket cannot be one. */
export function addressOf(location: S3Location, repoKey: number): S3Address {
  const endpoint = parseUrl(location.endpoint, `repo${repoKey}-s3-endpoint`);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}$/.test(location.bucket)) throw invalid(location.bucket, `repo${repoKey}-s3-bucket`);
  const name = location.uriStyle === "host" ? `${location.bucket}.${endpoint.hostname}` : endpoint.hostname;
  const override = location.storageHost === undefined ? undefined : parseUrl(location.storageHost, `repo${repoKey}-storage-host`);
  const protocol = override !== undefined && hasScheme(location.storageHost) ? override.protocol : endpoint.protocol;
  const defaultPort = protocol === "https:" ? 443 : 80;
  const endpointPort = endpoint.port === "" ? undefined : Number(endpoint.port);
  const overridePort = override === undefined || override.port === "" ? undefined : Number(override.port);
  // The option's default is 443 whatever the scheme; for http it cannot be meant.
  const optionPort = location.storagePort === 443 ? undefined : location.storagePort;
  const port = overridePort ?? (override === undefined ? (endpointPort ?? optionPort) : (optionPort ?? endpointPort)) ?? defaultPort;
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
  if (!["https:", "http:"].includes(url.protocol) || url.pathname !== "/" || url.search !== "" || url.username !== "" || url.password !== "") {
    throw invalid(text, option);
  }
  return url;
}

function invalid(value: string, option: string, cause?: unknown): BackupError {
  // An address with a user in it may hold a password.
  const shown = value.includes("@") ? "(an address with credentials)" : value;
  return fail("optionInvalidValue", `'${shown}' is not valid for '${option}' option`, {
    ...(cause === undefined ? {} : { cause }),
    hint: option.endsWith("bucket") ? "Give the name of the bucket alone." : "Give a host name, optionally with scheme and port, and no path.",
  });
}
