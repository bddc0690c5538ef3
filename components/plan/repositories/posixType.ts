/** Repositories in directories: another disk, a NAS or any other mount. Pure. */
import { PATHS } from "../../../runtime/cnpg/names";
import { finding } from "../findings/findings";
import { fields } from "../model/deferred";
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
  site: (target) =>
    fields({
      provider: () => "filesystem",
      title: () => (target.requireMount === true ? "mounted file system" : "file system"),
      failureDomain: () => (target.requireMount === true ? `the mount of ${mountOf(target.path ?? "")}` : OF_THE_HOST),
      offSite: () => target.offSite ?? false,
      thirdParty: () => false,
    }),
  bringsKeys: () => false,

  location: ({ path }) => path,
  endpoint: () => null,
  server: () => null,
  address: () => "filesystem",
  confOptions: () => [],
  keyFile: () => null,

  checkAddress(repository, path, dataDirectory) {
    const database = dataDirectory();
    if (database === undefined || !isBelow(repository.path, database)) return [];
    const fact = `"${repository.path}" lies in the data directory "${database}": it would be lost with it`;
    return [finding("PB019", `${path}.at.path`, fact, "choose another disk or host")];
  },
  checkKeys: () => [],
  checkSecretFiles: () => [],
  checkPod(repository, path) {
    if (repository.path.startsWith(`${PATHS.claims}/`)) return [];
    const fact = `"${repository.path}" is a directory in a container and is lost with it`;
    const hint = `choose a path below ${PATHS.claims}/<name of a PersistentVolumeClaim>`;
    return [finding("PB044", `${path}.at.path`, fact, hint)];
  },
};

/** `/mnt/nas` of `/mnt/nas/pgbackrest`: the usual mount point. Directories of one mount are lost together. */
function mountOf(path: string): string {
  return path.split("/").slice(0, 3).join("/");
}
