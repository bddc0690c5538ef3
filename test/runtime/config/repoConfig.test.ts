import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { Secret } from "../../../runtime/base/secret";
import type { RepoConfig } from "../../../runtime/config/types";
import { failure, load, MAIN_FILE } from "./support";

const S3 = [
  "repo2-type=s3",
  "repo2-s3-bucket=bucket",
  "repo2-s3-endpoint=s3.example.net",
  "repo2-s3-region=eu",
  "repo2-path=/prefix",
];
const AZURE = [
  "repo2-type=azure",
  "repo2-path=/prefix",
  "repo2-azure-account=account",
  "repo2-azure-container=backups",
];
const GCS = ["repo2-type=gcs", "repo2-path=/prefix", "repo2-gcs-bucket=backups"];
const SFTP = [
  "repo2-type=sftp",
  "repo2-path=/data",
  "repo2-sftp-host=nas",
  "repo2-sftp-host-user=backup",
  "repo2-sftp-host-key-hash-type=sha256",
  "repo2-sftp-private-key-file=/key",
];
const KEYS = ["repo2-s3-key=markerKey", "repo2-s3-key-secret=markerKeySecret"];

function repos(
  lines: readonly string[],
  settings = "{}",
  command = "backup",
  env: Readonly<Record<string, string>> = {},
): readonly RepoConfig[] {
  const files = {
    [MAIN_FILE]: `[global]\n${lines.join("\n")}\n[main]\npg1-path=/pg\n`,
    "/etc/pgbackrest/pgbackstop.json": settings,
  };
  return load({ env, argv: [command, "--stanza=main"], files }).config.repos;
}

