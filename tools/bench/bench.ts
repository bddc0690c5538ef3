/**
 * `npm run bench [-- NAME] [options]`: pgbackstop beside stock pgBackRest, on the same data, in one run. Each bench
 * prints its medians as a Markdown table; `--write` writes them, with the machine, into its document in docs/internals.
 *
 * Invalid arguments print one line to stderr and exit with 2.
 */
import { cleanUp } from "../parts/process";
import { createProgress, type Progress } from "../parts/progress";
import { readArguments, UsageError } from "./arguments";
import { blocksMain } from "./blocks";
import { commitsMain } from "./commits";
import { filesMain } from "./files";
import { memoryMain } from "./memory";
import { mixedMain } from "./mixed";
import { openMain } from "./open";
import { rpoMain } from "./rpo";
import { scaleMain } from "./scale";
import { streamMain } from "./stream";
import { topologyMain } from "./topology";
import { walMain } from "./wal";

type Bench = (argv: readonly string[], progress: Progress) => Promise<unknown>;

const BENCHES: Readonly<Record<string, Bench>> = {
  files: filesMain,
  blocks: blocksMain,
  memory: memoryMain,
  wal: walMain,
  topology: topologyMain,
  open: openMain,
  scale: scaleMain,
};
/** Not beside stock, and too long for `all`. */
const MEASUREMENTS: Readonly<Record<string, Bench>> = { commits: commitsMain, rpo: rpoMain, stream: streamMain };

const HELP = `npm run bench -- [NAME] [options]: pgbackstop beside stock pgBackRest 2.60, on the same data, in one run

  (no name)  mixed data: full backups, restores, plain archive-push     --size=2048 (MB) --segments=8 --compress=zst|gz
  files      many small relations, an incr with nothing changed         --files=20000
  blocks     block incremental of 1 % of the pages                      --size=2048 (MB)
  memory     peak memory with one large relation, with many files       --size=2048 (MB) --files=200000
  wal        WAL through the agent over a store far away                --segments=300 --latency=20 (ms) --process-max=4
  open       first query of an opened backup, beside a restore          --size=512 (MB) --latency=20 (ms) --seconds=10
  topology   comparisons of stacks, and what they add to a preview       --databases=50
  scale      growth of costs, predicted for 10 TB and 10 million segments  --files=40000 --size=512 (MB) --backups=1000
  commits    commits per second that wait for a repository              --seconds=10 --scale=40
  rpo        commits lost with hosts, by kills of every part             --kills=300 --asynchronous=100 --latency=5 (ms)
  stream     requests and bytes that streaming sends in an hour         --seconds=120 --latency=30 (ms) --rate=100
  all        all but the last three, in sequence                        no other options

  --rounds=N  pairs of runs, of which the medians are taken (5; memory: 1)
  --profile   profile one more run of ours for each, which is not counted
  --write     put the result into docs/internals/benchmarks.md, docs/internals/benchmarks-NAME.md
  --help      this text
`;

void main(process.argv.slice(2)).then(async (exitCode) => {
  await cleanUp();
  process.exit(exitCode);
});

async function main(argv: readonly string[]): Promise<number> {
  if (argv.includes("--help")) {
    process.stdout.write(HELP);
    return 0;
  }
  try {
    await benchOf(argv)(createProgress());
    return 0;
  } catch (error) {
    const isUsage = error instanceof UsageError;
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
    return isUsage ? 2 : 1;
  }
}

/** @throws UsageError for an unknown name */
function benchOf(argv: readonly string[]): (progress: Progress) => Promise<unknown> {
  const [name = "", ...args] = argv;
  if (name === "" || name.startsWith("-")) return (progress) => mixedMain(argv, progress);
  if (name === "all") {
    readArguments(args, { rounds: 1, profile: false, write: false });
    return async (progress) => {
      for (const bench of [mixedMain, ...Object.values(BENCHES)]) await bench(args, progress);
    };
  }
  const all = { ...BENCHES, ...MEASUREMENTS };
  const bench = Object.hasOwn(all, name) ? all[name] : undefined;
  if (bench === undefined)
    throw new UsageError(
      `there is no bench '${name}': use all, ${Object.keys(all).join(", ")}, or none for mixed data`,
    );
  return (progress) => bench(args, progress);
}
