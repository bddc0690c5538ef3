/**
 * SDKs of the packed package, and a program with each on the real engine. Pulumi's CLI and generators write them; its
 * language hosts, which are in no registry, have a double (languageHostDouble.ts). Programs run themselves.
 */
import { copyFileSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { projectFolder } from "../../tools/parts/cache";
import { buildSdkGenerator } from "../../tools/parts/kubernetes/goTools";
import { findOnPath, run, runOk } from "../../tools/parts/process";
import { LocalHost } from "../engine/localHost";
import { installLanguageHost } from "../harness/doubles/languageHostDouble";
import { FORGE, GitServer } from "../harness/real/gitServer";
import { FOREIGN, ForeignProject, type Result, type Versions } from "./foreignProject";

/** As in the build of Pulumi, so that both share compiled packages. */
const GO_BUILD = ["build", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags=-s -w"];

let project: ForeignProject;
let env: Versions;
/** Without Node.js packages in it or above it. */
let alone: string;

beforeAll(async () => {
  project = await ForeignProject.create();
  const own = await project.useEngine({});
  const language = join(project.folder, "node_modules", ".language");
  await installLanguageHost(language, "node", await buildSdkGenerator());
  env = { ...own, PATH: [language, own["PATH"]].join(delimiter) };
  alone = mkdtempSync(join(tmpdir(), "pgb-alone-"));
});
afterAll(() => {
  project?.remove();
  rmSync(alone, { recursive: true, force: true });
});

async function pulumi(cwd: string, more: Versions, ...args: readonly string[]): Promise<string> {
  return runOk(join(project.folder, "cli", "bin", "pulumi"), args, { cwd, env: { ...env, ...more } });
}

function generate(language: string): Promise<string> {
  const plugin = "./node_modules/pgbackstop/plugin";
  return pulumi(project.folder, {}, "package", "gen-sdk", plugin, "--language", language, "--out", "sdk");
}

/** A folder for a program, whose Pulumi.yaml names the plugin. */
function programFolder(language: string): string {
  const folder = join(project.folder, language);
  mkdirSync(folder);
  const packages = "packages:\n  pgbackstop: ../node_modules/pgbackstop/plugin\n";
  writeFileSync(join(folder, "Pulumi.yaml"), `name: ledger\nruntime: ${language}\n${packages}`);
  return folder;
}

/** @returns the interpreter of an environment with Pulumi's SDK and ours */
async function makePython(folder: string, sdk: string): Promise<string> {
  await runOk("python3", ["-m", "venv", join(folder, "venv")]);
  await runOk(join(folder, "venv", "bin", "pip"), ["install", "--quiet", "pulumi>=3.250,<4", sdk]);
  return join(folder, "venv", "bin", "python");
}

async function hasPython(): Promise<boolean> {
  const imports = ["-c", "import ensurepip, venv"];
  return (await findOnPath("python3")) !== null && (await run("python3", imports)).exitCode === 0;
}

/** A host with a program's backups, and the errors of a wrong program. */
async function expectLedger(command: readonly string[]): Promise<void> {
  const host = await LocalHost.create();
  const ledger = (action: string, keepDays: number): Promise<Result> => {
    const { dataDirectory, host: machine } = host.settings();
    const settings = { share: host.path("share"), dataDirectory, host: machine, keepDays };
    writeFileSync(join(project.folder, "settings.json"), JSON.stringify(settings));
    return project.resultOf(command[0] ?? "", [...command.slice(1), action], env);
  };
  try {
    const preview = await ledger("preview", 7);
    expect(preview.error).toBeUndefined();
    expect(preview.stdout).toContain("ledger: this preview does not know repositories.repo1.at yet");
    const made = await ledger("up", 7);
    expect(made.error).toBeUndefined();
    expect(made.outputs?.["firstBackup"]).toBe("taken");
    expect(made.secrets).toEqual(["target"]);
    expect((await ledger("up", 7)).changes).toEqual({ same: made.changes?.["create"] });
    expect((await ledger("preview", 0)).error).toContain("repositories.repo1.keepDays");
  } finally {
    await host.remove();
  }
}

// claim: docs/languages.md: SDKs of the packed package for Python and Go, and a program with each
test("a program in Python with the generated SDK makes the same, and sees the plugin's errors", async (context) => {
  if (!(await hasPython())) return context.skip("there is no python3 with its packages venv and ensurepip");
  await generate("python");
  const folder = programFolder("python");
  copyFileSync(join(FOREIGN, "ledger.py"), join(folder, "ledger.py"));
  const python = await makePython(folder, join(project.folder, "sdk", "python"));
  await expectLedger([python, join(folder, "ledger.py")]);
});

// claim: docs/languages.md: SDKs of the packed package…
test("a program in Go with the generated SDK makes the same, and sees the plugin's errors", async (context) => {
  if ((await findOnPath("go")) === null) return context.skip("there is no go");
  await generate("go");
  const folder = programFolder("go");
  cpSync(join(project.folder, "sdk", "go"), folder, { recursive: true });
  copyFileSync(join(FOREIGN, "ledger.go"), join(folder, "main.go"));
  // The versions of the CLI's build. A schema without an address on the web has this one in Go.
  const tools = join(projectFolder(), "tools");
  const versions = readFileSync(join(tools, "go.mod"), "utf8");
  writeFileSync(join(folder, "go.mod"), versions.replace(/^module .*/m, "module example.com/pulumi-pgbackstop/sdk/go"));
  copyFileSync(join(tools, "go.sum"), join(folder, "go.sum"));
  const goEnv = { GOFLAGS: "-mod=mod", GOWORK: "off", GOGC: "400" };
  await runOk("go", [...GO_BUILD, "-o", "ledger", "."], { cwd: folder, env: goEnv, timeoutMs: 900_000 });
  await expectLedger([join(folder, "ledger")]);
});

// claim: docs/languages.md: a tag of a git repository is enough for a passphrase (a double of Pulumi's language hosts)
test("a package added from a tag of a git repository needs no Node.js packages for a passphrase", async (context) => {
  if (!(await hasPython())) return context.skip("there is no python3 with its packages venv and ensurepip");
  const [source, forge] = [join(alone, "source"), join(alone, "forge")];
  cpSync(join(projectFolder(), "pulumi"), join(source, "pulumi"), { recursive: true });
  const manifest = join(source, "pulumi", "package.json");
  // Not published yet.
  const released = readFileSync(manifest, "utf8").replace(/("pgbackstop": )"[\d.]+"/, `$1"file:${project.tarball}"`);
  expect(released).toContain(project.tarball);
  writeFileSync(manifest, released);
  const git = (...args: readonly string[]): Promise<string> => {
    const author = ["-c", "user.name=acme", "-c", "user.email=acme@example.test"];
    return runOk("git", ["-C", source, ...author, ...args]);
  };
  await git("init", "--quiet", "--initial-branch=main");
  await git("add", ".");
  await git("commit", "--quiet", "--message=Release");
  await git("tag", "v0.1.0");
  await git("clone", "--quiet", "--bare", ".", join(forge, "acme", "pgbackstop.git"));
  const server = await GitServer.start(forge);
  const ownState = { ...server.env, PULUMI_BACKEND_URL: `file://${alone}` };
  try {
    const folder = join(alone, "program");
    mkdirSync(folder);
    writeFileSync(join(folder, "Pulumi.yaml"), "name: ledger\nruntime: python\n");
    await pulumi(folder, ownState, "package", "add", `https://${FORGE}/acme/pgbackstop.git/pulumi@0.1.0`);
    expect(readFileSync(join(folder, "Pulumi.yaml"), "utf8")).toContain(
      `pgbackstop: ${FORGE}/acme/pgbackstop.git/pulumi@0.1.0`,
    );
    const python = await makePython(folder, join(folder, "sdks", "acme-pgbackstop"));
    const text = readFileSync(join(FOREIGN, "ledger.py"), "utf8");
    writeFileSync(join(folder, "ledger.py"), text.replace("import pulumi_pgbackstop", "import acme_pgbackstop"));
    writeFileSync(join(alone, "settings.json"), JSON.stringify({ share: "/srv/nas" }));
    const made = await project.resultOf(python, [join(folder, "ledger.py"), "up"], { ...env, ...ownState });
    expect(made.error).toBeUndefined();
    expect(made.changes).toEqual({ create: 4 });
    expect(made.secrets).toEqual(["target"]);
  } finally {
    server.stop();
  }
});