describe("repositories", () => {
  test("posix with everything by default", () => {
    expect(repos([])).toEqual([
      {
        key: 1,
        type: "posix",
        path: "/var/lib/pgbackrest",
        cipherType: "none",
        hardlink: false,
        symlink: true,
        bundle: false,
        bundleSizeBytes: 20 * 2 ** 20,
        bundleLimitBytes: 2 * 2 ** 20,
        retentionFullType: "count",
        retentionArchiveType: "full",
        compressType: "gz",
        compressLevel: 6,
      },
    ]);
  });

  // claim: docs/azure.md: options of pgBackRest, with its defaults
  test("Azure with its defaults, with every key type, and in the path's style behind a storage host", () => {
    const azureOf = (...more: readonly string[]) => repos(["repo1-path=/a", ...AZURE, ...more])[1]?.azure;
    const plain = repos(["repo1-path=/a", ...AZURE, "repo2-azure-key=bWFya2Vy"])[1];
    expect(plain).toMatchObject({ type: "azure", path: "/prefix", symlink: false });
    expect(plain?.azure).toEqual({
      account: "account",
      container: "backups",
      endpoint: "blob.core.windows.net",
      keyType: "shared",
      key: expect.any(Secret),
      uriStyle: "host",
      storagePort: 443,
      verifyTls: true,
      uploadChunkSizeBytes: 4 * 2 ** 20,
    });
    expect(plain?.azure?.key?.reveal()).toBe("bWFya2Vy");
    expect(inspect(plain, { depth: 10 })).not.toContain("bWFya2Vy");
    const sas = ["repo2-azure-key-type=sas", "repo2-azure-key=sv=1&sig=markerSas"];
    expect(azureOf(...sas)?.key?.reveal()).toBe("sv=1&sig=markerSas");
    const auto = azureOf("repo2-azure-key-type=auto");
    expect(auto).toMatchObject({ keyType: "auto" });
    expect(auto).not.toHaveProperty("key");
    const host = ["repo2-azure-key-type=auto", "repo2-storage-host=azurite.lan", "repo2-storage-port=10000"];
    expect(azureOf(...host)).toMatchObject({ uriStyle: "path", storageHost: "azurite.lan", storagePort: 10_000 });
    expect(azureOf(...host, "repo2-azure-uri-style=host")).toMatchObject({ uriStyle: "host" });
  });

  // claim: docs/gcs.md: options of pgBackRest, with its defaults
  test("Google Cloud Storage with its defaults, with every key type, and with everything set", () => {
    const gcsOf = (...more: readonly string[]) => repos(["repo1-path=/a", ...GCS, ...more])[1]?.gcs;
    const plain = repos(["repo1-path=/a", ...GCS, "repo2-gcs-key=/markerFile.json"])[1];
    expect(plain).toMatchObject({ type: "gcs", path: "/prefix", symlink: false });
    expect(plain?.gcs).toEqual({
      bucket: "backups",
      endpoint: "storage.googleapis.com",
      keyType: "service",
      key: expect.any(Secret),
      verifyTls: true,
      uploadChunkSizeBytes: 4 * 2 ** 20,
    });
    expect(plain?.gcs?.key?.reveal()).toBe("/markerFile.json");
    expect(inspect(plain, { depth: 10 })).not.toContain("markerFile");
    expect(gcsOf("repo2-gcs-key-type=token", "repo2-gcs-key=markerToken")?.key?.reveal()).toBe("markerToken");
    const auto = gcsOf("repo2-gcs-key-type=auto");
    expect(auto).toMatchObject({ keyType: "auto" });
    expect(auto).not.toHaveProperty("key");
    const more = [
      "repo2-gcs-user-project=payer",
      "repo2-gcs-endpoint=http://gcs.lan:4443",
      "repo2-storage-ca-file=/ca",
    ];
    expect(gcsOf("repo2-gcs-key-type=auto", ...more)).toMatchObject({
      userProject: "payer",
      endpoint: "http://gcs.lan:4443",
      caFile: "/ca",
    });
  });

  test("S3 with its defaults and with everything set", () => {
    const [, plain] = repos(["repo1-path=/a", ...S3, ...KEYS]);
    expect(plain).toMatchObject({ type: "s3", path: "/prefix", symlink: false });
    expect(plain?.s3).toMatchObject({
      bucket: "bucket",
      endpoint: "s3.example.net",
      region: "eu",
      uriStyle: "host",
      storagePort: 443,
      verifyTls: true,
      uploadChunkSizeBytes: 5 * 2 ** 20,
      quirks: "auto",
    });
    expect(Object.keys(plain?.s3 ?? {})).not.toContain("token");
    expect(plain?.s3?.key.reveal()).toBe("markerKey");
    expect(plain?.s3?.keySecret.reveal()).toBe("markerKeySecret");
    const more = [
      "repo2-s3-token=markerToken",
      "repo2-s3-uri-style=path",
      "repo2-storage-host=127.0.0.1",
      "repo2-storage-port=9000",
      "repo2-storage-verify-tls=n",
      "repo2-storage-ca-file=/ca.pem",
      "repo2-storage-upload-chunk-size=16MiB",
      "repo2-cipher-type=aes-256-cbc",
      "repo2-cipher-pass=markerPass",
    ];
    const full = repos(["repo1-path=/a", ...S3, ...KEYS, ...more], '{"repos":{"repo2":{"s3Quirks":"minio"}}}')[1];
    expect(full?.s3).toMatchObject({
      uriStyle: "path",
      storageHost: "127.0.0.1",
      storagePort: 9000,
      verifyTls: false,
      caFile: "/ca.pem",
      uploadChunkSizeBytes: 16 * 2 ** 20,
      quirks: "minio",
    });
    expect(full?.s3?.token?.reveal()).toBe("markerToken");
    expect(full).toMatchObject({ cipherType: "aes-256-cbc" });
    expect(full?.cipherPass?.reveal()).toBe("markerPass");
    expect(`${JSON.stringify(full)}${inspect(full, { depth: 9, showHidden: true })}${full?.cipherPass}`).not.toContain(
      "marker",
    );
  });

  test("SFTP with known hosts by default, with a fingerprint, and unchecked only on request", () => {
    const sftpOf = (...more: readonly string[]): unknown => repos(["repo1-path=/a", ...SFTP, ...more])[1]?.sftp;
    const own = { host: "nas", port: 22, user: "backup", privateKeyFile: "/key" };
    expect(repos(["repo1-path=/a", ...SFTP])[1]).toMatchObject({ type: "sftp", path: "/data", symlink: false });
    expect(sftpOf()).toEqual({ ...own, hostKeyCheck: { type: "known-hosts", files: [] } });
    const files = { type: "known-hosts", files: ["/k1", "/k2"] };
    for (const type of ["strict", "accept-new"])
      expect(
        sftpOf(`repo2-sftp-host-key-check-type=${type}`, "repo2-sftp-known-host=/k1", "repo2-sftp-known-host=/k2"),
      ).toMatchObject({
        hostKeyCheck: files,
      });
    const hostKeyCheck = { type: "fingerprint", hashType: "sha256", fingerprint: "ab" };
    for (const type of ["fingerprint", "strict"])
      expect(sftpOf(`repo2-sftp-host-key-check-type=${type}`, "repo2-sftp-host-fingerprint=ab")).toMatchObject({
        hostKeyCheck,
      });
    expect(sftpOf("repo2-sftp-host-key-check-type=none", "repo2-sftp-host-port=2222")).toEqual({
      ...own,
      port: 2222,
      hostKeyCheck: { type: "none" },
    });
    const secret = sftpOf("repo2-sftp-private-key-passphrase=markerPhrase");
    expect((secret as RepoConfig["sftp"])?.privateKeyPassphrase?.reveal()).toBe("markerPhrase");
    expect(`${JSON.stringify(secret)}${inspect(secret, { depth: 9, showHidden: true })}`).not.toContain("marker");
  });

  test("compression follows the configuration unless the settings file overrides it", () => {
    const of = (lines: readonly string[], settings: string): unknown =>
      repos(["repo1-path=/a", ...lines], settings).map((repo) => [repo.compressType, repo.compressLevel]);
    expect(of(["compress-type=zst", "compress-level=7"], "{}")).toEqual([["zst", 7]]);
    expect(of(["compress-type=zst", "compress-level=7"], '{"repos":{"repo1":{"compressType":"zst"}}}')).toEqual([
      ["zst", 7],
    ]);
    expect(of(["compress-type=zst", "compress-level=7"], '{"repos":{"repo1":{"compressType":"lz4"}}}')).toEqual([
      ["lz4", 1],
    ]);
    expect(of(["compress-type=zst"], '{"repos":{"repo1":{"compressLevel":22}}}')).toEqual([["zst", 22]]);
    expect(of(["compress-type=none"], '{"repos":{"repo1":{"compressType":"gz","compressLevel":9}}}')).toEqual([
      ["gz", 9],
    ]);
    expect(of(["compress=n"], "{}")).toEqual([["none", 0]]);
    expect(failure(() => of([], '{"repos":{"repo1":{"compressLevel":22}}}'))).toBe(
      "config: settings field 'repos.repo1.compressLevel' must be -1 to 9 for compression type gz, not 22",
    );
  });

  test.each([
    ["repo2-s3-bucket", "it is needed when repo2-type is s3."],
    ["repo2-s3-endpoint", "it is needed when repo2-type is s3."],
    ["repo2-s3-region", "it is needed when repo2-type is s3."],
    [
      "repo2-s3-key",
      "it is needed when repo2-s3-key-type is shared; write it in a configuration file or set PGBACKREST_REPO2_S3_KEY.",
    ],
    [
      "repo2-s3-key-secret",
      "it is needed when repo2-s3-key-type is shared; write it in a configuration file or set PGBACKREST_REPO2_S3_KEY_SECRET.",
    ],
    [
      "repo2-cipher-pass",
      "it is needed when repo2-cipher-type is aes-256-cbc; write it in a configuration file or set PGBACKREST_REPO2_CIPHER_PASS.",
    ],
  ])("%s is required", (name, hint) => {
    const lines = [...S3, ...KEYS, "repo2-cipher-type=aes-256-cbc", "repo2-cipher-pass=p"].filter(
      (line) => !line.startsWith(`${name}=`),
    );
    for (const command of ["backup", "info", "restore"]) {
      expect(failure(() => repos(lines, "{}", command))).toBe(
        `optionRequired: ${command} command requires option: ${name}\nHINT: ${hint}`,
      );
    }
  });

  test("keys may come from the instance, a token, a pod or a command; a missing variable shows at the first use", () => {
    const env = {
      AWS_ROLE_ARN: "arn:aws:iam::1:role/writer",
      AWS_WEB_IDENTITY_TOKEN_FILE: "/var/run/token",
      AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://169.254.170.23/v1/credentials",
      AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: "/var/run/pod-token",
      AWS_EC2_METADATA_SERVICE_ENDPOINT: "",
    };
    const of = (lines: readonly string[], from: Readonly<Record<string, string>>): unknown =>
      repos(["repo1-path=/a", ...S3, ...lines], "{}", "backup", from)[1]?.s3?.keySource;
    expect(of(["repo2-s3-key-type=auto"], env)).toEqual({ type: "auto" });
    expect(of(["repo2-s3-key-type=auto", "repo2-s3-role=writer"], {})).toEqual({ type: "auto", role: "writer" });
    const webId = {
      type: "web-id",
      roleArn: "arn:aws:iam::1:role/writer",
      tokenFile: "/var/run/token",
      stsHost: "sts.amazonaws.com",
    };
    expect(of(["repo2-s3-key-type=web-id"], env)).toEqual(webId);
    expect(of(["repo2-s3-key-type=web-id", "repo2-s3-sts-host=sts.eu-central-1.amazonaws.com"], {})).toEqual({
      type: "web-id",
      stsHost: "sts.eu-central-1.amazonaws.com",
    });
    const podId = { type: "pod-id", uri: "http://169.254.170.23/v1/credentials", tokenFile: "/var/run/pod-token" };
    expect(of(["repo2-s3-key-type=pod-id"], env)).toEqual(podId);
    expect(
      of(["repo2-s3-key-type=process", "repo2-s3-process-cmd=/bin/keys", "repo2-s3-process-cmd=--role=w"], {}),
    ).toEqual({
      type: "process",
      command: ["/bin/keys", "--role=w"],
    });
    expect(of(KEYS, env)).toBeUndefined();
  });

  test("a missing secret is that repository's own error", () => {
    const lines = [
      "repo1-path=/a",
      "repo1-cipher-type=aes-256-cbc",
      "repo1-cipher-pass=p",
      ...S3,
      "repo2-cipher-type=aes-256-cbc",
    ];
    const [first, second] = repos(lines);
    expect(first?.unusable).toBeUndefined();
    expect(second?.unusable).toMatchObject({
      kind: "optionRequired",
      message: "backup command requires option: repo2-cipher-pass",
    });
    expect(failure(() => repos(lines.filter((line) => !line.startsWith("repo1-cipher-pass"))))).toContain(
      "requires option: repo1-cipher-pass",
    );
  });

  test.each([
    [
      ["repo1-type=azure", "repo1-azure-account=account"],
      "optionRequired: backup command requires option: repo1-azure-container\nHINT: it is needed when repo1-type is azure.",
    ],
    [
      ["repo1-type=azure", "repo1-azure-account=account", "repo1-azure-container=c", "repo1-azure-key=not base64!"],
      "optionInvalidValue: invalid value for 'repo1-azure-key' option: it is not base64\nHINT: value must be valid base64 when 'repo1-azure-key-type = shared'.",
    ],
    [
      ["repo1-type=gcs", "repo1-gcs-key=/k"],
      "optionRequired: backup command requires option: repo1-gcs-bucket\nHINT: it is needed when repo1-type is gcs.",
    ],
    [
      ["repo1-type=sftp"],
      "optionRequired: backup command requires option: repo1-sftp-host\nHINT: it is needed when repo1-type is sftp.",
    ],
    [
      ["repo1-path=/a", ...SFTP, "repo2-sftp-host-key-check-type=fingerprint"],
      "optionRequired: backup command requires option: repo2-sftp-host-fingerprint\nHINT: it is needed when repo2-sftp-host-key-check-type is fingerprint or strict.",
    ],
    [
      ["repo1-path=/a", ...SFTP, ...SFTP.map((line) => line.replace("repo2", "repo3"))],
      "optionInvalidValue: repo2 and repo3 paths are both '/data' on host 'nas' but must be different",
    ],
    [
      ["repo1-path=/a", ...S3, "repo2-s3-key-type=process"],
      "optionRequired: backup command requires option: repo2-s3-process-cmd\nHINT: it is needed when repo2-s3-key-type is process.",
    ],
    [["repo1-host=nas"], "featureNotSupported: option 'repo1-host' is not supported: run the command on that host"],
    [
      ["repo1-path=/x", "repo3-path=/x/"],
      "optionInvalidValue: local repo1 and repo3 paths are both '/x' but must be different",
    ],
    [
      ["repo4-cipher-type=none", "repo2-cipher-type=none"],
      "optionInvalidValue: local repo2 and repo4 paths are both '/var/lib/pgbackrest' but must be different",
    ],
    [
      [...S3, ...KEYS, ...[...S3, ...KEYS].map((line) => line.replace("repo2", "repo5"))],
      "optionInvalidValue: repo2 and repo5 paths are both '/prefix' in bucket 'bucket' but must be different",
    ],
    [
      ["repo1-path=/a", ...S3.filter((line) => !line.includes("bucket")), "repo2-s3-bucket=a.b", ...KEYS],
      "optionInvalidValue: 'a.b' is not valid for option 'repo2-s3-bucket'\nHINT: RFC-2818 forbids dots in wildcard matches.\nHINT: TLS/SSL verification cannot proceed with this bucket name.\nHINT: remove dots from the bucket name, or set repo2-s3-uri-style=path.",
    ],
    [
      ["compress-type=bz2"],
      "featureNotSupported: option 'compress-type' = 'bz2' is not supported: bz2 is read but not written, use zst, lz4 or gz",
    ],
  ])("%j fails", (lines, message) => {
    const result = failure(() => repos(lines));
    expect(result.replace(/\nHINT: the value comes from .*$/, "")).toBe(message);
    expect(result).not.toContain("marker");
  });

  test("a posix repository and one of another kind may have the same path", () => {
    expect(repos(["repo1-path=/prefix", ...S3, ...KEYS]).map((repo) => repo.path)).toEqual(["/prefix", "/prefix"]);
  });
});
