/**
 * kubectl with what tests do often: objects are given as values, validation is strict, waits are bounded and say how
 * things stood.
 *
 * Errors of the API server come as they are told:
 * `Error from server (BadRequest): … strict decoding error: unknown field "spec.x"`.
 */
import { performance } from "node:perf_hooks";
import type { RunOptions, RunResult } from "../../../tools/parts/process";
import { sleep } from "../../../tools/parts/process";

/** An object of Kubernetes; what else is in it is its kind's affair. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

export interface ApplyOptions {
  /** The server checks everything, admission included, and stores nothing. */
  readonly dryRun?: boolean;
  /** Fields that others own are taken over. */
  readonly force?: boolean;
  /** Who owns the fields; one that applies less than before gives up the rest. Default: kubectl's own name. */
  readonly fieldManager?: string;
}

/** A condition as most kinds have it in `status.conditions`. */
export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

type Runner = (args: readonly string[], options?: RunOptions) => Promise<RunResult>;

/** How long one call may take. */
const CALL_MS = 120_000;
/** How long a wait may take when nothing else is said. */
const WAIT_MS = 300_000;
const PAUSE_MS = 300;

export class Kubectl {
  readonly #runner: Runner;

  constructor(runner: Runner) {
    this.#runner = runner;
  }

  /** A wrong exit code is for the caller to judge. */
  run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.#runner(args, { timeoutMs: CALL_MS, ...options });
  }

  /** Like `run`; returns stdout. @throws Error with what kubectl said */
  async runOk(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.run(args, options);
    if (result.exitCode === 0) return result.stdout;
    throw new Error(`kubectl ${args.join(" ")}: ${result.stderr.trim() || result.stdout.trim()}`);
  }

  /**
   * Server-side apply with strict validation; returns the objects as the server has them.
   * @throws Error with its refusal
   */
  async apply(objects: readonly object[], options: ApplyOptions = {}): Promise<readonly KubernetesObject[]> {
    const result = await this.#apply(objects, options);
    if (result.exitCode !== 0) throw new Error(result.stderr.trim());
    const answer = JSON.parse(result.stdout) as KubernetesObject & { readonly items?: readonly KubernetesObject[] };
    return answer.items ?? [answer];
  }

  /**
   * What the API server says against objects; nothing of them is stored. Empty when it takes them, warnings included.
   */
  async refusal(objects: readonly object[]): Promise<string> {
    return (await this.#apply(objects, { dryRun: true })).stderr.trim();
  }

  /** Applies manifests of files or folders that others published, as they are. */
  async applyFiles(...paths: readonly string[]): Promise<void> {
    await this.runOk([
      "apply",
      "--server-side",
      "--force-conflicts",
      "--validate=ignore",
      ...paths.flatMap((path) => ["-f", path]),
    ]);
  }

  /** An object, or null when it is not there. `kind` may have its group: `clusters.postgresql.cnpg.io`. */
  async find<T extends object = KubernetesObject>(
    kind: string,
    name: string,
    namespace = "default",
  ): Promise<T | null> {
    const text = await this.runOk(["get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found"]);
    return text.trim() === "" ? null : (JSON.parse(text) as T);
  }

  /** All objects of a kind in a namespace, or in all of them. */
  async list<T extends object = KubernetesObject>(kind: string, namespace?: string): Promise<readonly T[]> {
    const where = namespace === undefined ? ["-A"] : ["-n", namespace];
    return (JSON.parse(await this.runOk(["get", kind, ...where, "-o", "json"])) as { items: T[] }).items;
  }

  /** Waits until `check` is true of an object. @throws Error with the object's status after `timeoutMs` */
  async waitUntil<T extends object = KubernetesObject>(
    what: { readonly kind: string; readonly name: string; readonly namespace?: string },
    check: (object: T) => boolean,
    timeoutMs = WAIT_MS,
  ): Promise<T> {
    const endMs = performance.now() + timeoutMs;
    for (;;) {
      const object = await this.find<T>(what.kind, what.name, what.namespace);
      if (object !== null && check(object)) return object;
      if (performance.now() > endMs) {
        const status =
          object === null ? "it is not there" : JSON.stringify((object as { status?: unknown }).status ?? {}, null, 1);
        throw new Error(`${what.kind}/${what.name}: not as awaited within ${timeoutMs / 1000} s: ${status}`);
      }
      await sleep(PAUSE_MS);
    }
  }

  /** Waits for a condition to be `True`. */
  waitForCondition(
    kind: string,
    name: string,
    type: string,
    options: { namespace?: string; timeoutMs?: number } = {},
  ): Promise<KubernetesObject> {
    const { namespace = "default", timeoutMs } = options;
    return this.waitUntil(
      { kind, name, namespace },
      (object) => conditionOf(object, type)?.status === "True",
      timeoutMs,
    );
  }

  /** Runs a command in a container. A wrong exit code is for the caller to judge. */
  exec(pod: string, container: string, command: readonly string[], namespace = "default"): Promise<RunResult> {
    return this.run(["exec", "-n", namespace, pod, "-c", container, "--", ...command]);
  }

  /** @param lines from the end; default all */
  logs(pod: string, container: string, namespace = "default", lines?: number): Promise<string> {
    return this.runOk([
      "logs",
      "-n",
      namespace,
      pod,
      "-c",
      container,
      ...(lines === undefined ? [] : [`--tail=${lines}`]),
    ]);
  }

  #apply(
    objects: readonly object[],
    { dryRun = false, force = false, fieldManager }: ApplyOptions,
  ): Promise<RunResult> {
    const flags = [
      "--server-side",
      "--validate=strict",
      ...(dryRun ? ["--dry-run=server"] : []),
      ...(force ? ["--force-conflicts"] : []),
      ...(fieldManager === undefined ? [] : [`--field-manager=${fieldManager}`]),
    ];
    // Not as a List: of that kubectl believes that the server cannot validate it, and does it by itself.
    const input = objects.map((object) => JSON.stringify(object)).join("\n");
    return this.run(["apply", ...flags, "-o", "json", "-f", "-"], { input });
  }
}

/** A condition of an object's status, or null. */
export function conditionOf(object: object, type: string): Condition | null {
  const { status } = object as { readonly status?: { readonly conditions?: readonly Condition[] } };
  return status?.conditions?.find((condition) => condition.type === type) ?? null;
}
