/**
 * Keys on their way into Kubernetes, and one-shot backups, on the real engine with doubles of the providers of Kubernetes and of commands.
 * The double of commands runs what it gets.
 */
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import * as pulumi from "@pulumi/pulumi";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BackupNow, type BackupNowArgs } from "../../components/actions/backupNow";
import { RepositorySecret } from "../../components/credentials/repositorySecret";
import { SharedExternalSecret } from "../../components/credentials/sharedExternalSecret";
import { S3CompatibleRepository } from "../../components/repositories/s3CompatibleRepository";
import { findPulumiCli } from "../../tools/parts/pulumiCli";
import { openStack, prepareProgramFolder, type ProgramFolder } from "../../tools/parts/pulumiEngine";
import { stateTexts } from "../harness/engineTexts";
import { engineEnvironment, ProviderDouble } from "../harness/providerDouble";
import { COMMAND, KUBERNETES } from "../harness/providerSchemas";
import { textOf } from "../harness/providerValues";

const SECRET = "kubernetes:core/v1:Secret";
const EXTERNAL = "kubernetes:external-secrets.io/v1:ExternalSecret";
const LOCAL_COMMAND = "command:local:Command";
const MARKERS = { accessKeyId: "marker-access-key-id-41", secretAccessKey: "marker-secret-access-key-42", passphrase: "marker-passphrase-43" };

let place: ProgramFolder;
let kubernetes: ProviderDouble;
let command: ProviderDouble;
const printed: string[] = [];
const scripts: string[] = [];

beforeAll(async () => {
  const cli = await findPulumiCli();
  if (cli === null) throw new Error("there is no Pulumi CLI: npm test -- --all builds it");
  kubernetes = await ProviderDouble.start(KUBERNETES);
  command = await ProviderDouble.start(COMMAND, { live: { [LOCAL_COMMAND]: { create: runCommand, delete: async () => undefined } } });
  const prepared = await prepareProgramFolder(mkdtempSync(join(tmpdir(), "pgb-")), { cli, passphrase: "only for this test" });
  place = { ...prepared, env: { ...prepared.env, ...engineEnvironment([kubernetes, command]) } };
});
afterAll(() => {
  kubernetes?.stop();
  command?.stop();
  rmSync(place?.folder ?? "", { recursive: true, force: true });
});

async function runCommand(inputs: Parameters<typeof textOf>[0] & object): Promise<{ id: string; outputs: { stdout: string; stderr: string } }> {
  const script = textOf((inputs as { create?: string }).create);
  scripts.push(script);
  const stdout = await new Promise<string>((resolve, reject) => {
    execFile("/bin/sh", ["-c", script], (error, out, err) => (error === null ? resolve(out) : reject(new Error(`${error.message}: ${err}`))));
  });
  return { id: `command-${scripts.length}`, outputs: { stdout, stderr: "" } };
}

