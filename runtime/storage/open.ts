/** Opens the storage of a repository: the one file that names the drivers. */
import { type BackupError, fail } from "../base/errors";
import type { AzureConfig, GcsConfig, RepoConfig, S3Config, S3KeySource } from "../config/types";
import { type AzureAuthority, sasAuthority, sharedKeyAuthority, tokenAuthority } from "./azure/azureKey";
import { azureAddressOf } from "./azure/azureAddress";
import { BlobStorage } from "./azure/blobStorage";
import { AZURE_VERSIONS } from "./azure/blobVersions";
import { fetchIdentityToken } from "./azure/managedIdentity";
import { GcsStorage } from "./gcs/gcsStorage";
import { wholeUnits } from "./gcs/gcsUpload";
import { GCS_VERSIONS } from "./gcs/generations";
import { fetchMetadataToken, fetchServiceToken, type ServiceKeyOptions } from "./gcs/googleToken";
import { type AccessToken, type Bearer, fixedBearer, renewedBearer } from "./objectStore/accessToken";
import type { KeySourceDeps } from "./objectStore/keyAsker";
import type { ObjectStorageDeps } from "./objectStore/objectStorage";
import { PastStorage } from "./objectStore/past";
import { Renewed } from "./objectStore/renewed";
import { listedOnce } from "./listedOnce";
import { authorityOf } from "./namedFile";
import { type PosixOptions, PosixStorage } from "./posix";
import type { Served } from "./process/calls";
import { findHangingMount, isOnMount, type Mount, type MountReader } from "./process/mounts";
import { ProcessStorage, type ProcessStorageDeps } from "./process/processStorage";
import { S3Storage } from "./s3/client";
import { type CredentialSource, RenewedCredentials } from "./s3/credentials";
import { fetchCredentials } from "./s3/keySource";
import { findQuirks, S3_QUIRKS } from "./s3/quirks";
import { s3Versions } from "./s3/s3Versions";
import { SftpStorage } from "./sftp/driver";
import type { SessionDeps } from "./sftp/session";
import type { Storage } from "./storage";
import { unusableStorage } from "./unusable";

export type OpenDeps = ObjectStorageDeps &
  KeySourceDeps &
  SessionDeps & {
    /** Absent: every directory is used directly. */
    readonly processes?: StorageProcesses;
  };

export interface StorageProcesses extends Pick<ProcessStorageDeps, "start" | "version" | "findStuck"> {
  /** Default the kernel's. */
  readonly mounts?: MountReader;
}

const VERSIONED: readonly RepoConfig["type"][] = ["azure", "gcs", "s3"];
/** A mount may appear while an agent runs, and this is cheap: 0.1 ms. */
const MOUNTS_LOOKED_UP_MS = 5000;
/** Calls that would write to a bare mount point. */
const WRITES: ReadonlySet<keyof Storage> = new Set([
  ...(["put", "create", "replace", "putStream", "openWriter", "makePath", "syncPath", "link", "hardLink"] as const),
  ...(["remove", "removePath", "removeDirectory"] as const),
]);

/**
 * Does no I/O apart from reading the CA file: the first use shows an unreachable repository.
 * @throws optionRequired, optionInvalidValue; featureNotSupported for a target time where nothing keeps versions
 */
export function openStorage(repo: RepoConfig, deps: OpenDeps): Storage {
  if (repo.targetTimeMs !== undefined && !VERSIONED.includes(repo.type)) {
    const fact = `a repository of type '${repo.type}' keeps no versions`;
    throw fail("featureNotSupported", `repo${repo.key} cannot be read as of a time: ${fact}`, {
      repoIndex: repo.key,
      hint: "Omit repo-target-time, or use a repository in a versioned bucket with --repo. A file system may have snapshots: mount one, and name it with repo-path.",
    });
  }
  return listedOnce(openDriver(repo, deps));
}

function openDriver(repo: RepoConfig, deps: OpenDeps): Storage {
  switch (repo.type) {
    case "azure":
      return openAzure(repo, required(repo.azure, repo.key, "azure-container"), deps);
    case "gcs":
      return openGcs(repo, required(repo.gcs, repo.key, "gcs-bucket"), deps);
    case "posix":
      return openDirectory(
        repo,
        { root: repo.path, syncDirectories: true, symlinks: repo.symlink, hardLinks: true },
        deps,
      );
    case "cifs":
      return openDirectory(repo, { root: repo.path, syncDirectories: false, symlinks: false, hardLinks: false }, deps);
    case "s3":
      return openS3(repo, required(repo.s3, repo.key, "s3-bucket"), deps);
    case "sftp":
      return new SftpStorage(
        { ...required(repo.sftp, repo.key, "sftp-host"), repoIndex: repo.key, root: repo.path },
        deps,
      );
  }
}

