/**
 * The tiers of tests: their folders, needs and execution. One table for vitest.config.ts, `npm test` and the tidy test.
 */
import { availableParallelism } from "node:os";

export const QUEUES = ["compute", "wait", "beside"] as const;

export interface Tier {
  readonly name: "unit" | "data" | "engine" | "package" | "hosts" | "kubernetes";
  readonly folders: readonly string[];
  /**
   * Queues run at the same time, and the tiers of each in sequence. One computes, one mostly waits for machines and
   * pods; the small one runs beside the first tiers of both, which leave processors idle.
   */
  readonly queue: (typeof QUEUES)[number];
  /** Files that run at the same time. */
  readonly filesAtOnce: number;
  /**
   * Files that replace or count modules. Each has its own process; the others of the tier share theirs.
   * Absent: no file shares, because Pulumi keeps what a failed program leaves until its process ends.
   */
  readonly isolated?: readonly string[];
  /** Small files that take long. Vitest begins with the largest, and these would end when the others have. */
  readonly first?: readonly string[];
  /** Files of plain `npm test`, which show that the parts work. Absent: all files. */
  readonly quick?: readonly string[];
  /**
   * Files that only `npm test -- --nightly` runs, and plain `npm test` those of `quick`, each with what still shows its
   * claims in `--all`.
   */
  readonly nightly?: Readonly<Record<string, string>>;
  /** Temporary files go to memory if there is space. */
  readonly inMemory?: true;
  readonly testTimeoutMs: number;
  /**
   * Pause between two attempts of `expect.poll`. Default: vitest's 50 ms, in which attempts that start a program would
   * keep a processor busy.
   */
  readonly pollPauseMs?: number;
  /** Real parts, for the table at the end. */
  readonly about: string;
  /** The tier cannot run without the Pulumi CLI. */
  readonly needsPulumi: boolean;
}

/** Files that a run leaves to the nightly form, separated by commas. Vitest's own option misses its projects. */
export const EXCLUDED_VARIABLE = "PGBACKSTOP_EXCLUDED_TESTS";

