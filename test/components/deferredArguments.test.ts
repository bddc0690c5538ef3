/** Arguments of another type than declared that arrive late: each is refused by name before anything reads it. */
// claim: docs/reference/components.md: "Plain arguments": every other…
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { answerTo, isExplained } from "./answers";
import { deferred } from "./deferredInputs";
import { withValue } from "./strangeValues";
import { BASES, type BaseName } from "./componentBases";

type Case = readonly [component: BaseName, path: string, value: unknown, code: string];

const CASES: readonly Case[] = [
  // The text would switch the agent on.
  ["PostgresHost", "agent", "false", "PB191"],
  // The text would let the update restart PostgreSQL.
  ["PostgresHost", "allowRestart", "false", "PB191"],
  ["PostgresHost", "repositories.repo1.keepDays", "14", "PB191"],
  ["PostgresHost", "repositories.repo1.at", 5, "PB191"],
  ["PostgresHost", "stanza", 5, "PB191"],
  ["PostgresHost", "schedules.full.cron", undefined, "PB118"],
  ["PostgresHost", "connection.ssh.host", 5, "PB191"],
  ["PostgresHost", "connection", "db1", "PB191"],
  ["PostgresHost", "notify.targets.0.url", 5, "PB191"],
  ["PostgresHost", "notify.targets.0.events", ["failed"], "PB191"],
  ["StandbyHost", "primary.port", "5432", "PB191"],
  ["StandbyHost", "processMax", "3", "PB191"],
  ["FireDrill", "path", 5, "PB191"],
  ["FireDrill", "drills.monthly.cron", 5, "PB191"],
  ["RepositoryHost", "directory", 5, "PB191"],
  ["RepositoryHost", "address", 5, "PB191"],
  ["RepositoryHost", "clients.orders.immutableDays", "14", "PB191"],
  ["CnpgCluster", "image", 18, "PB191"],
  ["CnpgCluster", "schedules.full.cron", undefined, "PB118"],
  ["CnpgCluster", "drillChecks.heartbeat.sql", 5, "PB191"],
  ["CnpgCluster", "plugin.name", 5, "PB191"],
  ["CnpgBackup", "stanza", 5, "PB191"],
  ["CnpgBackup", "takeOverPlugins", "false", "PB191"],
  ["CnpgRestore", "source.stanza", 5, "PB191"],
  ["CnpgRestore", "source.target.time", 5, "PB191"],
  ["BackupHold", "reason", 5, "PB191"],
  ["BackupNow", "host.user", 5, "PB191"],
  ["CheckNow", "timeoutMinutes", "4", "PB191"],
  ["DrillNow", "level", 5, "PB191"],
  ["DatabaseClone", "lifetimeHours", "24", "PB191"],
  ["CipherPassphrase", "existing", 5, "PB191"],
  ["RepositorySecret", "namespace", 5, "PB191"],
  ["SharedExternalSecret", "store.refreshIntervalSeconds", "90", "PB191"],
  ["Monitoring", "topologies.0", 5, "PB191"],
  ["Monitoring", "kubernetes.ruleLabels", ["a"], "PB191"],
  ["Runbook", "internalMinutes", "15", "PB191"],
];

function keysOf(path: string): (string | number)[] {
  return path.split(".").map((key) => (/^\d+$/.test(key) ? Number(key) : key));
}

const LOGIN = { host: "db1", user: "root", hostKey: "ssh-ed25519 AAAAC3", privateKey: "key" };

test.each(CASES)("%s refuses %s: output(%j)", async (name, path, value, code) => {
  const { args, make } = BASES[name];
  const { errors } = await answerTo(() => make(withValue(args, keysOf(path), deferred(value)) as object));
  expect(errors.filter((error) => !isExplained(error))).toEqual([]);
  const shown = path.replaceAll(/\.(\d+)/g, "[$1]");
  expect(errors.map((error) => (error as Error).message).join("\n")).toContain(`${code} ${shown}`);
});

