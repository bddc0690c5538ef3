/** Code that all repository components share. */
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { targetSettings } from "../../../components/repositories/common";
import { PosixRepository } from "../../../components/repositories/posixRepository";
import { S3CompatibleRepository } from "../../../components/repositories/s3CompatibleRepository";
import { SftpRepository } from "../../../components/repositories/sftpRepository";
import type { RepositoryTarget } from "../../../components/repositories/target";
import { type Declared, startProgram } from "../declaredResources";

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

const BUCKET = { endpoint: "s3.example.net", region: "lab", bucket: { existing: { name: "orders-pg" } } };
const MAKERS = {
  directory: (more: object) => new PosixRepository("store", { path: "/mnt/nas", ...more }),
  server: (more: object) =>
    new SftpRepository("store", { ...SFTP, path: "/srv", hostKey: "ssh-ed25519 AAAA", ...more }),
  bucket: (more: object) => new S3CompatibleRepository("store", { ...BUCKET, ...more }),
};
let made: Declared[];

async function withMocks<T>(work: () => T): Promise<T> {
  made = await startProgram(({ type }) => (type.endsWith(":Passphrase") ? { passphrase: "new" } : {}));
  try {
    return work();
  } finally {
    await pulumi.runtime.disconnect();
  }
}

test.each(Object.entries(MAKERS))("a %s with encrypt has a passphrase of its own, as a secret", async (_kind, make) => {
  const { passphrase, target } = await withMocks(() => make({ encrypt: true }));
  const outputs = [passphrase, target.cipher?.passphrase].map((output) => pulumi.output(output));
  const values: unknown[] = [];
  for (const output of outputs) {
    expect(await pulumi.isSecret(output)).toBe(true);
    output.apply((value) => values.push(value));
  }
  await expect.poll(() => values).toEqual(["new", "new"]);
  expect(made.map(({ name }) => name)).toEqual(expect.arrayContaining(["store-key", "store-key-passphrase"]));
});

test.each(Object.entries(MAKERS))("a %s without it makes none, and refuses two passphrases", async (_kind, make) => {
  const { passphrase, target } = await withMocks(() => make({}));
  expect([passphrase, target.cipher, made.length]).toEqual([undefined, undefined, 1]);
  await withMocks(() =>
    expect(() => make({ encrypt: true, cipher: { passphrase: "mine" } })).toThrow("leave one of them out"),
  );
});
