/**
 * docs/troubleshooting.md, walked through: for each entry that names this test the fault is made on real parts, the message that the guide quotes
 * is compared with what is printed, the guide's commands are run as they stand there, and it must work afterwards.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TROUBLESHOOTING_ANCHORS } from "../../runtime/base/troubleshooting";
import { findPostgres } from "../../tools/parts/postgres";
import { run, type RunResult, waitFor } from "../../tools/parts/process";
import { giveTo } from "../../tools/parts/users";
import { parseInfo } from "../harness/infoJson";
import { loud } from "../harness/interopParts";
import { dropTemplates } from "../harness/sampleData";
import { requireOk, TestBed, type Variant } from "../harness/testBed";
import { findQuote, type GuideEntry, readGuide } from "../harness/troubleshootingGuide";

const SELF = "test/interop/troubleshooting.test.ts";
const ENTRIES = readGuide().filter(({ shownBy }) => shownBy.some(({ file }) => file === SELF));

/** One entry under way: the configuration that commands see, and what the guide's `<placeholders>` stand for beyond its message. */
interface Scene {
  readonly bed: TestBed;
  /** Null is the bed's own. */
  config: string | null;
  readonly values: Map<string, string>;
}

interface Reproduction {
  /** Makes the fault; gives all that a user would look at. */
  fault(scene: Scene): Promise<string>;
  /** What the prose of the fix asks for, before its commands. */
  mend?(scene: Scene): void | Promise<void>;
  /** Throws when it does not work now. */
  works?(scene: Scene, printed: string): void | Promise<void>;
}

const printedBy = (result: RunResult): string => `${result.stdout}\n${result.stderr}`;
const useOwn = (scene: Scene): void => void (scene.config = null);

/** A run with a changed configuration, which the commands of the guide see too until it is mended. */
const changed =
  (name: string, variant: Variant, args: readonly string[]) =>
  async (scene: Scene): Promise<string> => {
    scene.config = scene.bed.variant(name, variant);
    return printedBy(await scene.bed.ours(args, { config: scene.config }));
  };

/** A backup that waits for PostgreSQL's next regular checkpoint; it goes on while others work. */
async function waitingBackup({ bed }: Scene): Promise<{ readonly seen: string; readonly end: Promise<RunResult> }> {
  await bed.cluster.sql("CREATE TABLE dirty AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 60000) g");
  await bed.cluster.sql("DROP TABLE IF EXISTS dirty_before");
  await bed.cluster.sql("ALTER TABLE dirty RENAME TO dirty_before");
  let seen = "";
  const end = bed.ours(["backup", "--type=full", "--no-start-fast"], { onLine: (line) => void (seen += `${line}\n`) });
  await waitFor("the backup's beginning", 60_000, async () => (seen.includes("regular checkpoint completes") ? true : null));
  return { seen, end };
}

const labels = async ({ bed }: Scene, key: number): Promise<string[]> => {
  const info = parseInfo((await bed.ours(["info", "--output=json"])).stdout) as {
    backup: readonly { label: string; database: { "repo-key": number } }[];
  };
  return info.backup.filter((backup) => backup.database["repo-key"] === key).map(({ label }) => label);
};

let held: Promise<RunResult> | null = null;

