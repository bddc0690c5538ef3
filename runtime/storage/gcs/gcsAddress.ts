/** The address of a bucket: the endpoint, with the bucket in the path ("Cloud Storage JSON API request endpoints"). */
import { invalidAddress, parseHostUrl, plainAddress, portOf, type StoreAddress } from "../objectStore/storeAddress";

export interface GcsLocation {
  readonly bucket: string;
  readonly endpoint: string;
}

/** "Bucket naming requirements". */
const BUCKET = /^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$/;

/** @throws optionInvalidValue for a malformed bucket or endpoint */
export function gcsAddressOf({ bucket, endpoint }: GcsLocation, repoIndex: number): StoreAddress {
  if (!BUCKET.test(bucket)) {
    const hint = "A bucket's name has at least 3 small letters, digits, dots, hyphens and underscores.";
    throw invalidAddress(bucket, `repo${repoIndex}-gcs-bucket`, undefined, hint);
  }
  const url = parseHostUrl(endpoint, `repo${repoIndex}-gcs-endpoint`);
  return plainAddress(url.protocol, url.hostname, portOf(url), `/storage/v1/b/${bucket}`);
}
