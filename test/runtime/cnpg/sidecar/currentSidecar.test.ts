import { beforeEach, describe, expect, test } from "vitest";
import { CurrentSidecar, type Sidecar } from "../../../../runtime/cnpg/sidecar/currentSidecar";
import { pause } from "../../../harness/context";

const NEVER = new AbortController().signal;

let closed: string[];
beforeEach(() => {
  closed = [];
});

/** Answers with its name; a request with `held` waits for that. */
function sidecar(name: string): Sidecar {
  return {
    services: [
      { name: "identity", methods: { Probe: () => ({ ready: true }) } },
      {
        name: "backup",
        methods: { Backup: async (request: { held?: Promise<void> }) => (await request.held, { backed: true }) },
      },
      {
        name: "wal",
        methods: {
          Archive: async (request: { held?: Promise<void> }) => {
            await request.held;
            if (closed.includes(name)) throw new Error(`${name} is closed`);
            return { by: name };
          },
        },
      },
    ],
    isFixed: false,
    close: async () => void closed.push(name),
  };
}

function held(): { readonly until: Promise<void>; end(): void } {
  let end = (): void => {};
  const until = new Promise<void>((resolve) => {
    end = resolve;
  });
  return { until, end: () => end() };
}

function calls(current: CurrentSidecar): (method: string, request?: object, gone?: AbortSignal) => Promise<object> {
  return async (method, request = {}, gone = NEVER) => {
    const handler = current.services.flatMap(({ methods }) => methods[method] ?? [])[0];
    if (handler === undefined) throw new Error(method);
    return handler(request as never, gone);
  };
}

describe("a sidecar that another one replaces", () => {
  test("finishes its calls first; later calls wait for the next one, and none fails", async () => {
    const current = new CurrentSidecar(sidecar("first"));
    const call = calls(current);
    const running = held();
    const begun = call("Archive", { held: running.until });
    const opening = held();
    const replaced = current.replace(async (former) => {
      await former.close(NEVER);
      await opening.until;
      return sidecar("second");
    });
    await pause(5);
    expect(closed).toEqual([]);
    // Nothing waits for a replacement that has not begun.
    expect(await call("Archive")).toEqual({ by: "first" });
    running.end();
    expect(await begun).toEqual({ by: "first" });
    const gone = new AbortController();
    const waiting = [call("Archive"), call("Archive", {}, gone.signal)];
    let answered = 0;
    for (const each of waiting) each.then(() => answered++).catch(() => {});
    expect(await call("Probe")).toEqual({ ready: true });
    await pause(5);
    expect([closed, answered]).toEqual([["first"], 0]);
    gone.abort();
    opening.end();
    await replaced;
    expect(await waiting[0]).toEqual({ by: "second" });
    await expect(waiting[1]).rejects.toThrow("the caller of wal.Archive disconnected");
    await current.close(NEVER);
    expect(closed).toEqual(["first", "second"]);
  });

  // claim: docs/kubernetes/restarts.md: a changed configuration does not wait for a running backup
  test("waits for no backup, which goes on", async () => {
    const current = new CurrentSidecar(sidecar("first"));
    const running = held();
    const backup = calls(current)("Backup", { held: running.until });
    await current.replace(async (former) => {
      await former.close(NEVER);
      return sidecar("second");
    });
    expect(await calls(current)("Archive")).toEqual({ by: "second" });
    running.end();
    expect(await backup).toEqual({ backed: true });
  });

  test("passes the error of the next one on, and keeps no call waiting", async () => {
    const current = new CurrentSidecar(sidecar("first"));
    await expect(current.replace(async () => Promise.reject(new Error("no next one")))).rejects.toThrow("no next one");
    expect(await calls(current)("Archive")).toEqual({ by: "first" });
  });
});
