/**
 * `npm run test:live`: doctor, a backup with WAL, verify and a restore in real accounts, and the components that create
 * buckets and keys there. It names what lacks keys in the environment, and how to create throw-away ones. Everything
 * uses new names and is removed at the end; versions that a bucket keeps stay until its rules remove them.
 */
import { runLive } from "./live/run";
import { build } from "./parts/build/build";
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
