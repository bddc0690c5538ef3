/**
 * `npm run test:live`: doctor, a backup with WAL, verify and a restore in real accounts, and the components that make buckets and keys there. What the
 * environment has no keys for is named, with how to make throw-away ones. Everything happens below names that are new each time and is
 * removed; versions that a bucket keeps stay until its own rules remove them.
 */
import { runLive } from "./live/run";
import { build } from "./parts/build";
import { cleanUp } from "./parts/process";
import { createProgress } from "./parts/progress";

async function main(): Promise<number> {
  await build(createProgress());
  return runLive(process.env, (line) => void process.stdout.write(`${line}\n`));
}

async function end(): Promise<void> {
  try {
    process.exitCode = await main();
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  } finally {
    await cleanUp();
  }
}

void end();
