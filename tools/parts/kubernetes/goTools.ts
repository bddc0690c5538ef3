/**
 * Go programs for the demo and the tests, in the exact versions that tools/go.mod pins, from the cache or built into
 * it.
 *
 * A build takes minutes on a cold cache: `find…` only looks, `build…` builds and reports progress.
 */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cached, cacheFolder, projectFolder } from "../cache";
import { findOnPath, run, runOk } from "../process";

interface GoProgram {
  readonly name: string;
  readonly module: string;
  readonly command: string;
  /** Linker flags besides `-s -w`. */
  readonly linkFlags: (version: string) => string;
}

const PULUMI: GoProgram = {
  name: "pulumi",
  module: "github.com/pulumi/pulumi/pkg/v3",
  command: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
  linkFlags: (version) => `-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=${version}`,
};
const VERSITYGW: GoProgram = {
  name: "versitygw",
  module: "github.com/versity/versitygw",
  command: "github.com/versity/versitygw/cmd/versitygw",
  linkFlags: () => "",
};

/** The program `versitygw` on PATH or in the cache, or null. */
export async function findVersitygw(): Promise<string | null> {
  return (await findOnPath("versitygw")) ?? inCache(VERSITYGW);
}

/** The pinned `pulumi` in the cache, or null; pulumiCli.ts looks on PATH. */
export function findBuiltPulumi(): string | null {
  return inCache(PULUMI);
}

/**
 * Builds versitygw into the cache if it is missing.
 * @throws Error without Go, or with the end of the compiler's output
 */
export function buildVersitygw(note: (text: string) => void = () => {}): Promise<string> {
  return build(VERSITYGW, note);
}

/**
 * Builds the Pulumi CLI into the cache if it is missing: a quarter of an hour on two cores.
 * @throws like {@link buildVersitygw}
 */
export function buildPulumi(note: (text: string) => void = () => {}): Promise<string> {
  return build(PULUMI, note);
}

/**
 * Builds `tools/sdks` into the cache if it is missing: half a minute after Pulumi's build, which compiles most of it.
 * @throws like {@link buildVersitygw}
 */
export function buildSdkGenerator(note: (text: string) => void = () => {}): Promise<string> {
  const moduleFolder = join(projectFolder(), "tools");
  const key = createHash("sha256")
    .update(readFileSync(join(moduleFolder, "sdks", "main.go")))
    .update(pinnedVersion(PULUMI.module))
    .digest("hex");
  const target = join(cacheFolder(), `sdks-${key.slice(0, 12)}`);
  return buildGoProgram({ name: "sdks", command: "./sdks", linkFlags: "-s -w", moduleFolder, target }, note);
}

/** Version of Go on PATH, or null. */
export async function goVersion(): Promise<string | null> {
  if ((await findOnPath("go")) === null) return null;
  const result = await run("go", ["version"]);
  return /go(\d+\.\d+(?:\.\d+)?)/.exec(result.stdout)?.[1] ?? null;
}

export interface GoModule {
  readonly module: string;
  readonly version: string;
  /** Checksum of the module's zip, as in a go.sum. */
  readonly sum: string;
}

/** The module's folder in Go's own cache. @throws Error without Go, or for other files than the sum says */
export async function fetchGoModule({ module, version, sum }: GoModule): Promise<string> {
  if ((await goVersion()) === null) throw new Error(`${module} cannot be fetched: there is no go on PATH`);
  const result = await run("go", ["mod", "download", "-json", `${module}@${version}`], {
    cwd: tmpdir(),
    env: { GOFLAGS: "", GOWORK: "off" },
  });
  if (!result.stdout.includes("{")) throw new Error(`${module} ${version} cannot be fetched: ${result.stderr.trim()}`);
  const answer = JSON.parse(result.stdout) as { Dir?: string; Sum?: string; Error?: string };
  if (answer.Dir === undefined)
    throw new Error(`${module} ${version} cannot be fetched: ${answer.Error ?? result.stderr.trim()}`);
  if (answer.Sum !== sum)
    throw new Error(`${module} ${version} has the sum ${answer.Sum ?? "(none)"} instead of ${sum}`);
  return answer.Dir;
}

