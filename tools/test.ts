/**
 * `npm test [-- paths…|--tier NAME|--all|vitest options]`: builds, makes ready what the tiers need, runs them one after the other, and
 * ends with one plain line `N passed, N failed, N skipped`.
 *
 * What takes minutes to build (Pulumi CLI, versitygw, the programs of Kubernetes) is built here only with CI=true or --all, one after the
 * other in the background while the tiers run; otherwise what needs it is skipped and a loud line says how to get it.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { buildBarmanPlugin, findBarmanParts, findBarmanPlugin } from "./parts/barmanCloud";
import { build } from "./parts/build";
import { projectFolder } from "./parts/cache";
import { findHostParts, HOST_SYSTEMS } from "./parts/debianHost";
import { buildVersitygw, findVersitygw } from "./parts/goTools";
import {
  buildKubernetesProgram,
  fetchKubernetesParts,
  findApiServerParts,
  findKubernetesProgram,
  findLabParts,
  findPodObstacle,
  KUBERNETES_PROGRAMS,
} from "./parts/kubernetesPrograms";
import { findStockPgbackrest, STOCK_VERSIONS } from "./parts/pgbackrest";
import { ensurePostgres, findPostgres } from "./parts/postgres";
import { cleanUp, runInherited, sleep } from "./parts/process";
import { createProgress, formatTable, type Progress } from "./parts/progress";
import { ensurePulumiCli, findPulumiCli } from "./parts/pulumiCli";
import { findSshd } from "./parts/sftpServer";
import { projectsOf, TIERS, type Tier } from "./parts/tiers";

/** A build that is not ready by then (since the start) no longer counts: what needs it is skipped. */
const BUILD_DEADLINE_MS = 50 * 60_000;
/** The same for the programs of Kubernetes, which are built last and whose tier is the last one: with its tests all is done in 75 minutes. */
const KUBERNETES_DEADLINE_MS = 58 * 60_000;

/** Lines of a failure's reason that are told again at the end. */
const FAILURE_LINES = 12;

/** A file that takes so long is named at the end of its tier. */
const SLOW_FILE_S = 20;

interface Arguments {
  readonly tiers: readonly Tier[];
  readonly paths: readonly string[];
  readonly vitestArgs: readonly string[];
  /** Slow builds are done here. */
  readonly all: boolean;
}

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface TierResult extends Counts {
  readonly name: string;
  readonly seconds: number;
  readonly about: string;
  /** What failed and why, a few lines each. */
  readonly failures: readonly string[];
}

/** A slow build: under way, done, or failed with its reason in `note`. */
interface BackgroundBuild {
  readonly name: string;
  state: "pending" | "ready" | "failed";
  note: string;
}

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
  const args = parseArguments(process.argv.slice(2));
  const results: TierResult[] = [];
  const built = await tryBuild(progress);
  if (!built) results.push({ name: "build", passed: 0, failed: 1, skipped: 0, seconds: seconds(startedAtMs), about: "dist/", failures: [] });
  const needs = (name: Tier["name"]): boolean => args.tiers.some((tier) => tier.name === name);
  const versitygw: BackgroundBuild = { name: "versitygw", state: "pending", note: "" };
  const pulumi: BackgroundBuild = { name: "pulumi", state: "pending", note: "" };
  const kubernetes: BackgroundBuild = { name: "Kubernetes", state: "pending", note: "" };
  const parts = fetchParts(needs);
  // One after the other: they would wait for each other's use of apt anyway.
  const hostParts = parts.then(async () => void (needs("hosts") && (await findHostParts(HOST_SYSTEMS)))).catch(() => undefined);
  const kubernetesParts = needs("kubernetes") ? hostParts.then(fetchKubernetesParts).catch(() => undefined) : hostParts;
  void startBuilds({ versitygw, pulumi, kubernetes }, args.all, needs);
  for (const tier of args.tiers) {
    const tierStartedAtMs = performance.now();
    const missing = await makeReady(tier, { progress, parts, hostParts, kubernetesParts, versitygw, pulumi, kubernetes, built, startedAtMs });
    const counts = missing === null ? await runTier(tier, args) : { passed: 0, failed: 0, skipped: countFiles(tier), failures: [] };
    if (missing !== null && counts.skipped > 0) progress.loud(`tier ${tier.name} (${counts.skipped} files) is skipped: ${missing}`);
    results.push({ name: tier.name, ...counts, seconds: seconds(tierStartedAtMs), about: tier.about });
  }
  return printReport(results, seconds(startedAtMs));
}

