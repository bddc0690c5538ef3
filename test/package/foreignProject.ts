/** A user's project: the packed archive, installed by npm, and the programs of `foreign`. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { transformSync } from "esbuild";
import { projectFolder } from "../../tools/parts/cache";
import { ensureNode } from "../../tools/parts/nodeBinary";
import { given } from "../../runtime/base/given";
import { packTarballs } from "../../tools/parts/build/packTarball";
import { run, type RunResult } from "../../tools/parts/process";
import { createProgress } from "../../tools/parts/progress";
import { findPulumiCli } from "../../tools/parts/pulumi/pulumiCli";
import { installPackages, prepareProgramFolder } from "../harness/programFolder";

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

export const FOREIGN = join(projectFolder(), "test", "package", "foreign");

export type Versions = Readonly<Record<string, string>>;
export interface Project {
  readonly version: string;
  readonly dependencies: Versions;
  readonly devDependencies: Versions;
}

export interface Result {
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

export const OWN = JSON.parse(readFileSync(join(projectFolder(), "package.json"), "utf8")) as Project;

export class ForeignProject {
  readonly folder: string;
  readonly tarball: string;
  /** Of the package that builds on it. */
  readonly migrationTarball: string;
  #env: Versions = {};

  private constructor(folder: string, tarball: string, migrationTarball: string) {
    this.folder = folder;
    this.tarball = tarball;
    this.migrationTarball = migrationTarball;
  }

  /** Packs both packages, and installs this one. @param npmOptions for that install alone */
  static async create(...npmOptions: string[]): Promise<ForeignProject> {
    const folder = mkdtempSync(join(tmpdir(), "pgb-foreign-"));
    const { pgbackstop, ...others } = await packTarballs(createProgress(), folder);
    const project = new ForeignProject(folder, pgbackstop, others["pgbackstop-migration"]);
    const dependencies = { "@pulumi/pulumi": "^3.270.0", pgbackstop: `file:${basename(pgbackstop)}` };
    const { typescript, "@types/node": node } = OWN.devDependencies;
    writeFileSync(
      join(folder, "package.json"),
      JSON.stringify({
        name: "acme-platform",
        private: true,
        dependencies,
        devDependencies: { typescript, "@types/node": node },
      }),
    );
    await project.install(...npmOptions);
    return project;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  async install(...packages: string[]): Promise<void> {
    await installPackages(this.folder, ...packages);
  }

  /** Prepares the folder for the engine. @param env more of the engine's environment, such as providers */
  async useEngine(env: Versions): Promise<Versions> {
    const cli = await findPulumiCli();
    if (cli === null) throw new Error("there is no Pulumi CLI: npm test -- --all builds it");
    const prepared = await prepareProgramFolder(this.folder, { cli, passphrase: "passphrase of acme", link: false });
    this.#env = { ...prepared.env, ...given({ SECRETS_PROVIDER: prepared.secretsProvider }), ...env };
    return this.#env;
  }

  tsc(...args: readonly string[]): Promise<RunResult> {
    const program = join(this.folder, "node_modules", "typescript", "bin", "tsc");
    return run(process.execPath, [program, ...args], { cwd: this.folder });
  }

  /**
   * Compiles programs of `foreign`, and texts of others by name, with strict settings.
   * @returns the compiler's errors
   */
  async compile(names: readonly string[], texts: Readonly<Record<string, string>> = {}): Promise<string> {
    for (const name of names) copyFileSync(join(FOREIGN, name), join(this.folder, name));
    for (const [name, text] of Object.entries(texts)) writeFileSync(join(this.folder, name), text);
    const files = [...names, ...Object.keys(texts)];
    const file = `tsconfig.${files[0] ?? ""}.json`;
    writeFileSync(join(this.folder, file), JSON.stringify({ compilerOptions: STRICT, files }));
    const { exitCode, stdout } = await this.tsc("-p", file);
    return exitCode === 0 ? stdout : `${stdout}tsc ended with ${exitCode}`;
  }

  /** Copies programs of `foreign` as JavaScript, without the compiler: `package.test.ts` checks them. */
  copyPrograms(names: readonly string[]): void {
    for (const name of names) {
      const { code } = transformSync(readFileSync(join(FOREIGN, `${name}.ts`), "utf8"), {
        loader: "ts",
        format: "cjs",
        platform: "node",
      });
      writeFileSync(join(this.folder, `${name}.js`), code);
    }
  }

  /** Runs a program of `foreign` with `settings` on the engine. */
  async runProgram(program: string, action: string, settings: object = {}, env: Versions = {}): Promise<Result> {
    writeFileSync(join(this.folder, "settings.json"), JSON.stringify(settings));
    return this.resultOf(await ensureNode(), [join(this.folder, "run.js"), action, program], { ...this.#env, ...env });
  }

  /** Runs a program whose last line is its result. */
  async resultOf(command: string, argv: readonly string[], env: Versions): Promise<Result> {
    const { stderr, stdout } = await run(command, argv, { cwd: this.folder, env: { ...env }, timeoutMs: 300_000 });
    const line = stdout.trim().split("\n").at(-1) ?? "";
    if (!line.startsWith("{")) throw new Error(`the program printed no result: ${stdout}${stderr}`);
    return JSON.parse(line) as Result;
  }
}
