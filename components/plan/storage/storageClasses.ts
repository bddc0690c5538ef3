/** Classes of object storage in which backups should not lie, in all vendors' words. Pure. */

/** Nothing can be read before hours of thawing. */
const FROZEN = ["glacier", "deeparchive"];
/** Each object is paid for 30 days or more, and each read costs. Amazon's instant Glacier is read at once: it is one of these. */
const INFREQUENT = ["standardia", "onezoneia", "glacierir", "intelligenttiering", "infrequentaccess"];

/** Why backups should not lie there; null for a class that is fine, or that nobody knows. */
export function findClassFault(storageClass: string): "frozen" | "infrequent" | null {
  // `DEEP_ARCHIVE`, `deep-archive` and `InfrequentAccess`: vendors and tools write one name in several ways.
  const word = storageClass.toLowerCase().replace(/[-_]/g, "");
  if (FROZEN.includes(word)) return "frozen";
  return INFREQUENT.includes(word) ? "infrequent" : null;
}
