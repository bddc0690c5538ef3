/**
 * The packed archive in a separate project: installed by npm, compiled against its declarations, run on the real
 * engine. Here dynamic providers really load by the package's name. `foreign` has the programs of users.
 */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { projectFolder } from "../../tools/parts/cache";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { packTarball } from "../../tools/parts/build/packTarball";
import { findOnPath, run, runOk } from "../../tools/parts/process";
import { createProgress } from "../../tools/parts/progress";
import { findPulumiCli } from "../../tools/parts/pulumi/pulumiCli";
import { type ProgramFolder, prepareProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { LocalHost } from "../engine/localHost";
import { installLanguageHost } from "../harness/doubles/languageHostDouble";
import { liveBucket } from "../harness/real/liveBucket";
import { engineEnvironment, ProviderDouble } from "../harness/doubles/providerDouble";
import { AWS, KUBERNETES } from "../harness/doubles/providerSchemas";

const STRICT = {
  target: "es2022",
  module: "node16",
  moduleResolution: "node16",
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noImplicitOverride: true,
  noPropertyAccessFromIndexSignature: true,
  isolatedModules: true,
  types: ["node"],
};

const FOREIGN = join(projectFolder(), "test", "package", "foreign");
/** Programs that import `@pulumi/kubernetes`, which is installed after the tests that need none. */
const ON_KUBERNETES = ["attach.ts", "clusters.ts"];
const BUCKET = "acme-backups";

type Versions = Readonly<Record<string, string>>;
interface Project {
  readonly version: string;
  readonly dependencies: Versions;
  readonly devDependencies: Versions;
}

interface ObjectInputs {
  readonly kind: string;
  readonly metadata: { readonly labels?: Versions };
  readonly spec?: Record<string, unknown>;
}

interface Result {
  readonly changes?: Record<string, number>;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly outputs?: Record<string, string>;
  /** Names of the secret ones. */
  readonly secrets?: readonly string[];
  /** URN and identifier of the provider of each resource, by its name. */
  readonly providers?: Record<string, string>;
  readonly error?: string;
}

let folder: string;
let host: LocalHost;
let programFolder: ProgramFolder;
let aws: ProviderDouble;
let kubernetes: ProviderDouble;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "pgb-foreign-"));
  const tarball = await packTarball(createProgress(), folder);
  const own = JSON.parse(readFileSync(join(projectFolder(), "package.json"), "utf8")) as Project;
  const dependencies = { "@pulumi/pulumi": "^3.270.0", pgbackstop: `file:${basename(tarball)}` };
  const devDependencies = {
    typescript: own.devDependencies["typescript"],
    "@types/node": own.devDependencies["@types/node"],
  };
  writeFileSync(
    join(folder, "package.json"),
    JSON.stringify({ name: "acme-platform", private: true, dependencies, devDependencies }),
  );
  await install();
  const programs = readdirSync(FOREIGN).filter((name) => name.endsWith(".ts"));
  for (const name of programs) copyFileSync(join(FOREIGN, name), join(folder, name));
  const files = programs.filter((name) => !ON_KUBERNETES.includes(name));
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: STRICT, files }));

  host = await LocalHost.create();
  const cli = await findPulumiCli();
  if (cli === null) throw new Error("there is no Pulumi CLI: npm test -- --all builds it");
  aws = await ProviderDouble.start(AWS, { live: { "aws:s3/bucket:Bucket": liveBucket(host.s3, "bucket") } });
  kubernetes = await ProviderDouble.start(KUBERNETES);
  const prepared = await prepareProgramFolder(folder, { cli, passphrase: "passphrase of acme", link: false });
  programFolder = { ...prepared, env: { ...prepared.env, ...engineEnvironment([aws, kubernetes]) } };
});
afterAll(async () => {
  aws?.stop();
  kubernetes?.stop();
  await host?.remove();
  rmSync(folder, { recursive: true, force: true });
});

