/**
 * The delivery of keys into Kubernetes, on the real engine with a double of its provider.
 */
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RepositorySecret } from "../../components/credentials/repositorySecret";
import { SharedExternalSecret } from "../../components/credentials/sharedExternalSecret";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { failureOf, stateTexts } from "../harness/compare/engineTexts";
import { ProviderDouble } from "../harness/doubles/providerDouble";
import { KUBERNETES } from "../harness/doubles/providerSchemas";

const SECRET = "kubernetes:core/v1:Secret";
const EXTERNAL = "kubernetes:external-secrets.io/v1:ExternalSecret";
const MARKERS = {
  accessKeyId: "marker-access-key-id-41",
  secretAccessKey: "marker-secret-access-key-42",
  passphrase: "marker-passphrase-43",
};

let programFolder: ProgramFolder;
let kubernetes: ProviderDouble;
const printed: string[] = [];

beforeAll(async () => {
  kubernetes = await ProviderDouble.start(KUBERNETES);
  programFolder = await makeProgramFolder([kubernetes]);
});
afterAll(() => {
  kubernetes?.stop();
  removeProgramFolder(programFolder);
});

function openSecrets(secretAccessKey = MARKERS.secretAccessKey): Promise<Stack> {
  return openStack(programFolder, "secrets", async () => {
    const b2 = new S3CompatibleRepository("b2", {
      endpoint: "s3.eu-central-003.backblazeb2.com",
      region: "eu-central-003",
      bucket: { existing: { name: "orders", credentials: { accessKeyId: MARKERS.accessKeyId, secretAccessKey } } },
      cipher: { passphrase: MARKERS.passphrase },
    });
    const own = new RepositorySecret("orders-b2", { namespace: "orders", create: { from: b2.target } });
    const store = { name: "onepassword-connect" };
    const external = new RepositorySecret("orders-r2", {
      namespace: "orders",
      external: {
        store,
        keys: { accessKeyId: { key: "r2/credentials/id" }, secretAccessKey: { key: "r2/credentials/key" } },
      },
    });
    const shared = new SharedExternalSecret("cnpg-secret", {
      namespace: "database",
      store,
      repositories: {
        b2: {
          accessKeyId: { key: "backblaze", property: "ID", secretKey: "b2-access-key-id" },
          secretAccessKey: { key: "backblaze", property: "KEY" },
        },
        r2: {
          accessKeyId: { key: "cloudflare", property: "ID" },
          secretAccessKey: { key: "cloudflare", property: "KEY" },
        },
      },
    });
    const minio = new RepositorySecret("minio", {
      namespace: "apps",
      existing: {
        name: "longhorn-minio-credentials",
        accessKeyIdKey: "AWS_ACCESS_KEY_ID",
        secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY",
      },
    });
    return { own: own.ref, external: external.ref, shared: shared.refs, minio: minio.ref };
  });
}

const REFS = {
  own: {
    name: "orders-b2",
    accessKeyIdKey: "ACCESS_KEY_ID",
    secretAccessKeyKey: "ACCESS_SECRET_KEY",
    passphraseKey: "ENCRYPTION_PASS",
    regionKey: "ACCESS_REGION",
  },
  external: { name: "orders-r2", accessKeyIdKey: "ACCESS_KEY_ID", secretAccessKeyKey: "ACCESS_SECRET_KEY" },
  shared: {
    b2: { name: "cnpg-secret", accessKeyIdKey: "b2-access-key-id", secretAccessKeyKey: "b2-ACCESS_SECRET_KEY" },
    r2: { name: "cnpg-secret", accessKeyIdKey: "r2-ACCESS_KEY_ID", secretAccessKeyKey: "r2-ACCESS_SECRET_KEY" },
  },
  minio: {
    name: "longhorn-minio-credentials",
    accessKeyIdKey: "AWS_ACCESS_KEY_ID",
    secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY",
  },
};

function base64(text: string): string {
  return Buffer.from(text).toString("base64");
}

// claim: docs/keys.md: keys reach Kubernetes as `Secret` and `ExternalSecret`, never as plain text in a state, preview
//   or log (the provider is a double)
test("Secrets and ExternalSecrets are created once, changed in place, and the preview knows their references", async () => {
  const first = await openSecrets();
  const shown = await first.preview({ diff: true });
  printed.push(shown.stdout, shown.stderr);
  for (const name of ["orders-b2", "cnpg-secret", "longhorn-minio-credentials"]) expect(shown.stdout).toContain(name);
  const { outputs, stdout } = await first.up();
  printed.push(stdout, JSON.stringify(outputs));
  expect(Object.fromEntries(Object.entries(outputs).map(([name, output]) => [name, output.value as unknown]))).toEqual(
    REFS,
  );
  expect(kubernetes.only(SECRET)).toMatchObject({
    id: "orders/orders-b2",
    inputs: {
      metadata: { labels: { "cnpg.io/reload": "true" } },
      data: {
        ACCESS_KEY_ID: base64(MARKERS.accessKeyId),
        ACCESS_SECRET_KEY: base64(MARKERS.secretAccessKey),
        ENCRYPTION_PASS: base64(MARKERS.passphrase),
        ACCESS_REGION: base64("eu-central-003"),
      },
    },
  });
  expect(
    kubernetes
      .all(EXTERNAL)
      .map(({ id }) => id)
      .sort(),
  ).toEqual(["database/cnpg-secret", "orders/orders-r2"]);
  expect(Object.keys((await (await openSecrets()).up()).summary.resourceChanges ?? {})).toEqual(["same"]);

  const rotated = await (await openSecrets("marker-secret-access-key-rotated")).up();
  printed.push(rotated.stdout);
  expect(rotated.summary.resourceChanges).toEqual({ same: expect.any(Number) as unknown, update: 1 });
  expect(kubernetes.only(SECRET).inputs["data"]).toMatchObject({
    ACCESS_SECRET_KEY: base64("marker-secret-access-key-rotated"),
  });
});

test("neither output nor state contains a key or a passphrase", () => {
  const texts = { printed: printed.join("\n"), state: stateTexts(programFolder.folder).join("\n") };
  for (const [where, text] of Object.entries(texts)) {
    expect(text.length).toBeGreaterThan(1000);
    for (const marker of [...Object.values(MARKERS), "marker-secret-access-key-rotated"])
      for (const form of [marker, base64(marker)]) expect(text.includes(form), `${marker} in ${where}`).toBe(false);
  }
});

test("no choice, two choices or an empty one are refused before any change", async () => {
  const refusalOf = async (args: ConstructorParameters<typeof RepositorySecret>[1]): Promise<string> => {
    const stack = await openStack(programFolder, "wrong", async () => void new RepositorySecret("Wrong_Name", args));
    return failureOf(stack.preview());
  };
  expect(await refusalOf({ namespace: "orders" })).toContain("create, existing and external are all missing");
  const from = { name: "nas", path: "/mnt/nas" };
  expect(await refusalOf({ namespace: "orders", secretName: "fine", create: { from } })).toContain(
    "there is nothing to put into a Secret for nas: it is not a bucket, and has no passphrase",
  );
  expect(await refusalOf({ namespace: "orders", create: { from } })).toContain(
    '"Wrong_Name" is not a name for a Secret',
  );
});
