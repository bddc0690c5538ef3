/** Databases that share an archive: an update refuses the second one before anything of it is registered. */
// claim: docs/reference/rules.md: PB195 to PB199 and PB203: an update refuses a database that shares what is known,
//   before anything of it is registered
import * as pulumi from "@pulumi/pulumi";
import { afterEach, describe, expect, test } from "vitest";
import { ClusterEngine } from "../../../components/databases/cnpgArgs";
import { CnpgBackup } from "../../../components/databases/cnpgBackup";
import { CnpgCluster } from "../../../components/databases/cnpgCluster";
import { CnpgPlugin } from "../../../components/databases/cnpgPlugin";
import { CnpgRestore } from "../../../components/databases/cnpgRestore";
import { PostgresHost } from "../../../components/databases/postgresHost";
import { RepositoryHost } from "../../../components/databases/repositoryHost";
import { StandbyHost } from "../../../components/databases/standbyHost";
import { FireDrill } from "../../../components/drills/fireDrill";
import { constructed } from "../../../components/internal/programClaims";
import type { Claims } from "../../../components/plan/findings/claims";
import type { RepositoryTarget } from "../../../components/repositories/target";

const KEYS = { accessKeyId: "id", secretAccessKey: "secret" };
const bucket = (path: pulumi.Input<string> = "/orders"): RepositoryTarget => ({
  name: "bucket",
  path,
  s3: { bucket: "orders-pg", endpoint: "s3.example.net", region: "eu", credentials: KEYS },
});
const NAS: RepositoryTarget = { name: "nas", path: "/mnt/nas", requireMount: true };
const SILENCE = { PB003: "a test", PB042: "a test" };
const SCHEDULES = { full: { cron: "0 3 * * 0" } };

const repositories = (at: pulumi.Input<RepositoryTarget>) => ({ repo1: { at, keepDays: 7 } });
const cluster = (at: pulumi.Input<RepositoryTarget> = bucket()) => ({
  engine: ClusterEngine.BarmanCloud,
  namespace: "db",
  operatorVersion: "1.30.0",
  stanza: "main",
  repositories: repositories(at),
  schedules: SCHEDULES,
  silence: SILENCE,
});
const host = (name: string, at: pulumi.Input<RepositoryTarget> = bucket()) => ({
  connection: { local: {} },
  dataDirectory: `/srv/${name}`,
  stanza: "main",
  directories: { config: `/etc/${name}`, lib: `/opt/${name}`, units: `/srv/${name}/units`, bin: `/opt/${name}/bin` },
  repositories: repositories(at),
  schedules: SCHEDULES,
  silence: SILENCE,
});
/** A value that comes when the program has ended. */
const deferred = <T>(value: T): pulumi.Output<T> =>
  pulumi.output(Promise.resolve({ value })).apply((known) => known.value as T);

interface Outcome {
  /** Of the second component. */
  readonly refusal: string;
  /** Names of the resources that the second one registered. */
  readonly registered: readonly string[];
}

/** Makes both in one program. */
async function declare(
  first: () => pulumi.Resource,
  second: () => pulumi.Resource,
  isPreview = false,
): Promise<Outcome> {
  const registered: string[] = [];
  const mocks = {
    call: () => ({}),
    newResource: ({ inputs, name }: pulumi.runtime.MockResourceArgs) => {
      registered.push(name);
      return { id: name, state: { ...(inputs as object), status: {}, publicKey: "ssh-ed25519 AAAA" } };
    },
  };
  await pulumi.runtime.setMocks(mocks, "project", "stack", isPreview);
  const claims: Claims = new Map();
  await constructed(claims, first);
  await pulumi.runtime.disconnect();
  await pulumi.runtime.setMocks(mocks, "project", "stack", isPreview);
  registered.length = 0;
  const refusal = await constructed(claims, second).then(
    () => "none",
    (error: unknown) => {
      if (!pulumi.InputPropertiesError.isInstance(error)) throw error;
      return error.message;
    },
  );
  // What was declared reaches the engine later.
  await pulumi.runtime.disconnect();
  return { refusal, registered: [...registered] };
}

afterEach(() => pulumi.runtime.disconnect());

const shared = (other: string): string =>
  `PB195 repositories.repo1.at: this repository with this stanza is also that of ${other} (repositories.repo1.at); give each database its own stanza, path or bucket`;

