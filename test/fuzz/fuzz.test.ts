/**
 * Feeds mutated inputs to every parser that reads bytes from outside. Each must return a value or one of its expected
 * errors, quickly and with little memory.
 *
 * The nightly form runs each parser some twenty times as long, with coverage throughout.
 * `PGBACKSTOP_SEED=<number>` sets another random seed. A finding prints its input.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "../runtime/repository/support";
import { fuzz, RUNS, type Target } from "./fuzzer";
import { FORMAT_TARGETS, localTargets, WAL_TARGETS } from "./targets";
import { NIGHTLY } from "../../tools/parts/nightly";

const SEED = Number(process.env["PGBACKSTOP_SEED"] ?? 16);

const TAKES_MAX = 4000;

const folder = mkdtempSync(join(tmpdir(), "pgb-fuzz-"));
const names = localTargets(folder).map((target) => target.name);
rmSync(folder, { recursive: true });

async function check(target: Target): Promise<void> {
  const runs = Math.ceil(RUNS * (target.share ?? 1));
  const { findings, features, accepted, kept } = await fuzz(target, SEED, { runs, takesMax: TAKES_MAX });
  if (NIGHTLY)
    process.stdout.write(
      `${target.name}: ${runs} runs, ${features} features, ${kept} inputs kept, ${accepted} accepted, ${findings.length} findings\n`,
    );
  const reported = findings.map(
    ({ message, input }) => `${message}\ninput (base64): ${Buffer.from(input).toString("base64")}`,
  );
  expect(reported).toEqual([]);
}

it.each([...FORMAT_TARGETS, ...WAL_TARGETS].map((target) => [target.name, target] as const))(
  "%s",
  { timeout: NIGHTLY ? 3_600_000 : 60_000 },
  (_name, target) => check(target),
);

it.each(names)("%s", { timeout: NIGHTLY ? 3_600_000 : 60_000 }, async (name) => {
  await check(localTargets(temporaryFolder()).find((target) => target.name === name) as Target);
});
