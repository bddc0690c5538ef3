/** Code that all repository components share. */
import { expect, test } from "vitest";
import { targetSettings } from "../../../components/repositories/common";
import type { RepositoryTarget } from "../../../components/repositories/target";

const S3 = { bucket: "orders-pg", endpoint: "s3.example.net", region: "lab" };
const SFTP = { host: "backup.example.net", user: "orders" };
const KEYS = { accessKeyId: "marker-id", secretAccessKey: "marker-secret", sessionToken: "marker-token" };

test("a target without its secrets states which ones it has", () => {
  const bucket: RepositoryTarget = {
    name: "b",
    path: "/p",
    s3: { ...S3, credentials: KEYS },
    cipher: { passphrase: "marker-pass" },
  };
  expect(targetSettings(bucket)).toEqual({
    name: "b",
    path: "/p",
    encrypted: true,
    s3: { ...S3, hasKeys: true, hasExistingSecret: false },
  });
  const server: RepositoryTarget = {
    name: "s",
    path: "/p",
    sftp: { ...SFTP, privateKey: "marker-key", privateKeyPassphrase: "marker-pass" },
  };
  expect(targetSettings(server)).toEqual({
    name: "s",
    path: "/p",
    encrypted: false,
    sftp: { ...SFTP, hasKey: true, hasKeyPassphrase: true },
  });
  expect(targetSettings({ name: "d", path: "/mnt/nas", requireMount: true })).toEqual({
    name: "d",
    path: "/mnt/nas",
    requireMount: true,
    encrypted: false,
  });
});

test("the passphrase in a Secret of Kubernetes encrypts too", () => {
  const at: RepositoryTarget = {
    name: "b",
    path: "/p",
    s3: { ...S3, existingSecret: { name: "keys", passphraseKey: "pass" } },
  };
  expect(targetSettings(at)).toMatchObject({ encrypted: true, s3: { hasKeys: false, hasExistingSecret: true } });
});

test("no secret is left, whatever parts a target has", () => {
  const both: RepositoryTarget = {
    name: "x",
    path: "/p",
    cipher: { passphrase: "marker-pass" },
    s3: { ...S3, credentials: KEYS },
    sftp: { ...SFTP, privateKey: "marker-key", privateKeyPassphrase: "marker-key-pass" },
  };
  expect(JSON.stringify(targetSettings(both))).not.toContain("marker");
});