async function install(...packages: string[]): Promise<void> {
  const quiet = ["--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
  await runOk("npm", ["install", ...quiet, ...packages], { cwd: folder });
}

function tsc(): string {
  return join(folder, "node_modules", "typescript", "bin", "tsc");
}

/** Runs a program of `foreign`. */
async function runProgram(program: string, action: string, settings: object = {}): Promise<Result> {
  writeFileSync(join(folder, "settings.json"), JSON.stringify(settings));
  return resultOf(await ensureNode(), [join(folder, "run.js"), action, program], programFolder.env);
}

async function resultOf(command: string, argv: readonly string[], env: ProgramFolder["env"]): Promise<Result> {
  const { stderr, stdout } = await run(command, argv, { cwd: folder, env: { ...env }, timeoutMs: 300_000 });
  const line = stdout.trim().split("\n").at(-1) ?? "";
  if (!line.startsWith("{")) throw new Error(`the program printed no result: ${stdout}${stderr}`);
  return JSON.parse(line) as Result;
}

function pulumi(action: string, protect: boolean | null): Promise<Result> {
  const { bucket, dataDirectory, host: machine } = host.settings();
  const { accessKeyId, secretAccessKey, ...location } = bucket;
  return runProgram("platform", action, {
    share: host.nasPath,
    bucket: { ...location, name: BUCKET },
    accessKeyId,
    secretAccessKey,
    dataDirectory,
    host: machine,
    protect,
  });
}

test("the package installs one copy of everything, and no more than it states", async () => {
  const files = (
    await runOk("tar", [
      "-tzf",
      join(
        folder,
        basename(JSON.parse(readFileSync(join(folder, "package.json"), "utf8")).dependencies.pgbackstop.slice(5)),
      ),
    ])
  )
    .trim()
    .split("\n");
  expect(files).toContain("package/dist/runtime.cjs");
  expect(files).toContain("package/dist/components/dynamic/host.js");
  for (const name of ["schema", "topology.schema", "topology-diff.schema"])
    expect(files).toContain(`package/dist/${name}.json`);
  for (const name of ["docs/troubleshooting.md", "actions/topology/action.yml", "templates/topology.yml"])
    expect(files).toContain(`package/${name}`);
  expect(
    files.filter(
      (file) =>
        !/^package\/(dist\/|plugin\/|actions\/|templates\/|package\.json$|Dockerfile$|LICENSE$|README\.md$|CHANGELOG\.md$|docs\/troubleshooting\.md$)/.test(
          file,
        ),
    ),
  ).toEqual([]);
  expect(existsSync(join(folder, "node_modules", "pgbackstop", "node_modules"))).toBe(false);
});

test("a strict project compiles against its declarations, and mistakes are compile errors", async () => {
  const compiled = await run(process.execPath, [tsc(), "-p", "."], { cwd: folder });
  expect(compiled.stdout).toBe("");
  expect(compiled.exitCode).toBe(0);
  writeFileSync(
    join(folder, "wrong.ts"),
    'import { PosixRepository } from "pgbackstop";\nnew PosixRepository("x", { pth: "/mnt" });\n',
  );
  const wrong = await run(
    process.execPath,
    [tsc(), "--noEmit", "--ignoreConfig", "--module", "node16", "--strict", "--types", "node", "wrong.ts"],
    {
      cwd: folder,
    },
  );
  expect(wrong.stdout).toContain("'pth' does not exist in type 'PosixRepositoryArgs'");
});

test("without the optional package of Kubernetes, its objects name the command that installs it", async () => {
  const script = `const pulumi = require("@pulumi/pulumi"); const { CnpgPlugin } = require("pgbackstop");
    const mocks = { call: () => ({}), newResource: ({ name, inputs }) => ({ id: name, state: inputs }) };
    pulumi.runtime.setMocks(mocks).then(() => new CnpgPlugin("plugin")).catch(({ message }) => console.log(message));`;
  const { stdout } = await run(await ensureNode(), ["-e", script], { cwd: folder });
  expect(stdout).toMatch(
    /needs the package @pulumi\/kubernetes, which is not installed: npm install @pulumi\/kubernetes@\^4$/m,
  );
});

test("each example compiles with the package, under its own strict settings, and names what it needs", async () => {
  const source = join(projectFolder(), "examples");
  const names = readdirSync(source).filter((name) => existsSync(join(source, name, "package.json")));
  const own = JSON.parse(readFileSync(join(projectFolder(), "package.json"), "utf8")) as Project;
  const versions: Versions = { ...own.devDependencies, ...own.dependencies, pgbackstop: own.version };
  await install(...["@pulumi/hcloud", "@pulumi/tls"].map((name) => `${name}@${versions[name] ?? ""}`));
  for (const name of names) {
    cpSync(join(source, name), join(folder, "examples", name), { recursive: true });
    const read = (file: string): string => readFileSync(join(source, name, file), "utf8");
    const { dependencies, devDependencies } = JSON.parse(read("package.json")) as Project;
    for (const [wanted, version] of Object.entries({ ...dependencies, ...devDependencies }))
      expect(`${name}: ${wanted} ${version}`).toBe(`${name}: ${wanted} ^${versions[wanted] ?? ""}`);
    const programs = readdirSync(join(source, name)).filter((file) => file.endsWith(".ts"));
    const imported = programs.flatMap((file) => read(file).match(/(?<=from ")[^."][^"]*(?=")/g) ?? []);
    expect(Object.keys(dependencies), name).toEqual(expect.arrayContaining(imported));
    // One set of settings compiles all of them at once.
    expect(read("tsconfig.json"), name).toBe(readFileSync(join(source, names[0] ?? "", "tsconfig.json"), "utf8"));
  }
  expect(names.length).toBeGreaterThan(8);
  const settings = { extends: `./examples/${names[0] ?? ""}/tsconfig.json`, include: ["examples/*/*.ts"] };
  writeFileSync(join(folder, "tsconfig.examples.json"), JSON.stringify(settings));
  const compiled = await run(process.execPath, [tsc(), "-p", "tsconfig.examples.json"], { cwd: folder });
  expect(compiled.stdout).toBe("");
});

test("a preview shows known values and marks the others", async () => {
  const { changes, stdout, stderr, error } = await pulumi("preview", null);
  expect(error).toBeUndefined();
  expect(changes).toEqual({ create: 12 });
  // Only the share's path is unknown. The rest of the topology is known.
  expect(stdout).toMatch(/location\s*: \[?(output<string>|unknown)/);
  expect(stdout).toMatch(/location\s*: "s3:\/\/acme-backups\/pgbackrest"/);
  for (const code of ["PB006 repositories.repo2", "PB012 schedules", "PB021 acknowledge.mode"])
    expect(stderr).toContain(code);
});

test("up and destroy work there; the passphrase is protected until the program says otherwise", async () => {
  const made = await pulumi("up", null);
  expect(made.error).toBeUndefined();
  expect(made.changes).toEqual({ create: 12 });
  expect(made.outputs?.["firstBackup"]).toBe("taken");
  expect(JSON.parse(made.outputs?.["topology"] ?? "")).toMatchObject({
    repositories: [{ location: host.nasPath, encrypted: true }, { encrypted: true }],
  });
  expect((await pulumi("up", null)).changes).toEqual({ same: 12 });

  const credentials = host.path("etc", "conf.d", "repo1-credentials.conf");
  const before = readFileSync(credentials, "utf8");
  expect(before).toContain("repo1-cipher-pass=");
  expect((await pulumi("destroy", null)).error).toContain("protected");
  expect((await pulumi("up", false)).error).toBeUndefined();
  expect(readFileSync(credentials, "utf8")).toBe(before);
  const gone = await pulumi("destroy", false);
  expect(gone.error).toBeUndefined();
  expect(gone.changes).toEqual({ delete: 12 });
  expect(aws.only("aws:s3/bucket:Bucket")).toMatchObject({ id: BUCKET, inputs: { tags: { team: "platform" } } });
  expect(aws.configurations).toContainEqual(expect.objectContaining({ region: host.s3.region }));
  expect(existsSync(host.path("etc"))).toBe(false);
  expect(existsSync(join(host.nasPath, "backup", "main", "backup.info"))).toBe(true);
  expect(dirname(host.nasPath)).toBe(host.folder);
});

test("transforms reach a component's children, and a provider given to it makes all of them", async () => {
  await install("@pulumi/kubernetes@^4.0.0");
  writeFileSync(
    join(folder, "tsconfig.kubernetes.json"),
    JSON.stringify({ compilerOptions: STRICT, files: ON_KUBERNETES }),
  );
  expect((await run(process.execPath, [tsc(), "-p", "tsconfig.kubernetes.json"], { cwd: folder })).stdout).toBe("");
  const made = await runProgram("clusters", "up");
  expect(made.error).toBeUndefined();
  expect(kubernetes.configurations).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ context: "east" }),
      expect.objectContaining({ context: "west" }),
    ]),
  );
  const objects = kubernetes.all().map(({ id, inputs }) => ({ ...(inputs as Partial<ObjectInputs>), id }));
  const [orders, ledger] = ["orders", "ledger"].map((name) => objects.filter(({ id }) => id.includes(name)));
  expect(orders?.length).toBeGreaterThan(12);
  expect(ledger?.length).toBe(orders?.length);
  expect(orders?.filter(({ metadata }) => metadata?.labels?.["owner"] !== "platform")).toEqual([]);
  expect(ledger?.filter(({ metadata }) => metadata?.labels?.["owner"] !== undefined)).toEqual([]);
  const priorityOf = (of: typeof objects = []): unknown =>
    of.find(({ kind }) => kind === "Cluster")?.spec?.["priorityClassName"];
  expect([priorityOf(orders), priorityOf(ledger)]).toEqual(["databases", undefined]);

  const providers = Object.entries(made.providers ?? {}).filter(([, urn]) => urn.includes(":kubernetes::"));
  expect(providers.length).toBe(objects.length);
  for (const [name, urn] of providers) expect([name, urn]).toEqual([name, expect.stringContaining(providerOf(name))]);

  expect((await runProgram("clusters", "up")).changes).toEqual({ same: made.changes?.["create"] });
  expect((await runProgram("clusters", "destroy")).error).toBeUndefined();
  // A patch goes with the object that it is about.
  expect(kubernetes.all().filter(({ type }) => !type.endsWith("Patch"))).toEqual([]);
});

