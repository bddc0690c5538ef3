/**
 * The packed archive in a separate project: installed by npm, compiled against its declarations, run on the real
 * engine. Here dynamic providers really load by the package's name.
 */
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { projectFolder } from "../../tools/parts/cache";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { packTarball } from "../../tools/parts/build/packTarball";
import { run, runOk } from "../../tools/parts/process";
import { createProgress } from "../../tools/parts/progress";
import { findPulumiCli } from "../../tools/parts/pulumi/pulumiCli";
import { type ProgramFolder, prepareProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { LocalHost } from "../engine/localHost";
import { liveBucket } from "../harness/real/liveBucket";
import { engineEnvironment, ProviderDouble } from "../harness/doubles/providerDouble";
import { AWS } from "../harness/doubles/providerSchemas";

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

const BUCKET = "acme-backups";

type Versions = Readonly<Record<string, string>>;
interface Project {
  readonly version: string;
  readonly dependencies: Versions;
  readonly devDependencies: Versions;
}

interface Result {
  readonly changes?: Record<string, number>;
  readonly stdout?: string;
  readonly stderr?: string;
  readonly outputs?: Record<string, string>;
  readonly error?: string;
}

let folder: string;
let host: LocalHost;
let programFolder: ProgramFolder;
let aws: ProviderDouble;

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
  await runOk("npm", ["install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"], { cwd: folder });
  for (const name of ["program.ts", "run.ts"])
    copyFileSync(join(projectFolder(), "test", "package", "foreign", name), join(folder, name));
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions: STRICT, files: ["run.ts"] }));

  host = await LocalHost.create();
  const cli = await findPulumiCli();
  if (cli === null) throw new Error("there is no Pulumi CLI: npm test -- --all builds it");
  aws = await ProviderDouble.start(AWS, { live: { "aws:s3/bucket:Bucket": liveBucket(host.s3, "bucket") } });
  const prepared = await prepareProgramFolder(folder, { cli, passphrase: "passphrase of acme", link: false });
  programFolder = { ...prepared, env: { ...prepared.env, ...engineEnvironment([aws]) } };
});
afterAll(async () => {
  aws?.stop();
  await host?.remove();
  rmSync(folder, { recursive: true, force: true });
});

function tsc(): string {
  return join(folder, "node_modules", "typescript", "bin", "tsc");
}

async function pulumi(action: string, protect: boolean | null): Promise<Result> {
  const { bucket, dataDirectory, host: machine } = host.settings();
  const { accessKeyId, secretAccessKey, ...location } = bucket;
  writeFileSync(
    join(folder, "settings.json"),
    JSON.stringify({
      share: host.nasPath,
      bucket: { ...location, name: BUCKET },
      accessKeyId,
      secretAccessKey,
      dataDirectory,
      host: machine,
      protect,
    }),
  );
  const { stdout } = await run(await ensureNode(), [join(folder, "run.js"), action], {
    cwd: folder,
    env: { ...programFolder.env },
    timeoutMs: 300_000,
  });
  return JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}") as Result;
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
  expect(files).toContain("package/docs/troubleshooting.md");
  expect(
    files.filter(
      (file) =>
        !/^package\/(dist\/|plugin\/|package\.json$|LICENSE$|README\.md$|CHANGELOG\.md$|docs\/troubleshooting\.md$)/.test(
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
  expect(names.length).toBeGreaterThan(7);
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
