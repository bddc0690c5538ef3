/** The steps of a migration: each stage's steps, their command lines, and refusals before any server is contacted. */
// claim: packages/migration/docs/program.md: `Migration` declares each stage…
import { describe, expect, test } from "vitest";
import {
  type MigrationSettings,
  migrateArgs,
  planSteps,
  runnerOf,
  type ServerSettings,
} from "../../components/migrationSteps";
import { mayRetireSource } from "../../components/migrationReport";
import { checkMigration } from "../../components/migrationRules";
import { parseMigrate } from "../../runtime/migrateOptions";
import { parseConnection } from "../../runtime/connectionString";

const OLD: ServerSettings = {
  kind: "server",
  hasRuntime: true,
  isElsewhere: false,
  isInSecret: false,
  address: "old.example.net",
  hasPassword: true,
  hasCa: true,
};
const NEW: ServerSettings = {
  kind: "cluster",
  hasRuntime: true,
  isElsewhere: false,
  isInSecret: false,
  hasPassword: true,
  hasCa: true,
};
const HOST: ServerSettings = { ...NEW, kind: "host", hasPassword: false, hasCa: false };

function settings(given: Partial<MigrationSettings> = {}): MigrationSettings {
  return {
    name: "to-18",
    until: "retire",
    source: OLD,
    target: NEW,
    workloads: [
      { kind: "Deployment", name: "web", namespace: "shop" },
      { kind: "StatefulSet", name: "queue" },
    ],
    secrets: [{ name: "shop-database", namespace: "shop", keys: ["host", "uri"] }],
    units: [["shop.timer", "shop.service"]],
    hasNamespace: true,
    databases: [],
    excludedDatabases: [],
    keepRoles: [],
    rolePasswords: true,
    tablespaces: true,
    disconnect: false,
    replace: false,
    sourceStopped: false,
    processMax: 2,
    drill: "weekly",
    drills: ["weekly"],
    ...given,
  };
}

const roles = (given: Partial<MigrationSettings>): string[] => planSteps(settings(given)).map(({ role }) => role);
const paths = (given: Partial<MigrationSettings>): string[] => checkMigration(settings(given)).map(({ path }) => path);

describe("steps", () => {
  test("each stage has the steps of the earlier ones, and the return has its own", () => {
    const plan = ["plan"];
    const copy = [...plan, "stop-units", "stop-workloads", "copy", "verify"];
    const moved = [...copy, "repoint-secrets", "start-workloads", "start-units"];
    expect(roles({ until: "plan" })).toEqual(plan);
    expect(roles({ until: "copy" })).toEqual(copy);
    expect(roles({ until: "switch" })).toEqual(moved);
    expect(roles({ until: "retire" })).toEqual([...moved, "first-backup", "first-drill", "finish"]);
    expect(roles({ until: "release" })).toEqual([
      "release",
      "restore-secrets",
      "start-workloads-again",
      "start-units-again",
    ]);
  });

  test("the return starts nothing that a resource has already returned", () => {
    const again = roles({ until: "release" }).filter((role) => role.includes("start"));
    expect(again.filter((role) => roles({ until: "retire" }).includes(role))).toEqual([]);
  });

  test("missing objects have no step, and finished steps are reported", () => {
    expect(roles({ until: "switch", workloads: [], secrets: [], units: [] })).toEqual(["plan", "copy", "verify"]);
    expect(roles({ until: "copy", units: [["a.service"], ["b.service"]] })).toContain("stop-units-2");
    const nightly = { kind: "CronJob", name: "nightly" };
    const mixed = planSteps(
      settings({ until: "switch", workloads: [nightly, { kind: "Deployment", name: "web" }], units: [] }),
    );
    expect(mixed.filter(({ role }) => role.endsWith("-workloads")).map(({ text }) => text)).toEqual([
      "scale to 0, and remember the replicas of Deployment web; suspend, and wait for the runs of CronJob nightly",
      "scale to the remembered replicas Deployment web; resume CronJob nightly",
    ]);
    expect(planSteps(settings({ until: "switch" })).map(({ text }) => text)).toEqual(
      expect.arrayContaining([
        "stop shop.timer, shop.service",
        "scale to 0, and remember the replicas of Deployment shop/web, StatefulSet queue",
        "write the new values into, and remember the old ones of Secret shop/shop-database (host, uri)",
      ]),
    );
  });

  test("run at the target, and at the source only if the target is just an address", () => {
    expect(runnerOf({ source: HOST, target: NEW })).toBe("target");
    expect(runnerOf({ source: HOST, target: OLD })).toBe("source");
    expect(runnerOf({ source: OLD, target: OLD })).toBeNull();
  });
});