/** In the order of the table; each queue runs its tiers in this order too. */
export const TIERS: readonly Tier[] = [
  {
    name: "unit",
    folders: [
      "test/runtime",
      "test/components",
      "test/tools",
      "test/tidy",
      "test/fuzz",
      "packages/migration/test/components",
      "packages/migration/test/runtime",
    ],
    queue: "compute",
    // Some wait.
    filesAtOnce: availableParallelism() + 1,
    isolated: [
      "packages/migration/test/components/deferredMigration.test.ts",
      "packages/migration/test/components/migration.test.ts",
      "test/components/databases/clusterRuntime.test.ts",
      "test/components/dynamic/b2.test.ts",
      "test/components/host/postgresSettings.test.ts",
      "test/components/repositories/cloudRepositories.test.ts",
      "test/components/upgrade.test.ts",
      // Counts coverage at night.
      "test/fuzz/fuzz.test.ts",
      "test/runtime/operations/restore/bringWal.test.ts",
      "test/runtime/operations/restore/restoreFile.test.ts",
      "test/runtime/postgres/dataDirectory.test.ts",
    ],
    inMemory: true,
    // All tiers run at once, on two processors too.
    testTimeoutMs: 180_000,
    about: "pure code, golden bytes, properties, local files",
    needsPulumi: false,
  },
  {
    name: "package",
    folders: ["test/package"],
    queue: "beside",
    filesAtOnce: 2,
    quick: ["test/package/machine.test.ts"],
    nightly: {
      "test/package/sdks.test.ts":
        "`test/engine/languages.test.ts`: a program that knows only tokens; `test/components/plugin`: the plugin's answers",
    },
    testTimeoutMs: 600_000,
    about: "the packed tarball in a foreign project",
    needsPulumi: true,
  },
  {
    name: "data",
    folders: ["test/interop", "test/conformance", "test/model", "test/simulation", "packages/migration/test/interop"],
    queue: "compute",
    // Many wait for timeouts, outages and recoveries.
    filesAtOnce: 5,
    isolated: ["test/simulation/simulation.test.ts"],
    quick: [
      "test/conformance/storage.test.ts",
      "test/interop/stock/stockReadsOurs.test.ts",
      "test/interop/stock/weReadStock.test.ts",
    ],
    nightly: {
      "test/interop/faults/manyWriters.test.ts":
        "`test/interop/faults/twoHosts.test.ts`: hosts that share a repository; `test/simulation`: two to four hosts in any order",
      "test/model/faultPostgres.test.ts":
        "`test/model/faultModel.test.ts`: the same faults without PostgreSQL; `test/interop/faults`: each fault with it",
      "test/interop/bench.test.ts": "a measurement; `test/tools`: its tables and options",
      "test/interop/faults/troubleshooting.test.ts":
        "`test/interop/faults/badInput.test.ts`: faults of configuration and repositories, with their messages",
      "test/interop/restore/lives.test.ts":
        "`test/runtime/recoverability/statusSearch.test.ts`: the same search in memory; `test/interop/restore/histories.test.ts`: several histories with PostgreSQL",
      "test/interop/restore/drill.test.ts":
        "`test/hosts/drill.test.ts` and `test/kubernetes/drill.test.ts`: drills, and what they detect",
      "test/interop/restore/openVersions.test.ts":
        "`test/interop/restore/open.test.ts`: the same forms with PostgreSQL 18",
      "test/interop/restore/pitr.test.ts":
        "`test/interop/restore/restoreOptions.test.ts`: each kind of target; `test/interop/restore/find.test.ts`: targets by transactions",
      "test/interop/wal/patroni.test.ts":
        "`test/interop/wal/synchronous.test.ts`: an agent alongside a promoted server; `test/interop/backup/standby.test.ts`",
      "test/interop/backup/hardlink.test.ts":
        "`test/interop/backup/backupTypes.test.ts`: chains of both programs; `test/runtime/operations/backup/fileChoices.test.ts`: which files a backup links",
      "test/interop/majorUpgrade.test.ts":
        "`test/engine/majorUpgrade.test.ts`: the stanza follows a real pg_upgrade; `test/interop/backup/keeping.test.ts`: WAL and backups separate from the old ones",
      "test/interop/nixos.test.ts":
        "`test/components/render/host/nixos.test.ts`: the module's text; `test/components/bin/render.test.ts`: `--format=nixos`",
      "test/interop/backup/bz2.test.ts":
        "`test/runtime/format/codec/bz2.test.ts`: stock's bytes; `test/interop/stock/weReadStock.test.ts`: repositories of stock",
      "test/interop/container/container.test.ts":
        "`test/hosts/containerHost.test.ts`: backups and a recovery of a container; `test/interop/container/containerAgent.test.ts`: containers that cannot be backed up",
      "test/interop/postgres19.test.ts":
        "the other files of `test/interop` with PostgreSQL 18; `test/runtime/format` with golden files of 19",
    },
    inMemory: true,
    testTimeoutMs: 300_000,
    about: "PostgreSQL, stock pgbackrest, S3 servers",
    needsPulumi: false,
  },
  {
    name: "hosts",
    folders: ["test/hosts"],
    queue: "wait",
    filesAtOnce: 3,
    isolated: [],
    quick: ["test/hosts/boot.test.ts"],
    nightly: {
      "test/hosts/bare.test.ts":
        "`test/package/machine.test.ts`: a machine without Node.js gets it, and backups, by one update",
      "test/hosts/slotArchive.test.ts":
        "`test/hosts/containerHost.test.ts`: an update, a kill and a destroy with a slot; `test/interop/wal/slotArchive.test.ts`: killed agents, a lost slot",
      "test/hosts/mounted.test.ts":
        "`test/interop/restore/clone.test.ts`, `test/interop/restore/instant.test.ts`: the same on a real server; `test/engine/databaseClone.test.ts`: the component",
      "test/hosts/majorUpgrade.test.ts": "`test/engine/majorUpgrade.test.ts`: the update after pg_upgrade",
      "test/hosts/newMachine.test.ts": "`test/package/machine.test.ts`: the update waits for the boot",
    },
    testTimeoutMs: 600_000,
    pollPauseMs: 500,
    about: "Debian 12 and 13 with systemd and sshd, booted",
    needsPulumi: false,
  },
  {
    name: "kubernetes",
    folders: ["test/kubernetes", "packages/migration/test/kubernetes"],
    queue: "wait",
    // Labs share nothing, and mostly wait.
    filesAtOnce: 3,
    isolated: ["test/kubernetes/content.test.ts"],
    first: ["test/kubernetes/journey.test.ts", "test/kubernetes/plugin.test.ts"],
    quick: ["test/kubernetes/apiServer.test.ts", "test/kubernetes/cluster.test.ts"],
    nightly: {
      "test/kubernetes/barman.test.ts":
        "`test/kubernetes/replaceArchiver.test.ts`: Barman's archiver gives way; `test/engine/cnpgExamples.test.ts`: Barman's objects",
      "test/kubernetes/cluster.test.ts":
        "plain `npm test` runs it; `test/kubernetes/journey.test.ts` and `test/kubernetes/plugin.test.ts`: clusters in the lab become ready, answer, and are refused; pods have sidecars and Secrets",
      "test/kubernetes/failover.test.ts":
        "`test/kubernetes/journey.test.ts`: a cluster is lost with its disks; `test/kubernetes/plugin.test.ts`: WAL has no gap after a failover",
      "test/kubernetes/fullBackups.test.ts":
        "`test/runtime/cnpg/sidecar`: the report of full backups; `test/kubernetes/journey.test.ts`: a backup on an update's request",
      "test/kubernetes/refusals.test.ts":
        "`test/kubernetes/replaceArchiver.test.ts`: one archiver gives way to another; `test/kubernetes/apiServer.test.ts`: objects that the API server refuses; `test/components/plan`: each rule",
      "test/kubernetes/runbook.test.ts":
        "`test/hosts/agent.test.ts`: the runbook's commands; `test/kubernetes/drill.test.ts`: a lost cluster's rows come back",
      "test/kubernetes/served.test.ts":
        "`test/kubernetes/plugin.test.ts`: a runtime from an image; `test/runtime/cnpg`: the served program and its digest",
      "test/kubernetes/backlog.test.ts": "a measurement; `test/kubernetes/plugin.test.ts`: WAL that waited arrives",
      "test/kubernetes/majorUpgrade.test.ts":
        "`test/engine/majorUpgrade.test.ts`: the stanza follows pg_upgrade; `test/runtime/cnpg/sidecar/stanzaKeeper.test.ts`",
      "test/kubernetes/memory.test.ts": "`test/interop/memory.test.ts`: the peak of a backup",
      "packages/migration/test/kubernetes/migration.test.ts":
        "`packages/migration/test/engine`: the same steps by the real engine; `packages/migration/test/runtime`: each Job",
      "test/kubernetes/streaming.test.ts":
        "`test/kubernetes/journey.test.ts`: streamed WAL of a cluster; `test/interop/wal/streaming.test.ts`: what a death costs",
    },
    testTimeoutMs: 600_000,
    pollPauseMs: 500,
    about: "API server, CloudNativePG; the kubelet is a double",
    needsPulumi: false,
  },
  {
    name: "engine",
    folders: ["test/engine", "packages/migration/test/engine"],
    queue: "wait",
    filesAtOnce: 3,
    isolated: [],
    first: ["test/engine/cloudRepositories.test.ts", "test/engine/cnpg.test.ts"],
    quick: ["test/engine/root.test.ts"],
    nightly: {
      "test/engine/ci.test.ts":
        "`test/engine/topology.test.ts`: the command in a pipeline; `test/components/bin/topologyBase.test.ts`: which commit it compares with",
      "test/engine/restart.test.ts":
        "`test/components/dynamic/host.test.ts` and `test/components/host/firstRun.test.ts`: what an update reports while PostgreSQL waits for a restart; `test/engine/host.test.ts`: a restart by the update",
      "test/engine/root.test.ts":
        "plain `npm test` runs it; `test/engine/host.test.ts`: the same host by an inline program; `test/engine/examples.test.ts`: the example's program",
      "test/engine/crossStack.test.ts":
        "`test/engine/restoreOnly.test.ts`: a host with another host's repositories; `test/components/databases/postgresHost.test.ts`: a target of another stack",
      "test/engine/exampleProjects.test.ts":
        "`test/package/package.test.ts`: each example compiles with the package; `test/engine/cnpgExamples.test.ts`: examples by the engine",
      "test/engine/live.test.ts":
        "`test/engine/cloudRepositories.test.ts` and `test/engine/b2.test.ts`: buckets and keys; `test/interop/live.test.ts`: backups with them",
      "test/engine/providerDouble.test.ts":
        "the other files of `test/engine` that use the double; `test/engine/cloudRepositories.test.ts`: its buckets",
      "test/engine/skew.test.ts":
        "`test/interop/skew.test.ts`: files, pods, agents and backups of the last release; `test/components/upgrade.test.ts`: objects of a stack that it made",
      "test/engine/sftp.test.ts": "`test/hosts/repositoryHost.test.ts`: an SFTP repository of a host, by the engine",
      "test/engine/stateSize.test.ts":
        "a measurement; `test/kubernetes/content.test.ts`: what an object's state contains",
    },
    inMemory: true,
    testTimeoutMs: 600_000,
    about: "Pulumi CLI, local backend, dynamic resources",
    needsPulumi: true,
  },
];

/** Vitest projects of a tier: files that share processes, then those that do not. */
export function projectsOf({ name, isolated = [] }: Tier): readonly string[] {
  return isolated.length === 0 ? [name] : [name, `${name}-isolated`];
}
