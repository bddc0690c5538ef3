import { join } from "node:path";
import { expect, it } from "vitest";
import { healForever } from "../../../runtime/archiver/healer";
import { openMissingWal } from "../../../runtime/local/missingWal";
import { stanzaCreate } from "../../../runtime/operations/stanza/stanzaCreate";
import { testContext } from "../../harness/context";
import { emptyWal, readable, store } from "../operations/archive";
import { CLUSTER, CONTROL, repository, temporaryFolder, walName } from "../repository/support";

// claim: docs/agent.md: missing WAL comes from…
it("copies the present cluster's missing WAL, whatever is recorded of clusters that the repository does not know", async () => {
  const ctx = testContext();
  const repos = [repository(1), repository(2)] as const;
  await stanzaCreate(repos, CONTROL, ctx);
  await store(repos[0], 1);
  const missingWal = openMissingWal(join(temporaryFolder(), "spool"), "demo");
  // The first one is listed before the present cluster, the second one after it.
  for (const former of [
    { version: "10", systemId: 7n },
    { version: "99", systemId: 7n },
  ])
    missingWal.add(2, walName(5), former);
  missingWal.add(2, walName(1), CLUSTER);
  const controller = new AbortController();
  const endMs = ctx.clock.nowMs() + 60_000;
  const local = emptyWal();
  const present = () => {
    if (ctx.clock.nowMs() >= endMs || missingWal.list(2).length === 0) controller.abort();
    return { cluster: CLUSTER, local, claims: { claim: () => true, release: () => {} } };
  };
  const lock = { enter: () => {}, leave: () => {} };
  await healForever({ repos, missingWal, lock, present }, ctx, controller.signal);
  expect(await readable(repos[1])).toEqual([walName(1)]);
  expect(missingWal.list(2)).toEqual([]);
});
