/**
 * The sidecar behind a socket that stays: a changed configuration replaces the sidecar, and no call fails in the
 * meantime. The previous one ends at a moment when no call runs, besides one for a backup; calls that come then wait
 * for the next one. The operator sees neither an error nor a restart, and PostgreSQL's archiver repeats nothing.
 */
import { untilAborted } from "../../base/clock";
import { fail } from "../../base/errors";
import type { Method, PluginService } from "../grpc/grpcServer";

export interface Sidecar {
  /** The same services and methods in every configuration. */
  readonly services: readonly PluginService[];
  /** True if it ignores a changed configuration. */
  readonly isFixed: boolean;
  /** Waits for running work until `signal` aborts. */
  close(signal: AbortSignal): Promise<void>;
}

/**
 * Services that no replacement waits for, and that every sidecar shares. The heartbeat and the operator's first call
 * need an answer at any time; a call for a backup takes hours, and its backup has its own configuration.
 */
const STAYING: readonly string[] = ["identity", "backup"];

export class CurrentSidecar {
  readonly services: readonly PluginService[];
  #sidecar: Sidecar;
  #callCount = 0;
  /** Calls that come during a replacement wait for it to finish. */
  #replacing: Promise<void> | null = null;
  #whenQuiet: (() => void) | null = null;

  constructor(first: Sidecar) {
    this.#sidecar = first;
    this.services = first.services.map((service) =>
      STAYING.includes(service.name) ? service : { name: service.name, methods: this.#methodsOf(service) },
    );
  }

  /** Puts the result of `next` in the place of the sidecar, which `next` closes. Waits until no call runs. */
  async replace(next: (former: Sidecar) => Promise<Sidecar>): Promise<void> {
    const release = await this.#quiet();
    try {
      this.#sidecar = await next(this.#sidecar);
    } finally {
      release();
    }
  }

  async close(signal: AbortSignal): Promise<void> {
    if (this.#replacing !== null) await Promise.race([this.#replacing, untilAborted(signal)]);
    await this.#sidecar.close(signal);
  }

  #methodsOf({ name, methods }: PluginService): Readonly<Record<string, Method>> {
    return Object.fromEntries(
      Object.keys(methods).map((method) => [
        method,
        (request: never, gone: AbortSignal) => this.#call(name, method, request, gone),
      ]),
    );
  }

  async #call(name: string, method: string, request: never, gone: AbortSignal): Promise<object> {
    while (this.#replacing !== null) await this.#replacing;
    if (gone.aborted) throw fail("term", `the caller of ${name}.${method} disconnected`);
    const answer = this.#sidecar.services.find((service) => service.name === name)?.methods[method];
    if (answer === undefined) throw fail("assert", `the new configuration has no ${name}.${method}`);
    this.#callCount++;
    try {
      return await answer(request, gone);
    } finally {
      this.#callCount--;
      if (this.#callCount === 0) this.#whenQuiet?.();
    }
  }

  /** Resolves at a moment without calls, from which on calls wait for the returned function. */
  #quiet(): Promise<() => void> {
    return new Promise((resolve) => {
      const begin = (): void => {
        this.#whenQuiet = null;
        this.#replacing = new Promise((ended) => {
          resolve(() => {
            this.#replacing = null;
            ended();
          });
        });
      };
      if (this.#callCount === 0) begin();
      else this.#whenQuiet = begin;
    });
  }
}
