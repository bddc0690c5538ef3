/** Arguments that every component takes, from which tests make wrong ones. */
import * as all from "../../components/index";
import type { ArgumentType } from "../../components/plan/arguments/argumentTypes";
import { topology } from "./topologies";

export interface Base {
  /** Of its arguments. */
  readonly type: ArgumentType;
  readonly args: object;
  make(args: object): object;
}

const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJbQ2VvNLPQ3MbQjHuXgva780eFGEYRZhfuPbJ1yIAf";
const NAS = { name: "nas", path: "/mnt/nas" };
const BUCKET = {
  name: "orders-b2",
  path: "/orders",
  s3: {
    bucket: "acme-orders-pg",
    endpoint: "s3.eu-central-003.backblazeb2.com",
    region: "eu-central-003",
    quirks: "b2",
    credentials: { accessKeyId: "id", secretAccessKey: "key" },
  },
  cipher: { passphrase: "a-long-passphrase" },
};
const CONNECTION = { ssh: { host: "db1", hostKeys: [HOST_KEY] } };
/** Nothing listens there: an update asks the host for a greeting. */
const HOST = {
  connection: { ssh: { host: "127.0.0.1", port: 1, hostKeys: [HOST_KEY], privateKey: "key" } },
  user: "root",
  runtimeArgv: ["/usr/local/bin/pgbackstop"],
  databaseUser: "postgres",
};
const SCHEDULES = { full: { cron: "0 3 * * 0" }, incr: { cron: "0 3 * * 1-6" } };
const DRILL = { cron: "0 5 1 * *" };
const HEARTBEAT = { sql: "select now()" };
const KEYS = { accessKeyId: { key: "b2", property: "ID" }, secretAccessKey: { key: "b2", property: "KEY" } };
const LEDGER = JSON.stringify(topology());

const CLUSTER = {
  namespace: "db",
  plugin: { name: "pgbackstop.runtime" },
  repositories: { repo1: { at: BUCKET, keepDays: 14 } },
  schedules: SCHEDULES,
  drills: { weekly: DRILL },
  drillChecks: { heartbeat: HEARTBEAT },
};

function base(type: ArgumentType, Component: new (name: string, args: never) => object, args: object): Base {
  return { type, args, make: (own) => new Component("made", own as never) };
}

export const BASES = {
  PostgresHost: base("PostgresHostArgs", all.PostgresHost, {
    connection: CONNECTION,
    dataDirectory: "/data/main",
    repositories: { repo1: { at: NAS, keepDays: 7 }, repo2: { at: BUCKET, keepDays: 60 } },
    schedules: SCHEDULES,
    notify: { targets: [{ type: "ntfy", url: "https://ntfy.sh", topic: "backups" }] },
    drills: { monthly: DRILL },
    drillChecks: { heartbeat: HEARTBEAT },
  }),
  StandbyHost: base("StandbyHostArgs", all.StandbyHost, {
    connection: CONNECTION,
    dataDirectory: "/data/main",
    repositories: { repo1: { at: { ...NAS, readOnly: true } } },
    primary: { host: "db2", user: "replicator" },
  }),
  FireDrill: base("FireDrillArgs", all.FireDrill, {
    connection: CONNECTION,
    repositories: { repo1: { at: { ...NAS, readOnly: true } } },
    drills: { monthly: DRILL },
  }),
  RepositoryHost: base("RepositoryHostArgs", all.RepositoryHost, {
    connection: CONNECTION,
    clients: { orders: { immutableDays: 14, cipher: { passphrase: "a-long-passphrase" } } },
  }),
  CnpgCluster: base("CnpgClusterArgs", all.CnpgCluster, {
    ...CLUSTER,
    instances: 3,
    postgresVersion: 18,
    storageGiB: 50,
  }),
  CnpgBackup: base("CnpgBackupArgs", all.CnpgBackup, { ...CLUSTER, clusterName: "legacy", operatorVersion: "1.30.0" }),
  CnpgRestore: base("CnpgRestoreArgs", all.CnpgRestore, {
    namespace: "db",
    plugin: CLUSTER.plugin,
    postgresVersion: 18,
    storageGiB: 50,
    source: { stanza: "orders", repositories: { repo1: { at: BUCKET } }, postgresVersion: 18 },
  }),
  DatabaseClone: base("DatabaseCloneArgs", all.DatabaseClone, { host: HOST, databases: ["shop"], lifetimeHours: 12 }),
  CnpgPlugin: base("CnpgPluginArgs", all.CnpgPlugin, {}),
  BackupHold: base("BackupHoldArgs", all.BackupHold, { host: HOST, backup: "20261231-020000F", reason: "audit" }),
  BackupNow: base("BackupNowArgs", all.BackupNow, { host: HOST, repositories: ["repo1"] }),
  CheckNow: base("CheckNowArgs", all.CheckNow, { host: HOST, triggers: ["v2"] }),
  DrillNow: base("DrillNowArgs", all.DrillNow, { host: HOST, drill: "weekly" }),
  CipherPassphrase: base("CipherPassphraseArgs", all.CipherPassphrase, { existing: "a-long-passphrase" }),
  RepositorySecret: base("RepositorySecretArgs", all.RepositorySecret, { namespace: "db", create: { from: BUCKET } }),
  SharedExternalSecret: base("SharedExternalSecretArgs", all.SharedExternalSecret, {
    namespace: "db",
    store: { name: "vault" },
    repositories: { b2: KEYS },
  }),
  Monitoring: base("MonitoringArgs", all.Monitoring, {
    topologies: [LEDGER],
    kubernetes: { namespace: "monitoring" },
  }),
  Runbook: base("RunbookArgs", all.Runbook, { topologies: [LEDGER], roles: { "Incident Lead": "Ada" } }),
} satisfies Record<string, Base>;

export type BaseName = keyof typeof BASES;
