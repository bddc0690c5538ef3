/** Hosts without a cluster. test/hosts/bare.test.ts runs the printed command on a rebuilt one. */
import { rmSync, writeFileSync } from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { bringCluster } from "../../../components/host/bringCluster";
import type { Connection } from "../../../components/host/connection";
import type { DesiredHost } from "../../../components/host/converge";
import { failureOf } from "../../harness/compare/engineTexts";
import { ConvergedHost, type HostWorld } from "../../harness/hosts/convergedHost";

let host: ConvergedHost;
beforeEach(() => {
  host = new ConvergedHost({ repositories: { repo1: false, repo2: false } });
  rmSync(host.path("data"), { recursive: true });
});
afterEach(() => host.remove());

test("a rebuilt host gets no stanza, setting or cluster, but the command that recovers its stanza", async () => {
  host.world = { ...host.world, repositories: { repo1: false, repo2: true }, stanzas: { repo2: "17" } };
  const failure = await failureOf(host.converge(host.desired()));
  expect(failure).toContain(
    `${host.path("data")} on this machine has no cluster, but stanza main is that of a cluster of PostgreSQL 17 (repo2: newest full backup`,
  );
  expect(failure).toContain(`--config=${host.path("etc", "pgbackrest.conf")} --stanza=main recover\n`);
  expect(failure).toContain("To begin with an empty cluster, set stanza to another name.");
  expect(host.verbs()).toEqual([]);
});

test("a server of another cluster than the stanza's gets no setting and no restart", async () => {
  host = new ConvergedHost({ repositories: { repo1: true, repo2: true }, stanzas: { repo2: "17" }, systemId: "2" });
  const failure = await failureOf(host.converge(host.desired()));
  expect(failure).toContain("(system-id 1) is not the one of stanza main (system-id 2; repo2: newest full backup");
  expect(failure).toMatch(/no setting was changed\.\n.*\n {2}.* --stanza=main recover\n/);
  expect(host.verbs()).toEqual([]);
  expect(host.world.automatic).toEqual({});
});

test("a server whose stanza is in one repository, while another one cannot be read, archives", async () => {
  host = new ConvergedHost({
    repositories: { repo1: true, repo2: true },
    stanzas: { repo1: "17" },
    unreadable: ["repo2"],
  });
  await failureOf(host.converge(host.desired()));
  expect(host.verbs().slice(0, 2)).toEqual(["pg-settings stdin", "stanza-create"]);
});

describe("postgres.install", () => {
  const BACKUP = { repositories: { repo1: true, repo2: false }, stanzas: { repo1: "17" } };
  const BOTH = { repo1: "17", repo2: "17" };
  /** @param files of the host @returns scripts that make a cluster, and the failure */
  const brought = async (
    world: Partial<HostWorld>,
    over: Partial<DesiredHost> = {},
  ): Promise<{ readonly made: number; readonly failure: string }> => {
    const desired = host.desired({ postgres: { version: 17, install: true, port: 5433 }, ...over });
    for (const { content, path } of desired.files.slice(0, 1)) writeFileSync(path, content);
    host.world = { ...host.world, ...world };
    const real = host.connection();
    let made = 0;
    const connection: Connection = {
      ...real,
      exec: async (argv, options) => {
        if (!argv.join(" ").includes("pg_createcluster")) return real.exec(argv, options);
        made++;
        return { exitCode: 0, stdout: "", stderr: "" };
      },
    };
    const runtime = { connection, account: connection.login, argv: desired.runtimeArgv, onLine: () => undefined };
    let failure = "";
    await bringCluster(runtime, desired, () => undefined).catch((error: unknown) => {
      failure = String(error);
    });
    return { made, failure };
  };

  test.each<[string, Partial<HostWorld>, string]>([
    ["a backup in one of them", { repositories: { repo1: false, repo2: true }, stanzas: { repo2: "17" } }, "recover"],
    ["a stanza without a backup", { stanzas: { repo1: "17" } }, "has a backup to recover it from"],
    ["a backup, and one that cannot be read", { ...BACKUP, unreadable: ["repo2"] }, "recover"],
    ["a backup of another version", { ...BACKUP, stanzas: { repo1: "15" } }, "set postgres.version to 15"],
    ["a backup in the second one", { repositories: { repo1: false, repo2: true }, stanzas: BOTH }, "recover"],
    ["one that cannot be read", { unreadable: ["repo2"] }, "repo2: cannot be read: [HostConnectError]"],
  ])("creates no cluster if the repositories have %s", async (_name, world, text) => {
    const { failure, made } = await brought(world);
    expect(failure).toContain(text);
    expect(made).toBe(0);
  });

  test("creates a cluster if every repository is empty", async () => {
    expect(await brought({})).toEqual({ made: 1, failure: "" });
  });

  test("finishes a cluster that an interrupted update began", async () => {
    await host.remove();
    host = new ConvergedHost({ repositories: { repo1: false } });
    const config = host.path("lib");
    writeFileSync(host.path("lib", "postgresql.unfinished"), `creating ${host.path("data")}\n`);
    expect(await brought({}, { directories: { config, units: config } })).toEqual({ made: 1, failure: "" });
  });

  test("leaves an existing cluster alone, whatever the repositories have", async () => {
    await host.remove();
    host = new ConvergedHost({ stanzas: { repo1: "17" } });
    expect(await brought({})).toEqual({ made: 0, failure: "" });
  });

  test("prints a command that makes the server's configuration too", async () => {
    const { failure } = await brought(BACKUP);
    const data = host.path("data");
    expect(failure).toContain(
      `\n  test ! -e ${data}/PG_VERSION && { test -e /etc/postgresql/17/main || ` +
        `{ { runuser -u postgres -- mkdir -p ${host.folder} 2>/dev/null || mkdir -p ${host.folder}; } && ` +
        `pg_createcluster --datadir=${data} --port=5433 17 main && find ${data} -delete; }; } && `,
    );
  });
});
