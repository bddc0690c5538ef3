/**
 * Runs programs on the real Pulumi engine without touching the user's own Pulumi: a folder with its own home, file
 * backend and passphrase, where the engine's processes find this package and the SDK by name, as if installed.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";
import type { PulumiCommand, PulumiFn, Stack } from "@pulumi/pulumi/automation";
import { build as bundle } from "esbuild";
import { cacheFolder, projectFolder } from "../cache";
import { ensureNode } from "../nodeBinary";
import { dynamicProviderFolder } from "./dynamicProvider";
import type { PulumiCli } from "./pulumiCli";

export interface ProgramFolder {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  /** Absent if Pulumi makes the key of its stacks' secrets from the passphrase. */
  readonly secretsProvider?: string;
}

/** Gives the key of a stack's secrets. */
export interface KeyService {
  /** As `pulumi stack init --secrets-provider` takes it. */
  readonly secretsProvider: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface ProgramFolderOptions {
  readonly cli: PulumiCli;
  /** Encrypts the secrets in the state. */
  readonly passphrase: string;
  /** For the stacks of {@link openStack}. If omitted, Pulumi makes the key from the passphrase. */
  readonly keyService?: KeyService;
  /** False if the folder has its own node_modules. */
  readonly link?: boolean;
}

/** Prepares an existing folder that is empty or has its own node_modules. */
export async function prepareProgramFolder(folder: string, options: ProgramFolderOptions): Promise<ProgramFolder> {
  const modules = join(folder, "node_modules");
  if (options.link !== false) {
    mkdirSync(modules, { recursive: true });
    symlinkSync(projectFolder(), join(modules, "pgbackstop"));
    symlinkSync(join(projectFolder(), "packages", "migration"), join(modules, "pgbackstop-migration"));
    symlinkSync(join(projectFolder(), "node_modules", "@pulumi"), join(modules, "@pulumi"));
  }
  for (const name of ["home", "state", "cli/bin"]) mkdirSync(join(folder, name), { recursive: true });
  symlinkSync(options.cli.path, join(folder, "cli", "bin", "pulumi"));
  // A folder with its own packages gets the plugin of dynamic resources from its own SDK.
  const path = [
    dirname(await ensureNode()),
    options.link === false ? join(modules, "@pulumi", "pulumi") : await dynamicProviderFolder(),
    dirname(options.cli.path),
    process.env.PATH ?? "",
  ];
  return {
    folder,
    env: {
      PATH: path.join(delimiter),
      PULUMI_HOME: join(folder, "home"),
      PULUMI_BACKEND_URL: `file://${join(folder, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: options.passphrase,
      ...options.keyService?.env,
      PULUMI_SKIP_UPDATE_CHECK: "true",
      // Each update starts a provider for every kind of dynamic resource.
      NODE_COMPILE_CACHE: join(cacheFolder(), "compiled"),
      // Collecting garbage is a quarter of what the CLI does in its short life.
      GOGC: "400",
    },
    ...(options.keyService === undefined ? {} : { secretsProvider: options.keyService.secretsProvider }),
  };
}

const PROJECT = "pgbackstop-local";

/** A stack of an inline program, created if missing. `project`: more for its Pulumi.yaml. */
export async function openStack(
  programFolder: ProgramFolder,
  stackName: string,
  program: PulumiFn,
  project: object = {},
): Promise<Stack> {
  const { LocalWorkspace } = await import("@pulumi/pulumi/automation/index.js");
  const stack = await LocalWorkspace.createOrSelectStack(
    { stackName, projectName: PROJECT, program },
    {
      workDir: programFolder.folder,
      pulumiHome: join(programFolder.folder, "home"),
      pulumiCommand: await commandFor(programFolder),
      projectSettings: {
        name: PROJECT,
        runtime: "nodejs",
        backend: { url: `file://${join(programFolder.folder, "state")}` },
        ...project,
      },
      ...(programFolder.secretsProvider === undefined ? {} : { secretsProvider: programFolder.secretsProvider }),
      envVars: { ...programFolder.env },
    },
  );
  return reconnecting(stack);
}

/** On a busy machine the SDK's channel to the engine fails now and then before its first call: nothing has happened. */
const UNCONNECTED = "14 UNAVAILABLE: No connection established";

/** The same stack, whose commands run again when they were never connected. */
function reconnecting(stack: Stack): Stack {
  const again =
    <A extends unknown[], R>(command: (...args: A) => Promise<R>) =>
    (...args: A): Promise<R> =>
      command(...args).catch((error: unknown) => {
        if (!String(error).includes(UNCONNECTED)) throw error;
        return command(...args);
      });
  stack.preview = again(stack.preview.bind(stack));
  stack.up = again(stack.up.bind(stack));
  stack.refresh = again(stack.refresh.bind(stack));
  stack.destroy = again(stack.destroy.bind(stack));
  return stack;
}

