/** Plans a test run: its files, what runs in parallel, and what runs alone. */
import { relative, resolve } from "node:path";
import { projectsOf, type Tier } from "../parts/tiers";

/** The parsed command line. */
export interface Wish {
  /** Names of tiers; empty: those of the paths, or all. */
  readonly tierNames: readonly string[];
  /** Files and folders, from the root of the project; empty: all of the tiers. */
  readonly paths: readonly string[];
  readonly vitestArgs: readonly string[];
  /** Run everything, including builds that take minutes. */
  readonly all: boolean;
  /** One tier after the other. */
  readonly serial: boolean;
}

/** One call of vitest. */
export interface TestRun {
  readonly tier: Tier;
  /** A vitest project of the tier. */
  readonly project: string;
  readonly isAlone: boolean;
  /** Files and folders; empty: all of the project. */
  readonly paths: readonly string[];
}

export interface Plan {
  /** Run at the same time, each in its order. */
  readonly lanes: readonly (readonly TestRun[])[];
  /** Run in sequence after all lanes. */
  readonly afterwards: readonly TestRun[];
  /** True if a few files may represent a tier. */
  readonly quick: boolean;
}

/**
 * Splits the arguments of `npm test`; what is neither our option nor a file is vitest's. `exists` checks a path from
 * the root.
 */
export function parseArguments(argv: readonly string[], root: string, exists: (path: string) => boolean): Wish {
  const tierNames = argv.filter((_, position) => argv[position - 1] === "--tier");
  const paths = argv.filter((word, position) => !word.startsWith("-") && argv[position - 1] !== "--tier" && exists(resolve(root, word)));
  const own = new Set(["--all", "--serial", "--tier", ...tierNames, ...paths]);
  return {
    tierNames,
    paths: paths.map((path) => relative(root, resolve(root, path))),
    vitestArgs: argv.filter((word) => !own.has(word)),
    all: argv.includes("--all"),
    serial: argv.includes("--serial"),
  };
}

/** @throws Error if no tier matches */
export function planRuns(wish: Wish, tiers: readonly Tier[]): Plan {
  const wanted = tiers.filter(
    (tier) =>
      (wish.tierNames.length === 0 || wish.tierNames.includes(tier.name)) && (wish.paths.length === 0 || wish.paths.some((path) => has(tier, path))),
  );
  if (wanted.length === 0)
    throw new Error(`no tier has ${[...wish.paths, ...wish.tierNames].join(" ")}: tiers are ${tiers.map((tier) => tier.name).join(", ")}`);
  // Vitest options (a test's name, for example) apply to all tests.
  const quick = !wish.all && wish.tierNames.length + wish.paths.length + wish.vitestArgs.length === 0;
  const lanes = ["compute", "wait"].map((lane) => wanted.filter((tier) => tier.lane === lane)).filter((lane) => lane.length > 0);
  const together = (tier: Tier): TestRun => runOf(tier, false, wish, quick);
  const alone = (tier: Tier): readonly TestRun[] => (tier.alone === undefined ? [] : [runOf(tier, true, wish, quick)]);
  if (wish.serial || lanes.length === 1) return { lanes: [wanted.flatMap((tier) => [together(tier), ...alone(tier)])], afterwards: [], quick };
  return { lanes: lanes.map((lane) => lane.map(together)), afterwards: wanted.flatMap(alone), quick };
}

function runOf(tier: Tier, isAlone: boolean, { paths }: Wish, quick: boolean): TestRun {
  const project = projectsOf(tier)[isAlone ? 1 : 0] ?? tier.name;
  return { tier, project, isAlone, paths: quick ? (tier.quick ?? []) : paths.filter((path) => has(tier, path)) };
}

/** The files of a run, of all `files` from the root of the project. */
export function filesOf({ tier, isAlone, paths }: TestRun, files: readonly string[]): readonly string[] {
  return files.filter(
    (file) =>
      tier.folders.some((folder) => isBelow(file, folder)) &&
      (paths.length === 0 || paths.some((path) => isBelow(file, path))) &&
      (tier.alone?.includes(file) ?? false) === isAlone,
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
