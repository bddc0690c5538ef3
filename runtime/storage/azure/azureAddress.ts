/**
 * Addresses of a container: the account stands in the host name or begins the path.
 *
 * As in stock, `repo-storage-host` takes the endpoint's place, with the account in the path unless
 * `repo-azure-uri-style` is set, and `repo-storage-port` changes any port (pgBackRest 2.60 "storage/azure/helper").
 */
import type { AzureConfig } from "../../config/types";
import { invalidAddress, parseHostUrl, plainAddress, portOf, type StoreAddress } from "../objectStore/storeAddress";

export type AzureLocation = Pick<
  AzureConfig,
  "account" | "container" | "endpoint" | "storageHost" | "storagePort" | "uriStyle"
>;

/** "Naming and referencing containers, blobs, and metadata". */
const CONTAINER = /^[a-z0-9](?:[a-z0-9]|-(?=[a-z0-9])){2,62}$/;
const ACCOUNT = /^[a-z0-9][a-z0-9-]{2,62}$/;

/** @throws optionInvalidValue for a malformed account, container, endpoint or host */
export function azureAddressOf(location: AzureLocation, repoIndex: number): StoreAddress {
  const { account, container, storagePort } = location;
  const option = (name: string): string => `repo${repoIndex}-${name}`;
  if (!CONTAINER.test(container)) {
    const hint = "A container's name has 3 to 63 small letters, digits and single hyphens.";
    throw invalidAddress(container, option("azure-container"), undefined, hint);
  }
  if (!ACCOUNT.test(account)) {
    const hint = "An account's name has small letters and digits; it is the first part of its endpoint's name.";
    throw invalidAddress(account, option("azure-account"), undefined, hint);
  }
  const url =
    location.storageHost === undefined
      ? parseHostUrl(location.endpoint, option("azure-endpoint"))
      : parseHostUrl(location.storageHost, option("storage-host"));
  const isHostStyle = location.uriStyle === "host";
  const name = isHostStyle ? `${account}.${url.hostname}` : url.hostname;
  // The option's default is 443 for every scheme; with http it cannot be meant.
  const optionPort = storagePort === 443 ? undefined : storagePort;
  const pathPrefix = isHostStyle ? `/${container}` : `/${account}/${container}`;
  return plainAddress(url.protocol, name, optionPort ?? portOf(url), pathPrefix);
}
