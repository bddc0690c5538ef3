/**
 * `npm run check`: one tool per question, all of them run, one line each: format (Biome), lint (oxlint), types (tsc),
 * unused files and exports (knip), the project's own rules (tidy), generated pages and code in documents (vitest), the
 * packed archive (publint, attw).
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectFolder } from "./parts/cache";
import { build } from "./parts/build/build";
import { packTarballs } from "./parts/build/packTarball";
import { run } from "./parts/process";
import { createProgress, type Progress } from "./parts/progress";

interface Check {
  readonly name: string;
  readonly program: string;
  readonly args: readonly string[];
}

const root = projectFolder();
const bin = (name: string): string => join(root, "node_modules", ".bin", name);

async function main(): Promise<number> {
  const progress = createProgress();
  const folder = mkdtempSync(join(tmpdir(), "pgb-check-"));
  const outputs: string[] = [];
  try {
    const checks: Check[] = [
      { name: "format (biome)", program: bin("biome"), args: ["format", "."] },
      { name: "lint (oxlint)", program: bin("oxlint"), args: ["--type-aware", "--deny-warnings"] },
      { name: "types (tsc)", program: bin("tsc"), args: ["--noEmit", "-p", "."] },
      { name: "unused (knip)", program: bin("knip"), args: ["--no-progress"] },
      { name: "rules (tidy)", program: bin("vitest"), args: ["run", "--project=unit", "--reporter=dot", "test/tidy"] },
    ];
    // Types and paths of one package stand in the other one's dist.
    await build(progress).catch(() => {});
    for (const check of checks) outputs.push(...(await runCheck(progress, check)));
    try {
      const tarballs = Object.entries(await packTarballs(progress, folder));
      // After the build: blocks of code are compiled against it.
      const documents = ["run", "--project=unit", "--reporter=dot", "test/tools/docs"];
      outputs.push(
        ...(await runCheck(progress, { name: "documents (vitest)", program: bin("vitest"), args: documents })),
      );
      for (const [name, tarball] of tarballs) {
        const what = name === "pgbackstop" ? "package" : name;
        const [lint, types] = [
          ["run", "--strict", tarball],
          ["--profile=node16", tarball],
        ];
        outputs.push(...(await runCheck(progress, { name: `${what} (publint)`, program: bin("publint"), args: lint })));
        outputs.push(
          ...(await runCheck(progress, { name: `${what} types (attw)`, program: bin("attw"), args: types })),
        );
      }
    } catch (error) {
      outputs.push(`package: ${error instanceof Error ? error.message : String(error)}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  process.stdout.write(
    outputs.length === 0 ? "all checks passed\n" : `\n${outputs.join("\n\n")}\n\n${outputs.length} checks failed\n`,
  );
  return outputs.length === 0 ? 0 : 1;
}

/** Runs one check as one line; returns its output if it failed. */
async function runCheck(progress: Progress, check: Check): Promise<string[]> {
  let failure: string | null = null;
  await progress
    .step(check.name, async () => {
      const result = await run(check.program, check.args, {
        cwd: root,
        env: { NO_COLOR: "1", FORCE_COLOR: "0", VITE_CONFIG_NATIVE_IGNORE_WARNING: "true" },
      });
      if (result.exitCode !== 0)
        failure = `${check.name}: exit code ${result.exitCode}\n${`${result.stdout}\n${result.stderr}`.trim()}`;
      if (failure !== null) throw new Error(failure);
    })
    .catch((error: unknown) => {
      failure ??= `${check.name}: ${error instanceof Error ? error.message : String(error)}`;
    });
  return failure === null ? [] : [failure];
}

void main().then(
  (exitCode) => process.exit(exitCode),
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  },
);
