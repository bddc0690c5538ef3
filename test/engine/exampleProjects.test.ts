/**
 * Each project of examples/ as a user has it: with the packed package and what its own package.json names, configured
 * by the README's commands, previewed by the CLI. The README shows Pulumi.yaml's settings and that preview. If one is
 * stale, this writes it:
 *
 *     npx vitest run --project=engine test/engine/exampleProjects.test.ts -u
 */
// claim: examples/README.md: READMEs: their commands work, and the preview that they show is the real one
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { projectFolder } from "../../tools/parts/cache";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { packTarballs } from "../../tools/parts/build/packTarball";
import { run } from "../../tools/parts/process";
import { createProgress } from "../../tools/parts/progress";
import { findPulumiCli } from "../../tools/parts/pulumi/pulumiCli";
import type { ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { installPackages, prepareProgramFolder } from "../harness/programFolder";
import { installLanguageHost } from "../harness/doubles/languageHostDouble";
import { engineEnvironment, ProviderDouble } from "../harness/doubles/providerDouble";
import { HCLOUD, KUBERNETES, TLS } from "../harness/doubles/providerSchemas";

const EXAMPLES = join(projectFolder(), "examples");
const PROJECTS = readdirSync(EXAMPLES).filter((name) => existsSync(join(EXAMPLES, name, "Pulumi.yaml")));
/** What the commands read: answers to prompts for secrets, and files beside the program and in the home folder. */
const SECRET = "never-to-be-seen-0123456789";
const FILES = { "ca.pem": "-----BEGIN CERTIFICATE-----\n", ".ssh/id_ed25519": SECRET };

const CLUSTER = "kubernetes:postgresql.cnpg.io/v1:Cluster";

interface Packages {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

interface ProjectFile {
  readonly config: Readonly<
    Record<string, { readonly description: string; readonly default?: string | number | boolean }>
  >;
}

const { load } = createRequire(__filename)("js-yaml") as { load(text: string): ProjectFile };

let programFolder: ProgramFolder;
/** Of the projects, with nothing of this project above it. */
let userFolder: string;
let tarball: string;
let providers: ProviderDouble[] = [];

beforeAll(async () => {
  const cli = await findPulumiCli();
  if (cli === null) throw new Error("there is no Pulumi CLI: npm test -- --all builds it");
  providers = await Promise.all([HCLOUD, KUBERNETES, TLS].map((schema) => ProviderDouble.start(schema)));
  programFolder = await prepareProgramFolder(mkdtempSync(join(tmpdir(), "pgb-projects-")), {
    cli,
    passphrase: "only for this test",
  });
  userFolder = mkdtempSync(join(tmpdir(), "pgb-user-"));
  ({ pgbackstop: tarball } = await packTarballs(createProgress(), userFolder));
  if (!cli.hasLanguageHost) await installLanguageHost(join(programFolder.folder, "language"), await ensureNode());
});
afterAll(() => {
  for (const provider of providers) provider.stop();
  for (const folder of [programFolder?.folder, userFolder]) rmSync(folder ?? "", { recursive: true, force: true });
});

/** Runs a line of a README in the copied project; `input` answers a prompt. @throws when it fails */
async function shell(cwd: string, line: string, input?: string): Promise<string> {
  const { env, folder } = programFolder;
  const { exitCode, stderr, stdout } = await run("/bin/sh", ["-c", line], {
    cwd,
    env: {
      ...env,
      ...engineEnvironment(providers),
      PATH: [join(folder, "language"), join(folder, "cli", "bin"), env["PATH"]].join(delimiter),
      HOME: cwd,
      // test/package/package.test.ts compiles the programs.
      PULUMI_NODEJS_TRANSPILE_ONLY: "true",
    },
    ...(input === undefined ? {} : { input }),
  });
  expect(exitCode, `${line}\n${stdout}${stderr}`).toBe(0);
  return stdout;
}

const PREVIEW = "pulumi preview --non-interactive --color=never --suppress-permalink=true";

/** Copies a project, installs what it names, and configures it as its README says. Returns its folder. */
async function prepare(project: string, readme: string): Promise<string> {
  const folder = join(await installed(project), project);
  cpSync(join(EXAMPLES, project), folder, { recursive: true });
  for (const [path, text] of Object.entries(FILES)) {
    mkdirSync(join(folder, path, ".."), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const [commands = ""] = readme.match(/(?<=^```sh\n)[^]*?(?=^```)/m) ?? [];
  const own = commands.split("\n").filter((line) => /^pulumi (stack init|config set) /.test(line));
  for (const line of own)
    await shell(folder, line, line.includes(" --secret ") && !line.includes("<") ? SECRET : undefined);
  return folder;
}

/** A folder with the packages of a project. Projects that name the same ones share it. */
async function installed(project: string): Promise<string> {
  const named = JSON.parse(readFileSync(join(EXAMPLES, project, "package.json"), "utf8")) as Packages;
  // A newer version of a provider's package would ask for a newer provider than its double is.
  const versions = Object.keys(named.dependencies).map((name) => [name, versionOf(name)]);
  const dependencies = { ...Object.fromEntries(versions), pgbackstop: `file:${tarball}` } as Packages["dependencies"];
  const folder = join(userFolder, Object.keys(dependencies).join(" ").replaceAll("/", "-"));
  if (existsSync(folder)) return folder;
  mkdirSync(folder);
  const { devDependencies } = named;
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, dependencies, devDependencies }));
  await installPackages(folder);
  return folder;
}

/** As this project has it. */
function versionOf(name: string): string {
  const file = join(projectFolder(), "node_modules", name, "package.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as { readonly version: string }).version : "*";
}

test.each(PROJECTS)(
  "%s: its README's commands work, and it shows the settings and the real preview",
  async (project) => {
    const path = join(EXAMPLES, project, "README.md");
    const readme = readFileSync(path, "utf8");
    const folder = await prepare(project, readme);
    if (project === "cnpg-attach") {
      // After this failure the engine waits for the passphrase's hook, and no longer answers it.
      expect(await shell(folder, `${PREVIEW} && exit 1 || exit 0`)).toContain("resource 'db/legacy' does not exist");
      const cluster = { metadata: { name: "legacy", namespace: "db" }, spec: { instances: 2 } };
      const [, kubernetes] = providers;
      kubernetes?.changeByHand({ type: CLUSTER, id: "db/legacy", inputs: cluster, outputs: cluster }, {});
    }
    const printed = await shell(folder, PREVIEW);
    expect(printed).not.toContain(SECRET);
    const { config } = load(readFileSync(join(EXAMPLES, project, "Pulumi.yaml"), "utf8"));
    const settings = Object.entries(config).map(
      ([name, { default: fallback, description }]) =>
        `| \`${name}\` | ${description} | ${fallback === undefined || fallback === "" ? "" : `\`${String(fallback)}\``} |\n`,
    );
    const written = replace(
      replace(readme, "Settings", `| setting | meaning | default |\n| --- | --- | --- |\n${settings.join("")}`),
      "Preview",
      `\`\`\`\n${steady(printed)}\`\`\`\n`,
    );
    await expect(written).toMatchFileSnapshot(path);
  },
);

/**
 * What the CLI printed, without what differs from run to run or machine to machine: progress, the order of resources,
 * and where the language host is. JSON and YAML among the outputs are cut, because they are long.
 */
function steady(printed: string): string {
  const [progress = "", rest = ""] = printed.split(/^Diagnostics:\n/m);
  const [diagnostics = "", outputs = ""] = rest.split(/^(?=Outputs:\n)/m);
  const [title = ""] = progress.split("\n");
  const rows = progress.match(/(?<=^ \+ {2})\S+ \S+ create/gm) ?? [];
  const isStack = (row: string): boolean => row.startsWith("pulumi:pulumi:Stack ");
  // The name first, then the type.
  const keyOf = (row: string): string => (isStack(row) ? "" : row.split(" ").slice(0, 2).reverse().join(" "));
  const resources = [...new Set(rows)].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)).map((row) => ` +  ${row}\n`);
  const messages = diagnostics
    .replace(/^ +warning: using \S+ from \$PATH at .*\n/gm, "")
    .split(/\n\n/)
    .filter((section) => section.trim().includes("\n"))
    .sort()
    .map((section) => `${section}\n`);
  const values = outputs.replace(/(\((?:json|yaml)\) )\{\n[^]*?^ {4}\}\n(\n?)\n*/gm, "$1{…}\n$2").trimEnd();
  return [
    `${title}\n${resources.join("")}`,
    ...(messages.length === 0 ? [] : [`Diagnostics:\n${messages.join("\n")}`]),
    `${values}\n`,
  ].join("\n");
}

/** A document with another text below one of its headings, up to the next one. */
function replace(document: string, heading: string, text: string): string {
  const [start, ...rest] = document.split(`## ${heading}\n`);
  const end = rest.join("").indexOf("\n## ");
  if (start === undefined || end < 0) throw new Error(`the README has no heading "${heading}" before its last one`);
  return `${start}## ${heading}\n\n${text}${rest.join("").slice(end)}`;
}
