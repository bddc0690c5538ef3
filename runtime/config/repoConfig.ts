/**
 * Builds each {@link RepoConfig} from resolved options, with the checks that concern several options or repositories.
 */
import { isDeepStrictEqual } from "node:util";
import { type BackupError, fail } from "../base/errors";
import { given } from "../base/given";
import { Secret } from "../base/secret";
import { buildBlock } from "./blockOptions";
import type { ResolvedValues } from "./resolvedValues";
import { limitRateOf } from "./hours/limitRate";
import { checkLevel, levelRangeOf } from "./settings";
import type { CompressType } from "./options";
import type { AzureConfig, Config, GcsConfig, RepoConfig, S3Config, S3KeySource } from "./types";
import type { Settings, SftpConfig, SftpHostKeyCheck } from "./types";

interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** Every repository, ascending by key. @throws optionInvalidValue, config */
export function buildRepos(
  values: ResolvedValues,
  repoIndexes: readonly number[],
  compress: Config["compress"],
  settings: Settings,
  unusable: ReadonlyMap<number, BackupError> = new Map(),
  surroundings: Surroundings = { env: {} },
): readonly RepoConfig[] {
  const repos = repoIndexes.map((key): RepoConfig => {
    const reason = unusable.get(key);
    return {
      ...buildRepo(values, key, compress, settings.repos[key] ?? {}, surroundings),
      ...(reason === undefined ? {} : { unusable: reason }),
    };
  });
  checkLocations(repos);
  return repos;
}

function buildRepo(
  values: ResolvedValues,
  key: number,
  compress: Config["compress"],
  own: Settings["repos"][number],
  surroundings: Surroundings,
): RepoConfig {
  const type = (values.text("repo-type", key) ?? "posix") as RepoConfig["type"];
  const cipherPass = values.text("repo-cipher-pass", key);
  return {
    key,
    type,
    path: values.text("repo-path", key) ?? "",
    ...(own.requireMount === true ? { requireMount: true } : {}),
    cipherType: values.text("repo-cipher-type", key) === "aes-256-cbc" ? "aes-256-cbc" : "none",
    ...(cipherPass === undefined ? {} : { cipherPass: new Secret(cipherPass) }),
    ...(type === "azure" ? { azure: buildAzure(values, key, surroundings) } : {}),
    ...(type === "gcs" ? { gcs: buildGcs(values, key, surroundings) } : {}),
    ...(type === "s3" ? { s3: buildS3(values, key, own.s3Quirks ?? "auto", surroundings) } : {}),
    ...(type === "sftp" ? { sftp: buildSftp(values, key) } : {}),
    hardlink: values.flag("repo-hardlink", key),
    symlink: values.flag("repo-symlink", key),
    bundle: values.flag("repo-bundle", key),
    bundleSizeBytes: values.number("repo-bundle-size", key) ?? 0,
    bundleLimitBytes: values.number("repo-bundle-limit", key) ?? 0,
    ...given({
      block: buildBlock(values, key) ?? undefined,
      retentionFull: values.number("repo-retention-full", key),
      retentionDiff: values.number("repo-retention-diff", key),
      retentionArchive: values.number("repo-retention-archive", key),
      retentionHistoryDays: values.number("repo-retention-history", key),
      keep: own.keep === undefined ? undefined : { ...own.keep, zone: own.keep.zone ?? "UTC" },
      keepDumps: own.keepDumps,
      limitRate: own.limitRate === undefined ? undefined : limitRateOf(own.limitRate),
    }),
    retentionFullType: values.text("repo-retention-full-type", key) === "time" ? "time" : "count",
    retentionArchiveType: (values.text("repo-retention-archive-type", key) ??
      "full") as RepoConfig["retentionArchiveType"],
    ...compressOf(key, compress, own),
  };
}

function compressOf(
  key: number,
  compress: Config["compress"],
  own: Settings["repos"][number],
): { compressType: CompressType; compressLevel: number } {
  const compressType = own.compressType ?? compress.type;
  if (own.compressLevel !== undefined) {
    const level = own.compressLevel;
    checkLevel(level, compressType, (allowed) =>
      fail("config", `settings field 'repos.repo${key}.compressLevel' must be ${allowed}, not ${level}`, {
        field: ["repos", `repo${key}`, "compressLevel"],
      }),
    );
    return { compressType, compressLevel: level };
  }
  return {
    compressType,
    compressLevel: compressType === compress.type ? compress.level : (levelRangeOf(compressType)?.fallback ?? 0),
  };
}

