/**
 * kubectl with helpers for tests: objects are values, validation is strict, and waits are bounded and report the last
 * state.
 *
 * Errors of the API server stay unchanged:
 * `Error from server (BadRequest): … strict decoding error: unknown field "spec.x"`.
 */
import { performance } from "node:perf_hooks";
import type { RunOptions, RunResult } from "../../../tools/parts/process";
import { sleep } from "../../../tools/parts/process";

/** A Kubernetes object. Its kind determines the other fields. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly [field: string]: unknown };
  readonly [field: string]: unknown;
}

export interface ApplyOptions {
  /** The server checks everything, admission included, and stores nothing. */
  readonly dryRun?: boolean;
  /** Takes over fields that others own. */
  readonly force?: boolean;
  /**
   * The owner of the fields. If it applies fewer fields than before, it gives up the rest. Default: kubectl's own name.
   */
  readonly fieldManager?: string;
}

/** A condition in `status.conditions`, in the form that most kinds use. */
export interface Condition {
  readonly type: string;
  readonly status: string;
  readonly reason?: string;
  readonly message?: string;
}

type Runner = (args: readonly string[], options?: RunOptions) => Promise<RunResult>;

/** Time limit for one call. */
const CALL_MS = 120_000;
/** Default time limit for a wait. */
const WAIT_MS = 300_000;
const PAUSE_MS = 300;

export class Kubectl {
  readonly #runner: Runner;

  constructor(runner: Runner) {
    this.#runner = runner;
  }

  /** The caller checks the exit code. */
  run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.#runner(args, { timeoutMs: CALL_MS, ...options });
  }

  /** Like `run`; returns stdout. @throws Error with kubectl's message */
  async runOk(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const result = await this.run(args, options);
    if (result.exitCode === 0) return result.stdout;
    throw new Error(`kubectl ${args.join(" ")}: ${result.stderr.trim() || result.stdout.trim()}`);
  }

  /**
   * Server-side apply with strict validation. Returns the objects as stored by the server.
   * @throws Error with the server's refusal
   */
  async apply(objects: readonly object[], options: ApplyOptions = {}): Promise<readonly KubernetesObject[]> {
    const result = await this.#apply(objects, options);
    if (result.exitCode !== 0) throw new Error(result.stderr.trim());
    const answer = JSON.parse(result.stdout) as KubernetesObject & { readonly items?: readonly KubernetesObject[] };
    return answer.items ?? [answer];
  }

  /** The API server's objections and warnings about objects; empty if there are none. The server stores nothing. */
  async refusal(objects: readonly object[]): Promise<string> {
    return (await this.#apply(objects, { dryRun: true })).stderr.trim();
  }

  /** Applies published manifests, files or folders, unchanged. */
  async applyFiles(...paths: readonly string[]): Promise<void> {
    await this.runOk([
      "apply",
      "--server-side",
      "--force-conflicts",
      "--validate=ignore",
      ...paths.flatMap((path) => ["-f", path]),
    ]);
  }

  /** Returns an object, or null if it does not exist. `kind` may include its group: `clusters.postgresql.cnpg.io`. */
  async find<T extends object = KubernetesObject>(
    kind: string,
    name: string,
    namespace = "default",
  ): Promise<T | null> {
    const text = await this.runOk(["get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found"]);
    return text.trim() === "" ? null : (JSON.parse(text) as T);
  }

  /** All objects of a kind in one namespace, or in all namespaces. */
  async list<T extends object = KubernetesObject>(kind: string, namespace?: string): Promise<readonly T[]> {
    const where = namespace === undefined ? ["-A"] : ["-n", namespace];
    return (JSON.parse(await this.runOk(["get", kind, ...where, "-o", "json"])) as { items: T[] }).items;
  }

  /** Waits until `check` is true for an object. @throws Error with the object's status after `timeoutMs` */
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

  /** Runs a command in a container. The caller checks the exit code. */
  exec(pod: string, container: string, command: readonly string[], namespace = "default"): Promise<RunResult> {
    return this.run(["exec", "-n", namespace, pod, "-c", container, "--", ...command]);
  }

  /** @param lines number of lines from the end; default all */
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
    // Do not send a List: kubectl assumes that the server cannot validate it and validates it on the client.
    const input = objects.map((object) => JSON.stringify(object)).join("\n");
    return this.run(["apply", ...flags, "-o", "json", "-f", "-"], { input });
  }
}

export function conditionOf(object: object, type: string): Condition | null {
  const { status } = object as { readonly status?: { readonly conditions?: readonly Condition[] } };
  return status?.conditions?.find((condition) => condition.type === type) ?? null;
}
