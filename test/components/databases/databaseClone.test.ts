import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { DatabaseClone, type DatabaseCloneArgs } from "../../../components/databases/databaseClone";
import type { ClusterAccess } from "../../../components/databases/cnpgArgs";
import type { HostAccess } from "../../../components/databases/hostAccess";
import { inputsIn, startProgram, valueOf } from "../declaredResources";

const HOST: HostAccess = {
  connection: { ssh: { host: "db1", user: "root", hostKeys: ["ssh-ed25519 AAAAC3"], privateKey: "key" } },
  user: "root",
  databaseUser: "postgres",
  runtimeArgv: ["/usr/local/bin/pgbackstop"],
};
const CLUSTER: ClusterAccess = { namespace: "db", clusterName: "orders", backups: {} };
const STATUS = { databases: ["shop"], port: 40_000, dataTime: "2026-11-27T00:00:00.000Z", dataAgeS: 60, endsAt: null };

interface Made {
  readonly spec: unknown;
  readonly url: string;
  readonly isSecret: boolean;
}

async function made(over: Partial<DatabaseCloneArgs>): Promise<Made> {
  const declared = await startProgram(() => ({ password: "p/w", status: STATUS }));
  const { connectionString } = new DatabaseClone("pr/123", { host: HOST, ...over });
  const isSecret = await pulumi.isSecret(connectionString);
  const url = await valueOf(connectionString);
  await pulumi.runtime.disconnect();
  return { spec: inputsIn(declared, "pr/123-clone")["spec"], url, isSecret };
}

test("has defaults, and a secret connection string", async () => {
  const { isSecret, spec, url } = await made({});
  expect(spec).toEqual({
    name: "pr-123",
    directory: "/var/lib/pgbackstop/clones",
    target: "",
    repoIndex: 0,
    databases: [],
    mask: [],
    role: "clone",
    listen: "127.0.0.1",
    allow: [],
    lifetimeHours: 24,
    binDirectory: "",
    cacheGiB: 0,
  });
  expect([url, isSecret]).toEqual(["postgresql://clone:p%2Fw@127.0.0.1:40000/shop", true]);
});

test("passes a time, a repository and networks on, and names the host's address to clients", async () => {
  const { spec, url } = await made({
    at: "2026-11-20T06:40:00Z",
    from: "repo2",
    listen: "10.0.0.5",
    allow: ["10.0.0.0/8"],
    role: "app",
  });
  expect(spec).toMatchObject({ target: "2026-11-20 06:40:00+00", repoIndex: 2, listen: "10.0.0.5" });
  expect(url).toBe("postgresql://app:p%2Fw@db1:40000/shop");
});

// claim: docs/clones.md: a cluster is refused with the alternative
test("refuses a cluster, and names CnpgRestore", () => {
  expect(() => new DatabaseClone("pr", { cluster: CLUSTER })).toThrow(/cluster[\s\S]*new CnpgRestore/);
});

const { databaseUser: _engine, ...stock } = HOST;

test.each<[string, Partial<DatabaseCloneArgs>, string]>([
  ["no host", { host: undefined } as object, "give the access"],
  ["stock's engine", { host: stock }, "stock pgBackRest"],
  ["a time without a zone", { at: "2026-11-20 06:40:00" }, "time with its zone"],
  ["an unknown repository", { from: "nas" }, "repo1 to repo256"],
  ["a reserved role", { role: "pg_monitor" }, "reserves pg_"],
  ["an open address without networks", { listen: "0.0.0.0" }, "name the networks"],
  ["a host name as network", { allow: ["example.net"] }, "is no network"],
  ["a relative directory", { directory: "clones" }, "absolute path"],
  ["an empty statement", { mask: [" "] }, "is no statement"],
  ["a life of no hours", { lifetimeHours: 0 }, "lifetimeHours"],
  ["a life of years", { lifetimeHours: 9000 }, "lifetimeHours"],
])("refuses %s", (_title, over, message) => {
  expect(() => new DatabaseClone("pr", { host: HOST, ...over })).toThrow(message);
});
