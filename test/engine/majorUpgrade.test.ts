/**
 * A major upgrade of a host, on the real engine with real pg_upgrade: the next update lets the stanza follow the new
 * cluster and takes its first full backup. It refuses another cluster, and a directory that pg_upgrade has not filled.
 */
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { PostgresHost } from "../../components/databases/postgresHost";
import { PosixRepository } from "../../components/repositories/posixRepository";
import { findWholePostgres } from "../../tools/parts/postgres/postgres";
import { TestCluster } from "../../tools/parts/postgres/testCluster";
import { openStack } from "../../tools/parts/pulumi/pulumiEngine";
import { failureOf } from "../harness/compare/engineTexts";
import { skipped } from "../harness/real/interopParts";
import { forgetAttributeVersions, upgradeCluster } from "../harness/real/pgUpgrade";
import { LocalHost } from "./localHost";

const TITLE = "a major upgrade of a host";

describe(TITLE, async () => {
  const [before, after] = [await findWholePostgres(17), await findWholePostgres(18)];
  if ("missing" in before) return void skipped(TITLE, before.missing);
  if ("missing" in after) return void skipped(TITLE, after.missing);
  let host: LocalHost;
  let upgraded: TestCluster | undefined;
  const printed: string[] = [];

  const open = (cluster: Pick<TestCluster, "dataPath" | "socketPath">, version: number): Promise<Stack> =>
    openStack(host.programFolder, "upgrade", async () => {
      const at = (name: string) => new PosixRepository(name, { path: host.path(name) }).target;
      const db = new PostgresHost("db", {
        ...host.settings({ allowRestart: false, restartCommand: [] }).host,
        connection: { local: {} },
        dataDirectory: cluster.dataPath,
        socketDirectory: cluster.socketPath,
        repositories: { repo1: { at: at("nas"), keepFullCount: 9 }, repo2: { at: at("usb"), keepFullCount: 9 } },
        schedules: { full: { cron: "30 2 * * *" } },
        postgres: { version },
      });
      return { firstBackup: db.firstBackup, destinations: db.destinations, pendingRestart: db.pendingRestart };
    });
  const backups = (name: string): string[] =>
    readdirSync(host.path(name, "backup", "main")).filter((label) => /^\d{8}-\d{6}F/.test(label));
  const versions = (name: string): string[] =>
    [...readFileSync(host.path(name, "archive/main/archive.info"), "utf8").matchAll(/"db-version":"(\d+)"/g)].map(
      ([, version = ""]) => version,
    );

  beforeAll(async () => {
    host = await LocalHost.create({ archive_mode: "on" }, before.binaries);
    await host.cluster.sql("CREATE TABLE story AS SELECT 1 AS id");
  });
  afterAll(async () => {
    await upgraded?.remove();
    await host?.remove();
  });

  // claim: docs/hosts/upgrade.md: after `pg_upgrade` the next update lets the stanza follow the new cluster and takes a
  //   full backup; an empty directory and another cluster are refused
  test("the update after pg_upgrade upgrades the stanza and takes a full backup; nothing else may do so", async () => {
    const first = await (await open(host.cluster, 17)).up();
    expect(first.outputs["firstBackup"]?.value).toBe("taken");

    const empty = host.path("empty");
    mkdirSync(empty);
    const early = await open({ dataPath: empty, socketPath: host.cluster.socketPath }, 18);
    expect(await failureOf(early.up(), printed)).toContain(
      `${empty} on this machine holds no cluster: run pg_upgrade from ${host.cluster.dataPath}`,
    );

    const foreign = await TestCluster.create({ binaries: after.binaries, settings: { archive_mode: "on" } });
    try {
      const still = await open({ dataPath: foreign.dataPath, socketPath: host.cluster.socketPath }, 18);
      expect(await failureOf(still.up(), printed)).toContain(
        `the server of ${host.cluster.dataPath} on this machine is still running`,
      );
      await forgetAttributeVersions(host.cluster);
      await host.cluster.stop();
      await foreign.start();
      const failure = await failureOf((await open(foreign, 18)).up(), printed);
      expect(failure).toContain(`'${foreign.dataPath}' is not what pg_upgrade made of '${host.cluster.dataPath}'`);
    } finally {
      await foreign.remove();
    }
    expect([versions("nas"), backups("nas").length]).toEqual([["17"], 1]);

    upgraded = await upgradeCluster(host.cluster, after.binaries, { archive_mode: "on" });
    await upgraded.start();
    const stack = await open(upgraded, 18);
    const { outputs, stdout, summary } = await stack.up();
    expect(stdout).toContain(`upgrading the stanza, which was that of ${host.cluster.dataPath}`);
    expect(summary.resourceChanges).toMatchObject({ update: expect.any(Number) as number });
    expect(Object.keys(summary.resourceChanges ?? {})).not.toContain("replace");
    expect(outputs["firstBackup"]?.value).toBe("taken");
    for (const name of ["nas", "usb"]) {
      expect([name, versions(name), backups(name).length]).toEqual([name, ["17", "18"], 2]);
      expect(readdirSync(join(host.path(name), "archive/main")).filter((id) => id.includes("-"))).toEqual([
        "17-1",
        "18-2",
      ]);
    }
    expect(String(outputs["destinations"]?.value)).toContain(backups("nas").sort().at(-1) ?? "");
    expect(Object.keys((await stack.up()).summary.resourceChanges ?? {})).toEqual(["same"]);
  });
});
