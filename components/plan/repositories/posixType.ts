/** Repositories in directories: another disk, a NAS or any other mount. Pure. */
import { PATHS } from "../../../runtime/cnpg/names";
import { finding } from "../findings/findings";
import { isUnknown } from "../model/unknown";
import { isBelow } from "../rules/values";
import type { RepositoryBase, RepositoryType, TargetBase } from "./repositoryType";

/** Failure domain of a directory on the database's own machine. */
export const OF_THE_HOST = "the file systems of the host";

export const posix: RepositoryType<TargetBase, RepositoryBase> = {
  bundles: false,
  exposed: null,
  secretFiles: {},

  open: () => ({}),
  secrets: () => ({}),
  secretText: () => null,

  resolve: () => ({}),
  /** A directory is on the host, or with `requireMount` on the machine behind the mount. */
  site({ offSite = false, path = "", requireMount }) {
    const site = { provider: "filesystem", offSite, thirdParty: false };
    if (requireMount !== true) return { ...site, title: "file system", failureDomain: OF_THE_HOST };
    return { ...site, title: "mounted file system", failureDomain: `the mount of ${mountOf(path)}` };
  },
  bringsKeys: () => false,

  location: ({ path }) => path,
  endpoint: () => null,
  address: () => "filesystem",
  confOptions: () => [],
  keyFile: () => null,

  checkAddress(repository, path, dataDirectory) {
    if (
      isUnknown(repository.path) ||
      dataDirectory === undefined ||
      isUnknown(dataDirectory) ||
      !isBelow(repository.path, dataDirectory)
    )
      return [];
    const fact = `"${repository.path}" lies in the data directory "${dataDirectory}": it would be lost with it`;
    return [finding("PB019", `${path}.at.path`, fact, "choose another disk or host")];
  },
  checkKeys: () => [],
  checkSecretFiles: () => [],
  checkPod(repository, path) {
    if (isUnknown(repository.path) || repository.path.startsWith(`${PATHS.claims}/`)) return [];
    const fact = `"${repository.path}" is a directory in a container and is lost with it`;
    const hint = `choose a path below ${PATHS.claims}/<name of a PersistentVolumeClaim>`;
    return [finding("PB044", `${path}.at.path`, fact, hint)];
  },
};

/** `/mnt/nas` of `/mnt/nas/pgbackrest`: the usual mount point. Directories of one mount are lost together. */
function mountOf(path: string): string {
  return isUnknown(path) ? path : path.split("/").slice(0, 3).join("/");
}
