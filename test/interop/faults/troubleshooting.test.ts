/**
 * Reproduces each entry of docs/troubleshooting.md that names this test. The test causes the fault with real programs,
 * compares the printed message with the guide's quote, runs the guide's commands unchanged, and checks that everything
 * works afterwards.
 */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TROUBLESHOOTING_ANCHORS } from "../../../runtime/base/troubleshooting";
import { findPostgres } from "../../../tools/parts/postgres/postgres";
import { run, type RunResult, waitFor } from "../../../tools/parts/process";
import { giveTo } from "../../../tools/parts/users";
import { parseInfo } from "../../harness/compare/infoJson";
import { skipped } from "../../harness/real/interopParts";
import { dropTemplates } from "../../harness/real/sampleData";
import { requireOk, TestBed, type Variant } from "../../harness/real/testBed";
import { findQuote, type GuideEntry, readGuide } from "../../harness/compare/troubleshootingGuide";

const SELF = "test/interop/faults/troubleshooting.test.ts";
const ENTRIES = readGuide().filter(({ shownBy }) => shownBy.some(({ file }) => file === SELF));

/**
 * State of one entry: the configuration of its commands, and values of the guide's `<placeholders>` that its message
 * does not provide.
 */
interface Setting {
  readonly bed: TestBed;
  /** Null means the bed's own configuration. */
  config: string | null;
  readonly values: Map<string, string>;
}

interface Reproduction {
  /** Causes the fault and returns all output that a user would look at. */
  fault(setting: Setting): Promise<string>;
  /** Does what the prose of the fix asks for, before the commands of the fix. */
  mend?(setting: Setting): void | Promise<void>;
  /** Throws if it still fails. */
  works?(setting: Setting, printed: string): void | Promise<void>;
}

const printedBy = (result: RunResult): string => `${result.stdout}\n${result.stderr}`;
const useOwn = (setting: Setting): void => void (setting.config = null);

/** Runs a command with a changed configuration, which the guide's commands also use until `mend` resets it. */
const changed =
  (name: string, variant: Variant, args: readonly string[]) =>
  async (setting: Setting): Promise<string> => {
    setting.config = setting.bed.variant(name, variant);
    return printedBy(await setting.bed.ours(args, { config: setting.config }));
  };

/** A backup that waits for PostgreSQL's next regular checkpoint while the entry does other work. */
async function waitingBackup({ bed }: Setting): Promise<{ readonly seen: string; readonly end: Promise<RunResult> }> {
  await bed.cluster.sql("CREATE TABLE dirty AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 60000) g");
  await bed.cluster.sql("DROP TABLE IF EXISTS dirty_before");
  await bed.cluster.sql("ALTER TABLE dirty RENAME TO dirty_before");
  let seen = "";
  const end = bed.ours(["backup", "--type=full", "--no-start-fast"], { onLine: (line) => void (seen += `${line}\n`) });
  await waitFor("the backup's beginning", 60_000, async () =>
    seen.includes("regular checkpoint completes") ? true : null,
  );
  return { seen, end };
}

const labels = async ({ bed }: Setting, key: number): Promise<string[]> => {
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
      const failed = (): boolean =>
        readFileSync(bed.cluster.logFile, "utf8").includes("archive command failed with exit code");
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
      return shell(
        { bed, config: null, values: new Map() },
        'psql -c "SELECT slot_name, active, wal_status FROM pg_replication_slots"',
      ).then(printedBy);
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
      // PostgreSQL archives there too, as on a real host.
      bed.writeVariant(bed.configPath, { global: { "repo1-path": empty } });
      return printedBy(await bed.ours(["backup", "--type=full", "--repo=1"]));
    },
    works: async (setting) => {
      expect(await labels(setting, 1)).toHaveLength(1);
      setting.bed.writeVariant(setting.bed.configPath, {});
      // The bed's own repository lacks the WAL that went to the other directory.
      await setting.bed.oursOk(["heal"]);
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
    fault: async (setting) => {
      held = (await waitingBackup(setting)).end;
      return printedBy(await setting.bed.ours(["backup"]));
    },
    works: async () => expect((await held)?.exitCode).not.toBe(0),
  },
  "checkpoint-wait": {
    fault: async (setting) => {
      const { seen, end } = await waitingBackup(setting);
      held = end;
      return seen;
    },
    works: async () => expect((await held)?.exitCode).toBe(0),
  },
  "backup-kept": {
    fault: async (setting) => {
      await setting.bed.oursOk(["backup", "--type=incr"]);
      setting.values.set("label", (await labels(setting, 1)).at(-1) ?? "");
      return changed("by-time", { global: { "repo1-retention-full-type": "time", "repo1-retention-full": "7" } }, [
        "expire",
      ])(setting);
    },
    works: async (setting) => expect(await labels(setting, 1)).not.toContain(setting.values.get("label")),
  },
  "wal-kept": {
    fault: async ({ bed }) => printedBy(await bed.ours(["expire"])),
    mend: (setting) =>
      void (setting.config = setting.bed.variant("kept", {
        global: { "repo1-retention-full": "1", "repo2-retention-full": "2" },
      })),
    works: async (_, printed) => expect(printed).toMatch(/repo1: 18-1 remove archive, start = /),
  },
  "repository-grows": {
    fault: async ({ bed }) => printedBy(await bed.ours(["expire"])),
    mend: (setting) =>
      void (setting.config = setting.bed.variant("grown", {
        global: { "repo1-retention-full": "1", "repo2-retention-full": "1" },
      })),
    works: async (setting, printed) => {
      expect(await labels(setting, 1)).toHaveLength(1);
      expect(printed).not.toContain("may run out of space");
    },
  },
  "slow-restore": {
    fault: async (setting) => {
      const side = join(setting.bed.folder, "side", "slow");
      mkdirSync(side, { mode: 0o700 });
      giveTo(side, setting.bed.cluster.user);
      setting.values.set("side", side);
      return printedBy(
        await setting.bed.ours(["restore", `--pg1-path=${side}`, "--archive-mode=off", "--process-max=1"]),
      );
    },
    works: async ({ values }, printed) => {
      expect(existsSync(join(values.get("side") ?? "", "global", "pg_control"))).toBe(true);
      expect(printed).toContain("restore command end: completed successfully");
    },
  },
  "metrics-stale": {
    fault: async (setting) => {
      const directory = join(setting.bed.folder, "side", "node-exporter");
      setting.values.set("directory", directory);
      return printedBy(await setting.bed.ours(["metrics", `--output-file=${directory}/pgbackstop.prom`]));
    },
    works: ({ values }) =>
      expect(readFileSync(`${values.get("directory") ?? ""}/pgbackstop.prom`, "utf8")).toContain("pgbackrest_"),
  },
};