const REPRODUCTIONS: Readonly<Record<string, Reproduction>> = {
  "archive-failing": {
    fault: async ({ bed }) => {
      chmodSync(join(bed.repoPath(1), "archive", bed.stanza), 0o500);
      chmodSync(bed.repoPath(1), 0);
      await bed.cluster.sql("SELECT pg_create_restore_point('a failing archive')");
      await bed.cluster.switchWal();
      const failed = (): boolean => readFileSync(bed.cluster.logFile, "utf8").includes("archive command failed with exit code");
      await waitFor("PostgreSQL's complaint", 60_000, async () => (failed() ? true : null));
      return readFileSync(bed.cluster.logFile, "utf8");
    },
    mend: ({ bed }) => {
      chmodSync(bed.repoPath(1), 0o750);
      chmodSync(join(bed.repoPath(1), "archive", bed.stanza), 0o750);
    },
  },
  "archive-command-foreign": {
    fault: async ({ bed }) => {
      await bed.cluster.sql("ALTER SYSTEM SET archive_command = 'true'");
      await bed.cluster.sql("SELECT pg_reload_conf()");
      await bed.cluster.waitForValue("SELECT current_setting('archive_command')", "true");
      return printedBy(await bed.ours(["check"]));
    },
  },
  "pg-wal-full": {
    fault: async ({ bed }) => {
      await bed.cluster.sql("SELECT pg_create_physical_replication_slot('nobody', true)");
      return shell({ bed, config: null, values: new Map() }, 'psql -c "SELECT slot_name, active, wal_status FROM pg_replication_slots"').then(
        printedBy,
      );
    },
    works: async ({ bed }) => expect(await bed.cluster.value("SELECT count(*) FROM pg_replication_slots")).toBe("0"),
  },
  "two-writers": {
    fault: async ({ bed }) => {
      const segment = await bed.archiveAll();
      const bytes = readFileSync(bed.walFile(segment));
      bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1;
      const other = join(bed.folder, "side", segment);
      writeFileSync(other, bytes);
      giveTo(other, bed.cluster.user);
      return printedBy(await bed.ours(["archive-push", other]));
    },
  },
  "stanza-missing": {
    fault: async ({ bed }) => {
      const empty = join(bed.folder, "side", "empty");
      mkdirSync(empty);
      giveTo(empty, bed.cluster.user);
      // The archive goes there too, as on a host.
      bed.writeVariant(bed.configPath, { global: { "repo1-path": empty } });
      return printedBy(await bed.ours(["backup", "--type=full", "--repo=1"]));
    },
    works: async (scene) => {
      expect(await labels(scene, 1)).toHaveLength(1);
      scene.bed.writeVariant(scene.bed.configPath, {});
      // What went to the other directory is missing in the bed's own.
      await scene.bed.oursOk(["heal"]);
    },
  },
  "permission-denied": {
    fault: async ({ bed }) => {
      chmodSync(bed.repoPath(1), 0);
      return printedBy(await bed.ours(["check"]));
    },
  },
  "wrong-passphrase": {
    fault: changed("passphrase", { global: { "repo2-cipher-pass": "another one" } }, ["verify", "--repo=2"]),
    mend: useOwn,
  },
  "passphrase-missing": {
    fault: changed("no-passphrase", { global: { "repo2-cipher-pass": null } }, ["info", "--repo=2"]),
    mend: useOwn,
  },
  "stop-file": {
    fault: async ({ bed }) => {
      await bed.oursOk(["stop"]);
      return printedBy(await bed.ours(["backup"]));
    },
  },
  "lock-held": {
    fault: async (scene) => {
      held = (await waitingBackup(scene)).end;
      return printedBy(await scene.bed.ours(["backup"]));
    },
    works: async () => expect((await held)?.exitCode).not.toBe(0),
  },
  "checkpoint-wait": {
    fault: async (scene) => {
      const { seen, end } = await waitingBackup(scene);
      held = end;
      return seen;
    },
    works: async () => expect((await held)?.exitCode).toBe(0),
  },
  "backup-kept": {
    fault: async (scene) => {
      await scene.bed.oursOk(["backup", "--type=incr"]);
      scene.values.set("label", (await labels(scene, 1)).at(-1) ?? "");
      return changed("by-time", { global: { "repo1-retention-full-type": "time", "repo1-retention-full": "7" } }, ["expire"])(scene);
    },
    works: async (scene) => expect(await labels(scene, 1)).not.toContain(scene.values.get("label")),
  },
  "wal-kept": {
    fault: async ({ bed }) => printedBy(await bed.ours(["expire"])),
    mend: (scene) => void (scene.config = scene.bed.variant("kept", { global: { "repo1-retention-full": "1", "repo2-retention-full": "2" } })),
    works: async (_, printed) => expect(printed).toMatch(/repo1: 18-1 remove archive, start = /),
  },
  "repository-grows": {
    fault: async ({ bed }) => printedBy(await bed.ours(["expire"])),
    mend: (scene) => void (scene.config = scene.bed.variant("grown", { global: { "repo1-retention-full": "1", "repo2-retention-full": "1" } })),
    works: async (scene, printed) => {
      expect(await labels(scene, 1)).toHaveLength(1);
      expect(printed).not.toContain("may run out of space");
    },
  },
  "slow-restore": {
    fault: async (scene) => {
      const side = join(scene.bed.folder, "side", "slow");
      mkdirSync(side, { mode: 0o700 });
      giveTo(side, scene.bed.cluster.user);
      scene.values.set("side", side);
      return printedBy(await scene.bed.ours(["restore", `--pg1-path=${side}`, "--archive-mode=off", "--process-max=1"]));
    },
    works: async ({ values }, printed) => {
      expect(existsSync(join(values.get("side") ?? "", "global", "pg_control"))).toBe(true);
      expect(printed).toContain("restore command end: completed successfully");
    },
  },
  "metrics-stale": {
    fault: async (scene) => {
      const directory = join(scene.bed.folder, "side", "node-exporter");
      scene.values.set("directory", directory);
      return printedBy(await scene.bed.ours(["metrics", `--output-file=${directory}/pgbackstop.prom`]));
    },
    works: ({ values }) => expect(readFileSync(`${values.get("directory") ?? ""}/pgbackstop.prom`, "utf8")).toContain("pgbackrest_"),
  },
};

