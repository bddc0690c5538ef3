/**
 * `npm run bench -- topology`: the cost of topologies. It measures the comparison of two stacks with
 * `pgbackstop topology diff`, and what this package adds to `pulumi preview` of a stack of databases: beside it runs a
 * program that declares the same resources without the package. All are whole processes, from start to end.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir, userInfo } from "node:os";
import { delimiter, join } from "node:path";
import { resolveHost } from "../../components/plan/model/resolveDatabase";
import { topologyOf } from "../../components/plan/topology/topology";
import { installLanguageHost } from "../../test/harness/doubles/languageHostDouble";
import { build } from "../parts/build/build";
import { projectFolder } from "../parts/cache";
import { ensureNode } from "../parts/nodeBinary";
import { run, runOk } from "../parts/process";
import type { Progress } from "../parts/progress";
import { findPulumiCli, type PulumiCli } from "../parts/pulumi/pulumiCli";
import { prepareProgramFolder } from "../parts/pulumi/pulumiEngine";
import { readArguments } from "./arguments";
import { publish, type Report } from "./document";
import { type Cost, measure, median } from "./measure";
import { OUR_DATABASES, REPOSITORIES, SAME_RESOURCES } from "./stackPrograms";

export interface TopologyOptions {
  readonly databases: number;
  readonly rounds: number;
}

const DIFF_S_MAX = 1;
const PREVIEW_ADDS_S_MAX = 0.5;

export async function topologyMain(argv: readonly string[], progress: Progress): Promise<void> {
  const options = readArguments(argv, { databases: 50, rounds: 5, write: false, profile: false });
  publish(
    {
      file: "benchmarks-topology.md",
      title: "Benchmarks: topologies",
      command: "npm run bench -- topology",
      before: "Every figure is the time of whole processes, in seconds.",
      after:
        "The program without the package declares the same resources with the same parents and inputs, as components and dynamic resources of Pulumi's SDK. " +
        "Wall times of single pairs vary widely on a busy machine; the processor time of all processes of a preview varies less.",
    },
    await topologyBench({ databases: options.databases, rounds: options.rounds }, progress),
    options.write,
  );
}

/** @throws Error if the command or the engine fails */
export async function topologyBench(options: TopologyOptions, progress: Progress): Promise<Report> {
  await build(progress);
  const folder = mkdtempSync(join(tmpdir(), "pgb-bench-"));
  try {
    const diffS = await progress.step("comparisons", () => timeDiffs(folder, options));
    const cli = await findPulumiCli();
    const previews = cli === null ? null : await measurePreviews(folder, cli, options, progress);
    return reportOf(options, diffS, previews);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Previews {
  /** The same resources without any of our code. */
  readonly same: readonly Cost[];
  readonly ours: readonly Cost[];
  readonly resources: number;
}

function reportOf({ databases, rounds }: TopologyOptions, diffS: readonly number[], previews: Previews | null): Report {
  const shown = (values: readonly number[]): string =>
    `${median([...values]).toFixed(2)} (${Math.min(...values).toFixed(2)} – ${Math.max(...values).toFixed(2)})`;
  const lines = ["| measure | median (lowest – highest) | target |", "| --- | ---: | ---: |"];
  const missed: string[] = [];
  const add = (title: string, values: readonly number[], max?: number): void => {
    lines.push(`| ${title} | ${shown(values)} | ${max === undefined ? "" : `≤ ${max}`} |`);
    if (max !== undefined && median([...values]) > max) missed.push(`${title} ${shown(values)} (≤ ${max})`);
  };
  const stack = `${databases} databases × ${REPOSITORIES} repositories`;
  add(`diff of two stacks of ${stack}, with page and Markdown`, diffS, DIFF_S_MAX);
  if (previews !== null) {
    const { ours, resources, same } = previews;
    const added = (of: (cost: Cost) => number): number[] =>
      ours.map((cost, index) => of(cost) - of(same[index] ?? cost));
    const [wallS, cpuS] = [(cost: Cost) => cost.wallS, (cost: Cost) => cost.cpuS];
    add(`preview of ${resources} resources without the package`, same.map(wallS));
    add(`preview of ${stack}, the same resources`, ours.map(wallS));
    add("what the package adds", added(wallS), PREVIEW_ADDS_S_MAX);
    add("processor time without the package", same.map(cpuS));
    add("processor time that the package adds", added(cpuS));
  }
  const facts = [
    `medians of ${rounds} ${rounds === 1 ? "pair" : "pairs"}`,
    ...(previews === null ? ["no Pulumi CLI here: previews are not measured"] : []),
  ];
  return { table: lines.join("\n"), facts, missed, profiles: [] };
}

/** Every database changes: a shorter retention, a repository removed. */
async function timeDiffs(folder: string, { databases, rounds }: TopologyOptions): Promise<number[]> {
  const [before, after] = [join(folder, "before.json"), join(folder, "after.json")];
  writeFileSync(before, exportOf(databases, REPOSITORIES, 60));
  writeFileSync(after, exportOf(databases, REPOSITORIES - 1, 30));
  const node = await ensureNode();
  const argv = diffArgv(folder, before, after);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const start = performance.now();
    const { exitCode, stderr } = await run(node, argv);
    times.push((performance.now() - start) / 1000);
    if (exitCode !== 1) throw new Error(`topology diff ended with ${exitCode}: ${stderr}`);
  }
  return times;
}

/** Arguments of Node for the comparison of two files, with a page and Markdown in `folder`. */
export function diffArgv(folder: string, before: string, after: string): string[] {
  const outputs = ["markdown", "html"].flatMap((format) => [
    `--format=${format}`,
    `--output=${join(folder, `diff.${format}`)}`,
  ]);
  return [
    join(projectFolder(), "dist", "components", "bin", "pgbackstop.js"),
    "topology",
    "diff",
    before,
    after,
    ...outputs,
  ];
}

/** A stack export in the engine's form, with databases only. */
export function exportOf(databases: number, repositoryCount: number, keepDays: number): string {
  const resources = Array.from({ length: databases }, (_, index) => {
    const name = `database-${index + 1}`;
    const repositories = Array.from({ length: repositoryCount }, (_unused, number) => {
      const s3 = {
        bucket: `${name}-${number}`,
        endpoint: "s3.eu-central-003.backblazeb2.com",
        region: "eu-central-003",
      };
      return [`repo${number + 1}`, { at: { name, path: `/${name}`, encrypted: true, s3 }, keepDays }] as const;
    });
    const schedules = { full: { cron: "30 2 * * 0" }, incr: { cron: "30 2 * * 1-6" } };
    const settings = {
      dataDirectory: "/srv/pg",
      connection: { local: {} },
      repositories: Object.fromEntries(repositories),
      schedules,
    };
    const topology = topologyOf(
      resolveHost(name, { ...settings, sizing: { databaseGiB: 100, walGiBPerDay: 2 } }, "/usr/bin/node"),
    );
    const type = "pgbackstop:index:PostgresHost";
    return { urn: `urn:pulumi:prod::shop::${type}::${name}`, type, custom: false, inputs: { topology } };
  });
  return JSON.stringify({ version: 3, deployment: { resources } });
}

/** What `pulumi preview --json` says about a resource. */
interface Step {
  readonly urn: string;
  readonly newState: {
    readonly custom: boolean;
    readonly type: string;
    readonly inputs?: Readonly<Record<string, unknown>>;
    readonly parent?: string;
  };
}

async function measurePreviews(
  folder: string,
  cli: PulumiCli,
  { databases, rounds }: TopologyOptions,
  progress: Progress,
): Promise<Previews> {
  const programFolder = await prepareProgramFolder(folder, { cli, passphrase: "bench" });
  const language = join(folder, "language");
  if (!cli.hasLanguageHost) await installLanguageHost(language, await ensureNode());
  const { NODE_COMPILE_CACHE: _cache, ...given } = programFolder.env;
  // Pulumi's own language host sets no cache of compiled code.
  const env = { ...given, PATH: [language, given["PATH"]].join(delimiter) };
  const open = async (name: string, program: string): Promise<string> => {
    const cwd = join(folder, name);
    mkdirSync(cwd);
    writeFileSync(join(cwd, "Pulumi.yaml"), `name: ${name}\nruntime: nodejs\nmain: index.js\n`);
    writeFileSync(join(cwd, "index.js"), program);
    await runOk(cli.path, ["stack", "init", "bench"], { cwd, env });
    return cwd;
  };
  const argv = ["preview", "--non-interactive", "--color=never"];
  const ours = await open("ours", `${OUR_DATABASES}declare(${databases});\n`);
  const { stdout } = await run(cli.path, [...argv, "--json"], { cwd: ours, env });
  const resources = resourcesOf((JSON.parse(stdout) as { readonly steps: readonly Step[] }).steps);
  const same = await open("same", SAME_RESOURCES);
  writeFileSync(join(same, "resources.json"), JSON.stringify(resources));
  const { gid, uid, username } = userInfo();
  const preview = (cwd: string): Promise<Cost> =>
    measure(cli.path, argv, { user: { name: username, uid, gid, group: "" }, cwd, env, sampleMs: 0 });
  // Files come into the kernel's cache.
  await preview(same);
  const costs: { ours: Cost[]; same: Cost[] } = { ours: [], same: [] };
  for (let round = 1; round <= rounds; round++) {
    await progress.step(`previews, pair ${round} of ${rounds}`, async () => {
      costs.same.push(await preview(same));
      costs.ours.push(await preview(ours));
    });
  }
  return { ...costs, resources: resources.length };
}

/** What {@link SAME_RESOURCES} declares: without the stack itself, in the order of a tree. */
function resourcesOf(steps: readonly Step[]): object[] {
  const types = new Set(steps.map(({ newState }) => newState.type));
  if (!types.has("pgbackstop:index:PostgresHost")) throw new Error("the preview shows no databases");
  return steps
    .filter(({ newState: { type } }) => !type.startsWith("pulumi:"))
    .toSorted((left, right) => left.urn.split("$").length - right.urn.split("$").length)
    .map(({ newState, urn }) => {
      const { __provider: _methods, ...inputs } = newState.inputs ?? {};
      const { custom, parent, type } = newState;
      return { urn, type, name: urn.split("::").at(-1), custom, parent, inputs };
    });
}
