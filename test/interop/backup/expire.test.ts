/**
 * Stock expires one copy of a repository, ours expires another. Both copies must then be the same, and so must both
 * outputs. The cases cover a table of retention settings, and random repositories and settings. No server is needed:
 * see harness/madeRepository.
 */
// claim: README.md: `expire` does what stock's does, in two runs when a backup is gone (the same files left by both,
//   over made repositories)
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import * as fc from "../../harness/properties";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemClock } from "../../../runtime/base/clock";
import { BackupError } from "../../../runtime/base/errors";
import { expireCommand } from "../../../runtime/commands/backups/expire";
import { loadConfig } from "../../../runtime/config/load";
import { formatLabel } from "../../../runtime/format/repository/label";
import { PosixStorage } from "../../../runtime/storage/posix";
import { findStockPgbackrest, type StockPgbackrest } from "../../../tools/parts/debian/pgbackrest";
import { giveTo, makeUserFolder, serverUser } from "../../../tools/parts/users";
import { testContext } from "../../harness/context";
import { skipped } from "../../harness/real/interopParts";
import { type MadeBackup, type MadeStanza, makeStanza } from "../../harness/madeRepository";
import { MemoryStorage } from "../../harness/doubles/storages";
import { host } from "../../runtime/commands/support";
import { repository } from "../../runtime/repository/support";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";

const STANZA = "demo";
const DAY_S = 86_400;
/** Stock's exit code for an option that its version does not know. */
const OPTION_INVALID = 31;
const NOW_S = Math.floor(Date.now() / 1000);
/** The first backup's time. */
const FIRST_S = Date.UTC(2025, 0, 1) / 1000;

/** Segment `no` of a timeline, with eight segments per log file number. */
function segment(no: number, timeline = 1): string {
  const digits = (value: number): string => value.toString(16).toUpperCase().padStart(8, "0");
  return `${digits(timeline)}${digits(Math.floor(no / 8))}${digits(no % 8)}`;
}

function segments(from: number, to: number, timeline = 1): string[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => segment(from + index, timeline));
}

/** A cluster with one upgrade, two promotions and every kind of backup. */
function wellAged(more: readonly MadeBackup[] = [], change: Partial<MadeBackup> = {}): MadeStanza {
  const backups: MadeBackup[] = [
    { label: "20250101-000000F", wal: [segment(10), segment(11)] },
    { label: "20250101-000000F_20250102-000000I", wal: [segment(15), segment(15)] },
    { label: "20250201-000000F", wal: [segment(20), segment(21)], dbId: 2 },
    { label: "20250201-000000F_20250202-000000D", wal: [segment(25), segment(25)], dbId: 2 },
    {
      label: "20250201-000000F_20250203-000000I",
      prior: "20250201-000000F_20250202-000000D",
      wal: [segment(30), segment(30)],
      dbId: 2,
    },
    { label: "20250301-000000F", wal: [segment(40, 2), segment(41, 2)], dbId: 2 },
    { label: "20250301-000000F_20250302-000000D", wal: [segment(45, 2), segment(45, 2)], dbId: 2 },
    { label: "20250301-000000F_20250303-000000D", wal: [segment(50, 2), segment(50, 2)], dbId: 2 },
    { label: "20250401-000000F", wal: [segment(60, 3), segment(61, 3)], dbId: 2, ...change },
    ...more,
  ];
  const current = [
    ...segments(15, 36),
    ...segments(36, 56, 2),
    ...segments(56, 70, 3),
    "00000002.history",
    "00000003.history",
  ];
  return {
    versions: ["14", "15"],
    backups,
    wal: { "14-1": segments(1, 18), "15-2": [...current, `${segment(20)}.00000028.backup`, `${segment(36)}.partial`] },
  };
}