/** Cached by folder: creating one starts the CLI to ask for its version. */
const commands = new Map<string, Promise<PulumiCommand>>();

/**
 * The folder's CLI. An existing stack is not selected: that would cost a process for each {@link openStack}, and every
 * command of the Automation API names its stack. What the Automation API asks after each update comes from the state if
 * it can be read there: a CLI needs half a second of processor time, most of it for the key of the secrets.
 */
function commandFor({ folder }: ProgramFolder): Promise<PulumiCommand> {
  const make = async (): Promise<PulumiCommand> => {
    const { PulumiCommand } = await import("@pulumi/pulumi/automation/index.js");
    const command = await PulumiCommand.get({ root: join(folder, "cli"), skipVersionCheck: true });
    if (!("run" in command && typeof command.run === "function"))
      throw new Error("the Automation API runs its commands in another way");
    const runReally = command.run.bind(command) as (args: string[], ...more: unknown[]) => unknown;
    const isThere = (stackName: string): boolean =>
      existsSync(join(folder, "state", ".pulumi", "stacks", PROJECT, `${stackName}.json`));
    const run = (args: string[], ...more: unknown[]): unknown => {
      const [topic, verb, option, stackName = ""] = args;
      const isSelect = topic === "stack" && verb === "select" && option === "--stack";
      const stdout = isSelect && isThere(stackName) ? "" : answerFromState(join(folder, "state", ".pulumi"), args);
      return stdout === null ? runReally(args, ...more) : Promise.resolve({ stdout, stderr: "", code: 0 });
    };
    return Object.assign(command, { run });
  };
  const known = commands.get(folder) ?? make();
  commands.set(folder, known);
  return known;
}

/** Marks a value in the state that is not plain JSON, and the kind of such a value that is a secret. */
const SPECIAL = "4dabf18193072939515e22adb298388d";
const SECRET = "1b47061264138c4ac30d75fd1eb44270";

interface State {
  readonly checkpoint: {
    readonly latest?: {
      readonly resources?: readonly { readonly type: string; readonly outputs?: Readonly<Record<string, unknown>> }[];
    };
  };
}

interface Update {
  readonly startTime: number;
  readonly endTime: number;
}

/** What `pulumi stack output --json` or the newest entry of `pulumi stack history --json` prints; null for the rest. */
function answerFromState(state: string, args: readonly string[]): string | null {
  const [topic, verb, format] = args;
  const stackName = args[args.indexOf("--stack") + 1] ?? "";
  if (topic !== "stack" || format !== "--json" || !args.includes("--stack")) return null;
  if (verb === "output") {
    const file = join(state, "stacks", PROJECT, `${stackName}.json`);
    return existsSync(file) ? outputsIn(readFileSync(file, "utf8"), args.includes("--show-secrets")) : null;
  }
  const folder = join(state, "history", PROJECT, stackName);
  if (verb !== "history" || !args.join(" ").includes("--page-size 1 --page 1") || !existsSync(folder)) return null;
  // Their names end with the time.
  const newest = readdirSync(folder)
    .filter((name) => name.endsWith(".history.json"))
    .sort()
    .at(-1);
  if (newest === undefined) return null;
  const update = JSON.parse(readFileSync(join(folder, newest), "utf8")) as Update;
  const timeOf = (seconds: number): string => new Date(seconds * 1000).toISOString();
  return JSON.stringify([{ ...update, startTime: timeOf(update.startTime), endTime: timeOf(update.endTime) }]);
}

/** Null if the answer needs a secret's text. */
function outputsIn(state: string, isPlain: boolean): string | null {
  const { resources = [] } = (JSON.parse(state) as State).checkpoint.latest ?? {};
  const outputs = resources.find(({ type }) => type === "pulumi:pulumi:Stack")?.outputs ?? {};
  if (isPlain) return JSON.stringify(outputs).includes(SPECIAL) ? null : JSON.stringify(outputs);
  const isSecret = (value: unknown): boolean =>
    typeof value === "object" && value !== null && (value as Record<string, unknown>)[SPECIAL] === SECRET;
  return JSON.stringify(
    Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, isSecret(value) ? "[secret]" : value])),
  );
}

/**
 * The module `examples/<name>/program.ts` (or another file next to it), compiled into the folder, where it finds the
 * built packages by name.
 * @param folder of the example
 */
export async function loadExample<T>(
  programFolder: ProgramFolder,
  name: string,
  file = "program",
  folder = join("examples", name),
): Promise<T> {
  const outfile = join(programFolder.folder, `${name}-${file}.cjs`);
  await bundle({
    entryPoints: [join(projectFolder(), folder, `${file}.ts`)],
    outfile,
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node22",
    external: ["pgbackstop", "pgbackstop-migration", "@pulumi/*"],
    tsconfigRaw: {},
    logLevel: "silent",
  });
  return createRequire(outfile)(outfile) as T;
}
