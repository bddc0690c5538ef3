import { describe, expect, test } from "vitest";
import { withSecretFiles } from "../../../runtime/config/secretFiles";

const FILES: Readonly<Record<string, string>> = {
  "/secrets/repo1/ACCESS_KEY_ID": "AKIA\n",
  "/secrets/repo1/ACCESS_SECRET_KEY": "s3cret",
  "/secrets/repo2/ENCRYPTION_PASS": "pass phrase\r\n",
  "/secrets/repo2/AZURE_KEY": "sv=1&sig=a%3D\n",
  "/secrets/repo2/ACCESS_SESSION_TOKEN": "",
  "/secrets/repo2/OTHER": "x",
  "/secrets/elsewhere/ACCESS_KEY_ID": "x",
};
const access = {
  readFile: (path: string) => FILES[path] ?? null,
  listDirectory: () => ["elsewhere", "repo1", "repo2"],
};

describe("secrets that are files", () => {
  test("count as options of their repository", () => {
    expect(withSecretFiles({ PGBACKSTOP_SECRETS: "/secrets", HOME: "/" }, access)).toEqual({
      PGBACKSTOP_SECRETS: "/secrets",
      HOME: "/",
      PGBACKREST_REPO1_S3_KEY: "AKIA",
      PGBACKREST_REPO1_S3_KEY_SECRET: "s3cret",
      PGBACKREST_REPO2_AZURE_KEY: "sv=1&sig=a%3D",
      PGBACKREST_REPO2_CIPHER_PASS: "pass phrase",
    });
  });

  test("are a unit's credentials, named like their option; a key file counts by its path", () => {
    const names = [
      "repo1.conf",
      "repo1-gcs-key",
      "repo2-s3-key",
      "repo2-sftp-private-key-file",
      "repo2-path",
      "repo3-cipher-pass",
    ];
    const texts: Readonly<Record<string, string>> = {
      "/run/credentials/u/repo1-gcs-key": '{\n  "type": "service_account"\n}\n',
      "/run/credentials/u/repo2-s3-key": "AKIA\n",
      "/run/credentials/u/repo3-cipher-pass": "pass\n",
    };
    const handed = { readFile: (path: string) => texts[path] ?? null, listDirectory: () => names };
    const env = { CREDENTIALS_DIRECTORY: "/run/credentials/u", PGBACKREST_REPO3_CIPHER_PASS: "mine" };
    expect(withSecretFiles(env, handed)).toEqual({
      ...env,
      PGBACKREST_REPO1_GCS_KEY: '{\n  "type": "service_account"\n}',
      PGBACKREST_REPO2_S3_KEY: "AKIA",
      PGBACKREST_REPO2_SFTP_PRIVATE_KEY_FILE: "/run/credentials/u/repo2-sftp-private-key-file",
    });
  });

  test("are lines of an environment file that is a unit's credential", () => {
    const texts: Readonly<Record<string, string>> = {
      "/c/repo2-env": [
        "# restic's",
        "RESTIC_PASSWORD=other",
        "export AWS_ACCESS_KEY_ID='AKIA'",
        'AWS_SECRET_ACCESS_KEY="a\\"b\\\\c $x"',
        "AWS_SESSION_TOKEN=",
        "PGBACKREST_REPO2_CIPHER_PASS= pass phrase ",
        "PGBACKREST_REPO1_CIPHER_PASS=of another repository",
        "PGBACKREST_REPO2_PATH=/no/secret",
        "no line",
      ].join("\r\n"),
      "/c/repo3-env": "AWS_ACCESS_KEY_ID=from the file\nAWS_SECRET_ACCESS_KEY=s\n",
      "/c/repo3-s3-key": "from its own file\n",
    };
    const names = ["repo2-env", "repo3-env", "repo3-s3-key", "repo4-env", "notify.json"];
    const handed = { readFile: (path: string) => texts[path] ?? null, listDirectory: () => names };
    const env = { CREDENTIALS_DIRECTORY: "/c" };
    expect(withSecretFiles(env, handed)).toEqual({
      ...env,
      PGBACKREST_REPO2_S3_KEY: "AKIA",
      PGBACKREST_REPO2_S3_KEY_SECRET: 'a"b\\c $x',
      PGBACKREST_REPO2_CIPHER_PASS: "pass phrase",
      PGBACKREST_REPO3_S3_KEY: "from its own file",
      PGBACKREST_REPO3_S3_KEY_SECRET: "s",
    });
  });

  test("have lower priority than the environment, and are read only if it names a directory", () => {
    const env = { PGBACKSTOP_SECRETS: "/secrets", PGBACKREST_REPO1_S3_KEY: "mine" };
    expect(withSecretFiles(env, access)["PGBACKREST_REPO1_S3_KEY"]).toBe("mine");
    expect(withSecretFiles({ HOME: "/" }, access)).toEqual({ HOME: "/" });
  });
});
