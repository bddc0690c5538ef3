/** `npm run package [-- FOLDER]`: the tarballs that would be published, in the project's folder or FOLDER. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { projectFolder } from "./parts/cache";
import { packTarballs } from "./parts/build/packTarball";
import { createProgress, formatBytes } from "./parts/progress";

async function main(): Promise<void> {
  const progress = createProgress();
  await progress.step("package", async (note) => {
    const files = Object.values(await packTarballs(progress, resolve(projectFolder(), process.argv[2] ?? ".")));
    note(files.map((file) => `${file} (${formatBytes(statSync(file).size)})`).join(", "));
  });
}

void main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