/** The version that a go.mod (of `tools/`, or of a folder in it) requires of a module. */
export function pinnedVersion(module: string, folder = "tools"): string {
  const text = readFileSync(join(projectFolder(), folder, "go.mod"), "utf8");
  const version = text
    .split("\n")
    .map((line) =>
      line
        .trim()
        .replace(/^require /, "")
        .split(" "),
    )
    .find((fields) => fields[0] === module)?.[1];
  if (version === undefined) throw new Error(`${folder}/go.mod does not require ${module}`);
  return version;
}

function inCache(program: GoProgram): string | null {
  const file = join(folderOf(program), program.name);
  return existsSync(file) ? file : null;
}

function folderOf(program: GoProgram): string {
  return join(cacheFolder(), `${program.name}-${pinnedVersion(program.module).replace(/^v/, "")}`);
}

function build(program: GoProgram, note: (text: string) => void): Promise<string> {
  const version = pinnedVersion(program.module);
  const { name, command } = program;
  const linkFlags = `-s -w ${program.linkFlags(version)}`.trim();
  return buildGoProgram(
    { name, command, linkFlags, moduleFolder: join(projectFolder(), "tools"), target: folderOf(program) },
    note,
  );
}

export interface GoBuild {
  readonly name: string;
  /** Folder of the go.mod that pins it. */
  readonly moduleFolder: string;
  /** Import path of the program. */
  readonly command: string;
  readonly linkFlags: string;
  /** Cache entry that holds only the program. */
  readonly target: string;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * Builds a program into the cache if it is missing; returns its path.
 * @throws Error without Go, or with the end of the compiler's output
 */
export async function buildGoProgram(wanted: GoBuild, note: (text: string) => void = () => {}): Promise<string> {
  if ((await goVersion()) === null) throw new Error(`unable to build ${wanted.name}: there is no go on PATH`);
  const folder = await cached(wanted.target, async (scratch) => {
    const file = join(scratch, wanted.name);
    const args = [
      "build",
      "-v",
      "-mod=readonly",
      "-trimpath",
      // Nobody debugs them: a twentieth of the compiler's work.
      "-gcflags=all=-dwarf=false",
      "-ldflags",
      wanted.linkFlags,
      "-o",
      file,
      wanted.command,
    ];
    mkdirSync(scratch, { recursive: true });
    // Lower priority, so that concurrent tests do not time out because of the compiler; not by far, because tests wait
    // for it.
    const nice = await findOnPath("nice");
    const command = nice === null ? ["go", ...args] : [nice, "-n", "5", "go", ...args];
    await runCounted(wanted, command, note);
    chmodSync(file, 0o755);
  });
  return join(folder, wanted.name);
}

/** Runs the build, and notes how many of the program's packages it has compiled. */
async function runCounted(
  wanted: GoBuild,
  [program = "", ...args]: readonly string[],
  note: (text: string) => void,
): Promise<void> {
  const options = {
    cwd: wanted.moduleFolder,
    // The compiler's processes are short: collecting their garbage is a fifth of their work.
    env: { GOFLAGS: "-mod=readonly", GOWORK: "off", GOGC: "400", ...wanted.env },
    timeoutMs: 75 * 60_000,
  };
  const noteDownload = (line: string): void => {
    if (line.startsWith("go: downloading")) note(line.slice(4));
  };
  const packages = await runOk("go", ["list", "-deps", wanted.command], { ...options, onLine: noteDownload });
  // Go's own cache may have some of them already.
  const limit = packages.trim().split("\n").length;
  let compiled = 0;
  await runOk(program, args, {
    ...options,
    onLine: (line) => {
      if (/^[\w./-]+$/.test(line)) note(`${(compiled += 1)} of at most ${limit} packages`);
      noteDownload(line);
    },
  });
}