const recent = (days: number): string => formatLabel("full", NOW_S - days * DAY_S);
const younger: readonly MadeBackup[] = [
  { label: recent(40), wal: [segment(62, 3), segment(63, 3)], dbId: 2 },
  { label: recent(3), wal: [segment(64, 3), segment(64, 3)], dbId: 2 },
];
const unfinished = (label: string, prior?: string): MadeBackup => ({
  label,
  wal: null,
  dbId: 2,
  unfinished: true,
  ...(prior === undefined ? {} : { prior }),
});

interface Case {
  readonly options: readonly string[];
  readonly stanza?: MadeStanza;
  /** Files removed before expire runs. */
  readonly lost?: readonly string[];
  /** Ours does as the newest stock does. 2.45 differs. */
  readonly isNew?: true;
  /** Ours drops missing backups from backup.info in one run, and removes their dependents in the next. */
  readonly inTwoRuns?: true;
}

const manifestsOf = (label: string): readonly string[] =>
  ["", ".copy"].map((suffix) => `backup/demo/${label}/backup.manifest${suffix}`);
const FULL_9 = "--repo1-retention-full=9";
const CASES: readonly Case[] = [
  { options: [] },
  { options: ["--repo1-retention-full=1"] },
  { options: ["--repo1-retention-full=2"] },
  { options: ["--repo1-retention-full=2", "--dry-run"] },
  { options: ["--repo1-retention-full=3", "--repo1-retention-diff=1"] },
  { options: [FULL_9, "--repo1-retention-diff=2"] },
  { options: ["--repo1-retention-diff=1"] },
  { options: ["--repo1-retention-full-type=time", "--repo1-retention-full=600"] },
  { options: ["--repo1-retention-full-type=time", "--repo1-retention-full=9000"] },
  { options: ["--repo1-retention-full-type=time"] },
  { options: ["--repo1-retention-full-type=time", "--repo1-retention-full=600", "--repo1-retention-archive=1"] },
  { options: ["--repo1-retention-full-type=time", "--repo1-retention-full=20"], stanza: wellAged(younger) },
  {
    options: ["--repo1-retention-full-type=time", "--repo1-retention-full=600", "--repo1-retention-archive-type=diff"],
  },
  { options: [FULL_9, "--repo1-retention-archive=1"] },
  { options: [FULL_9, "--repo1-retention-archive=3"] },
  { options: ["--repo1-retention-full=3", "--repo1-retention-archive=2"] },
  { options: ["--repo1-retention-archive-type=diff"] },
  { options: ["--repo1-retention-archive-type=diff", "--repo1-retention-diff=3"] },
  { options: ["--repo1-retention-archive-type=diff", "--repo1-retention-archive=1"] },
  { options: ["--repo1-retention-archive-type=incr"] },
  { options: [FULL_9, "--repo1-retention-archive-type=incr", "--repo1-retention-archive=2"] },
  { options: [FULL_9, "--repo1-retention-history=10"] },
  { options: ["--repo1-retention-full=1", "--repo1-retention-history=0"], stanza: wellAged(younger) },
  { options: ["--repo1-retention-full=1", "--repo1-retention-history=30"], stanza: wellAged(younger) },
  { options: ["--oldest"] },
  { options: ["--oldest", "--repo1-retention-full=1"] },
  { options: ["--oldest", "--repo1-retention-diff=1"] },
  { options: ["--oldest", "--repo1-retention-full-type=time", "--repo1-retention-full=7"] },
  {
    options: ["--oldest", FULL_9],
    stanza: {
      versions: ["15"],
      backups: [{ label: "20250101-000000F", wal: [segment(3), segment(4)] }],
      wal: { "15-1": segments(1, 9) },
    },
  },
  {
    options: ["--oldest"],
    stanza: {
      versions: ["15"],
      backups: [{ label: "20250101-000000F", wal: [segment(3), segment(4)] }],
      wal: { "15-1": segments(1, 9) },
    },
  },
  { options: [FULL_9, "--set=20250101-000000F"] },
  { options: [FULL_9, "--set=20250401-000000F"] },
  { options: ["--repo1-retention-full=1", "--set=20250401-000000F"] },
  { options: ["--repo1-retention-full=1", "--set=20250401-000000F", "--dry-run"] },
  { options: ["--repo1-retention-full=2", "--set=20250201-000000F_20250202-000000D"] },
  { options: ["--set=20250301-000000F_20250303-000000D"] },
  { options: [FULL_9, "--set=20350301-000000F"] },
  { options: ["--set=bogus"] },
  { options: [FULL_9, "--oldest", "--set=20250401-000000F"] },
  { options: ["--repo1-retention-full-type=time", "--repo1-retention-full=9000", "--set=20250101-000000F"] },
  {
    options: [FULL_9, "--set=20250201-000000F"],
    stanza: {
      versions: ["14", "15"],
      backups: [
        { label: "20250101-000000F", wal: [segment(3), segment(4)] },
        { label: "20250201-000000F", wal: [segment(20), segment(21)], dbId: 2 },
      ],
      wal: { "14-1": segments(1, 9), "15-2": segments(12, 30) },
    },
  },
  { options: [`--archive-expire-before=${segment(17)}`, FULL_9] },
  { options: [`--archive-expire-before=${segment(5)}`, FULL_9] },
  { options: [`--archive-expire-before=${segment(17)}`] },
  { options: [`--archive-expire-before=${segment(44, 2)}`, "--repo1-retention-full=1"] },
  { options: [`--archive-expire-before=${segment(44, 2)}`, "--repo1-retention-archive=1"] },
  {
    options: [`--archive-expire-before=${segment(17)}`, "--repo1-retention-archive=1"],
    stanza: { ...wellAged(), backups: [] },
  },
  { options: [`--archive-expire-before=${segment(24)}`, FULL_9], stanza: { ...wellAged(), backups: [] } },
  { options: ["--archive-expire-before=zzz"] },
  { options: ["--repo1-retention-full=1"], stanza: { ...wellAged(), backups: [] } },
  { options: ["--repo1-retention-full=1"], stanza: wellAged([], { wal: null }) },
  // 2.45 expires good backups in favour of one with page errors.
  { options: ["--repo1-retention-full=1"], stanza: wellAged([], { pageErrors: true }), isNew: true },
  { options: ["--repo1-retention-full=2"], stanza: wellAged([], { pageErrors: true }) },
  { options: ["--repo1-retention-full=1", "--no-checksum-page-error"], stanza: wellAged([], { pageErrors: true }) },
  { options: ["--repo1-retention-full=1", "--oldest"], stanza: wellAged([], { pageErrors: true }) },
  {
    options: [FULL_9],
    stanza: {
      versions: ["15"],
      backups: [{ label: "20250101-000000F", wal: [segment(3), segment(4)], pageErrors: true }],
      wal: { "15-1": segments(1, 9) },
    },
  },
  // 2.45 removes this unfinished backup.
  { options: ["--repo1-retention-full=1"], stanza: wellAged([unfinished("20250501-000000F")]), isNew: true },
  { options: ["--repo1-retention-full=1"], stanza: wellAged([unfinished("20250315-000000F")]) },
  {
    options: ["--repo1-retention-full=1", "--set=20250401-000000F"],
    stanza: wellAged([unfinished("20250401-000000F_20250601-000000D")]),
  },
  {
    options: ["--repo1-retention-full=1", "--set=20250301-000000F"],
    stanza: wellAged([unfinished("20250401-000000F_20250601-000000D")]),
  },
  { options: ["--repo1-retention-full=1"], lost: manifestsOf("20250301-000000F_20250302-000000D"), inTwoRuns: true },
  { options: [FULL_9], lost: manifestsOf("20250201-000000F"), inTwoRuns: true },
  { options: [FULL_9], lost: ["backup/demo/20250101-000000F"], inTwoRuns: true },
  { options: ["--repo1-retention-full=1"], lost: ["archive/demo/archive.info", "archive/demo/archive.info.copy"] },
  { options: ["--repo1-retention-full=1"], lost: ["backup/demo/backup.info"] },
  { options: ["--repo1-retention-full=1"], lost: ["archive/demo/15-2"] },
];

