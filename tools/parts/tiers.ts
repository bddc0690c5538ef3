/** The tiers of tests: which folders they are, what they need, how they run. One table for vitest.config.ts, `npm test` and the tidy test. */
export interface Tier {
  readonly name: "unit" | "data" | "engine" | "package" | "hosts" | "kubernetes";
  readonly folders: readonly string[];
  /** Files beside each other in time; absent: as many as there are processors. */
  readonly filesAtOnce?: number;
  /** Files that measure times or a whole machine's memory: they run alone, after the others. */
  readonly alone?: readonly string[];
  readonly testTimeoutMs: number;
  /** What is real in it, for the table at the end. */
  readonly about: string;
  /** The tier cannot run without the Pulumi CLI. */
  readonly needsPulumi: boolean;
}

export const TIERS: readonly Tier[] = [
  {
    name: "unit",
    folders: ["test/runtime", "test/components", "test/tools", "test/tidy"],
    testTimeoutMs: 60_000,
    about: "pure code, golden bytes, properties, local files",
    needsPulumi: false,
  },
  {
    name: "data",
    folders: ["test/interop", "test/conformance", "test/faults", "test/model"],
    filesAtOnce: 2,
    alone: ["test/interop/isolation.test.ts", "test/interop/bench.test.ts"],
    testTimeoutMs: 300_000,
    about: "PostgreSQL, stock pgbackrest, S3 servers",
    needsPulumi: false,
  },
  {
    name: "engine",
    folders: ["test/engine", "test/upgrade"],
    filesAtOnce: 2,
    testTimeoutMs: 600_000,
    about: "Pulumi CLI, local backend, dynamic resources",
    needsPulumi: true,
  },
  {
    name: "package",
    folders: ["test/package"],
    filesAtOnce: 1,
    testTimeoutMs: 600_000,
    about: "the packed tarball in a foreign project",
    needsPulumi: true,
  },
  {
    name: "hosts",
    folders: ["test/hosts"],
    filesAtOnce: 2,
    testTimeoutMs: 600_000,
    about: "Debian 12 and 13 with systemd and sshd, booted",
    needsPulumi: false,
  },
  {
    name: "kubernetes",
    folders: ["test/kubernetes"],
    filesAtOnce: 1,
    testTimeoutMs: 600_000,
    about: "API server, CloudNativePG; the kubelet is a double",
    needsPulumi: false,
  },
];

/** The projects of vitest that a tier is made of: what may run beside each other, then what must be alone. */
export function projectsOf(tier: Tier): readonly string[] {
  return tier.alone === undefined ? [tier.name] : [tier.name, `${tier.name}-alone`];
}
