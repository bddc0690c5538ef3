/**
 * Programs from Debian's packages without installing them: fetched with our own apt configuration, unpacked into the
 * cache, and pointed to their own libraries. So another suite's programs run on this machine, need no root and change
 * nothing.
 *
 * Every program gets the suite's dynamic loader as interpreter and its library folder as RPATH (the older RPATH,
 * because the newer RUNPATH is not searched for libraries of libraries).
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cached, cacheFolder, sharedCacheFolder, withLock } from "../cache";
import { findOnPath, run, runOk } from "../process";

export interface DebianPrograms {
  /** Name in the cache; the first package's version is appended. */
  readonly entry: string;
  readonly suite: string;
  /** Source packages to take from experimental, which has only few: the rest comes from `suite`, sid. */
  readonly experimental?: readonly string[];
  /** Packages to unpack, with the libraries (and Python) that they need but no other dependencies. */
  readonly packages: readonly string[];
  /** Only these packages, of which nothing runs. */
  readonly alone?: true;
  /** Programs to make runnable here, relative to the tree's root; none for a chroot. */
  readonly programs: readonly string[];
  /** Library folders below the one for this machine's architecture. */
  readonly libraryFolders?: readonly string[];
  /** Files to omit. */
  readonly drop?: readonly string[];
  /** Changes the unpacked tree before it is moved to its final path. */
  readonly finish?: (folder: string) => Promise<void>;
}

/** Why something cannot be had on this machine. */
export type Missing = { readonly missing: string };
export type Unpacked = { readonly folder: string; readonly version: string } | Missing;

/** Dependencies to include: libraries, and Python's interpreter, whose package has its version in its name. */
const NEEDED = /^(lib|zlib1g$|python3\.\d+-minimal$)/;
/** Large libraries that our programs can do without. */
const SKIPPED = /^(libllvm|libz3|libperl|libclang|libsystemd-shared)/;
/** A package's version up to its revision: `18.6`, `19~rc1`. */
const VERSION = /^[\d.]+(~[a-z]+\d+)?$/;
const KEYRINGS = ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];
const LOADERS = [
  "lib64/ld-linux-x86-64.so.2",
  "usr/lib64/ld-linux-x86-64.so.2",
  "lib/ld-linux-aarch64.so.1",
  "usr/lib/ld-linux-aarch64.so.1",
];

/**
 * Path of the one program to make runnable, or what this machine lacks.
 * @param program relative to the root of the tree
 */
export async function debianProgram(
  program: string,
  wanted: Omit<DebianPrograms, "programs">,
): Promise<string | Missing> {
  const unpacked = await unpackDebian({ ...wanted, programs: [program] });
  return "missing" in unpacked ? unpacked : join(unpacked.folder, program);
}

const PYTHON_START = `#!/bin/sh
tree="\${0%/usr/bin/python3}"
libraries="$tree/usr/lib/x86_64-linux-gnu"
PYTHONDONTWRITEBYTECODE=1
export PYTHONDONTWRITEBYTECODE
exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" --argv0 "$0" "$tree"/usr/bin/python3.* "$@"
`;

/**
 * Makes a tree's Python run where other libraries are than its own: on this machine, and in pods. It finds everything
 * by its own place, as its processes do, which start by the name that Python has for itself.
 */
export function makePythonRunnable(tree: string): string {
  const python = join(tree, "usr/bin/python3");
  if (!readdirSync(dirname(python)).some((name) => /^python3\.\d+$/.test(name)))
    throw new Error("the packages have no Python");
  rmSync(python, { force: true });
  writeFileSync(python, PYTHON_START, { mode: 0o755 });
  return python;
}

/**
 * Unpacks programs of a Debian suite into the cache, or says what this machine lacks. Packages come from the machine's
 * own mirror.
 */
