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

export interface ApiRequest {
  /** Default: `GET`. */
  readonly method?: "GET" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Sends a request to the API server. */
export type Asker = (request: ApiRequest) => Promise<{ readonly status: number; readonly text: string }>;

/** A kind of objects, as the API server describes it. */
interface Resource {
  readonly resource: string;
  readonly singularResource: string;
  readonly shortNames?: readonly string[];
  readonly responseKind: { readonly kind: string };
  readonly scope: "Namespaced" | "Cluster";
}

/** All kinds of a group, from `/api` or `/apis`. */
interface GroupDiscovery {
  readonly metadata: { readonly name?: string };
  readonly versions: readonly { readonly version: string; readonly resources?: readonly Resource[] }[];
}

/** A kind of objects, with its place in the API. */
interface Kind {
  readonly names: readonly string[];
  readonly resource: string;
  readonly isNamespaced: boolean;
  readonly apiVersion: string;
  readonly kind: string;
}

const JSON_TYPE = "application/json";
const DISCOVERY_TYPE = `${JSON_TYPE};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList`;

/** Time limit for one call. */
const CALL_MS = 120_000;
/** Default time limit for a wait. */
const WAIT_MS = 300_000;
const PAUSE_MS = 300;
const TOO_MANY_REQUESTS = 429;
/** Of a request that the API server postpones. */
const ATTEMPTS = 30;
const RETRY_MS = 1000;

export class Kubectl {
  readonly #runner: Runner;
  readonly #ask: Asker;
  #kinds: readonly Kind[] = [];

  /**
   * @param ask reads objects. A wait looks several times a second: with a process for each look it would keep a third
   *   of a processor busy
   */
  constructor(runner: Runner, ask: Asker) {
    this.#runner = runner;
    this.#ask = ask;
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

  /** The API server's objections and warnings about objects; empty if it accepts them. The server stores nothing. */
  async refusal(objects: readonly object[]): Promise<string> {
    return (await this.#apply(objects, { dryRun: true })).stderr.trim();
  }

  /** The API server's objection to an object that an account creates; empty if it accepts it. It stores nothing. */
  async refusalTo(
    account: string,
    object: { readonly kind: string; readonly [field: string]: unknown },
    namespace: string,
  ): Promise<string> {
    const path = `${pathOf(await this.#kindOf(object.kind), namespace)}?dryRun=All&fieldValidation=Strict`;
    const headers = { "content-type": JSON_TYPE, "impersonate-user": account };
    const { status, text } = await this.#ask({ method: "POST", path, headers, body: JSON.stringify(object) });
    return status === 201 ? "" : (JSON.parse(text) as { readonly message: string }).message;
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
    const known = await this.#kindOf(kind);
    const object = await this.#get<T>(`${pathOf(known, namespace)}/${name}`);
    return object === null ? null : withoutManagers(object);
  }

  /** All objects of a kind in one namespace, or in all namespaces. */
  async list<T extends object = KubernetesObject>(kind: string, namespace?: string): Promise<readonly T[]> {
    const known = await this.#kindOf(kind);
    const { apiVersion } = known;
    const list = await this.#get<{ items: readonly T[] }>(pathOf(known, namespace));
    // The server omits what all objects of a list share.
    return (list?.items ?? []).map((item) => withoutManagers({ apiVersion, kind: known.kind, ...item }));
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

  /** Returns what a path of the API has, or null if it has nothing. @throws Error with the server's message */
  async #get<T>(path: string, accept = JSON_TYPE): Promise<T | null> {
    for (let attempt = 1; ; attempt++) {
      const { status, text } = await this.#ask({ path, headers: { accept } });
      if (status === 404) return null;
      if (status === 200) return JSON.parse(text) as T;
      // "storage is (re)initializing" after new definitions: kubectl repeats it too.
      if (status !== TOO_MANY_REQUESTS || attempt === ATTEMPTS) throw new Error(`GET ${path}: ${status} ${text}`);
      await sleep(RETRY_MS);
    }
  }

  /** Finds a kind by any name that kubectl takes. Definitions may have come since the last call. */
  async #kindOf(name: string): Promise<Kind> {
    const seek = (): Kind | undefined => this.#kinds.find(({ names }) => names.includes(name.toLowerCase()));
    const before = seek();
    if (before !== undefined) return before;
    const groups = await Promise.all(
      ["/api", "/apis"].map((path) => this.#get<{ items: readonly GroupDiscovery[] }>(path, DISCOVERY_TYPE)),
    );
    this.#kinds = groups.flatMap((group) => group?.items.flatMap(kindsOf) ?? []);
    const known = seek();
    if (known === undefined) throw new Error(`the server doesn't have a resource type "${name}"`);
    return known;
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

function kindsOf({ metadata: { name: group = "" }, versions }: GroupDiscovery): readonly Kind[] {
  return versions.flatMap(({ version, resources = [] }) =>
    resources.map(({ resource, singularResource, shortNames = [], responseKind: { kind }, scope }) => {
      const plain = [resource, singularResource, kind.toLowerCase(), ...shortNames];
      return {
        names: group === "" ? plain : [...plain, ...plain.map((name) => `${name}.${group}`)],
        resource,
        isNamespaced: scope === "Namespaced",
        apiVersion: group === "" ? version : `${group}/${version}`,
        kind,
      };
    }),
  );
}

function pathOf({ apiVersion, isNamespaced, resource }: Kind, namespace?: string): string {
  const within = isNamespaced && namespace !== undefined ? `namespaces/${namespace}/` : "";
  return `/${apiVersion.includes("/") ? "apis" : "api"}/${apiVersion}/${within}${resource}`;
}

/** As kubectl prints an object: without the owners of its fields. */
function withoutManagers<T extends object>(object: T): T {
  const { managedFields: _, ...metadata } = (object as { readonly metadata?: Record<string, unknown> }).metadata ?? {};
  return { ...object, metadata };
}

export function conditionOf(object: object, type: string): Condition | null {
  const { status } = object as { readonly status?: { readonly conditions?: readonly Condition[] } };
  return status?.conditions?.find((condition) => condition.type === type) ?? null;
}