const providerOf = (name: string): string => (name.startsWith("orders") ? "::east::" : "::west::");

test("backups attach to a Cluster that the same program makes, with a name of the provider", async () => {
  const preview = await runProgram("attach", "preview");
  expect(preview.error).toBeUndefined();
  const made = await runProgram("attach", "up");
  expect(made.error).toBeUndefined();
  expect(made.outputs?.["made"]).toMatch(/^shop-[0-9a-f]+$/);
  expect(made.outputs?.["attached"]).toBe(made.outputs?.["made"]);
  expect(kubernetes.only("kubernetes:postgresql.cnpg.io/v1:ClusterPatch").inputs).toMatchObject({
    metadata: { name: made.outputs?.["made"], namespace: "shop" },
  });
  expect((await runProgram("attach", "up")).changes).toEqual({ same: made.changes?.["create"] });
  expect((await runProgram("attach", "destroy")).error).toBeUndefined();
});

test("a database takes its repository out of another stack, and nothing of one that does not exist", async () => {
  const { dataDirectory, host: machine } = host.settings();
  const settings = { share: host.path("shared"), dataDirectory, host: machine };
  const before = existsSync(host.path("etc"));
  expect((await runProgram("tenant", "preview", settings)).error).toContain('unknown stack "organization/network/dev"');
  const network = await runProgram("network", "up", settings);
  expect(network.secrets).toContain("passphrase");
  const made = await runProgram("tenant", "up", settings);
  expect(made.error).toBeUndefined();
  expect(made.outputs?.["firstBackup"]).toBe("taken");
  for (const stack of ["network", "tenant"]) {
    const state = readFileSync(join(folder, "state", ".pulumi", "stacks", stack, "dev.json"), "utf8");
    expect(state).toContain(host.path("shared"));
    expect(state).not.toContain(network.outputs?.["passphrase"] ?? "no passphrase");
  }
  expect(JSON.parse(made.outputs?.["topology"] ?? "")).toMatchObject({
    repositories: [{ location: host.path("shared"), encrypted: true }],
  });
  expect((await runProgram("tenant", "up", settings)).changes).toEqual({ same: made.changes?.["create"] });
  expect((await runProgram("tenant", "destroy", settings)).error).toBeUndefined();
  expect((await runProgram("network", "destroy", settings)).error).toBeUndefined();
  expect(existsSync(host.path("etc"))).toBe(before);
  expect(existsSync(join(host.path("shared"), "backup", "main", "backup.info"))).toBe(true);
});

