/** Programs reach the Kubernetes objects of components as typed resources. */
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, expect, test } from "vitest";
import {
  CnpgBackup,
  type CnpgBackupArgs,
  CnpgCluster,
  CnpgPlugin,
  CnpgRestore,
  Monitoring,
  RepositorySecret,
  S3CompatibleRepository,
  SharedExternalSecret,
} from "../../components/index";

import { startProgram } from "./declaredResources";

/** What the engine would have created. */
const CERTIFICATE = { certificatePem: "certificate", privateKeyPem: "key", notAfter: "2036-11-22T00:00:00Z" };

beforeAll(() => startProgram(({ inputs }) => ({ ...CERTIFICATE, ...inputs })));

function common(): Omit<CnpgBackupArgs, "clusterName"> {
  const { target } = new S3CompatibleRepository("store", {
    endpoint: "s3.example.net",
    region: "eu",
    bucket: { existing: { name: "orders-pg", credentials: { accessKeyId: "id", secretAccessKey: "secret" } } },
  });
  return {
    namespace: "db",
    operatorVersion: "1.30.0",
    repositories: { repo1: { at: target, keepDays: 14 } },
    schedules: { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } },
    monitoring: { podMonitor: true, prometheusRule: true },
    silence: { PB003: "a test", PB007: "a test", PB042: "a test" },
  };
}

/** Types and names of resources, as the engine has them: `ConfigMap orders-config`. */
async function namesOf(children: object): Promise<Record<string, string>> {
  const entries = Object.entries(children as Record<string, pulumi.CustomResource | undefined>).map(
    ([key, child]) =>
      new Promise<[string, string]>((resolve) => {
        if (child === undefined) resolve([key, "none"]);
        else child.urn.apply((urn) => resolve([key, urn.replace(/^.*[:/](\w+)::/, "$1 ")]));
      }),
  );
  return Object.fromEntries(await Promise.all(entries));
}

test("a cluster shows its objects, and those that its arguments leave out are undefined", async () => {
  const args = { ...common(), storageGiB: 1, poolers: { web: {} }, drills: { weekly: { cron: "0 5 * * 6" } } };
  const orders = new CnpgCluster("orders", args);
  const { cluster, configMap, podMonitor, prometheusRule } = orders;
  expect(await namesOf({ cluster, configMap, podMonitor, prometheusRule, ...orders.secrets })).toEqual({
    cluster: "Cluster orders-cluster",
    configMap: "ConfigMap orders-config",
    podMonitor: "PodMonitor orders-pod-monitor",
    prometheusRule: "PrometheusRule orders-prometheus-rule",
    repo1: "Secret orders-repo1-secret",
  });
  expect(await namesOf(orders.schedules)).toEqual({
    full: "ScheduledBackup orders-schedule-full",
    incr: "ScheduledBackup orders-schedule-incr",
  });
  expect(await namesOf(orders.poolers)).toEqual({ web: "Pooler orders-pooler-web" });
  expect(await namesOf(orders.objects)).toMatchObject({
    runtime: "ConfigMap orders-runtime",
    "drill-weekly": "CronJob orders-drill-weekly",
  });
  const { monitoring: _monitoring, ...plain } = common();
  const small = new CnpgCluster("small", { ...plain, storageGiB: 1 });
  expect(await namesOf({ monitor: small.podMonitor, rule: small.prometheusRule, ...small.poolers })).toEqual({
    monitor: "none",
    rule: "none",
  });
});

test("an attached backup shows its patch and its schedules", async () => {
  const legacy = new CnpgBackup("legacy", { ...common(), clusterName: "legacy" });
  const { attachment, configMap } = legacy;
  expect(await namesOf({ attachment, configMap, ...legacy.schedules, ...legacy.secrets })).toEqual({
    attachment: "ClusterPatch legacy-attachment",
    configMap: "ConfigMap legacy-config",
    full: "ScheduledBackup legacy-schedule-full",
    incr: "ScheduledBackup legacy-schedule-incr",
    repo1: "Secret legacy-repo1-secret",
  });
});

test("a restore shows the new cluster", async () => {
  const { repositories, ...others } = common();
  const copy = new CnpgRestore("copy", {
    ...others,
    repositories,
    storageGiB: 1,
    stanza: "copy",
    source: { stanza: "orders", repositories },
  });
  expect(await namesOf({ cluster: copy.restored.cluster })).toEqual({ cluster: "Cluster copy-restored-cluster" });
});

test("the plugin, Secrets and monitoring show their objects", async () => {
  const plugin = new CnpgPlugin("plugin", { replicas: 1 });
  const { clientSecret, configMap, deployment, disruptionBudget, serverSecret, service, serviceAccount } = plugin;
  const children = { clientSecret, configMap, deployment, disruptionBudget, serverSecret, service, serviceAccount };
  expect(await namesOf(children)).toEqual({
    clientSecret: "Secret plugin-client-tls",
    configMap: "ConfigMapPatch plugin-runtime",
    deployment: "Deployment plugin-deployment",
    disruptionBudget: "none",
    serverSecret: "Secret plugin-server-tls",
    service: "Service plugin-service",
    serviceAccount: "ServiceAccount plugin-service-account",
  });
  const { target } = new S3CompatibleRepository("store", {
    endpoint: "s3.example.net",
    region: "eu",
    bucket: { existing: { name: "orders-pg", credentials: { accessKeyId: "id", secretAccessKey: "secret" } } },
  });
  const { topology } = new CnpgCluster("watched", { ...common(), storageGiB: 1 });
  const secret = new RepositorySecret("keys", { namespace: "db", create: { from: target } });
  const store = { name: "vault" };
  const keys = { accessKeyId: { key: "b2", property: "ID" }, secretAccessKey: { key: "b2", property: "KEY" } };
  const external = new RepositorySecret("remote", { namespace: "db", external: { store, keys } });
  const shared = new SharedExternalSecret("shared", { namespace: "db", store, repositories: { b2: keys } });
  const watched = new Monitoring("watched", { topologies: [topology], kubernetes: { namespace: "db" } });
  expect(
    await namesOf({
      secret: secret.secret,
      none: secret.externalSecret,
      external: external.externalSecret,
      shared: shared.externalSecret,
      rules: watched.prometheusRule,
      dashboard: watched.dashboard,
    }),
  ).toEqual({
    secret: "Secret keys-secret",
    none: "none",
    external: "ExternalSecret remote-secret",
    shared: "ExternalSecret shared-secret",
    rules: "PrometheusRule watched-rules",
    dashboard: "ConfigMap watched-dashboard",
  });
});
