/**
 * A double of Pulumi's language host for Node.js. Every official installation has an executable
 * `pulumi-language-nodejs`, but no package registry carries it. The engine starts it with the engine's address, reads
 * the port from its first line, and asks it to run programs.
 *
 * Like the real one ({@link https://github.com/pulumi/pulumi/tree/master/sdk/nodejs/cmd/pulumi-language-nodejs}, 3.250)
 * it starts `@pulumi/pulumi/cmd/run`, resolved from the program's folder, with the same arguments and the same
 * environment. The SDK itself interprets TypeScript, package.json and tsconfig.json there. Plugins that are folders
 * with a PulumiPlugin.yaml start the same way, with `@pulumi/pulumi/cmd/run-plugin`.
 *
 * It also stands for the hosts of Python and Go, as far as SDKs are generated ({@link installLanguageHost}): the
 * generators are Pulumi's own, in `tools/sdks`.
 *
 * Unlike the real one, it lets the program talk to the engine's resource monitor directly instead of through a proxy.
 * It has no pipes for synchronous calls (`--sync`, for SDKs before 2.0) and does not search a program's node_modules
 * for plugins. It has no debugger, tracing, bun, other package managers or policy packs, installs with npm alone, and
 * answers the calls of `pulumi about` and `new` as unimplemented.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import services from "@pulumi/pulumi/proto/language_grpc_pb";
import language, {
  type GeneratePackageRequest,
  type GetRequiredPackagesRequest,
  type InstallDependenciesRequest,
  type LanguageHandshakeRequest,
  type RunPluginRequest,
  type RunPluginResponse,
  type RunRequest,
} from "@pulumi/pulumi/proto/language_pb";
import plugin from "@pulumi/pulumi/proto/plugin_pb";
import { projectFolder } from "../../../tools/parts/cache";

/** `@pulumi/pulumi/cmd/run` has already reported the error to the user: the double must not add another. */
const EXIT_CODE_REPORTED = 32;
/** How often the double checks that the engine still runs. */
const PARENT_CHECK_MS = 500;

interface GrpcServer {
  addService(service: unknown, handlers: Readonly<Record<string, unknown>>): void;
  bindAsync(address: string, credentials: unknown, done: (error: Error | null, port: number) => void): void;
}
interface Grpc {
  readonly Server: new () => GrpcServer;
  readonly ServerCredentials: { createInsecure(): unknown };
  readonly status: Readonly<Record<"UNKNOWN", number>>;
}
type Answer = (error: object | null, response?: object) => void;
type Handler = (call: { readonly request: never }, answer: Answer) => void;
/** A call with several response messages. */
interface InstallStream {
  readonly request: InstallDependenciesRequest;
  write(message: object): void;
  end(): void;
  emit(event: "error", error: Error): void;
}
/** A call with several response messages. */
interface Stream {
  readonly request: RunPluginRequest;
  write(message: RunPluginResponse): void;
  end(): void;
  on(event: "cancelled", listener: () => void): void;
}

/** Every official Pulumi ships this beside its language plugin. It runs a pack with the SDK that the pack resolves. */
const ANALYZER = `#!/bin/sh
exec node -e "require(require.resolve('@pulumi/pulumi/cmd/run-policy-pack', { paths: [process.cwd()] }))" -- run "$1" "$2"
`;

/** Writes a policy pack with one statement, and the executable that runs it; the caller adds `programs` to PATH. */
export function writePolicyPack(
  folder: string,
  statement: string,
): { readonly pack: string; readonly programs: string } {
  const [pack, programs] = [join(folder, "pack"), join(folder, "programs")];
  for (const made of [pack, programs]) mkdirSync(made);
  writeFileSync(join(programs, "pulumi-analyzer-policy-nodejs"), ANALYZER);
  chmodSync(join(programs, "pulumi-analyzer-policy-nodejs"), 0o755);
  writeFileSync(join(pack, "PulumiPolicy.yaml"), "runtime: nodejs\nversion: 0.0.1\n");
  writeFileSync(join(pack, "package.json"), '{ "name": "pack", "version": "0.0.1", "main": "index.js" }\n');
  writeFileSync(join(pack, "index.js"), `${statement}\n`);
  return { pack, programs };
}

/**
 * Installs an executable `pulumi-language-nodejs` into a new folder, which the caller adds to PATH. The folder must be
 * below a node_modules that contains the SDK.
 * @param generator `tools/sdks`, built, for more executables that only generate SDKs
 */
