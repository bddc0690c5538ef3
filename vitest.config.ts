/**
 * Tests in tiers by folder; `npm test` runs each by a call of its own,
 * `npx vitest run <path>` runs any of them alone.
 */
import { fileURLToPath } from "node:url";
import { configDefaults, defineConfig, type TestProjectInlineConfiguration } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { protoModule } from "./tools/parts/build/proto";
import { NIGHTLY } from "./tools/parts/nightly";
import { EXCLUDED_VARIABLE, projectsOf, TIERS, type Tier } from "./tools/parts/tiers";

const EXCLUDED = (process.env[EXCLUDED_VARIABLE] ?? "").split(",").filter((file) => file !== "");

interface Project {
  readonly name: string;
  readonly include: readonly string[];
  readonly exclude: readonly string[];
  readonly isolate: boolean;
}

function projectsOfTier(tier: Tier, position: number): TestProjectInlineConfiguration[] {
  const { isolated = [] } = tier;
  const [name = "", isolatedName] = projectsOf(tier);
  const include = tier.folders.map((folder) => `${folder}/**/*.test.ts`);
  const projects = [{ name, include, exclude: isolated, isolate: tier.isolated === undefined }];
  if (isolatedName !== undefined)
    projects.push({ name: isolatedName, include: [...isolated], exclude: [], isolate: true });
  return projects.map((project) => configOf(project, tier, position));
}

/** The nightly form does more in one test, and often beside other work; a property runs many more cases. */
const NIGHTLY_FACTOR = 4;
const NIGHTLY_TIMEOUT_MS_MIN = 900_000;

/** As the build does it. */
const protoFiles = {
  name: "proto-files",
  transform: (text: string, path: string) => (path.endsWith(".proto") ? { code: protoModule(text), map: null } : null),
};

/** Examples and packages import others by their names; here the sources stand for them. */
const ALIASES = Object.entries({
  pgbackstop: "components/index.ts",
  "pgbackstop/kit": "components/kit.ts",
  "pgbackstop-migration": "packages/migration/components/index.ts",
}).map(([name, path]) => ({
  find: new RegExp(`^${name}$`),
  replacement: fileURLToPath(new URL(path, import.meta.url)),
}));

/** Unit tests need no build. */
const BUNDLE_DOUBLE = {
  find: /^.*\/internal\/runtimeBundle$/,
  replacement: fileURLToPath(new URL("test/harness/doubles/runtimeBundle.ts", import.meta.url)),
};

/** Tiers of different width must not run at the same time: each has its own place in the order. */
function configOf(
  { name, include, exclude, isolate }: Project,
  { filesAtOnce, testTimeoutMs, pollPauseMs }: Tier,
  position: number,
): TestProjectInlineConfiguration {
  const timeoutMs = NIGHTLY ? Math.max(NIGHTLY_FACTOR * testTimeoutMs, NIGHTLY_TIMEOUT_MS_MIN) : testTimeoutMs;
  return {
    plugins: [protoFiles],
    resolve: { alias: name === "unit" ? [...ALIASES, BUNDLE_DOUBLE] : ALIASES },
    test: {
      name,
      include: [...include],
      exclude: [...configDefaults.exclude, "test/vectors/**", ...exclude, ...EXCLUDED],
      environment: "node",
      // A failure on another machine must show what a program said.
      chaiConfig: { truncateThreshold: 2000 },
      pool: "forks",
      isolate,
      setupFiles: "test/harness/setup.ts",
      maxWorkers: filesAtOnce,
      sequence: { groupOrder: position },
      testTimeout: timeoutMs,
      hookTimeout: timeoutMs,
      teardownTimeout: 60_000,
      // Where a test names none: vitest's second is less than a busy machine may need.
      expect: { poll: { timeout: 10_000, ...(pollPauseMs === undefined ? {} : { interval: pollPauseMs }) } },
    },
  };
}

/** Isolated files come first, because a process that is shared ends before the next one of them. */
class LongFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const ranks = [TIERS.flatMap(({ isolated = [] }) => isolated), TIERS.flatMap(({ first = [] }) => first)].map(
      (paths) => new Set(paths.map((path) => fileURLToPath(new URL(path, import.meta.url)))),
    );
    const rankOf = ({ moduleId }: TestSpecification): number => {
      const position = ranks.findIndex((paths) => paths.has(moduleId));
      return position === -1 ? ranks.length : position;
    };
    // The sort is stable: it keeps vitest's order among files of a rank.
    return (await super.sort(files)).toSorted((a, b) => rankOf(a) - rankOf(b));
  }
}

export default defineConfig({
  test: { projects: TIERS.flatMap(projectsOfTier), sequence: { sequencer: LongFilesFirst } },
});
