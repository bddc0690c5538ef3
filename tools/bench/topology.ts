/**
 * `npm run bench -- topology`: the cost of topologies. It measures the comparison of two stacks with
 * `pgbackstop topology diff`, from process start to end, and the preview of a stack of databases beside the bare
 * engine's preview of as many empty components.
 *
 * Both stacks of a pair have at least one dynamic resource (a passphrase), so that both include the start of the
 * engine's process for those.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type * as Pulumi from "@pulumi/pulumi";
import type * as Pgbackstop from "pgbackstop";
import { resolveHost } from "../../components/plan/model/resolveDatabase";
import { topologyOf } from "../../components/plan/topology/topology";
import { build } from "../parts/build/build";
import { projectFolder } from "../parts/cache";
import { ensureNode } from "../parts/nodeBinary";
import { run } from "../parts/process";
import type { Progress } from "../parts/progress";
import { findPulumiCli } from "../parts/pulumi/pulumiCli";
import { openStack, type ProgramFolder, prepareProgramFolder } from "../parts/pulumi/pulumiEngine";
import { readArguments } from "./arguments";
import { publish, type Report } from "./document";
import { median } from "./measure";

export interface TopologyOptions {
  readonly databases: number;
  readonly rounds: number;
}

export const REPOSITORIES = 3;
const DIFF_S_MAX = 1;
const PREVIEW_ADDS_S_MAX = 1;

export async function topologyMain(argv: readonly string[], progress: Progress): Promise<void> {
  const options = readArguments(argv, { databases: 50, rounds: 5, write: false, profile: false });
  publish(
    {
      file: "benchmarks-topology.md",
      title: "Benchmarks: topologies",
      command: "npm run bench -- topology",
      before: "Every figure is the wall time of whole processes, in seconds.",
      after:
        "The bare engine previews empty components, as many as the other stack has resources, and one passphrase. The stack between the two has " +
        "what the engine and Pulumi's SDK need for as many components that register outputs and as many dynamic resources, one property each.",
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
    const previews =
      cli === null
        ? null
        : await timePreviews(await prepareProgramFolder(folder, { cli, passphrase: "bench" }), options, progress);
    return reportOf(options, diffS, previews);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Previews {
  readonly bareS: readonly number[];
  /** The same kinds of resources without any of our code. */
  readonly emptyS: readonly number[];
  readonly oursS: readonly number[];
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
    const { bareS, emptyS, oursS, resources } = previews;
    const beyondBare = (values: readonly number[]): number[] =>
      values.map((value, index) => value - (bareS[index] ?? 0));
    add(`preview of ${resources} empty components`, bareS);
    add(`the same, ${databases} of them dynamic resources without any of our code`, emptyS);
    add(`preview of ${stack} (${resources} resources)`, oursS);
    add("what the dynamic resources alone add to the empty components", beyondBare(emptyS));
    add("what the databases and repositories add to them", beyondBare(oursS), PREVIEW_ADDS_S_MAX);
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

/** No preview connects to a host. */
export const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f";

/**
 * The SDK takes a stack trace for each of thousands of promises, and mapping its lines is much of a preview's cost.
 * Pulumi's language host maps them with its own package (`cmd/run` of `@pulumi/pulumi`), not with Node, which does it
 * here for our tools.
 */
function mapStacksAsPulumi(load: NodeJS.Require): void {
  process.setSourceMapsEnabled(false);
  createRequire(load.resolve("@pulumi/pulumi"))("source-map-support/register");
}

async function timePreviews(
  programFolder: ProgramFolder,
  { databases, rounds }: TopologyOptions,
  progress: Progress,
): Promise<Previews> {
  const load = createRequire(join(programFolder.folder, "program.cjs"));
  mapStacksAsPulumi(load);
  const pulumi = load("@pulumi/pulumi") as typeof Pulumi;
  const { CipherPassphrase, PosixRepository, PostgresHost } = load("pgbackstop") as typeof Pgbackstop;
  const ours = await openStack(programFolder, "ours", async () => {
    const key = new CipherPassphrase("key", {}, { protect: false });
    for (let index = 1; index <= databases; index++) {
      const targets = Array.from({ length: REPOSITORIES }, (_, at) => {
        const path = `/mnt/nas${at}/${index}`;
        return [
          `repo${at + 1}`,
          {
            at: new PosixRepository(`${index}-${at}`, { path, requireMount: true, cipher: key.ref }).target,
            keepDays: 30,
          },
        ] as const;
      });
      const schedules = { full: { cron: "30 2 * * 0" }, incr: { cron: "30 2 * * 1-6" } };
      const repositories = Object.fromEntries(targets);
      new PostgresHost(`${index}`, {
        connection: { ssh: { host: `db-${index}.example.com`, hostKeys: [HOST_KEY], agent: "/run/agent.sock" } },
        dataDirectory: `/srv/pg/${index}`,
        repositories,
        schedules,
        archiveTimeoutSeconds: 60,
      });
    }
  });
  const resources = (await ours.preview()).changeSummary.create ?? 0;
  const bare = await openStack(programFolder, "bare", async () => {
    new CipherPassphrase("key", {}, { protect: false });
    // The stack itself, the passphrase and its resource are in both.
    for (let index = 3; index < resources; index++) new pulumi.ComponentResource("bench:index:Empty", `${index}`);
  });
  const empty = await openStack(programFolder, "empty", async () => {
    new CipherPassphrase("key", {}, { protect: false });
    class Empty extends pulumi.ComponentResource {
      constructor(name: string) {
        super("bench:index:Empty", name);
        this.registerOutputs({ name });
      }
    }
    class State extends pulumi.dynamic.Resource {}
    const provider: Pulumi.dynamic.ResourceProvider = { create: async () => ({ id: "empty" }) };
    for (let index = 3 + databases; index < resources; index++) new Empty(`${index}`);
    for (let index = 0; index < databases; index++) new State(provider, `${index}-state`, { index });
  });
  const time = async (stack: typeof ours): Promise<number> => {
    const start = performance.now();
    await stack.preview();
    return (performance.now() - start) / 1000;
  };
  await bare.preview();
  await empty.preview();
  const [bareS, emptyS, oursS]: [number[], number[], number[]] = [[], [], []];
  for (let round = 1; round <= rounds; round++) {
    await progress.step(`previews, pair ${round} of ${rounds}`, async () => {
      bareS.push(await time(bare));
      emptyS.push(await time(empty));
      oursS.push(await time(ours));
    });
  }
  return { bareS, emptyS, oursS, resources };
}