for (const version of atNight("2.60", "2.45")) {
  const title = `expire of ours and of stock ${version}`;
  describe(title, async () => {
    const result = await findStockPgbackrest(version);
    if ("missing" in result) return void skipped(title, result.missing);
    compareExpire(result.pgbackrest, version === "2.45");
  });
}

/**
 * With an older version only the remaining paths are compared: its messages and the content of its info files differ.
 */
function compareExpire(stock: StockPgbackrest, isOlder: boolean): void {
  let folder: string;
  const user = serverUser();
  beforeAll(() => {
    folder = makeUserFolder("pgb-expire-");
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const made = (which: string): string => join(folder, which);

  /** Writes the stanza once for stock and once for ours. */
  async function prepare({ stanza = wellAged(), lost = [] }: Case): Promise<void> {
    const memory = new MemoryStorage();
    await makeStanza(repository(1, { storage: memory }), stanza);
    const newest = stanza.backups.filter((backup) => backup.unfinished !== true).at(-1);
    for (const which of ["stock", "ours"]) {
      let count = 0;
      rmSync(made(which), { recursive: true, force: true });
      for (const [path, { bytes }] of memory.files) {
        const full = join(made(which), path);
        mkdirSync(dirname(full), { recursive: true, mode: 0o750 });
        writeFileSync(full, bytes);
        // WAL arrived all the time: ours does not count time without a sign of life.
        if (path.startsWith("archive/")) {
          const storedAtS = FIRST_S + ((count++ * 20 * DAY_S) % (NOW_S - FIRST_S));
          utimesSync(full, storedAtS, storedAtS);
        }
      }
      if (newest !== undefined) symlinkSync(newest.label, join(made(which), "backup/demo/latest"));
      for (const path of lost) rmSync(join(made(which), path), { recursive: true });
    }
    for (const path of ["", ...tree(made("stock"))])
      if (!path.includes(" -> ")) giveTo(join(made("stock"), path), user);
  }

  const argv = (which: string, options: readonly string[]): string[] => [
    "--no-config",
    `--stanza=${STANZA}`,
    `--repo1-path=${made(which)}`,
    `--lock-path=${made("lock")}`,
    "--log-level-file=off",
    "--log-level-console=detail",
    "--no-log-timestamp",
    "expire",
    ...options,
  ];

  async function runStock(options: readonly string[]): Promise<{ exitCode: number; log: string[] }> {
    const result = await stock.run(argv("stock", options), { user, cwd: folder });
    return { exitCode: result.exitCode, log: printed(result.stdout, made("stock")) };
  }

  async function runOurs(options: readonly string[]): Promise<{ exitCode: number; log: string[] }> {
    const ctx = testContext({ clock: systemClock });
    const { config, warnings } = loadConfig({
      argv: argv("ours", options),
      env: {},
      readFile: () => null,
      listDirectory: () => [],
    });
    const storage = new PosixStorage({
      root: made("ours"),
      syncDirectories: false,
      symlinks: true,
      signal: ctx.signal,
    });
    const own = host({ argv: ["expire"], repos: [repository(1, { storage, latestLink: true })], ctx, folder, config });
    let exitCode = 0;
    try {
      exitCode = await expireCommand(own);
    } catch (error) {
      if (!(error instanceof BackupError)) throw error;
      ctx.log.error(error);
      exitCode = error.exitCode;
    }
    const lines = ctx.lines.map(({ level, text, error }) => {
      const code = error === undefined ? "" : `[${String(error.exitCode).padStart(3, "0")}]: `;
      return `${level.toUpperCase()}: ${code}${[...text.split("\n"), ...(error?.hints ?? []).map((hint) => `HINT: ${hint}`)].join("\n")}`;
    });
    return {
      exitCode,
      log: printed(
        [...warnings.map((text) => `WARN: ${config.dryRun ? "[DRY-RUN] " : ""}${text}`), ...lines].join("\n"),
        made("ours"),
      ),
    };
  }

  async function compare(plan: Case): Promise<readonly string[]> {
    await prepare(plan);
    const theirs = await runStock(plan.options);
    const before = tree(made("ours"));
    let own = await runOurs(plan.options);
    if (plan.inTwoRuns === true) {
      expect(own.exitCode).toBe(0);
      expect(tree(made("ours"))).toEqual(before);
      own = await runOurs(plan.options);
    }
    if (isOlder && theirs.exitCode === OPTION_INVALID) return own.log;
    // 2.45 removes WAL by time only with a full backup.
    if (isOlder && isByTime(plan.options) && !theirs.log.some((line) => line.includes("expire time-based backup")))
      return own.log;
    if (isOlder || plan.inTwoRuns === true) expect(own.exitCode).toBe(theirs.exitCode);
    else expect(own).toEqual(theirs);
    expect(tree(made("ours"))).toEqual(tree(made("stock")));
    if (isOlder) return own.log;
    for (const name of ["backup/demo/backup.info", "backup/demo/backup.info.copy", "archive/demo/archive.info"]) {
      expect(readIf(join(made("ours"), name)), name).toBe(readIf(join(made("stock"), name)));
    }
    return own.log;
  }

  test("the comparison sees a difference", async () => {
    await prepare({ options: [] });
    rmSync(join(made("ours"), "archive/demo/15-2/00000003.history"));
    expect(tree(made("ours"))).not.toEqual(tree(made("stock")));
    expect(await compare({ options: ["--repo1-retention-full=1"] })).toContain(
      "INFO: repo1: remove expired backup 20250101-000000F",
    );
  });

  test.each(
    CASES.filter((plan) => !isOlder || plan.isNew !== true).map(
      (plan) =>
        [
          `${plan.options.join(" ") || "nothing"}${plan.lost === undefined ? "" : ` without ${plan.lost.join(", ")}`}`,
          plan,
        ] as const,
    ),
  )("%s", async (_title, plan) => {
    await compare(plan);
  });

  test(
    "random repositories and settings",
    async () => {
      const runs = NIGHTLY ? 150 : 25;
      await fc.assert(
        fc.asyncProperty(anyStanza(), anyOptions(), async (stanza, options) => {
          await compare({ stanza, options });
        }),
        { numRuns: runs, endOnFailure: NIGHTLY },
      );
    },
    NIGHTLY ? 3_600_000 : 600_000,
  );
}

/** Sets of backups over one or two history ids, and WAL with and without gaps. */
function anyStanza(): fc.Arbitrary<MadeStanza> {
  const step = fc.record({
    kind: fc.constantFrom("F", "F", "D", "I", "I"),
    gap: fc.integer({ min: 0, max: 9 }),
    length: fc.integer({ min: 0, max: 2 }),
  });
  const shape = fc.record({
    steps: fc.array(step, { maxLength: 14 }),
    upgradeAt: fc.integer({ min: 0, max: 20 }),
    promoteAt: fc.integer({ min: 0, max: 20 }),
    holes: fc.uniqueArray(fc.integer({ min: 0, max: 80 }), { maxLength: 20 }),
  });
  return shape.map(({ steps, upgradeAt, promoteAt, holes }) => {
    const backups: MadeBackup[] = [];
    const names = new Map<string, Set<string>>();
    const upgraded = upgradeAt < steps.length;
    let position = 1;
    for (const [index, { kind, gap, length }] of steps.entries()) {
      const dbId = upgraded && index >= upgradeAt ? 2 : 1;
      const timeline = index >= promoteAt ? 2 : 1;
      const from = position + gap;
      const id = dbId === 1 ? "14-1" : "15-2";
      const wal = names.get(id) ?? new Set<string>();
      for (const name of segments(position, from + length, timeline)) wal.add(name);
      if (timeline === 2) wal.add("00000002.history");
      names.set(id, wal);
      const last = backups.findLast((backup) => (backup.dbId ?? 1) === dbId);
      const full = backups.findLast((backup) => backup.label.endsWith("F") && (backup.dbId ?? 1) === dbId);
      const time = formatLabel("full", NOW_S - (30 - index) * DAY_S).slice(0, -1);
      const isFull = kind === "F" || full === undefined || last === undefined;
      backups.push({
        label: isFull ? `${time}F` : `${full.label}_${time}${kind}`,
        ...(isFull ? {} : { prior: kind === "D" ? full.label : last.label }),
        dbId,
        // No limit in days passes while both programs run.
        stoppedAtS: NOW_S - (30 - index) * DAY_S + DAY_S / 2,
        wal: [segment(from, timeline), segment(from + length, timeline)],
      });
      position = from + length + 1;
    }
    const lost = new Set(holes.flatMap((no) => [segment(no), segment(no, 2)]));
    const wal = Object.fromEntries([...names].map(([id, all]) => [id, [...all].filter((name) => !lost.has(name))]));
    return { versions: upgraded ? ["14", "15"] : ["14"], backups, wal };
  });
}

function anyOptions(): fc.Arbitrary<string[]> {
  const count = (name: string, max: number): fc.Arbitrary<string[]> =>
    fc
      .option(fc.integer({ min: 1, max }), { nil: undefined })
      .map((value) => (value === undefined ? [] : [`--repo1-retention-${name}=${value}`]));
  const full = fc.oneof(
    count("full", 4),
    fc
      .integer({ min: 1, max: 40 })
      .map((days) => ["--repo1-retention-full-type=time", `--repo1-retention-full=${days}`]),
  );
  const archiveType = fc
    .constantFrom("full", "diff", "incr")
    .map((type) => (type === "full" ? [] : [`--repo1-retention-archive-type=${type}`]));
  return fc
    .tuple(
      full,
      count("diff", 4),
      count("archive", 5),
      archiveType,
      count("history", 20),
      fc.constantFrom([], [], [], ["--oldest"], ["--dry-run"]),
    )
    .map((parts) => parts.flat());
}

function isByTime(options: readonly string[]): boolean {
  return options.includes("--repo1-retention-full-type=time") && !options.join().includes("retention-archive");
}

/** Log lines without process and path, and without the begin and end lines of the command. */
function printed(text: string, path: string): string[] {
  return text
    .replaceAll(/^P00 +/gm, "")
    .replaceAll(/^ +HINT/gm, "HINT")
    .replaceAll(/^ +(\w+Error: )/gm, "$1")
    .replaceAll(`${path}/`, "")
    .split("\n")
    .filter((line) => line !== "" && !/^INFO: (\[DRY-RUN\] )?expire command (begin|end)/.test(line))
    .filter((line) => !line.startsWith("FileMissingError: "));
}

/** Every path below `root`; links with their targets. */
/** Stock knows nothing of `pgbackstop`, where ours leaves its reserve. */
function tree(root: string, path = ""): string[] {
  return readdirSync(join(root, path), { withFileTypes: true })
    .filter(({ name }) => path !== "" || name !== "pgbackstop")
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .flatMap((entry) => {
      const own = path === "" ? entry.name : `${path}/${entry.name}`;
      if (entry.isSymbolicLink()) return [`${own} -> ${readlinkSync(join(root, own))}`];
      return entry.isDirectory() ? [own, ...tree(root, own)] : [own];
    });
}

function readIf(path: string): string | null {
  return existsSync(path) ? readFileSync(path, "utf8") : null;
}
