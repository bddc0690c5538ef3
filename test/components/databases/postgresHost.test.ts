/** Values that come later give the host that plain ones give. */
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import type { PostgresHostArgs } from "../../../components/databases/hostArgs";
import { PostgresHost } from "../../../components/databases/postgresHost";
import { diff, type GivenInputs, readInputs } from "../../../components/dynamic/host";
import { wholeFiles } from "../../../components/host/briefFiles";
import type { RepositoryTarget } from "../../../components/repositories/target";
import { plain, type Value } from "../../harness/doubles/providerValues";

const S3 = { bucket: "own-pg", endpoint: "s3.example.net", region: "eu" };
const KEYS = { accessKeyId: "marker-id", secretAccessKey: "marker-secret" };
const BUCKET: RepositoryTarget = {
  name: "bucket",
  path: "/p",
  s3: { ...S3, credentials: KEYS },
  cipher: { passphrase: "marker-pass" },
};
const SERVER: RepositoryTarget = {
  name: "server",
  path: "/backups",
  sftp: { host: "vault", user: "db", hostFingerprint: "0".repeat(64), privateKey: "marker-key" },
};
const NAS: RepositoryTarget = { name: "nas", path: "/mnt/nas/p", requireMount: true };

/** A value that comes when the program has ended. */
function deferred<T>(value: T): pulumi.Output<T> {
  return pulumi.output(Promise.resolve({ value })).apply((known) => known.value as T);
}

function args(over: Partial<PostgresHostArgs>): PostgresHostArgs {
  return {
    connection: { local: {} },
    dataDirectory: "/var/lib/postgresql/18/main",
    repositories: { repo1: { at: NAS, keepDays: 7 } },
    schedules: { full: { cron: "30 2 * * 0" } },
    objectives: { rpoSeconds: 120 },
    silence: { PB003: "a test", PB042: "a test", PB030: "a test", PB007: "a test" },
    ...over,
  };
}

interface Made {
  readonly inputs: GivenInputs;
  readonly outputs: Readonly<Record<string, unknown>>;
  readonly secretInputs: readonly string[];
}

/** Inputs of the host's resource, and the component's outputs. */
async function make(over: Partial<PostgresHostArgs>): Promise<Made> {
  const outputs: Record<string, unknown> = {};
  let inputs: Record<string, unknown> = {};
  let secretInputs: string[] = [];
  await pulumi.runtime.setMocks({
    call: () => ({}),
    newResource: ({ inputs: given, name, type }) => {
      if (type.endsWith(":HostState")) {
        const { __provider: _provider, ...own } = given as Record<string, unknown>;
        inputs = plain(own as Value) as Record<string, unknown>;
        secretInputs = Object.keys(own).filter((field) => JSON.stringify(own[field]).includes("marker"));
      }
      return { id: name, state: { status: {} } };
    },
  });
  try {
    const { access, drilled, repositoryNames, restoreCommand, stanza, topology } = new PostgresHost("db", args(over));
    const seen = { access, drilled, repositoryNames, restoreCommand, stanza, topology };
    const isOpen = pulumi.isSecret(topology).then((secret) => !secret);
    pulumi.output<object>({ ...seen, isOpen }).apply((all) => Object.assign(outputs, all));
  } finally {
    await pulumi.runtime.disconnect();
  }
  return { inputs: inputs as object as GivenInputs, outputs, secretInputs };
}

function merged({ inputs: given }: Made): object {
  const { files, ...others } = readInputs(given);
  return { ...others, files: Object.fromEntries(wholeFiles(files)) };
}

test.each<[string, RepositoryTarget]>([
  ["a bucket", BUCKET],
  ["an SFTP server", SERVER],
  ["a directory", NAS],
])("%s that another stack gives is the same repository", async (_what, target) => {
  const at = { ...target, secretLocation: false };
  const expected = await make({ repositories: { repo1: { at: target, keepDays: 7 } } });
  const made = await make({ repositories: { repo1: { at: pulumi.secret(deferred(at)), keepDays: 7 } } });
  expect(merged(made)).toEqual(merged(expected));
  expect(made.outputs).toEqual(expected.outputs);
  expect(made.outputs).toMatchObject({ isOpen: true });
  expect(made.secretInputs.every((field) => ["ciphers", "closedFiles"].includes(field))).toBe(true);
  expect(Object.keys(made.inputs.closedFiles ?? {}).length).toBe(target === NAS ? 0 : 1);
});

test("its access says where Node.js and its server are", async () => {
  const { access } = (await make({ nodePath: "/opt/node", port: 5433, socketDirectory: "/run/pg", user: "pg" }))
    .outputs;
  expect(access).toMatchObject({
    databaseUser: "pg",
    nodePath: "/opt/node",
    server: { socketDirectory: "/run/pg", port: 5433, user: "pg" },
  });
  const { access: usual } = (await make({ databaseUser: "owner" })).outputs;
  expect(usual).toMatchObject({ server: { socketDirectory: "/var/run/postgresql", port: 5432, user: "owner" } });
});

test("stanza, times, objectives and addresses that come later give the host that plain ones give", async () => {
  const values = (of: <T>(value: T) => pulumi.Input<T>): Partial<PostgresHostArgs> => ({
    stanza: of("ledger"),
    schedules: { full: { cron: of("15 4 * * 6") }, incr: { cron: of("15 4 * * 0-5") } },
    maintenance: { verify: { cron: of("5 5 * * 5") } },
    objectives: { rpoSeconds: of(300), rtoMinutes: of(20), pitrDays: of(7), maxRepositoryGB: of(100) },
    monitoring: {
      listen: of("127.0.0.1:9854"),
      otlp: { endpoint: of("http://127.0.0.1:4318"), headers: { "x-api-key": of("k") } },
    },
    drills: { monthly: { cron: of("0 5 1 * *"), elsewhere: true } },
    options: { "protocol-timeout": of("3700") },
    node: { url: of("https://files.example.net/node.tar.xz"), sha256: of("a".repeat(64)) },
  });
  const expected = await make(values((value) => value));
  const made = await make(values(deferred));
  expect(merged(made)).toEqual(merged(expected));
  expect(made.outputs).toEqual(expected.outputs);
  expect(JSON.stringify(made.inputs.files)).toContain("pgbackstop-ledger-full.timer");
});

test("a target that is secret as a whole, without a word on which part, stays so", async () => {
  const { outputs } = await make({ repositories: { repo1: { at: pulumi.secret(deferred(BUCKET)), keepDays: 7 } } });
  expect(outputs).toMatchObject({ isOpen: false });
});

test("a preview that does not know the files of a host shows a change, and replaces nothing", async () => {
  const { inputs } = await make({});
  const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9" as unknown;
  const news = {
    ...inputs,
    dataDirectory: unknown,
    files: unknown,
    desired: unknown,
    settings: unknown,
  } as GivenInputs;
  const old = { identity: { dataDirectory: "/old" } } as Parameters<typeof diff>[1];
  expect(await diff("db", old, news)).toEqual({ changes: true, replaces: [], deleteBeforeReplace: true });
});
