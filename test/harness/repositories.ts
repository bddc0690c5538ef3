/** Complete, plain repository configurations for tests. Each test overrides only what it needs. */
import { readFileSync } from "node:fs";
import { systemClock } from "../../runtime/base/clock";
import { systemRandom } from "../../runtime/base/random";
import { Secret } from "../../runtime/base/secret";
import type { AzureConfig, GcsConfig, RepoConfig, S3Config, SftpConfig } from "../../runtime/config/types";
import type { OpenDeps } from "../../runtime/storage/open";
import type { AzuriteServer } from "../../tools/parts/servers/azuriteServer";
import type { GcsServer } from "../../tools/parts/servers/gcsServer";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import type { SftpServer } from "../../tools/parts/servers/sftpServer";

/** What a driver gets from this process. */
export const OPEN_DEPS: OpenDeps = {
  clock: systemClock,
  random: systemRandom,
  signal: new AbortController().signal,
  ioTimeoutMs: 20_000,
  readFile: (path) => readFileSync(path),
};

const PLAIN = {
  key: 1,
  cipherType: "none",
  hardlink: false,
  symlink: true,
  bundle: false,
  bundleSizeBytes: 20 * 1024 * 1024,
  bundleLimitBytes: 2 * 1024 * 1024,
  retentionFullType: "count",
  retentionArchiveType: "full",
  compressType: "gz",
  compressLevel: 6,
} as const;

/** A repository in the directory `path`. */
export function posixRepo(path: string, more: Partial<RepoConfig> = {}): RepoConfig {
  return { ...PLAIN, type: "posix", path, ...more };
}

/** A repository in the server's bucket. */
export function s3Repo(
  server: S3Server,
  more: { readonly path?: string; readonly key?: number; readonly s3?: Partial<S3Config> } = {},
): RepoConfig {
  const s3: S3Config = {
    bucket: server.bucket,
    endpoint: server.host,
    region: server.region,
    key: new Secret(server.accessKey),
    keySecret: new Secret(server.secretKey),
    uriStyle: "path",
    storagePort: server.port,
    verifyTls: true,
    caFile: server.caFile,
    uploadChunkSizeBytes: 5 * 1024 * 1024,
    quirks: "generic",
    ...more.s3,
  };
  return { ...PLAIN, key: more.key ?? 2, type: "s3", path: more.path ?? "/repo", s3 };
}

/** A repository in a directory of the server. */
export function sftpRepo(server: SftpServer, path: string, sftp: Partial<SftpConfig> = {}): RepoConfig {
  const own: SftpConfig = {
    host: server.host,
    port: server.port,
    user: server.user.name,
    hostKeyCheck: { type: "fingerprint", hashType: "sha256", fingerprint: server.fingerprint("ecdsa") },
    privateKeyFile: server.clientKeyFile,
    ...sftp,
  };
  return { ...PLAIN, key: 3, symlink: false, type: "sftp", path, sftp: own };
}

/** A repository in the server's container. */
export function azureRepo(server: AzuriteServer, path: string, azure: Partial<AzureConfig> = {}): RepoConfig {
  const own: AzureConfig = {
    account: server.account,
    container: server.container,
    endpoint: server.host,
    keyType: "shared",
    key: new Secret(server.accountKey),
    uriStyle: "path",
    storagePort: server.port,
    verifyTls: true,
    caFile: server.caFile,
    uploadChunkSizeBytes: 4 * 1024 * 1024,
    ...azure,
  };
  return { ...PLAIN, key: 4, symlink: false, type: "azure", path, azure: own };
}

/** A repository in the server's bucket. */
export function gcsRepo(server: GcsServer, path: string, gcs: Partial<GcsConfig> = {}): RepoConfig {
  const own: GcsConfig = {
    bucket: server.bucket,
    endpoint: server.endpoint,
    keyType: "token",
    key: new Secret(server.token),
    verifyTls: true,
    caFile: server.caFile,
    uploadChunkSizeBytes: 4 * 1024 * 1024,
    ...gcs,
  };
  return { ...PLAIN, key: 5, symlink: false, type: "gcs", path, gcs: own };
}
