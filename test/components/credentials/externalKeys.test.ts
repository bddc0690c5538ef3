/** Keys that the External Secrets Operator fetches: one Secret for repositories at any service. */
import { expect, test } from "vitest";
import type { ExternalKeys } from "../../../components/credentials/externalKeys";
import { RepositorySecret } from "../../../components/credentials/repositorySecret";
import { SharedExternalSecret } from "../../../components/credentials/sharedExternalSecret";
import type { SecretRef } from "../../../components/repositories/target";
import { renderedObjects } from "../../harness/kubernetes/rendered";

const key = (name: string) => ({ key: name, property: "value" });
const store = { name: "vault" };

// claim: docs/keys.md: one ExternalSecret has the keys of repositories at S3, Azure and Google
test("one Secret has the keys of several services, under the names that each repository's reference has", async () => {
  let refs: Record<string, SecretRef> = {};
  const objects = await renderedObjects(() => {
    const made = new SharedExternalSecret("keys", {
      namespace: "db",
      store,
      repositories: {
        b2: { accessKeyId: key("id"), secretAccessKey: key("secret"), passphrase: key("pass") },
        azure: { azureKey: key("sas") },
        gcs: { gcsKey: { ...key("json"), secretKey: "google.json" } },
        nas: { passphrase: key("nas") },
      },
    });
    refs = made.refs;
  });
  const names = ["b2-ACCESS_KEY_ID", "b2-ACCESS_SECRET_KEY", "b2-ENCRYPTION_PASS", "azure-AZURE_KEY", "google.json"];
  const data = [...names, "nas-ENCRYPTION_PASS"].map((secretKey) => expect.objectContaining({ secretKey }));
  expect(objects).toEqual([expect.objectContaining({ spec: expect.objectContaining({ data }) })]);
  expect(Object.values(refs).map((ref) => Object.keys(ref))).toEqual([
    ["name", "accessKeyIdKey", "secretAccessKeyKey", "passphraseKey"],
    ["name", "azureKeyKey"],
    ["name", "gcsKeyKey"],
    ["name", "passphraseKey"],
  ]);
});

test.each<readonly [string, ExternalKeys, string]>([
  ["half of a pair", { accessKeyId: key("id") }, "accessKeyId and secretAccessKey belong together"],
  ["two services", { azureKey: key("sas"), gcsKey: key("json") }, "keys of several services"],
  ["no key", { region: key("region") }, "no key is given"],
])("refuses %s", async (_, keys, message) => {
  const args = { namespace: "db", external: { store, keys } };
  await expect(renderedObjects(() => void new RepositorySecret("one", args))).rejects.toThrow(message);
  const shared = { namespace: "db", store, repositories: { b2: keys } };
  await expect(renderedObjects(() => void new SharedExternalSecret("all", shared))).rejects.toThrow(message);
});
