/** Secret objects that the published set-ups write by hand. */
import { expect, test } from "vitest";
import { externalKeysOf, externalSourceOf, refOf } from "../../../../components/credentials/externalKeys";
import { renderExternalSecret, renderSecret } from "../../../../components/render/kubernetes/secrets";

test("our plugin, Dalibo's and Barman's read the same Secret of a repository", () => {
  const location = { name: "orders-b2", namespace: "orders", labels: { team: "shop" } };
  const parts = {
    accessKeyId: "id",
    secretAccessKey: "key",
    passphrase: "pass",
    region: "eu-central-003",
    sessionToken: undefined,
  };
  expect(renderSecret<string>(location, parts)).toEqual({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "orders-b2", namespace: "orders", labels: { "cnpg.io/reload": "true", team: "shop" } },
    type: "Opaque",
    stringData: {
      ACCESS_KEY_ID: "id",
      ACCESS_SECRET_KEY: "key",
      ENCRYPTION_PASS: "pass",
      ACCESS_REGION: "eu-central-003",
    },
  });
});

test("the ExternalSecret that two repositories and all clusters share, with v1 instead of the removed v1beta1", () => {
  const store = { name: "onepassword-connect" };
  const b2 = externalKeysOf(
    "keys",
    "keys",
    {
      accessKeyId: { key: "backblaze", property: "BACKBLAZE_PGBACKREST_ACCESS_KEY", secretKey: "b2-access-key-id" },
      secretAccessKey: {
        key: "backblaze",
        property: "BACKBLAZE_PGBACKREST_SECRET_ACCESS_KEY",
        secretKey: "b2-secret-access-key",
      },
    },
    "b2-",
  );
  const r2 = externalKeysOf(
    "keys",
    "keys",
    {
      accessKeyId: { key: "cloudflare", property: "CLOUDFLARE_PGBACKREST_ACCESS_KEY", secretKey: "r2-access-key-id" },
      secretAccessKey: {
        key: "cloudflare",
        property: "CLOUDFLARE_PGBACKREST_SECRET_ACCESS_KEY",
        secretKey: "r2-secret-access-key",
      },
    },
    "r2-",
  );
  const location = { name: "cnpg-secret", namespace: "database", labels: {} };
  const result = renderExternalSecret(location, externalSourceOf(store), [...Object.values(b2), ...Object.values(r2)]);
  expect(result).toMatchObject({
    apiVersion: "external-secrets.io/v1",
    kind: "ExternalSecret",
    metadata: { name: "cnpg-secret", namespace: "database" },
    spec: {
      secretStoreRef: { kind: "ClusterSecretStore", name: "onepassword-connect" },
      target: { name: "cnpg-secret" },
      data: [
        { secretKey: "b2-access-key-id", remoteRef: { key: "backblaze", property: "BACKBLAZE_PGBACKREST_ACCESS_KEY" } },
        {
          secretKey: "b2-secret-access-key",
          remoteRef: { key: "backblaze", property: "BACKBLAZE_PGBACKREST_SECRET_ACCESS_KEY" },
        },
        {
          secretKey: "r2-access-key-id",
          remoteRef: { key: "cloudflare", property: "CLOUDFLARE_PGBACKREST_ACCESS_KEY" },
        },
        {
          secretKey: "r2-secret-access-key",
          remoteRef: { key: "cloudflare", property: "CLOUDFLARE_PGBACKREST_SECRET_ACCESS_KEY" },
        },
      ],
    },
  });
  // Explicit, although they are the operator's defaults: hourly refresh, and keys that survive an empty store.
  expect(result.spec).toMatchObject({
    refreshPolicy: "Periodic",
    refreshInterval: "1h",
    target: {
      creationPolicy: "Owner",
      deletionPolicy: "Retain",
      template: { metadata: { labels: { "cnpg.io/reload": "true" } } },
    },
  });
});

test.each([
  [90, "90s"],
  [300, "5m"],
  [7200, "2h"],
])("%i seconds are %s", (refreshIntervalSeconds, text) => {
  const source = externalSourceOf({ name: "vault", refreshIntervalSeconds });
  expect(renderExternalSecret({ name: "n", namespace: "ns", labels: {} }, source, []).spec.refreshInterval).toBe(text);
});

test("a reference states the name of each key", () => {
  const keys = {
    accessKeyId: "AWS_ACCESS_KEY_ID",
    secretAccessKey: "AWS_SECRET_ACCESS_KEY",
    passphrase: "ENCRYPTION_PASS",
  };
  expect(refOf("longhorn-minio-credentials", keys)).toEqual({
    name: "longhorn-minio-credentials",
    accessKeyIdKey: "AWS_ACCESS_KEY_ID",
    secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY",
    passphraseKey: "ENCRYPTION_PASS",
  });
});