export async function unpackDebian(wanted: DebianPrograms): Promise<Unpacked> {
  const present = findEntry(wanted.entry);
  if (present !== null) return present;
  for (const tool of ["apt-get", "apt-cache", "dpkg-deb"])
    if ((await findOnPath(tool)) === null) return { missing: `needs ${tool}, which is not on PATH` };
  const suites = wanted.experimental === undefined ? [wanted.suite] : [wanted.suite, "experimental"];
  const lines: string[] = [];
  for (const suite of suites) {
    const source = await debianSource(suite);
    if ("missing" in source) return source;
    lines.push(source.line);
  }
  try {
    // apt allows one process at a time to use its lists.
    return await withLock(
      join(cacheFolder(), `apt-${suites.at(-1)}.lock`),
      async () => findEntry(wanted.entry) ?? (await fetchEntry(wanted, suites.at(-1) ?? "", lines)),
    );
  } catch (error) {
    return {
      missing: `unable to unpack Debian's ${wanted.packages.join(", ")} (${suites.join(", ")}): ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}

async function fetchEntry(wanted: DebianPrograms, name: string, lines: readonly string[]): Promise<Unpacked> {
  const apt = await prepareApt(name, lines, wanted.experimental ?? []);
  const version = await candidateVersion(apt, wanted.packages[0] ?? "");
  const folder = join(sharedCacheFolder(), `${wanted.entry}-${version}`);
  await cached(folder, (scratch) => unpack(apt, wanted, scratch, folder));
  return { folder, version };
}

/** A `sources.list` line for a suite from this machine's own mirror, or what this machine lacks. */
export async function debianSource(suite: string): Promise<{ readonly line: string } | Missing> {
  const keyring = KEYRINGS.find((file) => existsSync(file));
  if (keyring === undefined)
    return { missing: "needs the keyring of Debian's archive (package debian-archive-keyring)" };
  const mirror = await debianMirror();
  if (mirror === null)
    return { missing: "no mirror of Debian in this machine's apt sources (apt-get update may help)" };
  return { line: `deb [signed-by=${keyring}] ${mirror} ${suite} main` };
}

/** The newest cached version of an entry. */
function findEntry(entry: string): { folder: string; version: string } | null {
  const names = readdirSync(sharedCacheFolder()).filter(
    (name) => name.startsWith(`${entry}-`) && VERSION.test(name.slice(entry.length + 1)),
  );
  // `19~rc1` is older than `19.0`.
  const inOrder = (name: string): string => name.replace("~", " ");
  const newest = names.sort((a, b) => inOrder(a).localeCompare(inOrder(b), "en", { numeric: true })).at(-1);
  return newest === undefined
    ? null
    : { folder: join(sharedCacheFolder(), newest), version: newest.slice(entry.length + 1) };
}

async function debianMirror(): Promise<string | null> {
  const attempts = [
    ["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian", "Label: Debian"],
    ["indextargets", "--no-release-info", "--format", "$(REPO_URI)", "Created-By: Packages"],
  ];
  for (const args of attempts) {
    const result = await run("apt-get", args);
    const uri = result.stdout.split("\n").find((line) => /\/debian\/?$/.test(line.trim()));
    if (uri !== undefined) return uri.trim().replace(/\/$/, "");
  }
  return null;
}

interface PrivateApt {
  readonly configFile: string;
}

/** An apt with its own sources, lists, cache and status. */
async function prepareApt(
  name: string,
  lines: readonly string[],
  experimental: readonly string[],
): Promise<PrivateApt> {
  const folder = join(cacheFolder(), `apt-${name}`);
  for (const path of ["lists/partial", "cache/archives/partial", "trusted.gpg.d"])
    mkdirSync(join(folder, path), { recursive: true });
  writeFileSync(join(folder, "status"), "");
  writeFileSync(join(folder, "sources.list"), lines.map((line) => `${line}\n`).join(""));
  const pins = experimental.map(
    (source) => `Package: src:${source}\nPin: release a=experimental\nPin-Priority: 990\n\n`,
  );
  writeFileSync(join(folder, "preferences"), pins.join(""));
  const settings = {
    "Dir::Etc::SourceList": join(folder, "sources.list"),
    "Dir::Etc::SourceParts": "/dev/null",
    "Dir::Etc::Preferences": join(folder, "preferences"),
    "Dir::Etc::PreferencesParts": "/dev/null",
    "Dir::State": folder,
    "Dir::State::Lists": join(folder, "lists"),
    "Dir::State::Status": join(folder, "status"),
    "Dir::Cache": join(folder, "cache"),
    "Acquire::Languages": "none",
    "Acquire::Retries": "3",
    "APT::Sandbox::User": "",
  };
  const configFile = join(folder, "apt.conf");
  writeFileSync(
    configFile,
    Object.entries(settings)
      .map(([setting, value]) => `${setting} "${value}";\n`)
      .join(""),
  );
  await runOk("apt-get", ["-qq", "-c", configFile, "update"]);
  return { configFile };
}

async function candidateVersion(apt: PrivateApt, packageName: string): Promise<string> {
  const text = await runOk("apt-cache", ["-c", apt.configFile, "policy", packageName]);
  const version = /Candidate: (?:\d+:)?([\d.]+(?:~[a-z]+\d+)?)/.exec(text)?.[1];
  if (version === undefined) throw new Error(`the suite has no package ${packageName}`);
  return version;
}

async function unpack(apt: PrivateApt, wanted: DebianPrograms, scratch: string, finalFolder: string): Promise<void> {
  const archives = join(scratch, "archives");
  await unpackPackages(apt, wanted.alone ? wanted.packages : await closureOf(apt, wanted.packages), archives, scratch);
  if (wanted.programs.length > 0) await pointToLibraries(apt, wanted, scratch, finalFolder);
  for (const path of [archives, ...(wanted.drop ?? []).map((file) => join(scratch, file))])
    rmSync(path, { recursive: true, force: true });
  await wanted.finish?.(scratch);
}

/** Points the programs to the tree's loader and libraries in `finalFolder`. */
async function pointToLibraries(
  apt: PrivateApt,
  wanted: DebianPrograms,
  scratch: string,
  finalFolder: string,
): Promise<void> {
  const toolArchives = join(scratch, "tool-archives");
  const tree = join(scratch, "tool");
  await unpackPackages(apt, await closureOf(apt, ["patchelf"]), toolArchives, tree);
  const patchelf = [join(tree, "usr/bin/patchelf")];
  const toolLoader = LOADERS.map((path) => join(tree, path)).find((path) => existsSync(path));
  if (toolLoader !== undefined) patchelf.unshift(toolLoader, "--library-path", libraryPath(tree));
  const loader = LOADERS.find((path) => existsSync(join(scratch, path)));
  if (loader === undefined) throw new Error("the packages hold no dynamic loader for this machine");
  const rpath = libraryPath(scratch, wanted.libraryFolders).replaceAll(scratch, finalFolder);
  const [command = "", ...args] = patchelf;
  for (const program of wanted.programs) {
    await runOk(command, [
      ...args,
      "--set-interpreter",
      join(finalFolder, loader),
      "--force-rpath",
      "--set-rpath",
      rpath,
      join(scratch, program),
    ]);
  }
  for (const path of [toolArchives, tree]) rmSync(path, { recursive: true, force: true });
}

/** Packages with the libraries that they need. */
async function closureOf(apt: PrivateApt, packages: readonly string[]): Promise<readonly string[]> {
  const listed = await runOk("apt-get", [
    "-qq",
    "-c",
    apt.configFile,
    "install",
    "--no-install-recommends",
    "--print-uris",
    ...packages,
  ]);
  const names = [...listed.matchAll(/^'[^']+' ([^_ ]+)_/gm)].map((match) => match[1] ?? "");
  return names.filter((name) => packages.includes(name) || (NEEDED.test(name) && !SKIPPED.test(name)));
}

async function unpackPackages(
  apt: PrivateApt,
  packages: readonly string[],
  archives: string,
  target: string,
): Promise<void> {
  mkdirSync(archives, { recursive: true });
  mkdirSync(target, { recursive: true });
  await runOk("apt-get", ["-qq", "-c", apt.configFile, "download", ...packages], { cwd: archives });
  for (const file of readdirSync(archives)) await runOk("dpkg-deb", ["-x", join(archives, file), target]);
}

function libraryPath(tree: string, below: readonly string[] = []): string {
  const triple = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  return ["usr/lib", "lib"]
    .flatMap((folder) => ["", ...below].map((name) => join(tree, folder, triple, name)))
    .filter((folder) => existsSync(folder))
    .join(":");
}
