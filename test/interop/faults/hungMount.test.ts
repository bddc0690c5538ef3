/**
 * Two repositories in directories; repo2's file system stops answering (a FUSE file system that takes each request and
 * never replies: as with a dead file server, threads that wait for it cannot even be killed). Every verb ends in time,
 * works with repo1, and names repo2.
 *
 * A few verbs meet a file system that answers nothing; in the nightly form all of them, and also one that hangs at one
 * kind of call only, each verb with each kind.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { findHangingMount } from "../../../runtime/storage/process/mounts";
import { findStuck, processNameOf } from "../../../runtime/storage/process/stuck";
import { type RunResult, waitFor } from "../../../tools/parts/process";
import { giveTo } from "../../../tools/parts/users";
import { findPostgres } from "../../../tools/parts/postgres/postgres";
import { AgentProcess, agentPaths, archiveCommandOf } from "../../harness/real/agentProcess";
import { type HangingCall, HungMount, mountObstacle } from "../../harness/real/hungMount";
import { loud, skipped } from "../../harness/real/interopParts";
import { findStoredSegment, writeSegments } from "../../harness/real/segments";
import { dropTemplates } from "../../harness/real/sampleData";
import { TestBed } from "../../harness/real/testBed";
import { NIGHTLY } from "../../../tools/parts/nightly";

const IO_TIMEOUT_S = 5;
/**
 * For a verb on two busy cores: a few waits for repo2, and its own work. `check` also waits for its segment in a
 * repository that answers all but writes, for `archive-timeout`.
 */
const VERB_MS_MAX = 120_000;
/** One that reads, and one that writes. */
const VERBS_BY_DAY: readonly string[] = ["archive-get", "backup"];
const KINDS: readonly HangingCall[] = [
  "lookup",
  "open",
  "read",
  "write",
  "create",
  "fsync",
  "rename",
  "readdir",
  "unlink",
  "mkdir",
];

describe("a repository that stops answering", async () => {
  const title = "hung repositories";
  const postgres = await findPostgres(18);
  if ("missing" in postgres) return void skipped(title, postgres.missing);
  const obstacle = mountObstacle();
  if (obstacle !== null) loud(title, obstacle);
  const withMount = test.skipIf(obstacle !== null);

  const createBed = async (archiveCommand?: string): Promise<TestBed> => {
    const bed = await TestBed.create({
      binaries: postgres.binaries,
      repos: [{}, {}],
      acknowledge: "any",
      walSegmentSizeMb: 1,
      settings: archiveCommand === undefined ? {} : { archive_command: archiveCommand },
      global: { "io-timeout": String(IO_TIMEOUT_S), "archive-timeout": "60", "process-max": "8" },
    });
    onTestFinished(() => bed.remove());
    return bed;
  };
  const open = async (archiveCommand?: string): Promise<{ readonly bed: TestBed; readonly mount: HungMount }> => {
    const bed = await createBed(archiveCommand);
    const behind = join(bed.folder, "behind");
    mkdirSync(behind);
    giveTo(behind, bed.cluster.user);
    const mount = await HungMount.create(behind, bed.repoPath(2));
    onTestFinished(() => mount.remove());
    await bed.startWithStanza();
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE t (id int, filler text)");
    return { bed, mount };
  };
  const archived = async (bed: TestBed, count: number): Promise<string[]> => {
    const names = await writeSegments(bed, count);
    await waitFor("WAL in repo1", VERB_MS_MAX, async () =>
      names.every((name) => findStoredSegment(bed, 1, name) !== null) ? true : null,
    );
    await waitFor("acknowledgement", VERB_MS_MAX, async () =>
      names.some((name) => existsSync(bed.walFile(`archive_status/${name}.ready`))) ? null : true,
    );
    return names;
  };

  withMount(`${NIGHTLY ? "every verb" : "each kind of verb"} ends, works with repo1, and names repo2`, async () => {
    const { bed, mount } = await open();
    await bed.oursOk(["backup", "--type=full"]);
    const verbs = Object.entries(verbsOf(bed)).filter(([name]) => NIGHTLY || VERBS_BY_DAY.includes(name));
    const kinds: readonly HangingCall[] = NIGHTLY ? ["all", ...KINDS] : ["all"];
    for (const kind of kinds) {
      for (const [name, { args, expected }] of verbs) {
        const [segment = ""] = await archived(bed, 1);
        await mount.hang(kind);
        const result = await bed.ours(args(segment), { timeoutMs: VERB_MS_MAX });
        process.stdout.write(
          `${kind}: ${name} ended with ${result.exitCode} after ${Math.round(result.elapsedMs)} ms\n`,
        );
        if (kind === "all")
          expect.soft(verdictOf(result), `${name}\n${result.stdout}${result.stderr}`).toEqual(expected);
        await mount.answer();
      }
    }
    expect(await bed.cluster.value("SELECT failed_count FROM pg_stat_archiver")).toBe("0");
    await bed.oursOk(["heal"]);
    expect((await bed.oursOk(["verify", "--output=text"])).stdout.match(/^status: ok$/gm)).toHaveLength(2);
  });

  test("pipes in place of repo2's info files, on a local disk: archive-push, archive-get, backup and info end", async () => {
    const bed = await createBed();
    await bed.startWithStanza();
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE t (id int, filler text)");
    for (const file of ["archive/main/archive.info", "backup/main/backup.info"]) {
      for (const path of [file, `${file}.copy`].map((name) => join(bed.repoPath(2), name))) {
        rmSync(path);
        spawnSync("mkfifo", [path]);
        giveTo(path, bed.cluster.user);
      }
    }
    const [segment = ""] = await archived(bed, 1);
    expect(await bed.cluster.value("SELECT failed_count FROM pg_stat_archiver")).toBe("0");
    for (const [args, exitCode] of [
      [["archive-get", segment, join(bed.folder, "side", "wal")], 0],
      [["backup", "--type=full"], 104],
      [["info"], 0],
    ] as const) {
      const result = await bed.ours(args, { timeoutMs: VERB_MS_MAX });
      expect(result, args[0]).toMatchObject({ exitCode });
      expect(result.stdout + result.stderr).toContain("which is a pipe or a device and not a file");
    }
  });

  withMount(
    "archive-push acknowledges by repo1, whatever kind of call hangs; few killed processes remain",
    async () => {
      const { bed, mount } = await open();
      for (const kind of KINDS.filter((_, index) => NIGHTLY || index % 3 === 0)) {
        await mount.hang(kind);
        await archived(bed, 1);
      }
      await mount.hang("all");
      await archived(bed, 5);
      expect(await bed.cluster.value("SELECT failed_count FROM pg_stat_archiver")).toBe("0");
      expect(stuckProcesses(bed).length).toBeLessThanOrEqual(3);
      await mount.answer();
      await bed.oursOk(["heal"]);
      expect((await bed.oursOk(["check"])).exitCode).toBe(0);
      await waitFor("the end of killed processes", 10_000, async () =>
        stuckProcesses(bed).length === 0 ? true : null,
      );
    },
  );

  withMount("the agent archives into repo1, names repo2, and ends when it is stopped", async () => {
    const paths = agentPaths();
    onTestFinished(() => rmSync(paths.folder, { recursive: true, force: true }));
    const { bed, mount } = await open(archiveCommandOf(paths));
    const options = { paths, runtime: bed.runtime, configPath: bed.configPath, stanza: bed.stanza };
    const agent = await AgentProcess.start(options);
    onTestFinished(() => void agent.stop("SIGKILL"));
    await archived(bed, 1);
    await mount.hang("all");
    await archived(bed, 10);
    expect(await bed.cluster.value("SELECT failed_count FROM pg_stat_archiver")).toBe("0");
    await waitFor("a line about repo2", 20_000, async () =>
      agent.log().includes("repo2: [HostConnectError]") ? true : null,
    );
    expect(agent.log()).toContain("does not answer");
    await mount.answer();
    const [after = ""] = await archived(bed, 1);
    await waitFor("repo2 to be used again", 90_000, async () =>
      findStoredSegment(bed, 2, after) === null ? null : true,
    );
    await mount.hang("all");
    await archived(bed, 2);
    expect(await agent.stop()).toBe(0);
  });
});