function buildAzure(values: ResolvedValues, key: number, { env }: Surroundings): AzureConfig {
  const keyType = (values.text("repo-azure-key-type", key) ?? "shared") as AzureConfig["keyType"];
  const secret = keyType === "auto" ? undefined : values.text("repo-azure-key", key);
  if (keyType === "shared" && secret !== undefined) checkBase64(secret, key);
  const storageHost = values.text("repo-storage-host", key);
  // In stock the host option once meant Azurite, which has the account in the path.
  const isUsualStyle = storageHost === undefined || values.isGiven("repo-azure-uri-style", key);
  return {
    account: values.text("repo-azure-account", key) ?? "",
    container: values.text("repo-azure-container", key) ?? "",
    endpoint: values.text("repo-azure-endpoint", key) ?? "",
    keyType,
    ...given({
      key: secret === undefined ? undefined : new Secret(secret),
      // As the SDKs of Azure know it.
      identityOrigin: env["AZURE_POD_IDENTITY_AUTHORITY_HOST"] || undefined,
      storageHost,
      caFile: values.text("repo-storage-ca-file", key),
    }),
    uriStyle: isUsualStyle && values.text("repo-azure-uri-style", key) !== "path" ? "host" : "path",
    storagePort: values.number("repo-storage-port", key) ?? 443,
    verifyTls: values.flag("repo-storage-verify-tls", key),
    uploadChunkSizeBytes: values.number("repo-storage-upload-chunk-size", key) ?? 0,
  };
}

/** The message never repeats the key. */
function checkBase64(secret: string, key: number): void {
  if (secret.length % 4 === 0 && /^[A-Za-z0-9+/]+={0,2}$/.test(secret)) return;
  throw fail("optionInvalidValue", `invalid value for 'repo${key}-azure-key' option: it is not base64`, {
    repoIndex: key,
    hint: `value must be valid base64 when 'repo${key}-azure-key-type = shared'.`,
  });
}

function buildGcs(values: ResolvedValues, key: number, { env }: Surroundings): GcsConfig {
  const keyType = (values.text("repo-gcs-key-type", key) ?? "service") as GcsConfig["keyType"];
  const secret = keyType === "auto" ? undefined : values.text("repo-gcs-key", key);
  // As the libraries of Google know it: a host, optionally with a port.
  const metadataHost = env["GCE_METADATA_HOST"] || undefined;
  return {
    bucket: values.text("repo-gcs-bucket", key) ?? "",
    endpoint: values.text("repo-gcs-endpoint", key) ?? "",
    keyType,
    ...given({
      key: secret === undefined ? undefined : new Secret(secret),
      metadataOrigin: metadataHost === undefined ? undefined : `http://${metadataHost}`,
      userProject: values.text("repo-gcs-user-project", key),
      caFile: values.text("repo-storage-ca-file", key),
    }),
    verifyTls: values.flag("repo-storage-verify-tls", key),
    uploadChunkSizeBytes: values.number("repo-storage-upload-chunk-size", key) ?? 0,
  };
}

function buildS3(values: ResolvedValues, key: number, quirks: string, surroundings: Surroundings): S3Config {
  const bucket = values.text("repo-s3-bucket", key) ?? "";
  const uriStyle = values.text("repo-s3-uri-style", key) === "path" ? "path" : "host";
  const verifyTls = values.flag("repo-storage-verify-tls", key);
  if (verifyTls && uriStyle === "host" && bucket.includes(".")) {
    throw fail("optionInvalidValue", `'${bucket}' is not valid for option 'repo${key}-s3-bucket'`, {
      hint: [
        "RFC-2818 forbids dots in wildcard matches.",
        "TLS/SSL verification cannot proceed with this bucket name.",
        `remove dots from the bucket name, or set repo${key}-s3-uri-style=path.`,
      ],
    });
  }
  const token = values.text("repo-s3-token", key);
  return {
    bucket,
    endpoint: values.text("repo-s3-endpoint", key) ?? "",
    region: values.text("repo-s3-region", key) ?? "",
    key: new Secret(values.text("repo-s3-key", key) ?? ""),
    keySecret: new Secret(values.text("repo-s3-key-secret", key) ?? ""),
    ...(token === undefined ? {} : { token: new Secret(token) }),
    ...keySourceOf(values, key, surroundings),
    uriStyle,
    ...given({
      storageHost: values.text("repo-storage-host", key),
      caFile: values.text("repo-storage-ca-file", key),
    }),
    storagePort: values.number("repo-storage-port", key) ?? 443,
    verifyTls,
    uploadChunkSizeBytes: values.number("repo-storage-upload-chunk-size", key) ?? 0,
    quirks,
  };
}

