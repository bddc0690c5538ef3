/** `pgbackstop render`: the components' objects as YAML, with Secrets as references only. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { NODE_IMAGE } from "../../../../components/plan/cluster/images";
import { findingText } from "../../../../components/plan/findings/findings";
import type { Manifest } from "../../../../components/render/kubernetes/objects";
import { type GitopsFile, renderGitops } from "../../../../components/render/kubernetes/gitops";
import { renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import { BUNDLE_FILE, PATHS } from "../../../../runtime/cnpg/names";
import { projectFolder } from "../../../../tools/parts/cache";
import { context, objectOf } from "../../clusters";

const BUNDLE = { gzipBase64: "H4sI", sha256: "0123456789abcdef".repeat(4) };
const SECRET = {
  name: "cnpg-secret",
  accessKeyIdKey: "b2-access-key-id",
  secretAccessKeyKey: "b2-secret-access-key",
  passphraseKey: "b2-pass",
};

function file(over: GitopsFile = {}): GitopsFile {
  return {
    plugin: { certManager: true },
    clusters: {
      orders: {
        namespace: "orders",
        instances: 3,
        storageGiB: 50,
        repositories: {
          repo1: {
            at: {
              path: "/orders",
              s3: {
                bucket: "orders-pg",
                endpoint: "s3.eu-central-003.backblazeb2.com",
                region: "eu-central-003",
                existingSecret: SECRET,
              },
            },
            keepDays: 14,
          },
        },
        schedules: { full: { cron: "0 3 * * 0" } },
        silence: { PB003: "a test", PB042: "a test" },
      },
    },
    ...over,
  };
}

function kinds(manifests: readonly Manifest[]): string[] {
  return manifests.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`);
}

test("a file becomes the plugin and its clusters, in the order of creation", () => {
  const { findings, manifests } = renderGitops(file(), BUNDLE, true);
  expect(findings).toEqual([]);
  expect(kinds(manifests)).toEqual([
    "ConfigMap cnpg-system/pgbackstop-runtime-0123456789ab",
    "Issuer cnpg-system/pgbackstop-selfsigned",
    "Certificate cnpg-system/pgbackstop-server",
    "Certificate cnpg-system/pgbackstop-client",
    "ServiceAccount cnpg-system/pgbackstop",
    "Deployment cnpg-system/pgbackstop",
    "PodDisruptionBudget cnpg-system/pgbackstop",
    "Service cnpg-system/pgbackstop",
    "ConfigMap orders/orders-runtime-0123456789ab",
    "ConfigMap orders/orders-pgbackstop",
    "Cluster orders/orders",
    "ScheduledBackup orders/orders-full",
  ]);
  const cluster = manifests.find(({ kind }) => kind === "Cluster");
  expect(JSON.stringify(cluster)).toContain("ACCESS_KEY_ID=cnpg-secret/b2-access-key-id");
  expect(kinds(renderGitops(file(), BUNDLE, false).manifests).filter((text) => text.includes("runtime"))).toEqual([]);
});

test("with an image that contains the runtime no object has the program, and no pod mounts it", () => {
  const runtimeImage = "registry.example.net/pgbackstop@sha256:01";
  const plain = file().clusters?.["orders"];
  if (plain === undefined) throw new Error("no cluster in the file");
  const orders = { ...plain, runtimeImage, drills: { weekly: { cron: "0 5 * * 6" } } };
  const { findings, manifests } = renderGitops({ plugin: { runtimeImage }, clusters: { orders } }, BUNDLE, true);
  expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
  expect(kinds(manifests).filter((text) => text.includes("runtime"))).toEqual([]);
  for (const kind of ["Deployment", "CronJob", "Cluster"]) {
    const text = JSON.stringify(manifests.find((manifest) => manifest.kind === kind));
    expect(text, kind).toContain(runtimeImage);
    expect(text, kind).not.toContain('"name":"bundle"');
    expect(text, kind).not.toContain('"bundle":');
  }
});

test("the Dockerfile builds on the default image, and puts the runtime where pods look for it", () => {
  const text = readFileSync(join(projectFolder(), "Dockerfile"), "utf8");
  expect(text).toContain(`FROM ${NODE_IMAGE}\n`);
  expect(`${PATHS.bundle}/${BUNDLE_FILE}`).toBe("/pgbackstop/bundle/runtime.cjs.gz");
  expect(text).toContain("gzip -9 /pgbackstop/bundle/runtime.cjs ");
});

const SQL = "do $f$ begin raise notice '${NOT_FLUX}'; end $f$";
/** As a published set-up writes it: bucket and account come from Flux. */
function fluxFile(over: GitopsFile = {}): GitopsFile {
  const { clusters } = file();
  const orders = clusters?.["orders"];
  const s3 = {
    bucket: "${PG_BUCKET}",
    endpoint: "${CLOUDFLARE_ACCOUNT_ID}.r2.cloudflarestorage.com",
    region: "${REGION:-auto}",
    existingSecret: SECRET,
  };
  const repositories = { repo1: { at: { path: "/orders", s3 }, keepDays: 14 } };
  const spec = { bootstrap: { initdb: { postInitSQL: [SQL] } } };
  return { clusters: { orders: { ...orders, namespace: "orders", repositories, spec } }, ...over };
}