interface Verb {
  args(segment: string): readonly string[];
  readonly expected: Verdict;
}

interface Verdict {
  readonly exitCode: number;
  readonly namesRepo2: boolean;
}

function verdictOf({ exitCode, stdout, stderr }: RunResult): Verdict {
  return {
    exitCode,
    namesRepo2: /repo2[^\n]*does not answer|'[^']*repo2' does not answer|no answer/.test(stdout + stderr),
  };
}

function verbsOf(bed: TestBed): Readonly<Record<string, Verb>> {
  const side = join(bed.folder, "side");
  const target = join(side, "restored");
  return {
    "archive-get": {
      args: (segment) => ["archive-get", segment, join(side, "wal")],
      expected: { exitCode: 0, namesRepo2: true },
    },
    info: { args: () => ["info"], expected: { exitCode: 0, namesRepo2: true } },
    status: { args: () => ["status"], expected: { exitCode: 104, namesRepo2: true } },
    metrics: { args: () => ["metrics"], expected: { exitCode: 0, namesRepo2: true } },
    check: { args: () => ["check"], expected: { exitCode: 0, namesRepo2: true } },
    verify: { args: () => ["verify", "--output=text"], expected: { exitCode: 104, namesRepo2: true } },
    backup: { args: () => ["backup", "--type=full"], expected: { exitCode: 104, namesRepo2: true } },
    expire: { args: () => ["expire"], expected: { exitCode: 104, namesRepo2: true } },
    heal: { args: () => ["heal"], expected: { exitCode: 104, namesRepo2: true } },
    restore: {
      args: () => {
        rmSync(target, { recursive: true, force: true });
        mkdirSync(target, { mode: 0o700 });
        giveTo(target, bed.cluster.user);
        return ["restore", `--pg1-path=${target}`, "--archive-mode=off"];
      },
      expected: { exitCode: 0, namesRepo2: true },
    },
  };
}

/** Process ids of storage processes that wait for the file system although they were killed. */
function stuckProcesses(bed: TestBed): readonly number[] {
  const root = bed.repoPath(2);
  const mount = findHangingMount(root);
  return mount === null ? [] : findStuck(processNameOf(root, mount));
}