/** Names of variables as the SDKs of Amazon know them; stock reads the same. */
function keySourceOf(values: ResolvedValues, key: number, { env }: Surroundings): { readonly keySource?: S3KeySource } {
  const text = (variable: string): string | undefined => env[variable] || undefined;
  switch (values.text("repo-s3-key-type", key)) {
    case "auto": {
      const fields = { role: values.text("repo-s3-role", key), endpoint: text("AWS_EC2_METADATA_SERVICE_ENDPOINT") };
      return { keySource: { type: "auto", ...given(fields) } };
    }
    case "web-id": {
      const [roleArn, sessionName] = [text("AWS_ROLE_ARN"), text("AWS_ROLE_SESSION_NAME")];
      const fields = given({ roleArn, sessionName, tokenFile: text("AWS_WEB_IDENTITY_TOKEN_FILE") });
      return { keySource: { type: "web-id", ...fields, stsHost: values.text("repo-s3-sts-host", key) ?? "" } };
    }
    case "pod-id": {
      const uri = text("AWS_CONTAINER_CREDENTIALS_FULL_URI");
      const tokenFile = text("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
      return { keySource: { type: "pod-id", ...given({ uri, tokenFile }) } };
    }
    case "process":
      return { keySource: { type: "process", command: values.list("repo-s3-process-cmd", key) } };
    default:
      return {};
  }
}

function buildSftp(values: ResolvedValues, key: number): SftpConfig {
  const passphrase = values.text("repo-sftp-private-key-passphrase", key);
  return {
    host: values.text("repo-sftp-host", key) ?? "",
    port: values.number("repo-sftp-host-port", key) ?? 22,
    user: values.text("repo-sftp-host-user", key) ?? "",
    hostKeyCheck: hostKeyCheckOf(values, key),
    privateKeyFile: values.text("repo-sftp-private-key-file", key) ?? "",
    ...(passphrase === undefined ? {} : { privateKeyPassphrase: new Secret(passphrase) }),
  };
}

/** A fingerprint besides `strict` means `fingerprint`, as in stock, which calls that form old. */
function hostKeyCheckOf(values: ResolvedValues, key: number): SftpHostKeyCheck {
  const type = values.text("repo-sftp-host-key-check-type", key);
  const fingerprint = values.text("repo-sftp-host-fingerprint", key);
  if (type === "none") return { type: "none" };
  if (fingerprint === undefined) return { type: "known-hosts", files: values.list("repo-sftp-known-host", key) };
  const hashType = (values.text("repo-sftp-host-key-hash-type", key) ?? "sha256") as "md5" | "sha1" | "sha256";
  return { type: "fingerprint", hashType, fingerprint };
}

/** Two repositories in one location would overwrite each other. */
function checkLocations(repos: readonly RepoConfig[]): void {
  for (const [index, repo] of repos.entries()) {
    for (const other of repos.slice(index + 1)) {
      if (repo.type !== other.type || repo.path !== other.path) continue;
      const [one, two] = [serverOf(repo), serverOf(other)];
      if (!isDeepStrictEqual(one?.identity, two?.identity)) continue;
      const names = `${one === null ? "local " : ""}repo${repo.key} and repo${other.key}`;
      const location = `'${repo.path}'${one === null ? "" : ` ${one.text}`}`;
      throw fail("optionInvalidValue", `${names} paths are both ${location} but must be different`);
    }
  }
}

/** Null for a directory of this machine. */
function serverOf({
  azure,
  gcs,
  s3,
  sftp,
}: RepoConfig): { readonly identity: readonly unknown[]; readonly text: string } | null {
  if (azure !== undefined) {
    const { account, container, endpoint, storageHost } = azure;
    return { identity: [account, container, storageHost ?? endpoint], text: `in container '${container}'` };
  }
  if (gcs !== undefined) return { identity: [gcs.bucket, gcs.endpoint], text: `in bucket '${gcs.bucket}'` };
  if (sftp !== undefined) return { identity: [sftp.host, sftp.port], text: `on host '${sftp.host}'` };
  return s3 === undefined ? null : { identity: [s3.bucket, s3.endpoint], text: `in bucket '${s3.bucket}'` };
}
