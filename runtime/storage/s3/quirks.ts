/**
 * Differences of S3 providers, as pure data: the driver and the components read the same rows. Imports nothing.
 *
 * A row holds facts about the provider, not advice about backups. Sources: the vendors' S3 compatibility pages and
 * issue threads of pgBackRest and of SDKs that met the differences; sizes are the documented limits.
 */
export interface S3Quirks {
  /** Name in the settings file (`s3Quirks`) and in the components' arguments. */
  readonly id: string;
  readonly title: string;
  /** True for a vendor's public service; false for software that users run themselves. */
  readonly hosted: boolean;
  /** The provider's host names end like this; basis of the guess for `auto`. */
  readonly hostSuffixes: readonly string[];
  /** Regular expression whose first group is the region in an endpoint's host name; absent if names have no region. */
  readonly regionPattern?: string;
  /** Default region for signatures; absent if only the operator knows it. */
  readonly region?: string;
  /** Further regions that it takes for its own. */
  readonly regionAliases?: readonly string[];
  readonly uriStyle: "host" | "path";
  /** Whether an overwritten or deleted object can survive as a version. */
  readonly versioning: "none" | "optional" | "always";
  readonly objectLock: boolean;
  /** `content-md5` on uploads: object lock requires it; otherwise the signed SHA-256 alone protects the body. */
  readonly contentMd5: boolean;
  /**
   * The vendor documents that the ETag of an upload, and of a part, is the MD5 of its body unless a KMS or customer's
   * key encrypts it. Most others do so too; some have opaque ETags (R2's parts, MinIO with `--no-compat`).
   */
  readonly etagIsMd5: boolean;
  /** `POST ?delete` works; otherwise objects are deleted one by one. */
  readonly batchDelete: boolean;
  /**
   * The service honours `If-None-Match: *` and `If-Match: <etag>` on uploads: of concurrent uploads one succeeds. A
   * service that ignores the headers answers as if it had honoured them. So it is true only for hosted services that
   * document both for all their buckets. MinIO, Ceph, SeaweedFS and versitygw honour them from some version on, and
   * Backblaze B2 does not.
   */
  readonly conditionalWrites: boolean;
  readonly partSizeBytesMin: number;
  readonly partSizeBytesMax: number;
  readonly partCountMax: number;
  /** Hint for an access key that the provider does not know. */
  readonly keyHint?: string;
}

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

/** Amazon's documented behaviour, which most others copy; each row states its differences. */
const COMMON = {
  hosted: false,
  hostSuffixes: [],
  uriStyle: "path",
  versioning: "optional",
  objectLock: true,
  contentMd5: true,
  etagIsMd5: false,
  batchDelete: true,
  conditionalWrites: false,
  partSizeBytesMin: 5 * MIB,
  partSizeBytesMax: 5 * GIB,
  partCountMax: 10_000,
} as const;

/** A store of its own data centres, found by its hosts' names. */
function vendor(id: string, title: string, hostSuffixes: readonly string[], own: Partial<S3Quirks> = {}): S3Quirks {
  return { ...COMMON, id, title, hosted: true, hostSuffixes, ...own };
}

/** A store that anyone may run. */
function software(id: string, title: string, own: Partial<S3Quirks> = {}): S3Quirks {
  return { ...COMMON, id, title, ...own };
}