test("declared variables of Flux stay, and every other one is escaped", () => {
  const variables = ["PG_BUCKET", "CLOUDFLARE_ACCOUNT_ID", "REGION"];
  const { findings, manifests } = renderGitops(fluxFile({ flux: { variables } }), BUNDLE, true);
  expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
  const config = manifests.find(({ metadata }) => metadata.name === "orders-pgbackstop")?.["data"] as {
    "pgbackrest.conf": string;
  };
  expect(config["pgbackrest.conf"]).toContain("repo1-s3-bucket=${PG_BUCKET}\n");
  expect(config["pgbackrest.conf"]).toContain("repo1-s3-endpoint=${CLOUDFLARE_ACCOUNT_ID}.r2.cloudflarestorage.com\n");
  expect(config["pgbackrest.conf"]).toContain("repo1-s3-region=${REGION:-auto}\n");
  const text = JSON.stringify(manifests);
  expect(text).toContain("'$${NOT_FLUX}'");
  // What Flux does: set names are replaced, others become empty, and $${ becomes ${.
  const values: Record<string, string> = { PG_BUCKET: "pg", CLOUDFLARE_ACCOUNT_ID: "0123", REGION: "auto" };
  const applied = text.replaceAll(/\$\$\{|\$\{(\w+)[^}]*\}/g, (match, name?: string) =>
    match === "$${" ? "${" : (values[name ?? ""] ?? ""),
  );
  expect(applied).toContain("repo1-s3-bucket=pg\\n");
  expect(applied).toContain(JSON.stringify(SQL).slice(1, -1));
});

test("without a word on Flux, what it would replace is reported, and stays", () => {
  const { clusters } = file();
  const orders = {
    ...clusters?.["orders"],
    namespace: "orders",
    spec: { bootstrap: { initdb: { postInitSQL: [SQL] } } },
  };
  const { findings, manifests } = renderGitops({ clusters: { orders } }, BUNDLE, true);
  expect(findings.map(({ code, path }) => `${code} ${path}`)).toEqual(["PB181 Cluster/orders"]);
  expect(JSON.stringify(manifests)).toContain("'${NOT_FLUX}'");
  // An undeclared variable is a text like any other: not the name of a bucket.
  expect(renderGitops(fluxFile({ flux: {} }), BUNDLE, true).findings.map(({ code }) => code)).toContain("PB020");
});

