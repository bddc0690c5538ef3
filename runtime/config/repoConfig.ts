/**
 * Builds each {@link RepoConfig} from resolved options, with the checks that concern several options or repositories.
 */
import { type BackupError, fail } from "../base/errors";
import { Secret } from "../base/secret";
import { buildBlock } from "./blockOptions";
import type { ResolvedValues } from "./resolvedValues";
import { checkLevel, levelRangeOf } from "./settings";
import type { CompressType } from "./options";
import type { RepoConfig, S3Config, S3KeySource, Settings, SftpConfig, SftpHostKeyCheck } from "./types";

export interface CompressDefault {
  readonly type: CompressType;
  readonly level: number;
}

interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The account whose rights a program gets that a configuration file names; undefined for this process' own. */
  readonly fileAccount?: () => { readonly uid: number; readonly gid: number } | undefined;
}

/** Every repository, ascending by key. @throws optionInvalidValue, config */
export function buildRepos(
  values: ResolvedValues,
  repoIndexes: readonly number[],
  compress: CompressDefault,
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
  compress: CompressDefault,
  own: Settings["repos"][number],
  surroundings: Surroundings,
): RepoConfig {
  const type = values.text("repo-type", key) ?? "posix";
  if (type !== "posix" && type !== "cifs" && type !== "s3" && type !== "sftp")
    throw fail("featureNotSupported", `repo${key} of type '${type}' is not supported`);
  const cipherPass = values.text("repo-cipher-pass", key);
  const block = buildBlock(values, key);
  const retentionFull = values.number("repo-retention-full", key);
  const retentionDiff = values.number("repo-retention-diff", key);
  const retentionArchive = values.number("repo-retention-archive", key);
  const retentionHistoryDays = values.number("repo-retention-history", key);
  return {
    key,
    type,
    path: values.text("repo-path", key) ?? "",
    cipherType: values.text("repo-cipher-type", key) === "aes-256-cbc" ? "aes-256-cbc" : "none",
    ...(cipherPass === undefined ? {} : { cipherPass: new Secret(cipherPass) }),
    ...(type === "s3" ? { s3: buildS3(values, key, own.s3Quirks ?? "auto", surroundings) } : {}),
    ...(type === "sftp" ? { sftp: buildSftp(values, key) } : {}),
    hardlink: values.flag("repo-hardlink", key),
    symlink: values.flag("repo-symlink", key),
    bundle: values.flag("repo-bundle", key),
    bundleSizeBytes: values.number("repo-bundle-size", key) ?? 0,
    bundleLimitBytes: values.number("repo-bundle-limit", key) ?? 0,
    ...(block === null ? {} : { block }),
    ...(retentionFull === undefined ? {} : { retentionFull }),
    retentionFullType: values.text("repo-retention-full-type", key) === "time" ? "time" : "count",
    ...(retentionDiff === undefined ? {} : { retentionDiff }),
    ...(retentionArchive === undefined ? {} : { retentionArchive }),
    retentionArchiveType: (values.text("repo-retention-archive-type", key) ??
      "full") as RepoConfig["retentionArchiveType"],
    ...(retentionHistoryDays === undefined ? {} : { retentionHistoryDays }),
    ...compressOf(key, compress, own),
  };
}

function compressOf(
  key: number,
  compress: CompressDefault,
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
  const storageHost = values.text("repo-storage-host", key);
  const caFile = values.text("repo-storage-ca-file", key);
  return {
    bucket,
    endpoint: values.text("repo-s3-endpoint", key) ?? "",
    region: values.text("repo-s3-region", key) ?? "",
    key: new Secret(values.text("repo-s3-key", key) ?? ""),
    keySecret: new Secret(values.text("repo-s3-key-secret", key) ?? ""),
    ...(token === undefined ? {} : { token: new Secret(token) }),
    ...keySourceOf(values, key, surroundings),
    uriStyle,
    ...(storageHost === undefined ? {} : { storageHost }),
    storagePort: values.number("repo-storage-port", key) ?? 443,
    verifyTls,
    ...(caFile === undefined ? {} : { caFile }),
    uploadChunkSizeBytes: values.number("repo-storage-upload-chunk-size", key) ?? 0,
    quirks,
  };
}

/** Names of variables as the SDKs of Amazon know them; stock reads the same. */
function keySourceOf(
  values: ResolvedValues,
  key: number,
  { env, fileAccount }: Surroundings,
): { readonly keySource?: S3KeySource } {
  const given = <Name extends string>(name: Name, variable: string): Partial<Record<Name, string>> => {
    const value = env[variable];
    return (value === undefined || value === "" ? {} : { [name]: value }) as Partial<Record<Name, string>>;
  };
  switch (values.text("repo-s3-key-type", key)) {
    case "auto": {
      const role = values.text("repo-s3-role", key);
      return {
        keySource: {
          type: "auto",
          ...(role === undefined ? {} : { role }),
          ...given("endpoint", "AWS_EC2_METADATA_SERVICE_ENDPOINT"),
        },
      };
    }
    case "web-id": {
      const environment = { ...given("roleArn", "AWS_ROLE_ARN"), ...given("sessionName", "AWS_ROLE_SESSION_NAME") };
      const stsHost = values.text("repo-s3-sts-host", key) ?? "";
      return {
        keySource: { type: "web-id", ...environment, ...given("tokenFile", "AWS_WEB_IDENTITY_TOKEN_FILE"), stsHost },
      };
    }
    case "pod-id": {
      const environment = {
        ...given("uri", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
        ...given("tokenFile", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
      };
      return { keySource: { type: "pod-id", ...environment } };
    }
    case "process": {
      const command = values.list("repo-s3-process-cmd", key);
      const runAs = values.isFromFile("repo-s3-process-cmd", key) ? fileAccount?.() : undefined;
      return { keySource: { type: "process", command, ...(runAs === undefined ? {} : { runAs }) } };
    }
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
      if (repo.sftp !== undefined && other.sftp !== undefined) {
        if (repo.sftp.host !== other.sftp.host || repo.sftp.port !== other.sftp.port) continue;
        const location = `'${repo.path}' on host '${repo.sftp.host}'`;
        throw fail(
          "optionInvalidValue",
          `repo${repo.key} and repo${other.key} paths are both ${location} but must be different`,
        );
      }
      if (repo.s3 === undefined || other.s3 === undefined) {
        throw fail(
          "optionInvalidValue",
          `local repo${repo.key} and repo${other.key} paths are both '${repo.path}' but must be different`,
        );
      }
      if (repo.s3.bucket === other.s3.bucket && repo.s3.endpoint === other.s3.endpoint) {
        const location = `'${repo.path}' in bucket '${repo.s3.bucket}'`;
        throw fail(
          "optionInvalidValue",
          `repo${repo.key} and repo${other.key} paths are both ${location} but must be different`,
        );
      }
    }
  }
}
