/**
 * Tests in tiers by folder; `npm test` runs each by a call of its own,
 * `npx vitest run <path>` runs any of them alone.
 */
import { fileURLToPath } from "node:url";
import { configDefaults, defineConfig, type TestProjectInlineConfiguration } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { protoModule } from "./tools/parts/build/proto";
import { projectsOf, TIERS, type Tier } from "./tools/parts/tiers";

interface Project {
  readonly name: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly isolate: boolean;
  readonly workers: number;
  readonly testTimeoutMs: number;
  readonly pollPauseMs: number | undefined;
}

function projectsOfTier(tier: Tier): readonly Project[] {
  const { isolated = [], filesAtOnce, testTimeoutMs, pollPauseMs } = tier;
  const [name = "", isolatedName] = projectsOf(tier);
  const include = tier.folders.map((folder) => `${folder}/**/*.test.ts`);
  const shared = { workers: filesAtOnce, testTimeoutMs, pollPauseMs };
  const together = { ...shared, name, include, exclude: isolated, isolate: isolatedName === undefined };
  return isolatedName === undefined
    ? [together]
    : [together, { ...shared, name: isolatedName, include: isolated, exclude: [], isolate: true }];
}

/** As the build does it. */
const protoFiles = {
  name: "proto-files",
  transform: (text: string, path: string) => (path.endsWith(".proto") ? { code: protoModule(text), map: null } : null),
};

/** Projects of different width must not run at the same time: each has a place in the order of its own. */
function configOf(
  { name, include, exclude, isolate, workers, testTimeoutMs, pollPauseMs }: Project,
  position: number,
): TestProjectInlineConfiguration {
  return {
    plugins: [protoFiles],
    // Examples name the package; here its sources stand for it.
    resolve: { alias: { pgbackstop: fileURLToPath(new URL("components/index.ts", import.meta.url)) } },
    test: {
      name,
      include: [...include],
      exclude: [...configDefaults.exclude, "test/vectors/**", ...exclude],
      environment: "node",
      pool: "forks",
      isolate,
      maxWorkers: workers,
      sequence: { groupOrder: position },
      testTimeout: testTimeoutMs,
      hookTimeout: testTimeoutMs,
      teardownTimeout: 60_000,
      // Where a test names none: vitest's second is less than a busy machine may need.
      expect: { poll: { timeout: 10_000, ...(pollPauseMs === undefined ? {} : { interval: pollPauseMs }) } },
    },
  };
}

class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const first = new Set(
      TIERS.flatMap(({ first: paths = [] }) => paths.map((path) => fileURLToPath(new URL(path, import.meta.url)))),
    );
    const [long, others] = [true, false].map((isLong) => files.filter((file) => first.has(file.moduleId) === isLong));
    return [...(long ?? []), ...(await super.sort(others ?? []))];
  }
}

export default defineConfig({
  test: { projects: TIERS.flatMap(projectsOfTier).map(configOf), sequence: { sequencer: LongFilesFirst } },
});