/**
 * Runs one line as a user types it: `pgbackstop …` and `psql -c "…"` against this bed, anything else in a shell as
 * PostgreSQL's account.
 */
async function shell({ bed, config }: Setting, line: string): Promise<RunResult> {
  const sql = /^psql -c "(.*)"$/.exec(line)?.[1];
  if (sql !== undefined) {
    const rows = await bed.cluster.sql(sql);
    const shown = (value: unknown): string => (value === true ? "t" : value === false ? "f" : String(value));
    const stdout = rows.map((row) => Object.values(row).map(shown).join(" | ")).join("\n");
    return { exitCode: 0, stdout, stderr: "", elapsedMs: 0 };
  }
  const args = line.split(" ");
  if (args[0] === "pgbackstop") return bed.ours(args.slice(1), config === null ? {} : { config });
  return run("/bin/sh", ["-c", line], { user: bed.cluster.user, cwd: bed.folder, timeoutMs: 60_000 });
}

function filled(line: string, values: ReadonlyMap<string, string>): string {
  return line.replaceAll(/<([a-z ]+)>/g, (whole, name: string) => values.get(name) ?? whole);
}

/** Runs the commands of the fix and returns their output. */
async function applyFix(setting: Setting, entry: GuideEntry): Promise<string> {
  let printed = "";
  for (const line of entry.fix) {
    const command = filled(line, setting.values);
    const result = requireOk(command, await shell(setting, command));
    printed += printedBy(result);
  }
  return printed;
}

describe("the troubleshooting guide", async () => {
  const title = "the troubleshooting guide";
  const postgres = await findPostgres(18);
  if ("missing" in postgres) return void skipped(title, postgres.missing);
  let bed: TestBed;

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries: postgres.binaries,
      repos: [{}, { encrypted: true }],
      settings: { wal_keep_size: "256MB", checkpoint_timeout: "30min" },
      walSegmentSizeMb: 1,
      global: { "archive-timeout": "20" },
    });
    await bed.startWithStanza();
    await dropTemplates(bed);
    await bed.cluster.sql(
      "CREATE TABLE goods AS SELECT g AS id, md5(g::text) AS text FROM generate_series(1, 10000) g",
    );
    await bed.oursOk(["backup", "--type=full"]);
  });
  afterAll(async () => {
    await bed?.remove();
  });

  test("has a reproduction for each entry that names this test, and for no other", () => {
    expect(Object.keys(REPRODUCTIONS).sort()).toEqual(ENTRIES.map(({ anchor }) => anchor).sort());
  });

  // claim: docs/troubleshooting.md, docs/commands.md: every entry quotes the program's message, its commands repair the
  //   fault, and errors point at it (17 entries on real parts, the others by the tests that they name)
  test.each(ENTRIES.map((entry) => [entry.anchor, entry] as const))("each entry: %s", async (anchor, entry) => {
    const reproduction = REPRODUCTIONS[anchor];
    if (reproduction === undefined) throw new Error(`nothing reproduces ${anchor}`);
    const setting: Setting = { bed, config: null, values: new Map() };
    const seen = await reproduction.fault(setting);
    for (const { text } of entry.quotes) {
      const result = findQuote(seen, text);
      expect(result === null ? seen : text, `${anchor} quotes`).toBe(text);
      for (const [name, value] of result ?? []) setting.values.set(name, value);
    }
    if (TROUBLESHOOTING_ANCHORS.includes(anchor)) expect(seen).toContain("HINT: see troubleshooting: ");
    for (const line of entry.look) {
      const command = filled(line, setting.values);
      // The fault may make a command fail, but every command and option must exist.
      expect([127, 30, 31, 32, 48], command).not.toContain((await shell(setting, command)).exitCode);
    }
    await reproduction.mend?.(setting);
    const printed = await applyFix(setting, entry);
    await reproduction.works?.(setting, printed);
    if (!entry.fix.includes("pgbackstop check")) await bed.oursOk(["check"]);
  });
});