test.each<[component: BaseName, path: string, value: unknown]>([
  ["PostgresHost", "engine", "runtime"],
  ["PostgresHost", "restoreOnly", true],
  ["PostgresHost", "silence", {}],
  ["PostgresHost", "repositories", {}],
  ["PostgresHost", "drills", {}],
  ["FireDrill", "drills", {}],
  ["StandbyHost", "repositories.repo1", { at: {} }],
  ["RepositoryHost", "clients.orders.reader", true],
  ["CnpgCluster", "engine", "runtime"],
  ["CnpgCluster", "monitoring", { podMonitor: true }],
  ["CnpgCluster", "monitoring.podMonitor", true],
  ["CnpgCluster", "silence", {}],
  ["CnpgCluster", "poolers", {}],
  ["CnpgCluster", "drills", {}],
  ["CnpgCluster", "schedules.full.immediate", true],
  ["CnpgCluster", "firstBackupTimeoutMinutes", 5],
  ["CnpgCluster", "followRuntime", true],
  ["CnpgCluster", "repositories", {}],
  ["CnpgBackup", "hasWalStorage", true],
  ["CnpgBackup", "readCluster", true],
  ["CnpgRestore", "source", {}],
  ["CnpgPlugin", "replicas", 2],
  ["BackupNow", "repositories", ["repo1"]],
  ["Monitoring", "kubernetes.dashboard", true],
  ["Runbook", "roles", {}],
])("%s refuses %s: output(%j), which decides what exists", async (name, path, value) => {
  const { args, make } = BASES[name];
  const { errors } = await answerTo(() => make(withValue(args, path.split("."), deferred(value)) as object));
  expect(errors.filter((error) => !isExplained(error))).toEqual([]);
  expect(String(errors)).toContain(`PB191 ${path}: it comes from another resource`);
});

/** An optional argument from another resource that turns out to have no value. */
test.each<[component: BaseName, path: string, expected: string]>([
  ["PostgresHost", "connection", "there is no host"],
  ["PostgresHost", "connection.ssh.hostKeys.0", "PB191 connection.ssh.hostKeys[0]: it is empty"],
  ["RepositoryHost", "clients.orders.publicKeys.0", "PB191 clients.orders.publicKeys[0]: it is empty"],
  ["Monitoring", "topologies.0", "PB191 topologies[0]: it is empty"],
  ["CnpgCluster", "snapshots.cron", "schedule-snapshot was declared for an argument"],
])("%s refuses %s without a value", async (name, path, expected) => {
  const { args, make } = BASES[name];
  const { errors } = await answerTo(() => make(withValue(args, keysOf(path), deferred(undefined)) as object));
  expect(errors.filter((error) => !isExplained(error))).toEqual([]);
  expect(String(errors)).toContain(expected);
});

test.each<[component: BaseName, path: string]>([
  ["RepositorySecret", "secretName"],
  ["SharedExternalSecret", "secretName"],
  ["PostgresHost", "connection.proxy"],
])("%s takes an output without a value for %s, as if nobody gave it", async (name, path) => {
  const { args, make } = BASES[name];
  const over = path === "connection.proxy" ? { connection: LOGIN } : {};
  const base = { ...args, ...over };
  const plain = await answerTo(() => make(base));
  const made = await answerTo(() => make(withValue(base, keysOf(path), deferred(undefined)) as object));
  expect([plain.errors, made.errors]).toEqual([[], []]);
  expect(JSON.parse(made.shown)).toEqual(JSON.parse(plain.shown));
});

