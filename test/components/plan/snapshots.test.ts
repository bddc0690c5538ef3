/** A cluster's volume snapshots in its topology: their times and retention, and the effect of a change. */
import { expect, test } from "vitest";
import type { DeclaredCluster } from "../../../components/plan/cluster/declaredCluster";
import { diffTopologies } from "../../../components/plan/diff";
import { type Topology, topologyOf } from "../../../components/plan/topology/topology";
import { renderShown } from "../../../components/render/topology/show";
import { resolved } from "../clusters";

const of = (snapshots?: DeclaredCluster["snapshots"], over: Partial<DeclaredCluster> = {}): Topology =>
  topologyOf(resolved({ ...over, ...(snapshots === undefined ? {} : { snapshots }) }).database);
const changes = (before: Topology, after: Topology): string[] =>
  diffTopologies(new Map([["orders", before]]), new Map([["orders", after]])).changes.map(
    (change) => `${change.effect} ${change.path}: ${change.before} → ${change.after}`,
  );
const NIGHTLY = { cron: "0 5 * * *", className: "csi" };

test("the topology has their times and retention", () => {
  expect(of().databases[0]).not.toHaveProperty("volumeSnapshots");
  expect(of({ ...NIGHTLY, keepDays: 7 }).databases[0]?.volumeSnapshots).toEqual({
    cron: "0 5 * * *",
    online: true,
    keepDays: 7,
  });
  const alone = of({ online: false, keepCount: 3 }, { engine: "volumeSnapshot", repositories: {} });
  expect(alone.databases[0]?.volumeSnapshots).toEqual({ online: false, keepCount: 3 });
  expect(renderShown(new Map([["orders", of({ ...NIGHTLY, keepDays: 7, keepCount: 3 })]]))).toContain(
    "- volume snapshots: 0 5 \\* \\* \\*, hot, kept: 7 days and the newest 3\n",
  );
  expect(renderShown(new Map([["orders", of(NIGHTLY)]]))).toContain("nothing removes them");
});

test("the effect of a change on them", () => {
  expect(changes(of(), of(NIGHTLY))).toEqual(["strengthened snapshots: none → taken"]);
  expect(changes(of(NIGHTLY), of())).toEqual(["weakened snapshots: taken → none"]);
  expect(changes(of({ ...NIGHTLY, keepDays: 7 }), of({ ...NIGHTLY, keepDays: 3 }))).toEqual([
    "weakened snapshots.keepDays: 7 → 3",
  ]);
  expect(changes(of(NIGHTLY), of({ ...NIGHTLY, keepDays: 30 }))).toEqual(["weakened snapshots.keepDays: none → 30"]);
  expect(changes(of({ ...NIGHTLY, keepDays: 7 }), of({ ...NIGHTLY, keepCount: 5 }))).toEqual([
    "weakened snapshots.keepDays: 7 → none",
    "strengthened snapshots.keepCount: none → 5",
  ]);
  expect(
    changes(of({ ...NIGHTLY, keepDays: 7 }), of({ ...NIGHTLY, keepDays: 7, cron: "0 5 * * 0", online: false })),
  ).toEqual(["weakened snapshots.cron: 0 5 * * * → 0 5 * * 0", "neutral snapshots.online: true → false"]);
});