describe("an update registers nothing of a database whose archive another one has", () => {
  test.each([
    ["CnpgCluster", () => new CnpgCluster("two", { ...cluster(), clusterName: "two", storageGiB: 1 })],
    ["CnpgBackup", () => new CnpgBackup("two", { ...cluster(), clusterName: "two", readCluster: false })],
    [
      "CnpgRestore",
      () =>
        new CnpgRestore("two", {
          ...cluster(),
          postgresVersion: 18,
          storageGiB: 1,
          source: { engine: ClusterEngine.BarmanCloud, stanza: "old", repositories: repositories(bucket("/old")) },
        }),
    ],
    [
      "CnpgRestore, as a replica",
      () =>
        new CnpgRestore("two", {
          ...cluster(),
          postgresVersion: 18,
          storageGiB: 1,
          replica: {},
          source: { engine: ClusterEngine.BarmanCloud, stanza: "old", repositories: repositories(bucket("/old")) },
        }),
    ],
    ["PostgresHost", () => new PostgresHost("two", host("two"))],
  ])("%s", async (_name, second) => {
    const one = (): pulumi.Resource => new CnpgCluster("one", { ...cluster(), storageGiB: 1 });
    const { refusal, registered } = await declare(one, second);
    expect(refusal).toContain(shared("CnpgCluster one"));
    expect(registered).toEqual([]);
    const { refusal: none, registered: others } = await declare(
      () => new CnpgCluster("one", { ...cluster(bucket("/other")), storageGiB: 1 }),
      second,
    );
    expect(none).toBe("none");
    expect(others).toContain("two");
  });

  test("hosts of one machine in one directory; of two machines it is a warning", async () => {
    const on = (address: string) => ({ ssh: { host: address, hostKeys: ["ssh-ed25519 AAAAC3"] } });
    const make = (name: string, address: string) => (): pulumi.Resource =>
      new PostgresHost(name, { ...host(name, NAS), connection: on(address) });
    const same = await declare(make("one", "a"), make("two", "a"));
    expect(same).toEqual({ refusal: expect.stringContaining(shared("PostgresHost one")) as string, registered: [] });
    const inBucket = (name: string, address: string) => (): pulumi.Resource =>
      new PostgresHost(name, { ...host(name), connection: on(address) });
    expect(await declare(inBucket("one", "a"), inBucket("two", "b"))).toMatchObject({ refusal: "none" });
  });

  test("the target of one component, whose bucket is not known yet", async () => {
    const at = { ...bucket(), path: deferred("/orders") };
    const make = (name: string) => (): pulumi.Resource =>
      new CnpgCluster(name, { ...cluster(at), clusterName: name, storageGiB: 1 });
    const { refusal, registered } = await declare(make("one"), make("two"));
    expect(refusal).toContain(shared("CnpgCluster one"));
    expect(registered).toEqual([]);
  });

  test.each<[string, RepositoryTarget]>([
    [
      "Azure",
      {
        name: "a",
        path: deferred("/o"),
        azure: { account: "acmepg", container: "orders", credentials: { key: "a2V5" } },
      },
    ],
    ["Google", { name: "g", path: deferred("/o"), gcs: { bucket: "acme-pg", credentials: { key: "{}" } } }],
  ])("the target of one container or bucket of %s that is not known yet", async (_name, at) => {
    const make = (name: string) => (): pulumi.Resource => new PostgresHost(name, host(name, at));
    const { refusal, registered } = await declare(make("one"), make("two"));
    expect(refusal).toContain(shared("PostgresHost one"));
    expect(registered).toEqual([]);
  });
});

test("all that is known of a component is in one error", async () => {
  const twice = (name: string): pulumi.Resource =>
    new PostgresHost(name, { ...host("one", NAS), processMax: deferred(2) as pulumi.Input<number> });
  const { refusal, registered } = await declare(
    () => twice("one"),
    () => twice("two"),
  );
  for (const code of ["PB198 dataDirectory", "PB203 directories.config", "PB203 directories.lib", "PB195 repositories"])
    expect(refusal).toContain(code);
  expect(registered).toEqual([]);
});

test("a component around a host or a cluster is not registered either", async () => {
  const { repositories: at, schedules: _schedules, silence: _silence, ...base } = host("one", NAS);
  const one = (): pulumi.Resource => new PostgresHost("one", host("one", NAS));
  const reading = { repo1: { at: { ...NAS, readOnly: true } } };
  const standby = await declare(one, () => new StandbyHost("two", { ...base, repositories: reading }));
  expect(standby).toMatchObject({ refusal: expect.stringContaining("PB198 dataDirectory") as string, registered: [] });
  const { dataDirectory: _directory, ...drilling } = base;
  const drills = await declare(
    one,
    () => new FireDrill("two", { ...drilling, repositories: at, drills: { weekly: { cron: "0 5 * * 6" } } }),
  );
  expect(drills).toMatchObject({ refusal: expect.stringContaining("PB203 directories") as string, registered: [] });
});

test("a plugin, an attached archiver and a host of repositories get none of their objects", async () => {
  const plugin = (name: string) => (): pulumi.Resource => new CnpgPlugin(name, {});
  const second = await declare(plugin("one"), plugin("two"));
  // Its provider is known once it is registered itself.
  expect(second).toEqual({
    refusal: expect.stringContaining("PB197 operatorNamespace") as string,
    registered: ["two"],
  });
  const attached = await declare(
    () => new CnpgCluster("one", { ...cluster(), storageGiB: 1 }),
    () => new CnpgBackup("two", { ...cluster(bucket("/two")), clusterName: "one", readCluster: false }),
  );
  expect(attached).toEqual({ refusal: expect.stringContaining("PB196 clusterName") as string, registered: ["two"] });
  const vault = (name: string) => (): pulumi.Resource =>
    new RepositoryHost(name, { connection: { local: {} }, address: "vault", clients: { [name]: {} } });
  const vaults = await declare(vault("one"), vault("two"));
  expect(vaults).toEqual({ refusal: expect.stringContaining("PB203 connection") as string, registered: [] });
});

test("a location that is not known yet is judged when it comes, and so is everything in a preview", async () => {
  const withDeferredPath = (name: string) => (): pulumi.Resource =>
    new CnpgCluster(name, { ...cluster({ ...bucket(), path: deferred("/orders") }), clusterName: name, storageGiB: 1 });
  const update = await declare(withDeferredPath("one"), withDeferredPath("two"));
  expect(update.refusal).toContain(shared("CnpgCluster one"));
  expect(update.registered).toContain("two");
  const known = (name: string) => (): pulumi.Resource =>
    new CnpgCluster(name, { ...cluster(), clusterName: name, storageGiB: 1 });
  const preview = await declare(known("one"), known("two"), true);
  expect(preview.refusal).toContain(shared("CnpgCluster one"));
  // The preview goes on to the findings of later components.
  expect(preview.registered).toContain("two");
});
