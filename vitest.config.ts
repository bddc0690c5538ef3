/** Tests in tiers by folder; `npm test` runs them one after the other, `npx vitest run <path>` runs any of them alone. */
import { configDefaults, defineConfig } from "vitest/config";
import { TIERS } from "./tools/parts/tiers";

export default defineConfig({
  test: {
    projects: TIERS.map((tier) => ({
      test: {
        name: tier.name,
        include: tier.folders.map((folder) => `${folder}/**/*.test.ts`),
        exclude: [...configDefaults.exclude, "test/vectors/**"],
        environment: "node",
        pool: "forks",
        fileParallelism: tier.parallel,
        testTimeout: tier.testTimeoutMs,
        hookTimeout: tier.testTimeoutMs,
        teardownTimeout: 60_000,
      },
    })),
  },
});
