/** Every input of a migration: deferred values give what plain ones give, and a preview guesses nothing. */
// claim: docs/reference/components.md: "Plain arguments": every other…
import { expect, test, vi } from "vitest";
import type { HostAccess } from "../../../../components/databases/hostAccess";
import { type DeferredForm, describeDeferred, inputsOf, withInputs } from "../../../../test/components/deferredInputs";
import { readPublicTypes } from "../../../../tools/docs/componentTypes";
import { publicTypes } from "../../../../tools/docs/componentsPage";
import { projectFolder } from "../../../../tools/parts/cache";
import { Migration } from "../../components/migration";
import type { MigrationArgs } from "../../components/migrationArgs";

vi.mock("../../../../components/internal/runtimeBundle", () => ({
  runtimeBundleSha256: () => "0".repeat(64),
  runtimeBundleBrotli: () => "YnI=",
}));
vi.mock("../../components/programs", () => ({ kubernetesProgram: () => "a3Vi", migrateProgram: () => "bWln" }));

const TYPES = [...publicTypes(), ...readPublicTypes(projectFolder(), "packages/migration/components/index.ts")];
const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJbQ2VvNLPQ3MbQjHuXgva780eFGEYRZhfuPbJ1yIAf";
const HOST: HostAccess = {
  // Nothing listens there: an update asks the host for a greeting.
  connection: { ssh: { host: "127.0.0.1", port: 1, hostKeys: [HOST_KEY], privateKey: "key" } },
  user: "root",
  runtimeArgv: ["/usr/local/bin/pgbackstop"],
  databaseUser: "postgres",
  nodePath: "/opt/node",
  server: { socketDirectory: "/run/pg", port: 5433, user: "pg" },
};
const CLUSTER = {
  namespace: "db",
  clusterName: "orders",
  backups: { full: [{ cluster: { name: "orders" } }] },
  repositoryBackups: { repo1: { full: [{ cluster: { name: "orders" } }] } },
  superuserAccess: true,
  verbs: { args: ["--stanza=orders"], volumeMounts: [], volumes: [], drills: { weekly: {} }, hold: {} },
};

const forms: DeferredForm[] = [];
let missing: string[] = [];
const given = new Set<string>();

function add(name: string, args: MigrationArgs): void {
  const inputs = inputsOf("MigrationArgs", args, TYPES);
  const paths = inputs.paths.map(({ path }) => path);
  for (const { field } of inputs.paths) given.add(field);
  missing = [...new Set([...missing, ...inputs.missing])];
  forms.push({
    name,
    missing: inputs.missing,
    paths,
    own: paths,
    run: (deferred, of) => () => {
      const { mayRetireSource, report, reports, steps } = new Migration("move", withInputs(args, deferred, of));
      return { mayRetireSource, report, reports, steps };
    },
  });
}

const MIGRATION = {
  databases: ["shop"],
  keepRoles: ["dba"],
  excludedDatabases: ["old"],
  rolePasswords: false,
  tablespaces: false,
  disconnect: true,
  replace: true,
  sourceStopped: true,
  processMax: 5,
  planTriggers: ["v2"],
  until: "switch" as const,
};
add("in Kubernetes", {
  ...MIGRATION,
  source: {
    address: "old.example.net",
    port: 5433,
    user: "dba",
    database: "postgres2",
    sslMode: "require" as const,
    passwordSecret: { name: "old", key: "password" },
    caSecret: { name: "old", key: "ca" },
  },
  target: { cluster: CLUSTER, password: "pass", ca: "ca" },
  workloads: [{ kind: "Deployment" as const, name: "shop", namespace: "shop" }],
  secrets: [{ name: "shop-database", namespace: "shop", values: { host: "orders-rw" } }],
  namespace: "db",
  image: "registry.example.net/postgresql:18",
});
add("by an own image", {
  ...MIGRATION,
  source: { address: "old.example.net", passwordSecret: { name: "old", key: "password" } },
  target: { cluster: CLUSTER },
  namespace: "db",
  runtimeImage: "registry.example.net/own@sha256:1",
});
add("on a host", {
  ...MIGRATION,
  source: { address: "old.example.net", sslMode: "verify-full" as const, password: "pass", ca: "ca" },
  target: { host: HOST },
  binDirectory: "/opt/pg/bin",
});

test("the programs give every input", () => {
  expect(missing.filter((name) => name.startsWith("Migration") && !given.has(name))).toEqual([]);
});

describeDeferred(forms);
