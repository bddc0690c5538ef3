/** `npm run build`: dist/runtime.cjs and dist/components, if the sources changed since the last build. */
import { build } from "./parts/build/build";
import { createProgress } from "./parts/progress";

void build(createProgress(), { force: process.argv.includes("--force") }).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
});
