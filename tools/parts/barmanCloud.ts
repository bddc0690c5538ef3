/**
 * The Barman Cloud plugin for tests: its program (operator's side and sidecar are one) is built from its Go module as its project pins it, the
 * `barman-cloud-*` programs that the sidecar runs are Debian's.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "./cache";
import { makePythonRunnable, type Missing, unpackDebian, type Unpacked } from "./debian";
import { buildGoProgram } from "./goTools";
import { BARMAN_PLUGIN, findManifests, moduleFolder } from "./kubernetesManifests";
import { runOk } from "./process";

export interface BarmanParts {
  /** The plugin's program. */
  readonly manager: string;
  /** What its project publishes: definitions, rights, Deployment and Service, and objects of cert-manager. */
  readonly manifest: string;
  /** Folder of the `barman-cloud-*` programs and their Python: they run with it on PATH. */
  readonly programs: string;
  /** The tree of Debian that they are part of: they run at this place only. */
  readonly tree: string;
}

const NAME = "plugin-barman-cloud";
const MODULES = [
  "minimal",
  "barman",
  "psycopg2",
  "dateutil",
  "six",
  // What it compresses with, besides Python's own.
  "lz4",
  "snappy",
  "zstandard",
  // Amazon's library and what that needs.
  "boto3",
  "botocore",
  "s3transfer",
  "jmespath",
  "urllib3",
  "requests",
  "charset-normalizer",
  "idna",
  "certifi",
];

/** Everything, or what this machine lacks; builds nothing. */
export async function findBarmanParts(): Promise<BarmanParts | Missing> {
  const manager = findBarmanPlugin();
  if (manager === null) return { missing: `${NAME} is not built: npm test -- --all builds it (needs Go)` };
  const manifests = await findManifests();
  if ("missing" in manifests) return manifests;
  const unpacked = await fetchBarmanPrograms();
  if ("missing" in unpacked) return unpacked;
  return { manager, manifest: manifests.barmanPlugin, programs: join(unpacked.folder, "usr/bin"), tree: unpacked.folder };
}

/** The tree with the programs that the sidecar runs, fetched where it is not in the cache. */
export function fetchBarmanPrograms(): Promise<Unpacked> {
  const packages = ["barman-cli-cloud", ...MODULES.map((name) => `python3-${name}`)];
  return unpackDebian({ entry: "barman-cloud-sid", suite: "sid", packages, programs: [], finish: makeRunnable });
}

/** The built program, or null. */
export function findBarmanPlugin(): string | null {
  const file = join(target(), NAME);
  return existsSync(file) ? file : null;
}

/** Builds the program into the cache when it is not there: two minutes of one core. @throws Error without Go, or with the end of the compiler's output */
export async function buildBarmanPlugin(note: (text: string) => void = () => {}): Promise<string> {
  if (findBarmanPlugin() === null) note("fetching its module");
  return buildGoProgram(
    {
      name: NAME,
      // Its own go.mod and go.sum pin what it is made of, and their module's sum pins them.
      moduleFolder: await moduleFolder("barman-cloud"),
      command: "./cmd/manager",
      packageCount: 640,
      linkFlags: "-s -w",
      target: target(),
      // Pods have files of another Debian: it must need none of its libraries.
      env: { CGO_ENABLED: "0" },
    },
    note,
  );
}

/** Makes the tree's programs run with its Python. */
async function makeRunnable(tree: string): Promise<void> {
  const python = makePythonRunnable(tree);
  const binaries = join(tree, "usr/bin");
  for (const name of readdirSync(binaries).filter((file) => file.startsWith("barman-cloud-"))) {
    const program = join(binaries, name);
    writeFileSync(program, readFileSync(program, "utf8").replace(/^#!.*/, "#!/usr/bin/env python3"));
  }
  // As the real image has them: each start of a program takes a fifth of the time then.
  await runOk(python, ["-m", "compileall", "-q", join(tree, "usr/lib")]);
}

function target(): string {
  return join(cacheFolder(), `${NAME}-${BARMAN_PLUGIN.version.replace(/^v/, "")}`);
}