test("a name of a variable is a name", () => {
  const { findings, manifests } = renderGitops(fluxFile({ flux: { variables: ["${X}", "x|y"] } }), BUNDLE, true);
  expect(findings.map(({ code, path, severity }) => `${severity} ${code} ${path}`)).toEqual([
    "error PB014 flux.variables[0]",
    "error PB014 flux.variables[1]",
  ]);
  expect(manifests).toEqual([]);
});

test.each([
  ["flux", "PB191 flux: it is empty"],
  ["plugin", "PB191 plugin: it is empty"],
  ["clusters", "PB191 clusters: it is empty"],
  ["plugn", "PB190 plugn: the file has no field 'plugn'; did you mean plugin?"],
  ["cluster", "PB190 cluster: the file has no field 'cluster'; did you mean clusters?"],
])("an empty or unknown section '%s' is refused, and nothing is rendered", (section, expected) => {
  const { findings, manifests } = renderGitops({ ...file(), [section]: null }, BUNDLE, false);
  expect(findings.map(findingText)).toEqual([expect.stringContaining(expected)]);
  expect(manifests).toEqual([]);
});

test.each([
  [{ clusters: ["a"] }, "PB191 clusters: it is a list, and must be a section with names"],
  [{ clusters: { a: 3 } }, "PB191 clusters.a: it is the number 3, and must be a section with names"],
  [{ attach: { a: null } }, "PB191 attach.a: it is empty"],
  [{ plugin: "x" }, 'PB191 plugin: it is the text "x", and must be a section with names'],
])("%j is refused in words", (wrong, expected) => {
  expect(renderGitops(wrong as never, BUNDLE, false).findings.map(findingText)).toEqual([
    expect.stringContaining(expected),
  ]);
});

// claim: docs/kubernetes/yaml.md: the same objects for GitOps, secrets refused
test("the objects equal those of the components", () => {
  const { manifests } = renderGitops(file(), BUNDLE, false);
  const like = context({ repositories: {}, schedules: { full: { cron: "0 3 * * 0" } } });
  const expected = objectOf(renderCluster(like, null), "schedule-full");
  expect(manifests.find(({ kind }) => kind === "ScheduledBackup")).toEqual(expected);
});

test("fields of an existing Cluster are rendered without Pulumi's own", () => {
  const orders = file().clusters?.["orders"];
  if (orders === undefined) throw new Error("no cluster in the file");
  const { instances: _instances, ...legacy } = orders;
  const attach = {
    legacy: { ...legacy, namespace: "db", repositories: legacy.repositories ?? {}, storageGiB: undefined },
  };
  const { manifests } = renderGitops({ attach }, BUNDLE, false);
  expect(kinds(manifests)).toEqual([
    "ConfigMap db/legacy-pgbackstop",
    "Cluster db/legacy",
    "ScheduledBackup db/legacy-full",
  ]);
  expect(Object.keys(manifests[1]?.["spec"] as object).sort()).toEqual(["plugins"]);
  expect(JSON.stringify(manifests)).not.toContain("pulumi");
});

// claim: docs/kubernetes/yaml.md: the same objects for…
test("a secret in the file is refused by its position, and not repeated", () => {
  const credentials = { accessKeyId: "id", secretAccessKey: "marker-secret" };
  const wrong: object = {
    clusters: {
      orders: { repositories: { repo1: { at: { s3: { credentials }, cipher: { passphrase: "marker-pass" } } } } },
    },
  };
  const { findings, manifests } = renderGitops(wrong, BUNDLE, true);
  expect(manifests).toEqual([]);
  expect(findings.map(({ code, path }) => `${code} ${path}`)).toEqual([
    "PB116 clusters.orders.repositories.repo1.at.s3.credentials",
    "PB116 clusters.orders.repositories.repo1.at.cipher",
    // With every other mistake of the file.
    ...["namespace", ...["bucket", "endpoint", "region"].map((name) => `repositories.repo1.at.s3.${name}`)].map(
      (path) => `PB118 clusters.orders.${path}`,
    ),
  ]);
  expect(JSON.stringify(findings)).not.toContain("marker");
});