describe("command lines", () => {
  const args = (verb: "copy" | "finish" | "release", given: Partial<MigrationSettings> = {}): string[] => {
    const made = settings(given);
    return migrateArgs(
      made,
      verb,
      {
        source: { address: made.source.address ?? "", settings: made.source },
        target: { address: "orders-rw.db", settings: made.target },
      },
      "/files",
    );
  };

  test("are those that the program reads, with files in place of secrets", () => {
    const [from = "", fromPassword, to = "", toPassword, ...more] = args("copy", {
      source: { ...OLD, user: "it's me", port: 5433 },
      databases: ["Shop one"],
      rolePasswords: false,
      disconnect: true,
      replace: true,
      binDirectory: "/opt/pg18/bin",
    });
    expect(parseConnection("from-server", from.slice("--from-server=".length), "x")).toEqual({
      host: "old.example.net",
      port: 5433,
      user: "it's me",
      database: "postgres",
      sslMode: "verify-full",
      rootCertFile: "/files/from-ca.pem",
    });
    expect(parseConnection("to-server", to.slice("--to-server=".length), "x")).toMatchObject({
      host: "orders-rw.db",
      rootCertFile: "/files/to-ca.pem",
    });
    expect([fromPassword, toPassword]).toEqual([
      "--from-password-file=/files/from-password",
      "--to-password-file=/files/to-password",
    ]);
    expect(more).toEqual([
      "--db-include=Shop one",
      "--no-role-passwords",
      "--disconnect",
      "--replace",
      "--process-max=2",
      "--bin-path=/opt/pg18/bin",
      "--output=json",
      "--log-level=info",
      "copy",
    ]);
  });

  test("name the side that the step contacts, and always state the encryption", () => {
    expect(args("release").filter((arg) => arg.startsWith("--to"))).toEqual([]);
    expect(args("release", { source: { ...OLD, hasCa: false } })[0]).toContain("sslmode=require");
    const socket = migrateArgs(
      settings({ target: HOST }),
      "copy",
      { source: { address: "old", settings: OLD }, target: { address: "/run/pg", settings: HOST } },
      "/files",
    );
    expect(socket.filter((arg) => arg.startsWith("--to"))).toEqual(["--to-server=host=/run/pg user=postgres"]);
  });

  test("let finish ask the source, unless it is shut down for good", () => {
    const asked = (sourceStopped: boolean): string[] =>
      args("finish", { sourceStopped }).filter((arg) => /^--(from|source)/.test(arg));
    expect(asked(false)).toEqual(args("copy").filter((arg) => arg.startsWith("--from")));
    expect(asked(true)).toEqual(["--source-stopped"]);
    expect(parseMigrate(args("finish", { sourceStopped: true }))).toMatchObject({
      step: "finish",
      sourceStopped: true,
    });
  });

  test("give finish the answers of the backup program", () => {
    expect(args("finish").filter((arg) => arg.startsWith("--backup"))).toEqual([
      "--backup-report=/pgbackstop/run/info.json",
      "--backup-report=/pgbackstop/run/status.json",
    ]);
  });
});

describe("migration arguments", () => {
  test("that are correct have no finding, in every stage", () => {
    for (const until of ["plan", "copy", "switch", "retire", "release"])
      expect(checkMigration(settings({ until }))).toEqual([]);
    expect(checkMigration(settings({ target: HOST, drill: undefined }))).toEqual([]);
  });

  test.each<[string, Partial<MigrationSettings>]>([
    ["until", { until: "everything" }],
    ["target", { target: OLD, until: "copy", drill: undefined }],
    ["source.address", { source: { ...OLD, address: undefined } }],
    ["source.address", { source: { ...HOST }, drill: "weekly" }],
    ["source.address", { source: { ...NEW }, target: HOST, drill: undefined }],
    ["target.host", { target: { ...HOST, hasRuntime: false }, drill: undefined }],
    ["source.passwordSecret", { source: { ...OLD, isInSecret: true }, target: HOST, drill: undefined }],
    ["source.password", { source: { ...NEW, isElsewhere: true, hasPassword: false } }],
    ["source.port", { source: { ...OLD, port: 0 } }],
    ["source.sslMode", { source: { ...OLD, sslMode: "yes" } }],
    ["source.ca", { source: { ...OLD, sslMode: "verify-ca", hasCa: false } }],
    ["source.user", { source: { ...OLD, user: "a\nb" } }],
    ["name", { name: "To_18" }],
    ["namespace", { target: HOST, hasNamespace: false, drill: undefined }],
    ["workloads[0].kind", { workloads: [{ kind: "DaemonSet", name: "node-exporter" }] }],
    [
      "workloads",
      {
        workloads: [
          { kind: "Deployment", name: "a" },
          { kind: "Deployment", name: "a" },
        ],
      },
    ],
    ["secrets[0].values", { secrets: [{ name: "a", keys: [] }] }],
    [
      "secrets",
      {
        secrets: [
          { name: "a", keys: ["x"] },
          { name: "a", keys: ["y"] },
        ],
      },
    ],
    ["units[0].names", { units: [["--force"]] }],
    ["drill", { drill: "monthly" }],
    ["drill", { drill: undefined }],
    ["until", { target: { ...NEW, hasRuntime: false } }],
    ["namespace", { target: { ...NEW, isElsewhere: true } }],
    ["source.cluster", { source: { ...NEW, lacksSuperuser: true } }],
    ["binDirectory", { binDirectory: "/opt/pg18/bin" }],
    ["binDirectory", { target: HOST, drill: undefined, binDirectory: "pg18/bin" }],
    ["databases", { databases: [""] }],
    ["excludedDatabases", { databases: ["a"], excludedDatabases: ["a"] }],
    ["processMax", { processMax: 0 }],
  ])("%s is refused with a fact, a rule and a remedy", (path, given) => {
    expect(paths(given)).toEqual([path]);
    for (const each of checkMigration(settings(given)))
      expect([each.fact, each.rule, each.remedy].every((text) => text.length > 3)).toBe(true);
  });
});

describe("an answer of the program", () => {
  test("allows retiring the source only when it says so", () => {
    expect(mayRetireSource('{"version":1,"mayRetireSource":true}')).toBe(true);
    for (const text of ["", "null", "[]", '{"mayRetireSource":"true"}', '{"mayRetireSource":false}'])
      expect(mayRetireSource(text)).toBe(false);
  });
});
