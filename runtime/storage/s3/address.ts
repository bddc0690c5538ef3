/**
 * Addresses of a bucket: the connection, the Host header and the signature, and the certificate's name.
 *
 * As in stock, `repo-storage-host` and `repo-storage-port` change only the connection and the certificate's name. Host
 * header and signature keep the endpoint (pgBackRest 2.60 "storage/s3/storage").
 */
import type { S3Config } from "../../config/types";
import {
  hasScheme,
  invalidAddress,
  parseHostUrl,
  portOf,
  type StoreAddress,
  tlsNameOf,
} from "../objectStore/storeAddress";

export type S3Location = Pick<S3Config, "bucket" | "endpoint" | "storageHost" | "storagePort" | "uriStyle">;

export type S3Address = StoreAddress;

/** @throws optionInvalidValue for a malformed endpoint, host or bucket */
export function addressOf(location: S3Location, repoIndex: number): S3Address {
  const endpoint = parseHostUrl(location.endpoint, `repo${repoIndex}-s3-endpoint`);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]{1,254}$/.test(location.bucket))
    throw invalidAddress(location.bucket, `repo${repoIndex}-s3-bucket`, undefined, "Use only the bucket's name.");
  const name = location.uriStyle === "host" ? `${location.bucket}.${endpoint.hostname}` : endpoint.hostname;
  const override =
    location.storageHost === undefined
      ? undefined
      : parseHostUrl(location.storageHost, `repo${repoIndex}-storage-host`);
  const protocol = override !== undefined && hasScheme(location.storageHost) ? override.protocol : endpoint.protocol;
  const defaultPort = protocol === "https:" ? 443 : 80;
  const endpointPort = portOf(endpoint);
  const overridePort = override === undefined ? undefined : portOf(override);
  // The option's default is 443 for every scheme; with http it cannot be meant.
  const optionPort = location.storagePort === 443 ? undefined : location.storagePort;
  const port =
    overridePort ??
    (override === undefined ? (endpointPort ?? optionPort) : (optionPort ?? endpointPort)) ??
    defaultPort;
  const hostPort = endpointPort ?? (override === undefined ? port : undefined);
  const connectName = override?.hostname ?? name;
  return {
    origin: `${protocol}//${connectName}:${port}`,
    connection: `${connectName}:${port}`,
    host: hostPort === undefined || hostPort === defaultPort ? name : `${name}:${hostPort}`,
    ...tlsNameOf(connectName),
    pathPrefix: location.uriStyle === "path" ? `/${location.bucket}` : "",
  };
}