export async function installLanguageHost(folder: string, nodePath: string, generator?: string): Promise<void> {
  const { build } = await import("esbuild");
  // Not by its own path: the bench is a bundle.
  const source = join(projectFolder(), "test", "harness", "doubles", "languageHostDouble.ts");
  mkdirSync(folder);
  await build({
    stdin: {
      contents: `import { serve } from ${JSON.stringify(source)};\nserve(process.argv.slice(2));\n`,
      resolveDir: dirname(source),
    },
    outfile: join(folder, "languageHost.cjs"),
    bundle: true,
    platform: "node",
    format: "cjs",
    target: "node22",
    external: ["esbuild", "@pulumi/*"],
    tsconfigRaw: {},
    logLevel: "silent",
  });
  for (const name of generator === undefined ? ["nodejs"] : ["nodejs", "python", "go"]) {
    const executable = join(folder, `pulumi-language-${name}`);
    const environment = `SDK_GENERATOR='${generator ?? ""}' SDK_LANGUAGE=${name}`;
    writeFileSync(
      executable,
      `#!/bin/sh\n${environment} exec '${nodePath}' '${join(folder, "languageHost.cjs")}' "$@"\n`,
    );
    chmodSync(executable, 0o755);
  }
}

/**
 * The main function of the process: listens on loopback, prints the port, and exits with the engine.
 * @public called by the program that {@link installLanguageHost} bundles
 */
export function serve(argv: readonly string[]): void {
  const grpc = createRequire(createRequire(__filename).resolve("@pulumi/pulumi"))("@grpc/grpc-js") as Grpc;
  const server = new grpc.Server();
  server.addService(services.LanguageRuntimeService, handlersOf(grpc, new LanguageHostDouble(argv.at(-1) ?? "")));
  server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error !== null) throw error;
    process.stdout.write(`${port}\n`);
  });
  const parent = process.ppid;
  setInterval(() => {
    if (process.ppid !== parent) process.exit(1);
  }, PARENT_CHECK_MS);
}

class LanguageHostDouble {
  #engineAddress: string;
  readonly #programs = new Set<ChildProcess>();

  constructor(engineAddress: string) {
    this.#engineAddress = engineAddress;
  }

  handshake(request: LanguageHandshakeRequest): object {
    this.#engineAddress = request.getEngineAddress();
    return new language.LanguageHandshakeResponse();
  }