/** @throws optionRequired naming the option that is missing */
function required<T>(
  value: T | undefined,
  repoIndex: number,
  option: string,
  hint: string | readonly string[] = [],
): T {
  if (value !== undefined) return value;
  throw fail("optionRequired", `command requires option: repo${repoIndex}-${option}`, { repoIndex, hint });
}

/**
 * Directly on a local disk; in a process of its own where a file system may stop answering. Unusable while a required
 * mount is missing: a bare mount point takes a new stanza and all WAL, which the next mount hides.
 */
function openDirectory(
  { key, requireMount = false }: Pick<RepoConfig, "key" | "requireMount">,
  served: Served,
  deps: OpenDeps,
): Storage {
  const { clock, processes, random, signal } = deps;
  const direct = new PosixStorage({ ...served, random, signal });
  if (processes === undefined && !requireMount) return direct;
  const apart = new Map<string, ProcessStorage>();
  let lookedUpMs = Number.NEGATIVE_INFINITY;
  let chosen: Storage = direct;
  const choose = (isFresh = false): Storage => {
    if (!isFresh && clock.monotonicMs() - lookedUpMs < MOUNTS_LOOKED_UP_MS) return chosen;
    lookedUpMs = clock.monotonicMs();
    if (requireMount && !isOnMount(served.root, processes?.mounts)) {
      chosen = unmounted(key, direct);
      closeLeft();
      return chosen;
    }
    const mount = processes === undefined ? null : findHangingMount(served.root, processes.mounts);
    chosen = mount === null || processes === undefined ? direct : openApart(mount, processes);
    closeLeft();
    return chosen;
  };
  const openApart = (mount: Mount, parts: StorageProcesses): Storage => {
    const known = apart.get(mount.id) ?? new ProcessStorage(served, mount, { ...deps, ...parts });
    apart.set(mount.id, known);
    return known;
  };
  /** Processes of mounts that are no longer there. One that still works for a caller ends later. */
  const closeLeft = (): void => {
    for (const [id, each] of apart) {
      if (each === chosen || !each.isIdle) continue;
      apart.delete(id);
      void each.close();
    }
  };
  /** What was written counts only if the mount was there until the end. */
  const stillThere = async (result: unknown, storage: Storage): Promise<unknown> => {
    const value = await result;
    if (choose(true) === storage) return value;
    throw unmountedError(key, direct);
  };
  const closeAll = async (): Promise<void> => void (await Promise.all([...apart.values()].map((each) => each.close())));
  return new Proxy<Storage>(direct, {
    get: (_, name: keyof Storage) => {
      if (name === "close") return closeAll;
      const asked = choose();
      const member: unknown = asked[name];
      if (typeof member !== "function") return member;
      const isGuarded = requireMount && WRITES.has(name);
      // A caller may keep the method: each call goes to the storage of its moment.
      return (...args: unknown[]): unknown => {
        const storage = choose(isGuarded);
        const current: unknown = storage[name];
        const result: unknown =
          typeof current === "function" ? current.apply(storage, args) : member.apply(asked, args);
        return isGuarded ? stillThere(result, storage) : result;
      };
    },
  });
}

/** It can do what the directory can: otherwise a check for a lost mount would take it for a store without mounts. */
function unmounted(repoIndex: number, direct: Storage): Storage {
  return unusableStorage(direct.name, unmountedError(repoIndex, direct), direct);
}

function unmountedError(repoIndex: number, { name: root }: Storage): BackupError {
  return fail("pathMissing", `nothing is mounted at or above '${root}'`, {
    hint: `Mount it. Only for a repository on this machine's own disk: remove requireMount of repo${repoIndex} from the settings file.`,
    repoIndex,
    path: root,
    retryable: true,
  });
}

/** 30 s of a file server that takes a megabyte a second: less than the usual `io-timeout`. */
const SYNC_EVERY_BYTES = 32 * 1024 * 1024;

/** The directory as its storage process uses it. */
export function openServed(served: Served, deps: Pick<PosixOptions, "random" | "signal">): Storage {
  return new PosixStorage({ ...served, ...deps, syncEveryBytes: SYNC_EVERY_BYTES });
}

/** True where only a storage process may touch the directory. */
export function mayHang(path: string): boolean {
  return findHangingMount(path) !== null;
}

/** User id of such a directory's owner; null if it is missing or does not answer. */
export async function findMountedOwner(path: string, deps: ProcessStorageDeps): Promise<number | null> {
  const mount = findHangingMount(path);
  if (mount === null) return null;
  const served = { root: path, syncDirectories: true, symlinks: false, hardLinks: false };
  const storage = new ProcessStorage(served, mount, deps);
  try {
    return await storage.owner();
  } catch {
    return null;
  } finally {
    await storage.close();
  }
}

