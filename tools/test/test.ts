/**
 * `npm test [-- paths…|--tier NAME|--all|--nightly|--serial|vitest options]`: builds, prepares what the tiers need,
 * runs them, and ends with one plain line `N passed, N failed, N skipped`.
 *
 * Tiers run in parallel queues, and each line then begins with its tier. A single tier has the terminal to itself.
 */
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { build } from "../parts/build/build";
import { cloneCacheFolder, projectFolder } from "../parts/cache";
import { NIGHTLY_VARIABLE } from "../parts/nightly";
import { cleanUp, isEnding, runInherited } from "../parts/process";
import { createProgress, type Progress } from "../parts/progress";
import { EXCLUDED_VARIABLE, projectsOf, TIERS, type Tier } from "../parts/tiers";
import { HOOK_ERRORS_VARIABLE } from "./failureReporter";
import { makeMemoryFolder } from "./memoryFolder";
import { describeRun, lookAtMachine } from "./outlook";
import { filesOf, parseArguments, type Plan, planRuns, type TestRun, type TestRequest } from "./plan";
import { makeReady, startParts } from "./ready";
import {
  addResults,
  formatReport,
  type JsonReport,
  NOTHING,
  readReport,
  type RunResult,
  type TierResult,
} from "./report";

/** Memory that parallel queues need. */
const QUEUES_MEMORY_BYTES = 7_000_000_000;
/** Vite warns about a loader that it may use one day, which is no help here. */
const QUIET = { VITE_CONFIG_NATIVE_IGNORE_WARNING: "true" };
/** Exit code after Ctrl-C: an incomplete report is useless. */
const INTERRUPTED = 130;
/** Length of the longest tier name. */
const LABEL_WIDTH = 10;

void main()
  .catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  })
  .then(async (exitCode) => {
    await cleanUp();
    process.exit(exitCode);
  });

async function main(): Promise<number> {
  const startedAtMs = performance.now();
  const progress = createProgress();
  const { form, serial, ...given } = parseArguments(process.argv.slice(2), projectFolder(), existsSync);
  const request: TestRequest = {
    ...given,
    form: form === "quick" && process.env.CI === "true" ? "all" : form,
    serial: serial || totalmem() < QUEUES_MEMORY_BYTES,
  };
  const plan = planRuns(request, TIERS);
  await announce(plan, request);
  const isBuilt = await tryBuild(progress);
  const unbuilt: TierResult = { ...NOTHING, name: "build", failed: 1, seconds: seconds(startedAtMs), about: "dist/" };
  const tiers = plan.queues.flat().map(({ tier }) => tier);
  const ready = startParts(tiers, request.form, progress, startedAtMs);
  const findMissing = async (tier: Tier): Promise<string | null> =>
    isBuilt || tier.name === "unit" ? makeReady(tier, ready) : "dist/ could not be built";
  const results = await runPlan(plan, request, progress, findMissing);
  if (isEnding()) return INTERRUPTED;
  const rows = isBuilt ? results : [unbuilt, ...results];
  process.stdout.write(formatReport(rows, seconds(startedAtMs)));
  if (plan.quick) process.stdout.write("a few files of most tiers: npm test -- --all runs every kind of test\n");
  return rows.some(({ failed }) => failed > 0) ? 1 : 0;
}

/** Who names files knows what runs. */
async function announce({ queues, quick }: Plan, { form, tierNames, paths }: TestRequest): Promise<void> {
  if (paths.length > 0) return;
  const tiers = queues.flat().map((run) => ({ tier: run.tier, files: countFiles(run) }));
  process.stdout.write(describeRun(tiers, { form, quick, whole: tierNames.length === 0 }, await lookAtMachine()));
}

async function tryBuild(progress: Progress): Promise<boolean> {
  try {
    await build(progress);
    return true;
  } catch (error) {
    progress.loud(`the build failed: ${error instanceof Error ? error.message : String(error)}`);
    return false;
  }
}

type FindMissing = (tier: Tier) => Promise<string | null>;