/** One line as people type it: `pgbackstop …` and `psql -c "…"` of this bed, and anything else by a shell, as PostgreSQL's account. */
async function shell({ bed, config }: Scene, line: string): Promise<RunResult> {
  const sql = /^psql -c "(.*)"$/.exec(line)?.[1];
  if (sql !== undefined) {
    const rows = await bed.cluster.sql(sql);
    const shown = (value: unknown): string => (value === true ? "t" : value === false ? "f" : String(value));
    const stdout = rows.map((row) => Object.values(row).map(shown).join(" | ")).join("\n");
    return { exitCode: 0, stdout, stderr: "", elapsedMs: 0 };
  }
  const words = line.split(" ");
  if (words[0] === "pgbackstop") return bed.ours(words.slice(1), config === null ? {} : { config });
  return run("/bin/sh", ["-c", line], { user: bed.cluster.user, cwd: bed.folder, timeoutMs: 60_000 });
}

function filled(line: string, values: ReadonlyMap<string, string>): string {
  return line.replaceAll(/<([a-z ]+)>/g, (whole, name: string) => values.get(name) ?? whole);
}

/** What was printed by the fix. */
async function applyFix(scene: Scene, entry: GuideEntry): Promise<string> {
  let printed = "";
  for (const line of entry.fix) {
    const command = filled(line, scene.values);
    const result = requireOk(command, await shell(scene, command));
    printed += printedBy(result);
  }
  return printed;
}

describe("the troubleshooting guide", async () => {
  const title = "the troubleshooting guide";
  const postgres = await findPostgres(18);
  if ("missing" in postgres) {
    loud(title, postgres.missing);
    test.skip("PostgreSQL is missing", () => undefined);
    return;
  }
  let bed: TestBed;

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries: postgres.binaries,
      repos: [{}, { encrypted: true }],
      settings: { wal_keep_size: "256MB", checkpoint_timeout: "30min" },
      walSegmentSizeMb: 1,
      global: { "archive-timeout": "20" },
    });
    await bed.cluster.start();
    await bed.oursOk(["stanza-create"]);
    await dropTemplates(bed);
    await bed.cluster.sql("CREATE TABLE goods AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 10000) g");
    await bed.oursOk(["backup", "--type=full"]);
  });
  afterAll(async () => {
    await bed?.remove();
  });

  test("has a reproduction for each entry that names this test, and for no other", () => {
    expect(Object.keys(REPRODUCTIONS).sort()).toEqual(ENTRIES.map(({ anchor }) => anchor).sort());
  });

  test.each(ENTRIES.map((entry) => [entry.anchor, entry] as const))("each entry: %s", async (anchor, entry) => {
    const reproduction = REPRODUCTIONS[anchor];
    if (reproduction === undefined) throw new Error(`nothing reproduces ${anchor}`);
    const scene: Scene = { bed, config: null, values: new Map() };
    const seen = await reproduction.fault(scene);
    for (const { text } of entry.quotes) {
      const found = findQuote(seen, text);
      expect(found === null ? seen : text, `${anchor} quotes`).toBe(text);
      for (const [name, value] of found ?? []) scene.values.set(name, value);
    }
    if (TROUBLESHOOTING_ANCHORS.includes(anchor)) expect(seen).toContain("HINT: see troubleshooting: ");
    for (const line of entry.look) {
      const command = filled(line, scene.values);
      // A fault may end it; words that nobody knows may not.
      expect([127, 30, 31, 32, 48], command).not.toContain((await shell(scene, command)).exitCode);
    }
    await reproduction.mend?.(scene);
    const printed = await applyFix(scene, entry);
    await reproduction.works?.(scene, printed);
    if (!entry.fix.includes("pgbackstop check")) await bed.oursOk(["check"]);
  });
});
