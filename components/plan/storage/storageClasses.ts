/** Storage classes that backups should not use, in all vendors' terms. Pure. */

/** Reading takes hours of thawing first. */
const FROZEN = ["glacier", "deeparchive", "archive"];
/**
 * Each object is billed for 30 days or more, and each read costs. Amazon's instant Glacier is readable immediately, so
 * it belongs here, as do Azure's tiers Cool and Cold and Google's Nearline and Coldline.
 */
const INFREQUENT = [
  "standardia",
  "onezoneia",
  "glacierir",
  "intelligenttiering",
  "infrequentaccess",
  "cool",
  "cold",
  "nearline",
  "coldline",
];

/**
 * Why backups should not use it; null for a class that is fine or unknown.
 * @param provider of the bucket: Google's Archive is readable at once
 */
export function findClassFault(storageClass: string, provider?: string): "frozen" | "infrequent" | null {
  // Vendors and tools spell one name in several ways: `DEEP_ARCHIVE`, `deep-archive`, `InfrequentAccess`.
  const name = storageClass.toLowerCase().replace(/[-_]/g, "");
  if (FROZEN.includes(name)) return provider === "gcs" ? "infrequent" : "frozen";
  return INFREQUENT.includes(name) ? "infrequent" : null;
}
