/** Plans a test run: its files, and what runs in parallel. */
import { relative, resolve } from "node:path";
import { QUEUES, type Tier } from "../parts/tiers";

/**
 * How much of the tests a run takes: a few files of each tier, every kind once, or also what repeats a kind. The last
 * two build programs that take minutes.
 */
export type Form = "quick" | "all" | "nightly";

/** The parsed command line. */
export interface TestRequest {
  /** Names of tiers; empty: those of the paths, or all. */
  readonly tierNames: readonly string[];
  /** Files and folders, from the root of the project; empty: all of the tiers. */
  readonly paths: readonly string[];
  readonly vitestArgs: readonly string[];
  readonly form: Form;
  /** One tier after the other. */
  readonly serial: boolean;
}

/** One call of vitest. */
export interface TestRun {
  readonly tier: Tier;
  /** Files and folders; empty: all of the project. */
  readonly paths: readonly string[];
  /** Files that only the nightly form runs, unless the command line names them. */
  readonly excluded: readonly string[];
}

export interface Plan {
  /** Run at the same time, each in its order. */
  readonly queues: readonly (readonly TestRun[])[];
  /** True if a few files may represent a tier. */
  readonly quick: boolean;
}

/**
 * Splits the arguments of `npm test`; what is neither our option nor a file is vitest's. `exists` checks a path from
 * the root.
 */
export function parseArguments(argv: readonly string[], root: string, exists: (path: string) => boolean): TestRequest {
  const tierNames = argv.filter((_, position) => argv[position - 1] === "--tier");
  const paths = argv.filter(
    (argument, position) =>
      !argument.startsWith("-") && argv[position - 1] !== "--tier" && exists(resolve(root, argument)),
  );
  const own = new Set(["--all", "--nightly", "--serial", "--tier", ...tierNames, ...paths]);
  return {
    tierNames,
    paths: paths.map((path) => relative(root, resolve(root, path))),
    vitestArgs: argv.filter((argument) => !own.has(argument)),
    form: argv.includes("--nightly") ? "nightly" : argv.includes("--all") ? "all" : "quick",
    serial: argv.includes("--serial"),
  };
}

/** @throws Error if no tier matches */
export function planRuns(request: TestRequest, tiers: readonly Tier[]): Plan {
  const wanted = tiers.filter(
    (tier) =>
      (request.tierNames.length === 0 || request.tierNames.includes(tier.name)) &&
      (request.paths.length === 0 || request.paths.some((path) => has(tier, path))),
  );
  if (wanted.length === 0)
    throw new Error(
      `no tier has ${[...request.paths, ...request.tierNames].join(" ")}: tiers are ${tiers.map((tier) => tier.name).join(", ")}`,
    );
  // Vitest options (a test's name, for example) apply to all tests.
  const quick =
    request.form === "quick" && request.tierNames.length + request.paths.length + request.vitestArgs.length === 0;
  const queues = QUEUES.map((queue) => wanted.filter((tier) => tier.queue === queue)).filter(
    (queue) => queue.length > 0,
  );
  const runOf = (tier: Tier): TestRun => {
    const paths = quick ? (tier.quick ?? []) : request.paths.filter((path) => has(tier, path));
    const nightly = Object.keys(tier.nightly ?? {});
    return { tier, paths, excluded: request.form === "nightly" ? [] : nightly.filter((file) => !paths.includes(file)) };
  };
  return { queues: (request.serial ? [wanted] : queues).map((queue) => queue.map(runOf)), quick };
}

/** The files of a run, of all `files` from the root of the project. */
export function filesOf({ tier, paths, excluded }: TestRun, files: readonly string[]): readonly string[] {
  return files.filter(
    (file) =>
      tier.folders.some((folder) => isBelow(file, folder)) &&
      !excluded.includes(file) &&
      (paths.length === 0 || paths.some((path) => isBelow(file, path))),
  );
}

/** True if the path is a folder or file of the tier, or a folder above it. */
function has(tier: Tier, path: string): boolean {
  return tier.folders.some((folder) => isBelow(path, folder) || isBelow(folder, path));
}

/** True if `path` is `folder` or below it; "" is the root. */
function isBelow(path: string, folder: string): boolean {
  return folder === "" || `${path}/`.startsWith(`${folder}/`);
}
