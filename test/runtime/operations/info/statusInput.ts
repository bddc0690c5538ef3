/** The input of `status` on a host that needs no attention. */
import type { StatusInput } from "../../../../runtime/operations/info/status";
import type { RepoFacts } from "../../../../runtime/recoverability/facts";

export function statusInput(repos: readonly RepoFacts[], nowS: number, more: Partial<StatusInput> = {}): StatusInput {
  return {
    stanza: "demo",
    repos,
    missingWal: () => [],
    conflicts: () => [],
    dropped: () => [],
    expectFull: () => undefined,
    waiting: { count: 0, oldestAtS: null },
    slot: null,
    rpoS: undefined,
    server: null,
    history: async () => null,
    seen: () => new Map(),
    stop: null,
    verified: () => null,
    isStandby: false,
    running: [],
    opened: [],
    host: { troubles: [], notLookedAt: [], next: [] },
    streams: null,
    drills: [],
    nowS,
    ...more,
  };
}