function parseArguments(argv: readonly string[]): Arguments {
  const root = projectFolder();
  const named = argv.flatMap((word, position) => (argv[position - 1] === "--tier" ? [word] : []));
  const paths = argv.filter((word, position) => !word.startsWith("-") && argv[position - 1] !== "--tier" && existsSync(resolve(root, word)));
  const own = new Set(["--all", "--tier", ...named, ...paths]);
  const holds = (tier: Tier, path: string): boolean =>
    tier.folders.some(
      (folder) =>
        `${relative(root, resolve(root, path))}/`.startsWith(`${folder}/`) || `${folder}/`.startsWith(`${relative(root, resolve(root, path))}/`),
    );
  const wanted = TIERS.filter(
    (tier) => (named.length === 0 || named.includes(tier.name)) && (paths.length === 0 || paths.some((path) => holds(tier, path))),
  );
  if (wanted.length === 0) throw new Error(`no tier has ${[...paths, ...named].join(" ")}: tiers are ${TIERS.map((tier) => tier.name).join(", ")}`);
  return { tiers: wanted, paths, vitestArgs: argv.filter((word) => !own.has(word)), all: argv.includes("--all") || process.env.CI === "true" };
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

/**
 * Fetches and unpacks what later tiers need while the quick ones run; with a filled cache it is there at once. What fails here fails again
 * where it is needed, and is told there.
 */
async function fetchParts(needs: (name: Tier["name"]) => boolean): Promise<void> {
  const works = [
    ...((["data", "engine", "package"] as const).some(needs) ? [ensurePostgres] : []),
    ...(needs("data")
      ? [() => findPostgres(15), () => findPostgres(17), ...STOCK_VERSIONS.map((version) => () => findStockPgbackrest(version)), findSshd]
      : []),
  ];
  for (const work of works) await work().catch(() => null);
}

interface BackgroundBuilds {
  readonly versitygw: BackgroundBuild;
  readonly pulumi: BackgroundBuild;
  readonly kubernetes: BackgroundBuild;
}

/** Starts the slow builds one after the other (each uses all cores), when they are wanted and not there. */
async function startBuilds({ versitygw, pulumi, kubernetes }: BackgroundBuilds, all: boolean, needs: (name: Tier["name"]) => boolean): Promise<void> {
  const one = async (
    target: BackgroundBuild,
    find: () => Promise<unknown>,
    make: (note: (text: string) => void) => Promise<unknown>,
  ): Promise<void> => {
    try {
      if ((await find()) === null) {
        if (!all) throw new Error(`not there; npm test -- --all builds it (needs Go, some minutes on two cores)`);
        await make((text) => {
          target.note = text;
        });
      }
      target.state = "ready";
    } catch (error) {
      target.note = error instanceof Error ? error.message : String(error);
      target.state = "failed";
    }
  };
  if (needs("data")) await one(versitygw, findVersitygw, buildVersitygw);
  if (needs("engine") || needs("package")) await one(pulumi, findPulumiCli, ensurePulumiCli);
  if (needs("kubernetes")) await one(kubernetes, findKubernetes, buildKubernetes);
}

async function findKubernetes(): Promise<true | null> {
  return (await wantedBuilds()).every(({ find }) => find() !== null) ? true : null;
}

async function buildKubernetes(note: (text: string) => void): Promise<void> {
  for (const { name, make } of await wantedBuilds()) await make((text) => note(`${name}: ${text}`));
}

interface WantedBuild {
  readonly name: string;
  readonly find: () => string | null;
  readonly make: (note: (text: string) => void) => Promise<string>;
}

/** Where no pods can run the API server alone is of use. */
async function wantedBuilds(): Promise<readonly WantedBuild[]> {
  const canRunPods = (await findPodObstacle()) === null;
  const programs = KUBERNETES_PROGRAMS.map((name) => ({
    name,
    find: () => findKubernetesProgram(name),
    make: (note: (text: string) => void) => buildKubernetesProgram(name, note),
  }));
  const barman = { name: "Barman's plugin", find: findBarmanPlugin, make: buildBarmanPlugin };
  return canRunPods ? [...programs, barman] : programs.filter(({ name }) => name === "kube-apiserver");
}

interface Ready extends BackgroundBuilds {
  readonly progress: Progress;
  /** Ends when nobody fetches parts in the background any more. */
  readonly parts: Promise<void>;
  readonly hostParts: Promise<void>;
  readonly kubernetesParts: Promise<void>;
  readonly built: boolean;
  /** On the clock of performance.now(). */
  readonly startedAtMs: number;
}

/** Makes ready what a tier needs and tells loudly what parts of it cannot run; a text when none of it can. */
async function makeReady(tier: Tier, ready: Ready): Promise<string | null> {
  if (tier.name === "unit" || countFiles(tier) === 0) return null;
  if (!ready.built) return "dist/ could not be built";
  if (tier.name === "kubernetes") return makeKubernetesReady(ready);
  if (tier.name === "hosts") return makeHostsReady(ready);
  try {
    await ready.progress.step("parts fetched beside the unit tests", () => ready.parts);
    await ready.progress.step("PostgreSQL", async (note) => {
      const { version, source } = await ensurePostgres();
      note(`${version} (${source})`);
    });
  } catch (error) {
    return `PostgreSQL cannot be had: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (tier.name === "data") await makeDataReady(ready);
  if (!tier.needsPulumi) return null;
  const missing = await waitForBuild(ready.pulumi, ready);
  if (missing === null) await ready.progress.step("Pulumi CLI", async (note) => note((await findPulumiCli())?.version ?? "gone"));
  return missing;
}

async function makeDataReady(ready: Ready): Promise<void> {
  const { progress } = ready;
  await progress.step("PostgreSQL 15", async (note) => {
    const found = await findPostgres(15);
    note("missing" in found ? "missing" : `${found.binaries.version} (${found.binaries.source})`);
    if ("missing" in found) progress.loud(`tests with ${found.missing} are skipped`);
  });
  for (const version of STOCK_VERSIONS) {
    await progress.step(`stock pgbackrest ${version}`, async (note) => {
      const found = await findStockPgbackrest(version);
      note("missing" in found ? "missing" : found.pgbackrest.version);
      if ("missing" in found) progress.loud(`tests with ${found.missing}: they are skipped`);
      else if (!found.pgbackrest.version.startsWith(version))
        progress.loud(`Debian has stock pgbackrest ${found.pgbackrest.version} instead of ${version}`);
    });
  }
  await progress.step("OpenSSH server", async (note) => {
    const found = await findSshd();
    note("missing" in found ? "missing" : "from Debian's package");
    if ("missing" in found) progress.loud(`tests of SFTP repositories are skipped: ${found.missing}`);
  });
  const missing = await waitForBuild(ready.versitygw, ready);
  if (missing !== null) progress.loud(`tests against versitygw are skipped: ${missing}`);
}

async function makeHostsReady({ progress, hostParts }: Ready): Promise<string | null> {
  await progress.step("trees of Debian hosts", () => hostParts);
  const found = await findHostParts(HOST_SYSTEMS);
  return "missing" in found ? found.missing : null;
}

/** The API server alone is enough for some of the tier; it is built first. */
async function makeKubernetesReady(ready: Ready): Promise<string | null> {
  await ready.progress.step("parts of Kubernetes", () => ready.kubernetesParts);
  const late = await waitForBuild(ready.kubernetes, ready, KUBERNETES_DEADLINE_MS);
  const apiServer = await findApiServerParts();
  if ("missing" in apiServer) return late ?? apiServer.missing;
  const lab = await findLabParts();
  if ("missing" in lab) ready.progress.loud(`tests with pods of Kubernetes are skipped: ${late ?? lab.missing}`);
  const barman = await findBarmanParts();
  if (!("missing" in lab) && "missing" in barman) ready.progress.loud(`tests with Barman's plugin are skipped: ${late ?? barman.missing}`);
  return null;
}

async function waitForBuild(target: BackgroundBuild, ready: Ready, timeMs = BUILD_DEADLINE_MS): Promise<string | null> {
  if (target.state === "pending") {
    await ready.progress.step(`wait for the build of ${target.name}`, async (note) => {
      while (target.state === "pending" && performance.now() < ready.startedAtMs + timeMs) {
        note(target.note);
        await sleep(500);
      }
    });
  }
  if (target.state === "pending") return `the build of ${target.name} was not ready in ${timeMs / 60_000} minutes`;
  return target.state === "ready" ? null : `${target.name}: ${target.note}`;
}

async function runTier(tier: Tier, args: Arguments): Promise<Counts & Pick<TierResult, "failures">> {
  const root = projectFolder();
  if (countFiles(tier) === 0) return { passed: 0, failed: 0, skipped: 0, failures: [] };
  const reportFile = join(root, "node_modules", ".cache", "pgbackstop", `report-${tier.name}-${process.pid}.json`);
  mkdirSync(dirname(reportFile), { recursive: true });
  const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${reportFile}`];
  process.stdout.write(`\n== ${tier.name}: ${tier.about}\n`);
  const exitCode = await runInherited(
    process.execPath,
    [
      vitest,
      "run",
      ...projectsOf(tier).map((project) => `--project=${project}`),
      "--passWithNoTests",
      ...reporters,
      ...args.paths,
      ...args.vitestArgs,
    ],
    // Vite tells about a loader that it may use one day; nobody here can act on it.
    { cwd: root, env: { VITE_CONFIG_NATIVE_IGNORE_WARNING: "true" } },
  );
  const report = existsSync(reportFile) ? (JSON.parse(readFileSync(reportFile, "utf8")) as Report) : null;
  rmSync(reportFile, { force: true });
  if (report === null)
    return { passed: 0, failed: 1, skipped: 0, failures: [`${tier.name}: the runner ended with ${exitCode} and without a report`] };
  const counts = countTests(report);
  const failures = listFailures(report);
  printSlowest(report);
  // A crash of the runner, an error outside of any test: nothing may look green that was not.
  if (exitCode === 0 || counts.failed > 0) return { ...counts, failures };
  return { ...counts, failed: 1, failures: [`${tier.name}: the runner ended with ${exitCode}, and no test of it failed`] };
}

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    /** Milliseconds since 1970. */
    readonly startTime: number;
    readonly endTime: number;
    /** Why a file could not be loaded. */
    readonly message: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string; readonly failureMessages: readonly string[] }[];
  }[];
}

/** Names the files whose tests (what comes before the first one not counted) take long: all together have 15 minutes. */
function printSlowest({ testResults }: Report): void {
  const slow = testResults
    .map((file) => ({ name: relative(projectFolder(), file.name), seconds: (file.endTime - file.startTime) / 1000 }))
    .filter((file) => file.seconds >= SLOW_FILE_S)
    .sort((left, right) => right.seconds - left.seconds);
  for (const file of slow) process.stdout.write(`  ${file.seconds.toFixed(0).padStart(4)} s  ${file.name}\n`);
}

/** Each failure with its file, its name and the first lines of its reason: whoever has only the end of a long output needs them there. */
function listFailures({ testResults }: Report): readonly string[] {
  const ours = (line: string): boolean => !/^\s+at .*(node_modules|node:internal|new Promise)/.test(line);
  const text = (file: string, title: string, reason: string): string =>
    [`${relative(projectFolder(), file)}${title}`, ...reason.split("\n").filter(ours).slice(0, FAILURE_LINES)].join("\n      ");
  return testResults
    .filter((file) => file.status === "failed")
    .flatMap((file) => {
      const failed = file.assertionResults.filter((test) => test.status === "failed");
      if (failed.length === 0) return [text(file.name, "", file.message)];
      return failed.map((test) => text(file.name, ` > ${test.fullName}`, test.failureMessages.join("\n")));
    });
}

function countTests(report: Report): Counts {
  // A file that could not even be loaded has no failed test in it.
  const broken = report.testResults.filter(
    (file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"),
  ).length;
  return { passed: report.numPassedTests, failed: report.numFailedTests + broken, skipped: report.numPendingTests + report.numTodoTests };
}

function countFiles(tier: Tier): number {
  const count = (folder: string): number =>
    readdirSync(folder)
      .map((name) => join(folder, name))
      .reduce((sum, path) => sum + (statSync(path).isDirectory() ? count(path) : path.endsWith(".test.ts") ? 1 : 0), 0);
  return tier.folders
    .map((folder) => join(projectFolder(), folder))
    .filter((folder) => existsSync(folder))
    .reduce((sum, folder) => sum + count(folder), 0);
}

function printReport(results: readonly TierResult[], totalSeconds: number): number {
  const sum = (field: keyof Counts): number => results.reduce((total, result) => total + result[field], 0);
  const rows = results.map((result) => [result.name, ...numbers(result), result.seconds.toFixed(0), result.about]);
  const total = { passed: sum("passed"), failed: sum("failed"), skipped: sum("skipped") };
  const table = [
    ["tier", "passed", "failed", "skipped", "seconds", "what is real"],
    ...rows,
    ["all", ...numbers(total), totalSeconds.toFixed(0), ""],
  ];
  const failures = results.flatMap((result) => result.failures);
  if (failures.length > 0) process.stdout.write(`\nfailed:\n${failures.map((failure) => `    ${failure}\n`).join("")}`);
  process.stdout.write(`\n${formatTable(table, [1, 2, 3, 4])}\n\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped\n`);
  return total.failed > 0 ? 1 : 0;
}

function numbers(counts: Counts): string[] {
  return [String(counts.passed), String(counts.failed), String(counts.skipped)];
}

function seconds(sinceMs: number): number {
  return (performance.now() - sinceMs) / 1000;
}