test("a field of the operator that refers to a Secret holds no secret", () => {
  const key = { name: "keys", key: "secret" };
  const s3Credentials = { accessKeyId: { name: "keys", key: "id" }, secretAccessKey: key };
  const externalClusters = [{ name: "old", barmanObjectStore: { destinationPath: "s3://old", s3Credentials } }];
  const { clusters } = file();
  const made = { clusters: { orders: { ...clusters?.["orders"], spec: { externalClusters } } } } as object;
  const { findings, manifests } = renderGitops(made, BUNDLE, true);
  expect(findings.filter(({ severity }) => severity === "error")).toEqual([]);
  const cluster = manifests.find(({ kind }) => kind === "Cluster");
  expect(cluster?.["spec"]).toMatchObject({ externalClusters });
});

test("an invalid declaration is reported with its position in the file, and nothing is rendered", () => {
  const { findings, manifests } = renderGitops(file({ plugin: { serviceName: "pgbackrest" } }), BUNDLE, true);
  expect(findings.map(({ code, path }) => `${code} ${path}`)).toEqual(["PB052 plugin.serviceName"]);
  expect(manifests).toEqual([]);
  const orders = file().clusters?.["orders"];
  const overdue = renderGitops(
    { clusters: { orders: { ...orders, namespace: "orders", schedules: { full: { cron: "0 0 3 * * 0" } } } } },
    BUNDLE,
    true,
  );
  expect(overdue.findings.map(({ code, path }) => `${code} ${path}`)).toContain(
    "PB011 clusters.orders.schedules.full.cron",
  );
  expect(overdue.manifests).toEqual([]);
});

test("two clusters of a file share no archive, and no Cluster has two archivers", () => {
  const orders = file().clusters?.["orders"];
  if (orders === undefined) throw new Error("no cluster");
  const { repositories, schedules } = orders;
  const textsOf = (over: GitopsFile): string[] =>
    renderGitops({ ...file(), ...over }, BUNDLE as never, false)
      .findings.filter(({ severity }) => severity === "error")
      .map(findingText);
  const copy = { ...orders, stanza: "orders" };
  const texts = textsOf({ clusters: { orders, copy } });
  expect(texts.map((text) => text.split(": ")[0])).toEqual(
    Object.keys(repositories ?? {}).map((name) => `PB195 clusters.copy.repositories.${name}.at`),
  );
  expect(texts[0]).toContain("is also that of clusters.orders (repositories.repo1.at)");
  expect(textsOf({ clusters: { orders, copy: { ...copy, stanza: "copy" } } })).toEqual([]);
  // A replica reads one repository of production, and archives into the other one.
  const [[first, production] = []] = Object.entries(repositories ?? {});
  if (first === undefined || production === undefined) throw new Error("no repository");
  const recovery = { stanza: "source", repositories: { [first]: production }, postgresVersion: 18 };
  const follower = (stanza: string): typeof orders =>
    ({ ...copy, stanza, bootstrap: { recovery }, replica: {} }) as typeof orders;
  expect(textsOf({ clusters: { orders, copy: follower("orders") } })).toContainEqual(
    expect.stringMatching(/^PB195 clusters\.copy\.repositories\.repo1\.at/),
  );
  expect(textsOf({ clusters: { orders, copy: follower("copy") } })).toEqual([]);
  const attached = { namespace: orders.namespace, repositories, schedules, stanza: "attached" };
  expect(textsOf({ clusters: { orders }, attach: { orders: attached } } as GitopsFile)).toEqual([
    expect.stringMatching(/^PB196 attach\.orders: the Cluster that archives here is also that of clusters\.orders/),
  ]);
  const elsewhere = { ...attached, namespace: "other" };
  expect(textsOf({ clusters: { orders }, attach: { orders: elsewhere } } as GitopsFile)).toEqual([]);
});
