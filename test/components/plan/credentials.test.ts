import { expect, test } from "vitest";
import type { HostSettings } from "../../../components/plan/model/databaseSettings";
import type { S3Settings } from "../../../components/plan/repositories/s3Type";
import { checkCluster, checkHost } from "../../../components/plan/rules";
import { BUCKET, clusterPlan, NAS, plan, R2 } from "../plans";

const AWS = { endpoint: "s3.eu-central-1.amazonaws.com", region: "eu-central-1" };

function repositories(s3: Partial<S3Settings>, second = NAS): HostSettings["repositories"] {
  return { repo1: { ...BUCKET, at: { ...BUCKET.at, s3: { ...BUCKET.at.s3, ...s3 } as S3Settings } }, repo2: second };
}

const PATH = "repositories.repo1.at.s3.";

test.each<[string, Partial<S3Settings>, string[]]>([
  ["keys", { hasKeys: true }, []],
  ["an unknown key source", {}, []],
  ["no keys", { hasKeys: false }, ["PB063 credentials"]],
  ["keys beside a role", { ...AWS, hasKeys: true, keyType: "auto" }, ["PB064 credentials"]],
  ["the role of an instance", { ...AWS, hasKeys: false, keyType: "auto" }, []],
  ["the role of a service account", { ...AWS, hasKeys: false, keyType: "web-id" }, ["PB065 keyType"]],
  ["the role of a pod", { ...AWS, hasKeys: false, keyType: "pod-id" }, ["PB065 keyType"]],
  ["a role of Amazon at Backblaze", { hasKeys: false, keyType: "auto" }, ["PB066 keyType"]],
  ["a Secret of Kubernetes", { hasKeys: false, hasExistingSecret: true }, ["PB067 existingSecret"]],
  ["both", { hasKeys: true, hasExistingSecret: true }, ["PB067 existingSecret", "PB068 existingSecret"]],
])("a host with %s", (_what, s3, expected) => {
  expect(
    checkHost(plan({ repositories: repositories(s3) })).map(({ code, path }) => `${code} ${path.replace(PATH, "")}`),
  ).toEqual(expected);
});

test.each<[string, Partial<S3Settings>, string[]]>([
  ["an existing Secret, as in the MinIO setup", { hasKeys: false, hasExistingSecret: true }, []],
  ["a Secret and keys", { hasKeys: true, hasExistingSecret: true }, ["PB068 existingSecret"]],
  [
    "a Secret beside a role",
    { ...AWS, hasKeys: false, hasExistingSecret: true, keyType: "web-id" },
    ["PB064 existingSecret"],
  ],
  ["the role of a service account", { ...AWS, hasKeys: false, keyType: "web-id" }, []],
  ["a role of Amazon at Backblaze", { hasKeys: false, keyType: "pod-id" }, ["PB066 keyType"]],
])("a cluster with %s", (_what, s3, expected) => {
  expect(
    checkCluster(clusterPlan({ repositories: repositories(s3, R2) })).map(
      ({ code, path }) => `${code} ${path.replace(PATH, "")}`,
    ),
  ).toEqual(expected);
});

const LOCATION = { ...R2.at, encrypted: false };
const onHost = (secretFiles: object, over: object = {}) =>
  plan({ repositories: { repo1: NAS, repo2: { ...R2, at: { ...LOCATION, ...over }, secretFiles } } });

test.each<[string, object, object, string[]]>([
  ["a file of options", { options: "/run/secrets/r2.conf", encrypted: true }, {}, []],
  ["an environment file", { env: "/run/secrets/r2-prod-env", passphrase: "/run/secrets/pass" }, {}, []],
  [
    "an environment file at an invalid path",
    { env: "r2.env", encrypted: true },
    {},
    ["PB014 repositories.repo2.secretFiles"],
  ],
  [
    "a file for each",
    { accessKeyId: "/run/secrets/id", secretAccessKey: "/run/secrets/key", passphrase: "/run/secrets/pass" },
    {},
    [],
  ],
  ["half a key", { accessKeyId: "/run/secrets/id" }, {}, ["PB103 repositories.repo2.secretFiles"]],
  ["nothing", {}, {}, ["PB103 repositories.repo2.secretFiles"]],
  [
    "two passphrases",
    { passphrase: "/run/secrets/pass" },
    { encrypted: true },
    ["PB103 repositories.repo2.secretFiles.passphrase"],
  ],
  [
    "keys too",
    { options: "/run/secrets/r2.conf", encrypted: true },
    { s3: { ...R2.at.s3, hasKeys: true } },
    ["PB103 repositories.repo2.secretFiles"],
  ],
  ["an invalid path", { options: "secrets/r2.conf", encrypted: true }, {}, ["PB014 repositories.repo2.secretFiles"]],
])("secrets on the host: %s", (_what, secretFiles, over, expected) => {
  const result = checkHost(onHost(secretFiles, over)).filter(({ path }) => path.includes("secretFiles"));
  expect(result.map(({ code, path }) => `${code} ${path}`)).toEqual(expected);
});

test("only systemd hands over secrets on the host", () => {
  const repo2 = { ...R2, at: LOCATION, secretFiles: { options: "/run/secrets/r2.conf" } };
  expect(checkHost(plan({ agent: false, repositories: { repo1: NAS, repo2 } })).map(({ code }) => code)).toContain(
    "PB103",
  );
});

test.each<[string, boolean | undefined, object | undefined, string[]]>([
  ["an unknown key source", undefined, undefined, []],
  ["given", true, undefined, []],
  ["none", false, undefined, ["PB104 repositories.repo2.at.sftp.privateKey"]],
  ["on the host", false, { privateKey: "/run/secrets/box" }, []],
  ["possibly in a file of options", false, { options: "/run/secrets/box.conf" }, []],
  [
    "only its passphrase on the host",
    false,
    { privateKeyPassphrase: "/run/secrets/phrase" },
    ["PB104 repositories.repo2.at.sftp.privateKey"],
  ],
  [
    "given, and on the host too",
    true,
    { privateKey: "/run/secrets/box" },
    ["PB103 repositories.repo2.secretFiles.privateKey"],
  ],
])("the private key for an SFTP server: %s", (_what, hasKey, secretFiles, expected) => {
  const sftp = { host: "h", user: "u", hostFingerprint: "0".repeat(64), hasKey };
  const at = { name: "box", path: "/srv/orders", encrypted: true, sftp };
  const result = checkHost(plan({ repositories: { repo1: NAS, repo2: { at, keepDays: 60, secretFiles } } }));
  expect(result.flatMap(({ code, path, severity }) => (severity === "error" ? [`${code} ${path}`] : []))).toEqual(
    expected,
  );
});
