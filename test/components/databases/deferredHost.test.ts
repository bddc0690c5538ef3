/** Every input of a host: deferred values give what plain ones give, and a preview without them guesses nothing. */
// claim: docs/reference/components.md: "Plain arguments": every other…
import { expect, test } from "vitest";
import type { PostgresHostArgs } from "../../../components/databases/hostArgs";
import { PostgresHost } from "../../../components/databases/postgresHost";
import { AZURE_LOCATION, GCS_LOCATION, describeDeferred, inputsOf, withInputs } from "../deferredInputs";

const KEYS = {
  knownHostsFiles: ["/etc/own/known_hosts"],
  privateKey: "key",
  privateKeyFile: "/root/.ssh/own",
  passphrase: "phrase",
  agent: "/run/agent",
};
const ARGS: PostgresHostArgs = {
  connection: {
    ssh: { host: "db1", hostKeys: ["ssh-ed25519 AAAAC3"], port: 2222, user: "admin", sudo: true, ...KEYS },
  },
  dataDirectory: "/data/main",
  port: 5433,
  socketDirectory: "/run/pg",
  databaseUser: "dba",
  user: "pg",
  stanza: "ledger",
  processMax: 3,
  nodePath: "/opt/node/bin/node",
  agent: true,
  allowRestart: true,
  firstBackup: false,
  archiveTimeoutSeconds: 45,
  slotKeepGiB: 16,
  engineVersion: "2.58.0",
  pgbackrestPath: "/opt/pgbackrest",
  restartCommand: ["pg_ctlcluster", "18", "main", "restart"],
  directories: {
    config: "/etc/own",
    lib: "/opt/own/lib",
    units: "/etc/systemd/system",
    metrics: "/var/own/metrics",
    bin: "/opt/own/bin",
    lock: "/var/own/lock",
    spool: "/var/own/spool",
    log: "/var/own/log",
  },
  repositories: {
    repo1: {
      at: { name: "nas", path: "/mnt/nas/p", requireMount: true, offSite: false },
      keepFullCount: 5,
      compress: { type: "gz", level: 4 },
      bundle: true,
      blockIncremental: true,
      schedules: { diff: { cron: "0 4 * * 3", timeZone: "Europe/Paris", jitterSeconds: 12, deadlineSeconds: 7200 } },
      options: { "retention-archive": "3" },
    },
    repo2: {
      at: {
        name: "bucket",
        path: "/b",
        s3: {
          bucket: "own-pg",
          endpoint: "s3.example.net",
          region: "eu",
          port: 8443,
          caFile: "/etc/ca.pem",
          uriStyle: "path",
          quirks: "minio",
          keyType: "shared",
          facts: {
            versioning: true,
            immutableDays: 3,
            lockMode: "governance",
            undeleteDays: 8,
            storageClass: "STANDARD_IA",
          },
        },
      },
      keepDays: 40,
      keepDiffCount: 2,
      limitRate: { "08:00-20:00": "20MiB", zone: "Europe/Berlin" },
      secretFiles: {
        options: "/run/s/options",
        env: "/run/s/env",
        accessKeyId: "/run/s/id",
        secretAccessKey: "/run/s/key",
        sessionToken: "/run/s/token",
        passphrase: "/run/s/pass",
        encrypted: true,
      },
    },
    repo3: {
      at: {
        name: "vault",
        path: "/v",
        sftp: { host: "vault", port: 2022, user: "db", hostFingerprint: "0".repeat(64) },
      },
      keepDays: 9,
      secretFiles: { privateKey: "/run/s/ssh", privateKeyPassphrase: "/run/s/phrase" },
    },
    repo4: {
      at: {
        name: "azure",
        path: "/z",
        azure: { ...AZURE_LOCATION, caFile: "/etc/ca.pem" },
      },
      keepDays: 9,
      secretFiles: { azureKey: "/run/s/azure" },
    },
    repo5: {
      at: { name: "google", path: "/g", gcs: GCS_LOCATION },
      keepDays: 9,
      secretFiles: { gcsKey: "/run/s/google.json" },
    },
  },
  schedules: {
    full: { cron: "30 3 * * 0", timeZone: "Europe/Berlin", jitterSeconds: 30, deadlineSeconds: 40_000 },
    incr: { cron: "30 2 * * 1-6", timeZone: "Europe/Berlin" },
  },
  backupPriority: { cpuNice: 5, ioClass: "best-effort", ioLevel: 7 },
  maintenance: {
    expire: { cron: "11 6 * * *", timeZone: "Europe/Rome", jitterSeconds: 5, deadlineSeconds: 900 },
    verify: { cron: "5 5 * * 5", timeZone: "Europe/Rome", jitterSeconds: 6, deadlineSeconds: 800, samplePercent: 35 },
    stale: {},
  },
  notify: {
    targets: [
      {
        type: "email",
        name: "ops",
        user: "u",
        password: "p",
        host: "smtp",
        port: 465,
        security: "tls",
        from: "a@example.net",
        to: ["b@example.net"],
        caFile: "/etc/mail-ca.pem",
        units: ["pgbackstop-ledger-full.service"],
        events: ["failure", "success"],
      },
      { type: "ntfy", url: "https://x", topic: "t", token: "tok" },
      { type: "webhook", url: "https://y", hmacSecret: "h" },
      { type: "telegram", botToken: "1:a", chatId: "-100", threadId: 7, apiUrl: "https://bots.example.net" },
    ],
  },
  monitoring: {
    listen: "127.0.0.1:9854",
    otlp: {
      endpoint: "http://127.0.0.1:4318",
      headers: { "x-api-key": "k" },
      attributes: { team: "db" },
      caFile: "/etc/otlp-ca.pem",
    },
  },
  acknowledge: { mode: "named", repositories: ["repo1"] },
  objectives: { rpoSeconds: 300, rtoMinutes: 90, pitrRtoMinutes: 95, pitrDays: 7, maxRepositoryGB: 100 },
  drills: {
    monthly: {
      cron: "0 5 1 * *",
      timeZone: "Europe/Oslo",
      from: "repo2",
      pick: "newest",
      how: "restore",
      level: "quick",
      maxMinutes: 80,
      maxGiB: 30,
      path: "/drills",
    },
    turns: { cron: "0 5 15 * *", repositories: ["repo1", "repo2"] },
    away: { cron: "0 6 15 * *", elsewhere: true, level: "standard" },
  },
  drillChecks: {
    heartbeat: { sql: "SELECT now()", database: "shop" },
    assertions: [{ name: "orders", sql: "SELECT true", database: "shop" }],
    backupAgeHours: 200,
  },
  streaming: {
    intervalSeconds: 9,
    synchronous: "named",
    repositories: ["repo1"],
    degradeAfterSeconds: 30,
    groupMilliseconds: 20,
  },
  sizing: { databaseGiB: 10, walGiBPerDay: 2, changedGiBPerDay: 1, compressedTo: 0.4 },
  postgres: { version: 17, install: true },
  options: { "protocol-timeout": "3700" },
};