  /** Starts the program and waits for it to exit. The program inherits stdout and stderr. */
  async run(request: RunRequest): Promise<object> {
    const response = new language.RunResponse();
    const info = request.getInfo();
    const options = optionsOf(info?.getOptions()?.toJavaScript() ?? {});
    const runPath = createRequire(join(info?.getProgramDirectory() ?? "", "program")).resolve("@pulumi/pulumi/cmd/run");
    const child = spawn("node", [...options.nodeArguments, runPath, ...argumentsOf(request, this.#engineAddress)], {
      env: { ...process.env, ...environmentOf(request), ...options.environment },
      stdio: ["ignore", "inherit", "inherit"],
    });
    this.#programs.add(child);
    const exitCode = await new Promise<number | null>((resolve, reject) =>
      child.on("error", reject).on("exit", resolve),
    );
    this.#programs.delete(child);
    if (exitCode === EXIT_CODE_REPORTED) response.setBail(true);
    else if (exitCode !== 0) response.setError(`Program exited with non-zero exit code: ${exitCode ?? -1}`);
    return response;
  }

  /** Starts a plugin and streams all its output, the port first. The engine stops the plugin by cancelling the call. */
  runPlugin(stream: Stream): void {
    const { request } = stream;
    const folder = request.getInfo()?.getProgramDirectory() ?? "";
    const runPath = createRequire(join(folder, "program")).resolve("@pulumi/pulumi/cmd/run-plugin");
    const environment = request
      .getEnvList()
      .map((entry) => [entry.slice(0, entry.indexOf("=")), entry.slice(entry.indexOf("=") + 1)]);
    const child = spawn("node", [runPath, folder, ...request.getArgsList()], {
      cwd: request.getPwd(),
      env: { ...Object.fromEntries(environment), PULUMI_NODEJS_TYPESCRIPT: "true" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const send = (fill: (message: RunPluginResponse) => void): void => {
      const message = new language.RunPluginResponse();
      fill(message);
      stream.write(message);
    };
    child.stdout.on("data", (bytes: Buffer) => send((message) => message.setStdout(bytes)));
    child.stderr.on("data", (bytes: Buffer) => send((message) => message.setStderr(bytes)));
    this.#programs.add(child);
    child.on("close", (exitCode) => {
      this.#programs.delete(child);
      send((message) => message.setExitcode(exitCode ?? -1));
      stream.end();
    });
    stream.on("cancelled", () => child.kill());
  }

  /** `npm install` in the folder of a plugin or program. A program in another language gets nothing. */
  async installDependencies(stream: InstallStream): Promise<void> {
    if (process.env["SDK_LANGUAGE"] !== "nodejs") return stream.end();
    const cwd = stream.request.getInfo()?.getProgramDirectory() ?? "";
    const quiet = ["--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error"];
    const child = spawn("npm", ["install", ...quiet], { cwd, stdio: ["ignore", "ignore", "pipe"] });
    child.stderr.on("data", (bytes: Buffer) => {
      const message = new language.InstallDependenciesResponse();
      message.setStderr(bytes);
      stream.write(message);
    });
    const exitCode = await new Promise<number | null>((resolve) =>
      child.on("error", () => resolve(null)).on("close", resolve),
    );
    if (exitCode === 0) stream.end();
    else stream.emit("error", new Error(`npm install ended with ${exitCode ?? "no exit code"}`));
  }

  async generatePackage(request: GeneratePackageRequest): Promise<object> {
    const { SDK_GENERATOR: generator = "", SDK_LANGUAGE: name = "" } = process.env;
    const child = spawn(generator, [name, request.getDirectory(), request.getLoaderTarget()], {
      stdio: ["pipe", "ignore", "pipe"],
    });
    child.stdin.end(request.getSchema());
    let errors = "";
    child.stderr.on("data", (bytes: Buffer) => (errors += bytes.toString()));
    const exitCode = await new Promise<number | null>((resolve, reject) =>
      child.on("error", reject).on("close", resolve),
    );
    if (exitCode !== 0) throw new Error(errors);
    return new language.GeneratePackageResponse();
  }

  cancel(): void {
    for (const program of this.#programs) program.kill("SIGINT");
  }
}

/** Arguments in the same order as the real one. */
function argumentsOf(request: RunRequest, engineAddress: string): string[] {
  const info = request.getInfo();
  const named = [
    ["monitor", request.getMonitorAddress()],
    ["engine", engineAddress],
    ["organization", request.getOrganization()],
    ["project", request.getProject()],
    ["root-directory", info?.getRootDirectory() ?? ""],
    ["stack", request.getStack()],
    ["pwd", info?.getProgramDirectory() ?? ""],
  ] as const;
  const given = named.filter(([, value]) => value !== "").flatMap(([name, value]) => [`--${name}`, value]);
  const dryRun = request.getDryrun() ? ["--dry-run"] : [];
  return [
    ...given,
    ...dryRun,
    "--parallel",
    String(request.getParallel()),
    info?.getEntryPoint() ?? ".",
    ...request.getArgsList(),
  ];
}

/** The stack's configuration; keys have the old form `<namespace>:config:<name>`. */
function environmentOf(request: RunRequest): Record<string, string> {
  const config = request
    .getConfigMap()
    .toArray()
    .map(([key, value]) => {
      const [namespace = "", ...name] = key.split(":");
      return [`${namespace}:config:${name.at(-1) ?? ""}`, value];
    });
  return {
    PULUMI_CONFIG: JSON.stringify(Object.fromEntries(config)),
    PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(request.getConfigsecretkeysList()),
  };
}

/** `runtime.options` of Pulumi.yaml; TypeScript is on unless they turn it off. */
function optionsOf(options: Readonly<Record<string, unknown>>): {
  nodeArguments: string[];
  environment: Record<string, string>;
} {
  const { typescript = true, tsconfig, nodeargs = "" } = options;
  return {
    nodeArguments: String(nodeargs).split(" ").filter(Boolean),
    environment: {
      ...(typescript === true ? { PULUMI_NODEJS_TYPESCRIPT: "true" } : {}),
      ...(typeof tsconfig === "string" ? { PULUMI_NODEJS_TSCONFIG_PATH: tsconfig } : {}),
    },
  };
}

/** The implemented methods; gRPC answers the others as unimplemented. */
function handlersOf(grpc: Grpc, double: LanguageHostDouble): Record<string, Handler | ((stream: never) => void)> {
  const handle =
    (work: (request: never) => Promise<object> | object): Handler =>
    (call, answer) => {
      const done = async (): Promise<object> => work(call.request);
      done().then(
        (response) => answer(null, response),
        (error: unknown) =>
          answer({ code: grpc.status.UNKNOWN, details: error instanceof Error ? error.message : String(error) }),
      );
    };
  const { Empty } = createRequire(createRequire(__filename).resolve("@pulumi/pulumi"))(
    "google-protobuf/google/protobuf/empty_pb.js",
  ) as {
    Empty: new () => object;
  };
  return {
    handshake: handle((request: LanguageHandshakeRequest) => double.handshake(request)),
    getPluginInfo: handle(() => {
      const info = new plugin.PluginInfo();
      info.setVersion("3.250.0");
      return info;
    }),
    getRequiredPackages: handle((_request: GetRequiredPackagesRequest) => new language.GetRequiredPackagesResponse()),
    run: handle((request: RunRequest) => double.run(request)),
    runPlugin: (stream: Stream) => double.runPlugin(stream),
    installDependencies: (stream: InstallStream) => void double.installDependencies(stream),
    generatePackage: handle((request: GeneratePackageRequest) => double.generatePackage(request)),
    link: handle(() => new language.LinkResponse()),
    cancel: handle(() => {
      double.cancel();
      return new Empty();
    }),
  };
}