/** What a host that only restores, and a cluster that is restored, write into a configuration too. */
test.each<[component: BaseName, path: string, value: unknown]>([
  ["FireDrill", "objectives.pitrRtoMinutes", 0],
  ["StandbyHost", "repositories.repo1.keepDiffCount", 0.5],
  ["StandbyHost", "repositories.repo1.keepDays", 0],
  ["CnpgRestore", "objectives.rtoMinutes", 0],
  ["CnpgRestore", "source.repositories.repo1.options.repo1", "3"],
  ["CnpgRestore", "source.repositories.repo1.compress.type", "nonsense"],
  ["CnpgRestore", "source.repositories.repo1.keepFullCount", 0.5],
])("%s refuses %s: %j, at once and late", async (name, path, value) => {
  const { args, make } = BASES[name];
  for (const each of [value, deferred(value)]) {
    const { errors } = await answerTo(() => make(withValue(args, keysOf(path), each) as object));
    expect(errors.filter((error) => !isExplained(error))).toEqual([]);
    expect(String(errors)).toContain(path.replace(/^source\./, "bootstrap.recovery."));
  }
});

test.each<BaseName>(["Monitoring", "Runbook"])(
  "%s refuses a text that is no topology, at once or late",
  async (name) => {
    const { args, make } = BASES[name];
    for (const text of ["ledger", deferred('{"version":1}')]) {
      const { errors } = await answerTo(() => make({ ...args, topologies: [text] }));
      expect(errors.filter((error) => !isExplained(error))).toEqual([]);
      expect(String(errors)).toContain(`${name} made: topologies[0]: `);
      expect(String(errors)).toContain("give the output topology of a database");
    }
  },
);

test("the labels of a Secret may come later as a whole", async () => {
  for (const name of ["RepositorySecret", "SharedExternalSecret"] as const) {
    const { args, make } = BASES[name];
    const labels = { team: "databases" };
    const known = await answerTo(() => make({ ...args, labels }));
    const made = await answerTo(() => make({ ...args, labels: deferred(labels) }));
    expect(made.errors).toEqual([]);
    expect(JSON.parse(made.shown)).toEqual(JSON.parse(known.shown));
    expect(made.shown).toContain('"team":"databases"');
    expect(made.shown).toContain('"cnpg.io/reload":"true"');
  }
});

test.each([
  ["a\n", "PB105"],
  [12_345_678, "PB191"],
])("RepositorySecret refuses the passphrase %j", async (passphrase, code) => {
  const { args, make } = BASES.RepositorySecret;
  for (const each of [passphrase, deferred(passphrase)]) {
    const keys = ["create", "from", "cipher", "passphrase"];
    const { errors } = await answerTo(() => make(withValue(args, keys, each) as object));
    expect(errors.filter((error) => !isExplained(error))).toEqual([]);
    expect(String(errors)).toContain(`${code} create.from.cipher.passphrase`);
    expect(String(errors)).not.toContain("12345678");
  }
});

test("no error repeats a late secret", async () => {
  const { args, make } = BASES.PostgresHost;
  const stanza = deferred(pulumi.secret({ planted: 1 }));
  const { errors } = await answerTo(() => make({ ...args, stanza }));
  expect(String(errors)).toContain("the value is secret");
  expect(String(errors)).not.toContain("planted");
});

test("a component takes what another one of a newer version made", async () => {
  const { args, make } = BASES.PostgresHost;
  const target = { name: "nas", path: "/mnt/nas", inTheNextVersion: true };
  const newer = { ...args, repositories: { repo1: { at: deferred(target), keepDays: 7 } } };
  const { errors } = await answerTo(() => make(newer));
  expect(errors).toEqual([]);
  const runtime = deferred({
    sha256: "0".repeat(64),
    url: "https://p",
    image: "node",
    onRequest: false,
    inTheNextVersion: 1,
  });
  const cluster = BASES.CnpgCluster;
  const answer = await answerTo(() => cluster.make({ ...cluster.args, plugin: { name: "plugin", runtime } }));
  expect(answer.errors).toEqual([]);
});

test("what comes late is declared as before", async () => {
  const { args, make } = BASES.PostgresHost;
  const known = await answerTo(() => make({ ...args, agent: true, stanza: "ledger" }));
  const made = await answerTo(() => make({ ...args, agent: deferred(true), stanza: deferred("ledger") }));
  expect(made.errors).toEqual([]);
  expect(JSON.parse(made.shown)[0]).toEqual(JSON.parse(known.shown)[0]);
});
