/**
 * The last release beside this package, on real parts: each row of the table in docs/upgrading.md that is not about a
 * stack. `test/engine/skew.test.ts` has those.
 */
import { chmodSync, existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { planCluster } from "../../components/plan/cluster/planCluster";
import type { DeclaredCluster } from "../../components/plan/cluster/declaredCluster";
import type { EngineContext } from "../../components/render/engines/engine";
import type { Manifest, RenderedObject } from "../../components/render/kubernetes/objects";
import * as clusterObjects from "../../components/render/kubernetes/clusterObjects";
import { findOwnParameters, type JsonObject } from "../../runtime/cnpg/kubernetes/clusterObject";
import * as patches from "../../runtime/cnpg/operator/sidecarPatch";
import * as parameters from "../../runtime/cnpg/operator/parameters";
import * as loading from "../../runtime/config/load";
import * as drillRecords from "../../runtime/operations/drill/record";
import { loadOfRelease } from "../../tools/parts/build/lastRelease";
import { findWholePostgres } from "../../tools/parts/postgres/postgres";
import { run, start, waitFor } from "../../tools/parts/process";
import { NIGHTLY } from "../../tools/parts/nightly";
import { VERSION } from "../../runtime/version";
import { declaredCluster, SECRETS } from "../components/clusters";
import { lastReleaseOrSkip, runtimeOfRelease } from "../harness/lastRelease";
import { labelsOf, parseInfo } from "../harness/compare/infoJson";
import { agentPaths, AgentProcess, archiveCommandOf } from "../harness/real/agentProcess";
import { skipped } from "../harness/real/interopParts";
import type { RuntimeProgram } from "../harness/real/runtimeCli";
import { dropTemplates } from "../harness/real/sampleData";
import { findStoredSegment, writeSegments } from "../harness/real/segments";
import { requireOk, TestBed } from "../harness/real/testBed";
import { pod } from "../runtime/cnpg/support";

/** Everything that an engine `runtime` writes into files and command lines. */
const WIDE: Partial<DeclaredCluster> = {
  streaming: { intervalSeconds: 5, synchronous: "any" },
  drills: { weekly: { cron: "0 5 * * 6", from: "repo2", maxMinutes: 60, level: "quick", maxGiB: 2 } },
  drillChecks: { assertions: [{ name: "orders", sql: "select true" }], backupAgeHours: 30 },
  objectives: { rpoSeconds: 60, rtoMinutes: 30 },
  snapshots: { cron: "0 5 * * *", keepDays: 7 },
};

const DRILL: drillRecords.DrillRecord = {
  version: 1,
  id: "20261121-051347Z-1a2b3c4d",
  stanza: "main",
  repo: 2,
  pick: "newest",
  level: "standard",
  backup: { label: "20261120-065300F", type: "full", stoppedAtS: 1_795_157_600 },
  target: null,
  startedAtS: 1_795_240_427,
  endedAtS: 1_795_240_500,
  ok: false,
  failures: [{ where: "amcheck", error: "ChecksumError", code: 26, message: "one row is missing" }],
  rtoMs: 61_000,
  phases: [{ name: "restore", elapsedMs: 61_000 }],
  rpo: { seconds: 12, method: "commit", lostWalBytes: null },
  restoredBytes: 31_457_280,
  checks: [{ name: "amcheck", verdict: "failed", elapsedMs: 12_000, text: "one row is missing" }],
  objectives: { rtoSeconds: 1800 },
};

/** The part of `status --output=json` that both versions must print alike. */
interface Status {
  readonly repos: readonly {
    readonly key: number;
    readonly backups: number;
    readonly full: object | null;
    readonly newest: object | null;
    readonly wal: object | null;
    readonly drill: { readonly id: string; readonly ok: boolean } | null;
  }[];
}

describe("beside the last release", async () => {
  const release = await lastReleaseOrSkip("the last release beside this package");
  const postgres = await findWholePostgres(18);
  if (release === null) return;
  if ("missing" in postgres) return void skipped("the last release beside this package", postgres.missing);
  const old = await runtimeOfRelease(release);

  describe("a cluster", () => {
    type Modules = {
      readonly plan: Pick<typeof import("../../components/plan/cluster/planCluster"), "planCluster">;
      readonly objects: typeof clusterObjects;
      readonly patch: typeof patches;
      readonly read: typeof parameters;
      readonly load: typeof loading;
    };
    const present: Modules = {
      plan: { planCluster },
      objects: clusterObjects,
      patch: patches,
      read: parameters,
      load: loading,
    };
    let former: Modules;
    beforeAll(async () => {
      former = {
        plan: await loadOfRelease(release, "components/plan/cluster/planCluster.ts"),
        objects: await loadOfRelease(release, "components/render/kubernetes/clusterObjects.ts"),
        patch: await loadOfRelease(release, "runtime/cnpg/operator/sidecarPatch.ts"),
        read: await loadOfRelease(release, "runtime/cnpg/operator/parameters.ts"),
        load: await loadOfRelease(release, "runtime/config/load.ts"),
      };
    });

    /** The objects of a cluster that keeps a runtime of the last release, or that has one of this package. */
    function rendered({ objects, plan }: Modules, runtimeVersion: string | undefined): RenderedObject[] {
      const { database, definition, schedules } = plan.planCluster("orders", declaredCluster(WIDE));
      const runtime = {
        configMap: "orders-program-0123456789ab",
        image: "docker.io/library/node:24-slim@sha256:0123",
        sha256: "ab".repeat(32),
        ...(runtimeVersion === undefined ? {} : { version: runtimeVersion }),
      };
      const context: EngineContext = { database, definition, schedules, secrets: SECRETS, runtime };
      return objects.renderCluster(context, null);
    }
    const recordedVersion = release.name.slice(1);

    /** The warnings of each command line and file of the objects, and of the pod that `patchedBy` makes. */
    function warningsOf(readBy: Modules, objects: readonly RenderedObject[], patchedBy: Modules): string[] {
      const dataOf = (role: string): Readonly<Record<string, string>> =>
        (objects.find((object) => object.role === role)?.manifest["data"] ?? {}) as Record<string, string>;
      const files = new Map(
        Object.entries({
          "/pgbackstop/config/pgbackrest.conf": dataOf("config")["pgbackrest.conf"],
          "/pgbackstop/config/pgbackstop.json": dataOf("config")["pgbackstop.json"],
          "/pgbackstop/drill/pgbackstop.json": dataOf("drill-config")["pgbackstop.json"],
        }),
      );
      const secrets = { S3_KEY: "id", S3_KEY_SECRET: "secret", CIPHER_PASS: "pass" };
      const env = Object.fromEntries(
        ["REPO1", "REPO2"].flatMap((repo) =>
          Object.entries(secrets).map(([name, value]) => [`PGBACKREST_${repo}_${name}`, value]),
        ),
      );
      const readFile = (path: string): string | null => files.get(path) ?? null;
      const cluster = clusterIn(objects);
      const jobs = objects.flatMap(({ manifest }) => (manifest.kind === "CronJob" ? [argsIn(manifest)] : []));
      const sidecar = argsIn(patchOf(cluster, patchedBy));
      expect(jobs.length).toBeGreaterThan(1);
      return [sidecar, ...jobs].flatMap((argv) => {
        return readBy.load.loadConfig({ argv, env, readFile, listDirectory: () => [] }).warnings;
      });
    }

    function patchOf(cluster: JsonObject, { patch }: Modules): object {
      const own = findOwnParameters(cluster) ?? {};
      const request = { mode: "instance" as const, source: null, parameters: own, image: undefined };
      return patch.sidecarPatch(cluster, pod(), "postgres", request);
    }

    // claim: docs/upgrading.md: a cluster keeps the last release's runtime or plugin: both read what this package
    //   writes
    test("that keeps the old runtime: the old sidecar and its Jobs read what this package writes for them", () => {
      expect(warningsOf(former, rendered(present, recordedVersion), present)).toEqual([]);
    });

    // claim: docs/upgrading.md: a cluster keeps the last release's runtime or plugin…
    test("whose package went back: this runtime reads what the last release writes", () => {
      expect(warningsOf(present, rendered(former, recordedVersion), former)).toEqual([]);
    });

    // claim: docs/upgrading.md: a cluster keeps the last release's runtime or plugin…
    test("whose plugin is old: it knows each parameter that this package writes", () => {
      const own = findOwnParameters(clusterIn(rendered(present, VERSION))) ?? {};
      const given = { clusterName: "orders", image: undefined };
      expect(former.read.readParameters(own, given)).toEqual(parameters.readParameters(own, given));
    });

    // claim: docs/upgrading.md: a cluster keeps the last release's runtime or plugin…
    test("whose plugin is newer: it makes the same pod, so that nothing restarts", () => {
      const object = clusterIn(rendered(former, recordedVersion));
      expect(JSON.stringify(patchOf(object, present))).toBe(JSON.stringify(patchOf(object, former)));
    });
  });

  // claim: docs/upgrading.md: agents and clients of two releases…
  test("a record of a drill is read by the other version", async () => {
    const former = await loadOfRelease<typeof drillRecords>(release, "runtime/operations/drill/record.ts");
    const record = JSON.parse(drillRecords.renderDrill(DRILL)) as typeof DRILL;
    expect(former.parseDrill(drillRecords.renderDrill(record), "a drill")).toEqual(record);
    expect(drillRecords.parseDrill(former.renderDrill(record), "a drill")).toEqual(record);
    expect(former.parseDrillFileName(drillRecords.drillFileName(record))).toMatchObject({ repo: 2, pick: "newest" });
  });

  describe("a host", () => {
    const paths = agentPaths();
    let bed: TestBed;
    let agent: AgentProcess;

    const restartAgent = async (runtime: RuntimeProgram): Promise<void> => {
      await agent?.stop();
      agent = await AgentProcess.start({ paths, runtime, configPath: bed.configPath, stanza: bed.stanza });
    };
    /** A segment and the status, through the agent that runs, by both clients. */
    const expectSegment = async (name: string): Promise<void> => {
      for (const client of [paths.client, old.client]) {
        const target = "pg_wal/SKEW";
        const args = [paths.socket, "archive-get", name, target];
        requireOk("archive-get", await run(client, args, { user: bed.cluster.user, cwd: bed.cluster.dataPath }));
        rmSync(join(bed.cluster.dataPath, target));
        const status = await run(client, [paths.socket, "status"], { user: bed.cluster.user, cwd: paths.folder });
        expect(requireOk("status", status).stderr).toMatch(/^repo1 waiting=\d+ .*\nrepo2 waiting=\d+ /);
      }
    };

    beforeAll(async () => {
      bed = await TestBed.create({
        binaries: postgres.binaries,
        repos: [{ compressType: "gz" }, { compressType: "zst", encrypted: true }],
        acknowledge: "any",
        walSegmentSizeMb: 1,
        settings: { archive_command: archiveCommandOf({ ...paths, client: old.client }), wal_keep_size: 0 },
      });
      await restartAgent(bed.runtime);
      await bed.cluster.start();
      await bed.oursOk(["stanza-create"], { runtime: old });
      await dropTemplates(bed);
      await bed.cluster.sql("CREATE TABLE t (id int, filler text)");
    }, 300_000);
    afterAll(async () => {
      await agent?.stop("SIGKILL");
      await bed?.remove();
      rmSync(paths.folder, { recursive: true, force: true });
    });

    // claim: docs/upgrading.md: agents and clients of two releases work together; either uses the other's backups and
    //   WAL
    test("whose agent is new and whose client is old archives, gets WAL and takes the old runtime's backup", async () => {
      await bed.oursOk(["backup", "--type=full"], { runtime: old });
      await expectSegment(await bed.archiveAll());
    });

    // claim: docs/upgrading.md: agents and clients of two releases…
    test("whose agent is old and whose client is new does, and the new runtime extends the old one's backup", async () => {
      await restartAgent(old);
      await bed.cluster.alterSystem({ archive_command: archiveCommandOf(paths) });
      const [name = ""] = await writeSegments(bed, 1);
      const result = await bed.oursOk(["backup", "--type=incr"]);
      expect(result.stdout).toMatch(/new backup label = \d{8}-\d{6}F_\d{8}-\d{6}I/);
      await bed.archiveAll();
      await expectSegment(name);
    });

    // claim: docs/upgrading.md: agents and clients of two releases…
    test.runIf(NIGHTLY)(
      "whose old agent archives shares its locks with commands of both: one backup at a time",
      async () => {
        const lock = (name: string): string => join(bed.folder, "lock", `main-${name}-1.lock`);
        const isTaken = async (name: string): Promise<true | null> =>
          existsSync(lock(name)) && readFileSync(lock(name), "utf8").includes('"pid"') ? true : null;
        for (const [holder, other] of [
          [old, bed.runtime],
          [bed.runtime, old],
        ] as const) {
          // The agent archives these segments, and the backup's checkpoint has pages to write for minutes.
          await bed.cluster.sql("INSERT INTO t SELECT g, md5(g::text) FROM generate_series(1, 100000) g");
          const args = bed.oursCommand(["backup", "--type=full", "--no-start-fast"], bed.configPath, holder);
          const logFile = join(bed.folder, "log", `held-by-${holder === old ? "old" : "new"}.log`);
          const held = await start(holder.node, args, { user: bed.cluster.user, cwd: bed.folder, logFile });
          try {
            await waitFor("the backup's lock", 60_000, () => isTaken("backup"));
            const refused = await bed.ours(["backup", "--type=full"], { runtime: other });
            expect(held.isRunning(), held.log()).toBe(true);
            expect(refused.exitCode).toBe(50);
            expect(refused.stdout).toContain("unable to acquire lock on file");
            await writeSegments(bed, 1);
            await waitFor("the agent's lock", 60_000, () => isTaken("archive"));
          } finally {
            await held.stop("SIGTERM");
          }
          // Its session still waits in the server, with the advisory lock, for the checkpoint.
          await bed.cluster.sql("CHECKPOINT");
          await waitFor("the end of its session", 60_000, async () =>
            (await bed.cluster.value("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")) === "0"
              ? true
              : null,
          );
          await bed.oursOk(["backup", "--type=incr"], { runtime: other });
        }
        await bed.archiveAll();
      },
      600_000,
    );

    // claim: docs/upgrading.md: agents and clients of two releases…
    test.runIf(NIGHTLY)(
      "whose backup the new runtime took: the old one extends it, verifies it and expires older ones",
      async () => {
        const made = await bed.oursOk(["backup", "--type=full"]);
        await writeSegments(bed, 1);
        await bed.oursOk(["backup", "--type=incr"], { runtime: old });
        await bed.archiveAll();
        await bed.oursOk(["expire", "--repo1-retention-full=1", "--repo2-retention-full=1"], { runtime: old });
        const verified = await bed.oursOk(["verify", "--output=text"], { runtime: old });
        expect(verified.stdout.match(/^status: ok$/gm)).toHaveLength(2);
        const rows = labelsOf(parseInfo((await bed.oursOk(["info", "--output=json"])).stdout));
        for (const key of [1, 2]) {
          const [full = "", ...rest] = rows.flatMap(({ label, repo }) => (repo === key ? [label] : []));
          expect(made.stdout).toContain(`new backup label = ${full}`);
          expect(rest).toEqual([expect.stringMatching(new RegExp(`^${full}_\\d{8}-\\d{6}I$`))]);
        }
      },
      600_000,
    );

    // claim: docs/upgrading.md: agents and clients of two releases…
    test.runIf(NIGHTLY)(
      "whose drills both versions run has one status, and one set of metrics of drills",
      async () => {
        const drill = async (key: number, runtime: RuntimeProgram): Promise<string> => {
          const folders = [`--drill-path=${join(bed.folder, "drill")}`, `--bin-path=${postgres.binaries.folder}`];
          const options = [`--repo=${key}`, "--pick=newest", "--level=quick", "--output=json"];
          const { stdout } = await bed.oursOk(["drill", ...folders, ...options], { runtime });
          return (JSON.parse(stdout) as drillRecords.DrillRecord).id;
        };
        const ids = [await drill(1, old), await drill(2, bed.runtime)];
        const seenBy = async (runtime: RuntimeProgram) => {
          const status = JSON.parse((await bed.ours(["status", "--output=json"], { runtime })).stdout) as Status;
          const { stdout } = await bed.oursOk(["metrics"], { runtime });
          const repos = status.repos.map(({ backups, drill: last, full, key, newest, wal }) => {
            return { backups, drill: last, full, key, newest, wal };
          });
          return { repos, drills: stdout.match(/^pgbackstop_drill_.*$/gm)?.toSorted() };
        };
        // One repository acknowledges a segment, and the other may get it between two looks.
        const [former, present] = await waitFor("repositories that do not change", 120_000, async () => {
          const [before, between, after] = [await seenBy(old), await seenBy(bed.runtime), await seenBy(old)];
          return isDeepStrictEqual(before, after) ? ([before, between] as const) : null;
        });
        expect(former).toEqual(present);
        expect(present.repos.map((repo) => repo.drill)).toEqual(
          ids.map((id) => expect.objectContaining({ id, ok: true })),
        );
        for (const key of [1, 2])
          expect(present.drills).toContain(`pgbackstop_drill_ok{stanza="main",repo_key="${key}"} 1`);
      },
      600_000,
    );

    // claim: docs/upgrading.md: agents and clients of two releases…
    test.runIf(NIGHTLY)("restores with either version what both backed up and archived", async () => {
      await writeSegments(bed, 1);
      await bed.archiveAll();
      expect(await bed.restoreAndCompare({ by: null, repo: 1, runtime: old })).toEqual([]);
      expect(await bed.restoreAndCompare({ by: null, repo: 2 })).toEqual([]);
    });

    // claim: docs/upgrading.md: a runtime ignores fields of a newer version…
    test.each([
      ["a newer version wrote", { package: "9.9.9", quorum: 2 }, 0],
      ["has a mistake", { acknowlege: "all" }, 27],
    ])("whose settings file %s archives, restores, and backs up only with a valid file", async (_title, more, code) => {
      bed.writeVariant(bed.configPath, { settings: more });
      await restartAgent(bed.runtime);
      expect(agent.log()).toMatch(/WARN: settings file .* ignored/);
      await writeSegments(bed, 1);
      await bed.archiveAll();
      requireOk("restore", (await bed.restoreAside({ by: null })).result);
      expect((await bed.ours(["backup", "--type=incr"])).exitCode).toBe(code);
      bed.writeVariant(bed.configPath, {});
    });

    // claim: docs/upgrading.md: agents and clients of two releases…
    test("whose version left WAL missing in one repository is healed by the other version", async () => {
      const recorded = async (runtime: RuntimeProgram): Promise<number> => {
        const { stdout } = await bed.oursOk(["info", "--output=json"], { runtime });
        return parseInfo(stdout).repo[1]?.["wal-missing"] ?? 0;
      };
      const leaveMissing = async (runtime: RuntimeProgram): Promise<string> => {
        await restartAgent(runtime);
        chmodSync(bed.repoPath(2), 0);
        const [name = ""] = await writeSegments(bed, 1);
        await bed.archiveAll();
        await agent.stop();
        chmodSync(bed.repoPath(2), 0o750);
        expect(findStoredSegment(bed, 2, name)).toBeNull();
        return name;
      };
      for (const [from, to] of [
        [old, bed.runtime],
        [bed.runtime, old],
      ] as const) {
        const name = await leaveMissing(from);
        expect(await recorded(to)).toBeGreaterThan(0);
        await bed.oursOk(["heal"], { runtime: to });
        expect(findStoredSegment(bed, 2, name)).not.toBeNull();
      }
      expect((await bed.oursOk(["verify", "--output=text"])).stdout.match(/^status: ok$/gm)).toHaveLength(2);
    });
  });
});

function argsIn(object: Manifest | object): string[] {
  const lists: string[][] = [];
  const look = (value: unknown): void => {
    if (typeof value !== "object" || value === null) return;
    const { args } = value as { readonly args?: unknown };
    if (Array.isArray(args)) lists.push(args as string[]);
    for (const inner of Object.values(value)) look(inner);
  };
  look(object);
  expect(lists).toHaveLength(1);
  return (lists[0] ?? []).map((arg) => arg.replace("$(KUBERNETES_SERVICE_PORT)", "443"));
}

function clusterIn(objects: readonly RenderedObject[]): JsonObject {
  const cluster = objects.find(({ manifest }) => manifest.kind === "Cluster")?.manifest;
  return JSON.parse(JSON.stringify(cluster)) as JsonObject;
}
