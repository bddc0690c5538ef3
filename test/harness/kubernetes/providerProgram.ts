/**
 * A user's program for tests with the real provider of Kubernetes, as one process: `node providerProgram.cjs SETTINGS
 * STACK ACTION`. It runs in the lab's namespaces, with the engine and the provider, and prints one line of JSON at the
 * end.
 */
import { readFileSync } from "node:fs";
import { CustomResource } from "@pulumi/kubernetes/apiextensions/customResource";
import { Provider } from "@pulumi/kubernetes/provider";
import * as pulumi from "@pulumi/pulumi";
import { LocalWorkspace, PulumiCommand } from "@pulumi/pulumi/automation";
import {
  BackupHold,
  BackupNow,
  CnpgBackup,
  type ClusterBackupArgs,
  CnpgCluster,
  CnpgPlugin,
  CnpgRestore,
  S3CompatibleRepository,
} from "pgbackstop";

export interface ProgramSettings {
  /** Folder with `cli` and `state`. */
  readonly folder: string;
  readonly kubeconfig: string;
  readonly stores: readonly {
    readonly bucket: string;
    readonly port: number;
    readonly region: string;
    readonly accessKey: string;
    readonly secretKey: string;
  }[];
  readonly passphrase: string;
  /** Another text takes another backup. */
  readonly version: string;
  /** Asks a plugin that is not installed for a backup. */
  readonly failingBackup?: boolean;
  /** Holds this backup instead of the one that is taken. */
  readonly hold?: string;
  /** Restores a copy to this time. */
  readonly restoreTo?: string;
}

export interface ProgramResult {
  readonly changes?: Readonly<Record<string, number>>;
  readonly outputs?: Readonly<Record<string, unknown>>;
  readonly stdout?: string;
  readonly error?: string;
}

const NAMESPACE = "default";
const CLUSTER = { apiVersion: "postgresql.cnpg.io/v1", kind: "Cluster" } as const;
const SILENCE = ["PB007", "PB030", "PB042"];

/** Half a day away, so that no test sees a scheduled backup. */
const hour = (new Date().getUTCHours() + 12) % 24;

/** One stack each. */
const PROGRAMS = {
  /** Everything, below a component of the user's own, with its provider and its transforms. */
  platform: (settings: ProgramSettings): pulumi.Inputs => {
    const platform = platformOf(settings, [labelClusters]);
    const parent = { parent: platform };
    const plugin = new CnpgPlugin("pgbackstop", {}, parent);
    const orders = ordersOf(settings, plugin.ref.name, platform);
    const before = new BackupNow("before", { cluster: orders.access, triggers: [settings.version] }, parent);
    const hold = { cluster: orders.access, backup: settings.hold ?? before.label, reason: "the audit's copy" };
    new BackupHold("audit", hold, parent);
    if (settings.failingBackup === true) {
      const spec = {
        cluster: { name: "orders" },
        method: "plugin",
        pluginConfiguration: { name: "absent.example.net" },
      };
      new BackupNow("failing", { cluster: { ...orders.access, backups: { full: [spec] } } }, parent);
    }
    // Its name is generated: `legacy-1a2b3c4d`.
    const spec = { instances: 1, storage: { size: "1Gi" }, imageName: "ghcr.io/cloudnative-pg/postgresql:18" };
    const legacy = new CustomResource("legacy", { ...CLUSTER, metadata: { namespace: NAMESPACE }, spec }, parent);
    const attached = new CnpgBackup(
      "attached",
      { ...commonOf(settings, "/legacy", platform), plugin: plugin.ref, clusterName: legacy.metadata.name },
      parent,
    );
    const copy =
      settings.restoreTo === undefined
        ? undefined
        : new CnpgRestore(
            "copy",
            {
              ...commonOf(settings, "/copy", platform),
              like: orders.like,
              plugin: plugin.ref,
              source: { ...orders.source, target: { time: settings.restoreTo } },
            },
            { ...parent, protect: false },
          );
    return {
      label: before.label,
      destinations: orders.destinations,
      legacy: legacy.metadata.name,
      attached: attached.clusterName,
      attachedDestinations: attached.destinations,
      copy: copy?.restored.cluster.metadata.name,
      // Typed children.
      labels: orders.cluster.metadata.labels,
      replicas: plugin.deployment.spec.replicas,
      schedule: orders.schedules["full"]?.metadata.name,
    };
  },
  /** Backups of a Cluster that the operator itself archives. */
  intree: (settings: ProgramSettings): pulumi.Inputs => {
    const platform = platformOf(settings, []);
    const attached = new CnpgBackup(
      "intree",
      {
        ...commonOf(settings, "/intree", platform),
        plugin: { name: "pgbackstop" },
        clusterName: "intree",
        replaceBarmanObjectStore: true,
      },
      { parent: platform },
    );
    return { destinations: attached.destinations };
  },
  /** A cluster whose schedule takes no first backup. */
  unbacked: (settings: ProgramSettings): pulumi.Inputs => {
    const platform = platformOf(settings, []);
    const common = commonOf(settings, "/unbacked", platform);
    const cluster = new CnpgCluster(
      "unbacked",
      {
        ...common,
        plugin: { name: "pgbackstop" },
        schedules: { full: { cron: `0 ${hour} * * 0`, immediate: false } },
        firstBackupTimeoutMinutes: 1,
        storageGiB: 1,
      },
      { parent: platform, protect: false },
    );
    return { destinations: cluster.destinations };
  },
  /** A provider of a cluster that does not answer. */
  away: (settings: ProgramSettings): pulumi.Inputs => {
    new CnpgPlugin("pgbackstop", {}, { parent: platformOf(settings, [], "https://127.0.0.1:1") });
    return {};
  },
} as const;