function openSecrets(secretAccessKey = MARKERS.secretAccessKey): Promise<Stack> {
  return openStack(place, "secrets", async () => {
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
      external: { store, keys: { accessKeyId: { key: "r2/credentials/id" }, secretAccessKey: { key: "r2/credentials/key" } } },
    });
    const shared = new SharedExternalSecret("cnpg-secret", {
      namespace: "database",
      store,
      repositories: {
        b2: {
          accessKeyId: { key: "backblaze", property: "ID", secretKey: "b2-access-key-id" },
          secretAccessKey: { key: "backblaze", property: "KEY" },
        },
        r2: { accessKeyId: { key: "cloudflare", property: "ID" }, secretAccessKey: { key: "cloudflare", property: "KEY" } },
      },
    });
    const minio = new RepositorySecret("minio", {
      namespace: "apps",
      existing: { name: "longhorn-minio-credentials", accessKeyIdKey: "AWS_ACCESS_KEY_ID", secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY" },
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
  minio: { name: "longhorn-minio-credentials", accessKeyIdKey: "AWS_ACCESS_KEY_ID", secretAccessKeyKey: "AWS_SECRET_ACCESS_KEY" },
};

test("Secrets and ExternalSecrets are made once, changed in place, and their references are known in the preview", async () => {
  const first = await openSecrets();
  const shown = await first.preview({ diff: true });
  printed.push(shown.stdout, shown.stderr);
  for (const name of ["orders-b2", "cnpg-secret", "longhorn-minio-credentials"]) expect(shown.stdout).toContain(name);
  const { outputs, stdout } = await first.up();
  printed.push(stdout, JSON.stringify(outputs));
  expect(Object.fromEntries(Object.entries(outputs).map(([name, output]) => [name, output.value as unknown]))).toEqual(REFS);
  expect(kubernetes.only(SECRET)).toMatchObject({
    id: "orders/orders-b2",
    inputs: {
      metadata: { labels: { "cnpg.io/reload": "true" } },
      stringData: {
        ACCESS_KEY_ID: MARKERS.accessKeyId,
        ACCESS_SECRET_KEY: MARKERS.secretAccessKey,
        ENCRYPTION_PASS: MARKERS.passphrase,
        ACCESS_REGION: "eu-central-003",
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
  expect(rotated.summary.resourceChanges).toMatchObject({ update: 1 });
  expect(textOf(kubernetes.only(SECRET).inputs["stringData"])).toContain("marker-secret-access-key-rotated");
});

test("no key and no passphrase is in what was printed or in the state", () => {
  const texts = { printed: printed.join("\n"), state: stateTexts(place.folder).join("\n") };
  for (const [where, text] of Object.entries(texts)) {
    expect(text.length).toBeGreaterThan(1000);
    for (const marker of [...Object.values(MARKERS), "marker-secret-access-key-rotated"])
      expect(text.includes(marker), `${marker} in ${where}`).toBe(false);
  }
});

test("choices that are none, two, or of nothing are refused before anything is changed", async () => {
  const failureOf = async (args: ConstructorParameters<typeof RepositorySecret>[1]): Promise<string> => {
    const stack = await openStack(place, "wrong", async () => void new RepositorySecret("Wrong_Name", args));
    return stack.preview().then(
      () => "no error",
      (error: unknown) => String(error),
    );
  };
  expect(await failureOf({ namespace: "orders" })).toContain("none of create, existing and external is given");
  const from = { name: "nas", path: "/mnt/nas" };
  expect(await failureOf({ namespace: "orders", secretName: "fine", create: { from } })).toContain(
    "nothing of nas can be put into a Secret: it is no bucket",
  );
  expect(await failureOf({ namespace: "orders", create: { from } })).toContain('"Wrong_Name" is no name of a Secret');
});

test("a one-shot backup runs once, again when a trigger changes, and not when the command is spelt otherwise", async () => {
  const runtime = join(place.folder, "runtime.sh");
  writeFileSync(runtime, '#!/bin/sh\necho "$@"\necho "P00   INFO: new backup label = 20261120-06530$(cat "$0.count" 2>/dev/null || echo 0)F"\n', {
    mode: 0o755,
  });
  const open = (args: Partial<BackupNowArgs>, word = "--stanza=main"): Promise<Stack> =>
    openStack(place, "now", async () => {
      const host = { connection: { local: {} }, user: userInfo().username, runtimeArgv: pulumi.output([runtime, word]) };
      return { label: new BackupNow("now", { host, ...args }).label };
    });
  const shown = await (await open({})).preview({ diff: true });
  expect(shown.stdout).toContain('create     : "set -eu');
  expect(shown.stdout).toContain('type        : "full"');
  expect(scripts).toEqual([]);
  const { outputs } = await (await open({})).up();
  expect(outputs["label"]).toEqual({ value: "20261120-065300F", secret: false });
  expect((await (await open({}, "--stanza=other")).up()).summary.resourceChanges).toEqual({ same: 3 });
  expect(scripts).toHaveLength(1);

  writeFileSync(`${runtime}.count`, "1");
  const again = await (await open({ triggers: ["v2"], repositories: ["repo2"] })).up();
  expect(again.outputs["label"]?.value).toBe("20261120-065301F");
  expect(again.summary.resourceChanges).toMatchObject({ replace: 1 });
  expect(scripts).toHaveLength(2);
  await (await open({ triggers: ["v2"], repositories: ["repo2"] })).destroy();
  expect(command.all()).toEqual([]);
});
