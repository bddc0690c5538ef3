/**
 * The Barman Cloud plugin for tests. Its program, for operator and sidecar, is built from its Go module as its project
 * pins it; the `barman-cloud-*` programs of the sidecar are Debian's.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cacheFolder } from "../cache";
import { makePythonRunnable, type Missing, unpackDebian, type Unpacked } from "./debian";
import { buildGoProgram } from "../kubernetes/goTools";
import { BARMAN_PLUGIN, findManifests, moduleFolder } from "../kubernetes/kubernetesManifests";
import { runOk } from "../process";

export interface BarmanParts {
  /** The plugin's program. */
  readonly manager: string;
  /** Manifests of its project: definitions, rights, Deployment and Service, and cert-manager objects. */
  readonly manifest: string;
  /** Folder of the `barman-cloud-*` programs and their Python; they need it on PATH. */
  readonly programs: string;
  /** Their Debian tree: they run at this path only. */
  readonly tree: string;
}

const NAME = "plugin-barman-cloud";
const MODULES = [
  "minimal",
  "barman",
  "psycopg2",
  "dateutil",
  "six",
  // Compression besides Python's own.
  "lz4",
  "snappy",
  "zstandard",
  // Amazon's library and its dependencies.
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

/** Or what this machine lacks; builds nothing. */
export async function findBarmanParts(): Promise<BarmanParts | Missing> {
  const manager = findBarmanPlugin();
  if (manager === null) return { missing: `${NAME} is not built: npm test -- --all builds it (needs Go)` };
  const manifests = await findManifests();
  if ("missing" in manifests) return manifests;
  const unpacked = await fetchBarmanPrograms();
  if ("missing" in unpacked) return unpacked;
  return {
    manager,
    manifest: manifests.barmanPlugin,
    programs: join(unpacked.folder, "usr/bin"),
    tree: unpacked.folder,
  };
}

/** The tree with the sidecar's programs, fetched if not cached. */
export function fetchBarmanPrograms(): Promise<Unpacked> {
  const packages = ["barman-cli-cloud", ...MODULES.map((name) => `python3-${name}`)];
  return unpackDebian({ entry: "barman-cloud-sid", suite: "sid", packages, programs: [], finish: makeRunnable });
}

/** The built program, or null. */
export function findBarmanPlugin(): string | null {
  const file = join(target(), NAME);
  return existsSync(file) ? file : null;
}

/**
 * Builds the program into the cache if it is missing: two minutes of one core.
 * @throws Error without Go, or with the end of the compiler's output
 */
export async function buildBarmanPlugin(note: (text: string) => void = () => {}): Promise<string> {
  if (findBarmanPlugin() === null) note("fetching its module");
  return buildGoProgram(
    {
      name: NAME,
      // Its go.mod and go.sum pin its dependencies, and the module's sum pins those files.
      moduleFolder: await moduleFolder("barman-cloud"),
      command: "./cmd/manager",
      linkFlags: "-s -w",
      target: target(),
      // Pods have another Debian's files, so it must not need this one's libraries.
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
  // As in the real image: each start then takes a fifth of the time.
  await runOk(python, ["-m", "compileall", "-q", join(tree, "usr/lib")]);
}

function target(): string {
  return join(cacheFolder(), `${NAME}-${BARMAN_PLUGIN.version.replace(/^v/, "")}`);
}