function openAzure(repo: RepoConfig, azure: AzureConfig, deps: OpenDeps): Storage {
  const { key: repoIndex, path, targetTimeMs } = repo;
  const { caFile: _caFile, uploadChunkSizeBytes, key: _key, identityOrigin: _origin, ...rest } = azure;
  const authority = azureAuthorityOf(azure, repoIndex, deps);
  const ca = authorityOf(azure, repoIndex, deps);
  const options = { ...rest, repoIndex, path, authority, partSizeBytes: uploadChunkSizeBytes, ...ca };
  const container = new BlobStorage(options, deps);
  if (targetTimeMs === undefined) return container;
  return new PastStorage(container, { repoIndex, bucket: azure.container, service: AZURE_VERSIONS, targetTimeMs });
}

function azureAuthorityOf(azure: AzureConfig, repoIndex: number, deps: OpenDeps): AzureAuthority {
  const { account, identityOrigin, key, keyType } = azure;
  if (keyType === "auto") {
    const { host } = azureAddressOf(azure, repoIndex);
    const options = { repoIndex, host, ...(identityOrigin === undefined ? {} : { origin: identityOrigin }) };
    const fetch = (): ReturnType<typeof fetchIdentityToken> => fetchIdentityToken(options, deps);
    return tokenAuthority(renewedBearer(new Renewed(fetch, ({ token }) => token, deps.clock)));
  }
  const hint = `it is needed when repo${repoIndex}-azure-key-type is ${keyType}; write it in a configuration file or set PGBACKREST_REPO${repoIndex}_AZURE_KEY.`;
  const secret = required(key, repoIndex, "azure-key", hint);
  return keyType === "sas" ? sasAuthority(secret) : sharedKeyAuthority(account, secret);
}

function openGcs(repo: RepoConfig, gcs: GcsConfig, deps: OpenDeps): Storage {
  const { key: repoIndex, path, targetTimeMs } = repo;
  const { caFile: _caFile, uploadChunkSizeBytes, key: _key, metadataOrigin: _origin, ...rest } = gcs;
  const ca = authorityOf(gcs, repoIndex, deps);
  const bearer = gcsBearerOf(gcs, { repoIndex, isReadOnly: targetTimeMs !== undefined, ...ca }, deps);
  const partSizeBytes = wholeUnits(uploadChunkSizeBytes);
  const bucket = new GcsStorage({ ...rest, repoIndex, path, bearer, partSizeBytes, ...ca }, deps);
  if (targetTimeMs === undefined) return bucket;
  return new PastStorage(bucket, { repoIndex, bucket: gcs.bucket, service: GCS_VERSIONS, targetTimeMs });
}

function gcsBearerOf(
  { key, keyType, metadataOrigin: origin }: GcsConfig,
  options: Omit<ServiceKeyOptions, "key">,
  deps: OpenDeps,
): Bearer {
  const { repoIndex } = options;
  const renewed = (fetch: () => Promise<AccessToken>): Bearer =>
    renewedBearer(new Renewed(fetch, ({ token }) => token, deps.clock));
  if (keyType === "auto")
    return renewed(() => fetchMetadataToken({ repoIndex, ...(origin === undefined ? {} : { origin }) }, deps));
  const hint = `it is needed when repo${repoIndex}-gcs-key-type is ${keyType}; write it in a configuration file or set PGBACKREST_REPO${repoIndex}_GCS_KEY.`;
  const secret = required(key, repoIndex, "gcs-key", hint);
  return keyType === "token"
    ? fixedBearer(secret)
    : renewed(() => fetchServiceToken({ ...options, key: secret }, deps));
}

function openS3(repo: RepoConfig, s3: S3Config, deps: OpenDeps): Storage {
  // Another host than the endpoint's name says is another service.
  const quirks = findQuirks(s3.quirks, s3.storageHost ?? s3.endpoint);
  if (quirks === null) {
    throw fail("optionInvalidValue", `'${s3.quirks}' is not allowed for 's3Quirks' of repo${repo.key}`, {
      repoIndex: repo.key,
      hint: `Allowed are: auto, ${S3_QUIRKS.map((row) => row.id).join(", ")}.`,
    });
  }
  const { quirks: _, caFile: _caFile, keySource, uploadChunkSizeBytes, ...rest } = s3;
  const ca = authorityOf(s3, repo.key, deps);
  const fetched = (source: S3KeySource): CredentialSource =>
    new RenewedCredentials(() => fetchCredentials(source, { repoIndex: repo.key, ...ca }, deps), deps.clock);
  const bucket = new S3Storage(
    {
      ...rest,
      repoIndex: repo.key,
      path: repo.path,
      quirks,
      partSizeBytes: uploadChunkSizeBytes,
      ...(keySource === undefined ? {} : { credentials: fetched(keySource) }),
      ...ca,
    },
    deps,
  );
  const { key: repoIndex, targetTimeMs } = repo;
  if (targetTimeMs === undefined) return bucket;
  return new PastStorage(bucket, { repoIndex, bucket: s3.bucket, service: s3Versions(quirks), targetTimeMs });
}
