/** Opens the storage of a repository: the one file that names the drivers. */
import { textOf } from "../base/bytes";
import { fail } from "../base/errors";
import type { RepoConfig, S3Config, S3KeySource } from "../config/types";
import { PosixStorage } from "./posix";
import { type S3Deps, S3Storage } from "./s3/client";
import { type CredentialSource, RenewedCredentials } from "./s3/credentials";
import { fetchCredentials, type KeySourceDeps } from "./s3/keySource";
import { PastStorage } from "./s3/past";
import { findQuirks, S3_QUIRKS } from "./s3/quirks";
import { SftpStorage } from "./sftp/driver";
import type { SessionDeps } from "./sftp/session";
import type { Storage } from "./storage";

export type OpenDeps = S3Deps & KeySourceDeps & SessionDeps;

/**
 * Does no I/O apart from reading the CA file: the first use shows an unreachable repository.
 * @throws optionRequired, optionInvalidValue; featureNotSupported for a target time where nothing keeps versions
 */
export function openStorage(repo: RepoConfig, deps: OpenDeps): Storage {
  const { random, signal } = deps;
  if (repo.targetTimeMs !== undefined && repo.type !== "s3") {
    throw fail(
      "featureNotSupported",
      `repo${repo.key} cannot be read as of a time: a repository of type '${repo.type}' keeps no versions`,
      {
        repoIndex: repo.key,
        hint: "Leave out repo-target-time, or use a repository in a versioned bucket with --repo. A file system may have snapshots: mount one, and name it with repo-path.",
      },
    );
  }
  switch (repo.type) {
    case "posix":
      return new PosixStorage({
        root: repo.path,
        syncDirectories: true,
        symlinks: repo.symlink,
        hardLinks: true,
        random,
        signal,
      });
    case "cifs":
      return new PosixStorage({ root: repo.path, syncDirectories: false, symlinks: false, random, signal });
    case "s3":
      if (repo.s3 === undefined)
        throw fail("optionRequired", `command requires option: repo${repo.key}-s3-bucket`, { repoIndex: repo.key });
      return openS3(repo, repo.s3, deps);
    case "sftp":
      if (repo.sftp === undefined)
        throw fail("optionRequired", `command requires option: repo${repo.key}-sftp-host`, { repoIndex: repo.key });
      return new SftpStorage({ ...repo.sftp, repoIndex: repo.key, root: repo.path }, deps);
  }
}

function openS3(repo: RepoConfig, s3: S3Config, deps: OpenDeps): Storage {
  const quirks = findQuirks(s3.quirks, s3.endpoint);
  if (quirks === null) {
    throw fail("optionInvalidValue", `'${s3.quirks}' is not allowed for 's3Quirks' of repo${repo.key}`, {
      repoIndex: repo.key,
      hint: `Allowed are: auto, ${S3_QUIRKS.map((row) => row.id).join(", ")}.`,
    });
  }
  const { quirks: _, caFile, keySource, uploadChunkSizeBytes, ...rest } = s3;
  const ca = caFile === undefined ? {} : { ca: textOf(deps.readFile(caFile)) };
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
  return new PastStorage(bucket, { repoIndex, bucket: s3.bucket, quirks, targetTimeMs });
}