export type ProgramStack = keyof typeof PROGRAMS;

function platformOf(
  settings: ProgramSettings,
  transforms: pulumi.ResourceTransform[],
  server?: string,
): pulumi.ComponentResource {
  const text = readFileSync(settings.kubeconfig, "utf8");
  const kubeconfig = server === undefined ? text : text.replace(/https:\/\/[\d.]+:\d+/, server);
  const provider = new Provider("lab", { kubeconfig });
  return new pulumi.ComponentResource("acme:platform:Platform", "platform", {}, { providers: [provider], transforms });
}

const labelClusters: pulumi.ResourceTransform = ({ opts, props, type }) => {
  if (type !== `kubernetes:${CLUSTER.apiVersion}:${CLUSTER.kind}`) return undefined;
  const metadata = props["metadata"] as { labels?: object };
  return { props: { ...props, metadata: { ...metadata, labels: { ...metadata.labels, team: "shop" } } }, opts };
};

function ordersOf(settings: ProgramSettings, plugin: pulumi.Input<string>, parent: pulumi.Resource): CnpgCluster {
  return new CnpgCluster(
    "orders",
    {
      ...commonOf(settings, "/orders", parent),
      plugin: { name: plugin },
      storageGiB: 1,
      poolers: { web: {} },
      monitoring: { podMonitor: true, prometheusRule: true },
    },
    { parent, protect: false },
  );
}

function commonOf(settings: ProgramSettings, path: string, parent: pulumi.Resource): ClusterBackupArgs {
  const [first, second] = settings.stores.map(({ accessKey, bucket, port, region, secretKey }, index) => {
    const { target } = new S3CompatibleRepository(
      `${bucket}${path.replaceAll("/", "-")}`,
      {
        endpoint: `${bucket}.${NAMESPACE}.svc`,
        port,
        region,
        uriStyle: "path",
        path,
        bucket: { existing: { name: bucket, credentials: { accessKeyId: accessKey, secretAccessKey: secretKey } } },
        ...(index === 0 ? {} : { cipher: { passphrase: settings.passphrase } }),
      },
      { parent },
    );
    return { at: target, ca: { name: `${bucket}-ca`, key: "ca.crt" } };
  });
  if (first === undefined || second === undefined) throw new Error("two stores are needed");
  return {
    namespace: NAMESPACE,
    operatorVersion: "1.30.0",
    repositories: { repo1: { ...first, keepDays: 14 }, repo2: { ...second, keepDays: 90 } },
    schedules: { full: { cron: `0 ${hour} * * 0` } },
    objectives: { rpoSeconds: 90 },
    archiveTimeoutSeconds: 5,
    silence: Object.fromEntries(SILENCE.map((code) => [code, "a test"])),
  };
}

/** Without what was only read, and is forgotten: a Cluster's status is another one each time. */
function changesIn({
  discard: _discard,
  read: _read,
  ...changes
}: Readonly<Record<string, number>> = {}): Record<string, number> {
  return changes;
}

async function main(settings: ProgramSettings, stackName: ProgramStack, action: string): Promise<ProgramResult> {
  const stack = await LocalWorkspace.createOrSelectStack(
    { stackName, projectName: "acme", program: async () => PROGRAMS[stackName](settings) },
    {
      workDir: settings.folder,
      pulumiCommand: await PulumiCommand.get({ root: `${settings.folder}/cli`, skipVersionCheck: true }),
    },
  );
  if (action === "preview") {
    const { changeSummary, stdout } = await stack.preview();
    return { changes: { ...changeSummary }, stdout };
  }
  if (action === "refresh") {
    const { summary, stdout } = await stack.refresh();
    return { changes: changesIn(summary.resourceChanges), stdout };
  }
  if (action === "destroy") {
    const { summary, stdout } = await stack.destroy();
    return { changes: changesIn(summary.resourceChanges), stdout };
  }
  const { outputs, stdout, summary } = await stack.up();
  const values = Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value as unknown]));
  return { changes: changesIn(summary.resourceChanges), outputs: values, stdout };
}

const [settingsFile = "", stackName = "platform", action = "up"] = process.argv.slice(2);
main(JSON.parse(readFileSync(settingsFile, "utf8")) as ProgramSettings, stackName as ProgramStack, action).then(
  (result) => process.stdout.write(`\n${JSON.stringify(result)}\n`),
  (error: unknown) => process.stdout.write(`\n${JSON.stringify({ error: String(error) })}\n`),
);