async function runPlan(
  { queues }: Plan,
  request: TestRequest,
  progress: Progress,
  findMissing: FindMissing,
): Promise<readonly TierResult[]> {
  const results = new Map<Tier, RunResult>();
  const runAll = async (
    takeNext: () => TestRun | undefined,
    onLine: ((name: string) => (line: string) => void) | null,
  ): Promise<void> => {
    for (let run = takeNext(); run !== undefined; run = takeNext()) {
      // After Ctrl-C a runner ends normally, but the next one must not start.
      if (isEnding()) return;
      const result = await runReady(run, request, progress, findMissing, onLine?.(run.tier.name));
      results.set(run.tier, addResults(results.get(run.tier) ?? NOTHING, result));
    }
  };
  const label = (name: string) => (line: string) => progress.line(`${name.padEnd(LABEL_WIDTH)} │ ${line}`);
  const waiting = queues.map((runs) => [...runs]);
  // Of the two long queues, the one that ends first takes what the other one would do last.
  const takeFor = (own: TestRun[]) => {
    const helps = own[0]?.tier.queue !== "beside";
    return () => own.shift() ?? (helps ? waiting.find(({ length }) => length > 0)?.pop() : undefined);
  };
  await Promise.all(waiting.map((own) => runAll(takeFor(own), queues.length > 1 ? label : null)));
  return TIERS.flatMap((tier) => {
    const result = results.get(tier);
    return result === undefined ? [] : [{ ...result, name: tier.name, about: tier.about }];
  });
}

/** Runs what is ready; a missing part skips all files of the run, with a loud line. */
async function runReady(
  run: TestRun,
  request: TestRequest,
  progress: Progress,
  findMissing: FindMissing,
  onLine?: (line: string) => void,
): Promise<RunResult> {
  const startedAtMs = performance.now();
  const skipped = countFiles(run);
  if (skipped === 0) return NOTHING;
  const missing = await findMissing(run.tier);
  if (missing === null) return { ...(await runVitest(run, request, onLine)), seconds: seconds(startedAtMs) };
  progress.loud(`tier ${run.tier.name} (${skipped} files) is skipped: ${missing}`);
  return { ...NOTHING, skipped, seconds: seconds(startedAtMs) };
}

async function runVitest(
  { tier, paths, excluded }: TestRun,
  request: TestRequest,
  onLine?: (line: string) => void,
): Promise<Omit<RunResult, "seconds">> {
  const root = projectFolder();
  const reportFile = join(cloneCacheFolder(), `report-${tier.name}-${process.pid}.json`);
  const hookErrorsFile = `${reportFile}.hooks`;
  // Each process of tests loads vitest and Pulumi again.
  const compiledFolder = join(cloneCacheFolder(), "compiled");
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const failureReporter = join(root, "tools", "test", "failureReporter.ts");
  const reporters = ["default", "json", failureReporter].map((reporter) => `--reporter=${reporter}`);
  if (onLine === undefined) process.stdout.write(`\n== ${tier.name}: ${tier.about}\n`);
  const isNightly = request.form === "nightly";
  // Long forms need more than the memory.
  const memory = tier.inMemory === true && !isNightly ? makeMemoryFolder() : null;
  const exitCode = await runInherited(
    process.execPath,
    [
      vitest,
      "run",
      ...projectsOf(tier).map((project) => `--project=${project}`),
      "--passWithNoTests",
      // Tiers, and later runs, share what vite made of each module.
      "--experimental.fsModuleCache",
      ...reporters,
      `--outputFile.json=${reportFile}`,
      ...paths,
      ...request.vitestArgs,
    ],
    {
      cwd: root,
      env: {
        ...QUIET,
        NODE_COMPILE_CACHE: compiledFolder,
        // Collecting garbage is a quarter of what Go programs do in their short lives.
        GOGC: "400",
        [EXCLUDED_VARIABLE]: excluded.join(","),
        [HOOK_ERRORS_VARIABLE]: hookErrorsFile,
        ...(isNightly ? { [NIGHTLY_VARIABLE]: "1" } : {}),
        ...(memory === null ? {} : { TMPDIR: memory }),
      },
      ...(onLine === undefined ? {} : { onLine }),
    },
  );
  return readReport({
    title: tier.name,
    report: takeJson(reportFile) as JsonReport | null,
    hookErrors: (takeJson(hookErrorsFile) ?? {}) as Record<string, string>,
    exitCode,
    root,
  });
}

/** The content of a JSON file, which is removed; null if there is no file. */
function takeJson(file: string): unknown {
  const value: unknown = existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : null;
  rmSync(file, { force: true });
  return value;
}

function countFiles(run: TestRun): number {
  const files = run.tier.folders.flatMap((folder) =>
    readdirSync(join(projectFolder(), folder), { recursive: true, encoding: "utf8" }).map(
      (file) => `${folder}/${file}`,
    ),
  );
  return filesOf(
    run,
    files.filter((file) => file.endsWith(".test.ts")),
  ).length;
}

function seconds(sinceMs: number): number {
  return (performance.now() - sinceMs) / 1000;
}