test("a program in Python makes the same with the plugin, and sees its errors", async (context) => {
  const isPython = ["python3", "-c", "import ensurepip, venv"];
  if ((await findOnPath("python3")) === null || (await run("env", isPython)).exitCode !== 0)
    return context.skip("there is no python3 with its packages venv and ensurepip");
  const [location, language] = [join(folder, "python"), join(folder, "node_modules", ".language")];
  mkdirSync(location);
  copyFileSync(join(FOREIGN, "ledger.py"), join(location, "ledger.py"));
  writeFileSync(
    join(location, "Pulumi.yaml"),
    "name: ledger\nruntime: python\npackages:\n  pgbackstop: ../node_modules/pgbackstop/plugin\n",
  );
  await runOk("python3", ["-m", "venv", join(location, "venv")]);
  await runOk(join(location, "venv", "bin", "pip"), ["install", "--quiet", "pulumi>=3.250,<4"]);
  if ((await findPulumiCli())?.hasLanguageHost !== true) await installLanguageHost(language, host.nodePath);
  const env = { ...programFolder.env, PATH: [language, programFolder.env["PATH"]].join(delimiter) };
  const python = (action: string, keepDays: number): Promise<Result> => {
    const { dataDirectory, host: machine } = host.settings();
    const settings = { share: host.path("python"), dataDirectory, host: machine, keepDays };
    writeFileSync(join(folder, "settings.json"), JSON.stringify(settings));
    return resultOf(join(location, "venv", "bin", "python"), [join(location, "ledger.py"), action], env);
  };
  expect((await python("preview", 7)).stdout).toContain("ledger: this preview does not know repositories.repo1.at yet");
  const made = await python("up", 7);
  expect(made.error).toBeUndefined();
  expect(made.outputs?.["firstBackup"]).toBe("taken");
  expect(made.secrets).toEqual(["target"]);
  expect((await python("up", 7)).changes).toEqual({ same: made.changes?.["create"] });
  expect((await python("preview", 0)).error).toContain("repositories.repo1.keepDays");
});