export const S3_QUIRKS: readonly S3Quirks[] = [
  vendor("aws", "Amazon S3", [".amazonaws.com", ".amazonaws.com.cn"], {
    regionPattern: "^s3[.-](?:dualstack\\.|fips\\.)?([a-z]{2,4}(?:-[a-z]+)+-[0-9]+)\\.amazonaws\\.com",
    uriStyle: "host",
    etagIsMd5: true,
    conditionalWrites: true,
  }),
  vendor("b2", "Backblaze B2", [".backblazeb2.com"], {
    regionPattern: "^s3\\.([a-z0-9-]+)\\.backblazeb2\\.com$",
    versioning: "always",
    partSizeBytesMin: 5_000_000,
    partSizeBytesMax: 5_000_000_000,
    keyHint: "Backblaze B2 refuses the master application key here: create an application key for the bucket.",
  }),
  vendor("r2", "Cloudflare R2", [".r2.cloudflarestorage.com"], {
    region: "auto",
    // For tools that know no other, as its documentation says.
    regionAliases: ["us-east-1"],
    versioning: "none",
    objectLock: false,
    contentMd5: false,
    conditionalWrites: true,
    keyHint: "On Cloudflare R2 the access key is the id of an API token and the secret is the SHA-256 of its value.",
  }),
  software("minio", "MinIO", { region: "us-east-1" }),
  software("ceph", "Ceph RADOS Gateway"),
  software("seaweedfs", "SeaweedFS", { region: "us-east-1" }),
  // Checks signatures with `s3_region` of its own configuration, usually "garage": another region is a signature error.
  software("garage", "Garage", {
    region: "garage",
    versioning: "none",
    objectLock: false,
    contentMd5: false,
  }),
  vendor("hetzner", "Hetzner Object Storage", [".your-objectstorage.com"], {
    regionPattern: "^([a-z0-9]+)\\.your-objectstorage\\.com$",
  }),
  vendor("wasabi", "Wasabi", [".wasabisys.com"], {
    regionPattern: "^s3\\.([a-z0-9-]+)\\.wasabisys\\.com$",
    region: "us-east-1",
  }),
  vendor("digitalocean", "DigitalOcean Spaces", [".digitaloceanspaces.com"], {
    // Any region is accepted in signatures.
    region: "us-east-1",
    objectLock: false,
  }),
  vendor("scaleway", "Scaleway Object Storage", [".scw.cloud"], {
    regionPattern: "^s3\\.([a-z]{2}-[a-z]{3})\\.scw\\.cloud$",
  }),
  vendor("ovhcloud", "OVHcloud Object Storage", [".cloud.ovh.net", ".cloud.ovh.us"], {
    regionPattern: "^s3\\.([a-z0-9-]+)\\.io\\.cloud\\.ovh\\.(?:net|us)$",
  }),
  vendor("idrive", "IDrive e2", [".idrivee2.com"], { regionPattern: "^s3\\.([a-z0-9-]+)\\.idrivee2\\.com$" }),
  software("rustfs", "RustFS", { region: "us-east-1" }),
  software("versitygw", "Versity S3 Gateway", { region: "us-east-1" }),
  software("generic", "another S3-compatible service"),
];

/**
 * The row of that name; `auto` guesses it from the endpoint (host name or URL) and falls back to `generic`. Null for an
 * unknown name.
 */
export function findQuirks(id: string, endpoint: string): S3Quirks | null {
  if (id !== "auto") return S3_QUIRKS.find((row) => row.id === id) ?? null;
  const host = hostOf(endpoint);
  const guessed = S3_QUIRKS.find((row) =>
    row.hostSuffixes.some((suffix) => host === suffix.slice(1) || host.endsWith(suffix)),
  );
  return guessed ?? S3_QUIRKS.find((row) => row.id === "generic") ?? null;
}

/** The region in an endpoint's name, else the provider's usual one; null if only the user knows it. */
export function findRegion(quirks: S3Quirks, endpoint: string): string | null {
  const match = quirks.regionPattern === undefined ? null : new RegExp(quirks.regionPattern).exec(hostOf(endpoint));
  return match?.[1] ?? quirks.region ?? null;
}

/** The region that a hosted service requires, if `region` is another one; null if it may do, or nothing is known. */
export function findOtherRegion(quirks: S3Quirks, endpoint: string, region: string): string | null {
  if (quirks.regionPattern === undefined && quirks.regionAliases === undefined) return null;
  const expected = findRegion(quirks, endpoint);
  return region === expected || quirks.regionAliases?.includes(region) === true ? null : expected;
}

function hostOf(endpoint: string): string {
  return endpoint
    .replace(/^[a-z]+:\/\//i, "")
    .replace(/[/:].*$/, "")
    .toLowerCase();
}
