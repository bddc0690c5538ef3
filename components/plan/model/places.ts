/** Where a target lies and what it is lost together with. Pure; an endpoint that is not known yet leaves the place unknown, not guessed. */
import { findQuirks } from "../../../runtime/storage/s3/quirks";
import type { PlacePlan } from "./plan";
import type { TargetSettings } from "./databaseSettings";
import { isUnknown } from "./unknown";

/** Failure domain of a directory on the database's own machine. */
export const OF_THE_HOST = "the file systems of the host";

/**
 * The place of a target. A vendor's buckets are off-site and fail together by vendor (one account, one outage, one bill unpaid);
 * servers of one's own fail by server, and whether they stand elsewhere only the user knows (`offSite`). A directory is on the host, or,
 * where a mount is required, on the machine behind the mount.
 */
export function placeOf(target: TargetSettings): PlacePlan {
  const { offSite, requireMount, s3, sftp } = target;
  if (sftp !== undefined) return { provider: "sftp", title: "SFTP server", failureDomain: sftp.host, offSite, thirdParty: true };
  if (s3 === undefined) {
    const place = { provider: "filesystem", offSite: offSite ?? false, thirdParty: false };
    if (requireMount !== true) return { ...place, title: "file system", failureDomain: OF_THE_HOST };
    return { ...place, title: "mounted file system", failureDomain: `the mount of ${mountOf(target.path ?? "")}` };
  }
  const named = s3.quirks ?? "auto";
  if (named === "auto" && isUnknown(s3.endpoint)) {
    return { provider: s3.endpoint, title: s3.endpoint, failureDomain: s3.endpoint, offSite, thirdParty: true };
  }
  const row = findQuirks(named, s3.endpoint);
  const hosted = row?.hosted ?? false;
  return {
    provider: row?.id ?? "generic",
    title: row?.title ?? s3.endpoint,
    failureDomain: hosted && row !== null ? row.title : s3.endpoint,
    offSite: offSite ?? (hosted ? true : undefined),
    thirdParty: hosted,
  };
}

/** `/mnt/nas` of `/mnt/nas/pgbackrest`: where a mount usually begins. Two directories of one mount are lost together. */
function mountOf(path: string): string {
  return isUnknown(path) ? path : path.split("/").slice(0, 3).join("/");
}