/** Other forms of what is given here. */
const LOGIN: PostgresHostArgs["connection"] = {
  host: "db2",
  port: 2201,
  user: "login",
  password: "p",
  privateKey: "k",
  privateKeyPassword: "kp",
  agentSocketPath: "/run/agent",
  hostKey: "ssh-ed25519 AAAAC3",
  dialErrorLimit: 4,
  perDialTimeout: 20,
  waitSeconds: 30,
  proxy: { host: "bastion", hostKey: "ssh-ed25519 AAAAC3" },
};
const OTHER: PostgresHostArgs = {
  ...ARGS,
  connection: LOGIN,
  notify: { existingFile: "/run/s/notify.json" },
  monitoring: { otlp: { existingFile: "/run/s/otlp.env" } },
};

const CONTAINED: PostgresHostArgs = {
  connection: ARGS.connection as NonNullable<PostgresHostArgs["connection"]>,
  container: { compose: "/srv/immich/docker-compose.yml", service: "database", engine: "podman" },
  repositories: ARGS.repositories,
  streaming: { intervalSeconds: 9 },
};

function make(args: PostgresHostArgs): object {
  const { access, drilled, repositoryNames, restoreCommand, source, stanza, topology } = new PostgresHost("db", args);
  return { access, drilled, repositoryNames, restoreCommand, source, stanza, topology };
}

/** A host that writes refuses the first two, secret files replace keys, and only whole targets have the others. */
const UNUSED = [
  "BucketFacts.expireLiveDays",
  "RepositoryTarget.readOnly",
  "RepositoryTarget.secretLocation",
  "SftpLocation.hostKey",
  "SftpLocation.privateKey",
  "SftpLocation.privateKeyPassphrase",
];

const FORMS = [
  { name: "a host by SSH", args: ARGS, own: /^/ },
  { name: "a host by a connection of @pulumi/command", args: OTHER, own: /^(connection|notify)/ },
  { name: "a host with a container", args: CONTAINED, own: /^container/ },
] as const;

const forms = FORMS.map(({ args, name, own: tested }) => {
  const { missing, paths } = inputsOf("PostgresHostArgs", args);
  const own = paths.map(({ path }) => path).filter((path) => tested.test(path));
  const run = (chosen: readonly string[], of: (value: unknown) => unknown) => () => make(withInputs(args, chosen, of));
  return { name, missing, paths: own, own, run };
});

test("the programs give every input of the arguments", () => {
  const [first = [], ...others] = forms.map(({ missing }) => missing);
  expect(first.filter((name) => others.every((missing) => missing.includes(name))).sort()).toEqual(UNUSED);
});

describeDeferred(forms);
