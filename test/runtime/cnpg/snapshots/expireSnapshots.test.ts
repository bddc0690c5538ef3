/**
 * How `cnpg-expire` groups objects, in which order it removes them, and which ones remain if it is killed between two
 * deletions. The API server in memory removes a Backup's dependents too. test/kubernetes/snapshots.test.ts uses a real
 * one.
 */
import { describe, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import {
  expireSnapshots,
  expireSnapshotsCommand,
  type SnapshotPolicy,
} from "../../../../runtime/cnpg/snapshots/expireSnapshots";
import type { KubernetesApi } from "../../../../runtime/cnpg/kubernetes/kubernetesApi";
import type { CommandProcess } from "../../../../runtime/process/commandProcess";
import type { Json } from "../../../../runtime/cnpg/kubernetes/clusterObject";
import { TEST_TIME_MS, type TestContext, testContext } from "../../../harness/context";
import type { KubernetesObject } from "../../../harness/kubernetes/kubectl";
import { type TakenSnapshot, takenSnapshot } from "../../../harness/kubernetes/snapshotObjects";

const POLICY: SnapshotPolicy = {
  cluster: "orders",
  schedules: ["orders-full"],
  keepDays: 7,
  keepCount: undefined,
  dryRun: false,
};
const day = (date: string): string => `${date}T03:00:00Z`;
const daily = (date: string, over: Partial<TakenSnapshot> = {}): TakenSnapshot => ({
  schedule: "orders-full",
  at: day(date),
  volumes: ["tbs-hot", "wal"],
  ...over,
});

class MemoryApi implements Pick<KubernetesApi, "list" | "remove"> {
  readonly objects: Map<string, KubernetesObject>;
  readonly removals: string[] = [];
  /** Called before each deletion. Throws to refuse it. */
  before: (name: string, count: number) => void = () => {};
  serverMs: number | undefined;

  constructor(objects: readonly KubernetesObject[]) {
    this.objects = new Map(objects.map((object) => [`${object.kind} ${object.metadata.name}`, object]));
  }

  static of(...taken: readonly TakenSnapshot[]): MemoryApi {
    return new MemoryApi(taken.flatMap((each) => [takenSnapshot(each).backup, ...takenSnapshot(each).snapshots]));
  }

  list: KubernetesApi["list"] = async ({ plural }, selector, read) => {
    const kind = plural === "backups" ? "Backup" : "VolumeSnapshot";
    const [label = "", value] = selector?.split("=") ?? [];
    const result = [...this.objects.values()].filter(
      ({ kind: own, metadata }) =>
        own === kind && (selector === null || (metadata["labels"] as Record<string, string>)[label] === value),
    );
    return { items: result.map((object) => read(object as Json)), serverMs: this.serverMs };
  };

  remove: KubernetesApi["remove"] = async ({ plural }, { name, uid }) => {
    const key = `${plural === "backups" ? "Backup" : "VolumeSnapshot"} ${name}`;
    this.before(key, this.removals.length);
    this.removals.push(key);
    const result = this.objects.get(key);
    if (result?.metadata["uid"] !== uid) return;
    this.objects.delete(key);
    for (const [ownedKey, { metadata }] of this.objects) {
      if (((metadata["ownerReferences"] ?? []) as { uid: string }[]).some((owner) => owner.uid === uid))
        this.objects.delete(ownedKey);
    }
  };

  names(): string[] {
    return [...this.objects.keys()].sort();
  }
}

const run = (api: MemoryApi, over: Partial<SnapshotPolicy> = {}, ctx: TestContext = testContext()): Promise<void> =>
  expireSnapshots(api, { ...POLICY, ...over }, ctx);

describe("a group of volumes", () => {
  test("is removed with its Backup first and the data volume before the others", async () => {
    const api = MemoryApi.of(daily("2026-11-20"), daily("2026-11-01"));
    const ctx = testContext();
    await run(api, {}, ctx);
    const name = "orders-full-20261101030000";
    expect(api.removals).toEqual([
      `Backup ${name}`,
      `VolumeSnapshot ${name}`,
      `VolumeSnapshot ${name}-tbs-hot`,
      `VolumeSnapshot ${name}-wal`,
    ]);
    expect(ctx.lines.map(({ text }) => text)).toEqual([
      "keep orders-full-20261120030000: younger than 7 days",
      `remove ${name} (the Backup, ${name}, ${name}-tbs-hot, ${name}-wal): older than 7 days, and not the newest`,
      "1 kept, 1 removed",
    ]);
  });

  test("owned by the Backup is removed with it", async () => {
    const api = MemoryApi.of(
      daily("2026-11-20", { owner: "backup" }),
      daily("2026-11-01", { owner: "backup" }),
      daily("2026-11-02", { owner: "cluster" }),
    );
    await run(api);
    expect(api.removals.filter((name) => name.includes("20261101"))).toEqual(["Backup orders-full-20261101030000"]);
    expect(api.names().every((name) => name.includes("20261120"))).toBe(true);
  });

  test("stays complete when its Backup cannot be removed, and the others are removed", async () => {
    const api = MemoryApi.of(daily("2026-11-20"), daily("2026-11-01"), daily("2026-10-01"));
    api.before = (name) => {
      if (name === "Backup orders-full-20261101030000") throw fail("access", "unable to delete backups: 403 forbidden");
    };
    const ctx = testContext();
    await expect(run(api, {}, ctx)).rejects.toMatchObject({
      kind: "command",
      message: "1 of 2 could not be removed; the next run tries again",
    });
    expect(api.names().filter((name) => name.includes("20261101"))).toHaveLength(4);
    expect(api.names().some((name) => name.includes("20261001"))).toBe(false);
    expect(ctx.lines.find(({ level }) => level === "error")?.text).toContain(
      "orders-full-20261101030000: unable to delete backups: 403",
    );
  });

  test("that lacks a volume does not count", async () => {
    const api = MemoryApi.of(daily("2026-11-20"), daily("2026-11-10"), daily("2026-11-09"));
    api.objects.delete("VolumeSnapshot orders-full-20261120030000-wal");
    await run(api, { keepDays: undefined, keepCount: 1 });
    // The newest group lacks its WAL volume, so only the one before it can be restored.
    expect(api.names().filter((name) => name.startsWith("Backup"))).toEqual([
      "Backup orders-full-20261110030000",
      "Backup orders-full-20261120030000",
    ]);
  });

  test("is only listed by a dry run", async () => {
    const api = MemoryApi.of(daily("2026-11-20"), daily("2026-11-01"));
    const ctx = testContext();
    await run(api, { dryRun: true }, ctx);
    expect(api.removals).toEqual([]);
    expect(ctx.lines.map(({ text }) => text).join("\n")).toMatch(
      /^\[DRY-RUN\] remove orders-full-20261101030000 .*\n1 kept, 1 would be removed$/m,
    );
  });
});

test("foreign objects are ignored", async () => {
  const others = [
    daily("2026-01-01", { schedule: "orders-nightly" }),
    daily("2026-01-02", { cluster: "invoices" }),
    daily("2026-01-03", { method: "plugin" }),
    daily("2026-01-04", { phase: "running" }),
    daily("2026-01-05", { phase: "walArchivingFailing" }),
  ];
  const api = MemoryApi.of(daily("2026-11-20"), ...others);
  // A manual backup with a name like ours but without a schedule, and snapshots of a deleted Backup with another name.
  const { backup, snapshots } = takenSnapshot(daily("2026-01-06"));
  api.objects.set("Backup by-hand", { ...backup, metadata: { ...backup.metadata, labels: {} } });
  for (const snapshot of snapshots) api.objects.set(`VolumeSnapshot ${snapshot.metadata.name}`, snapshot);
  for (const snapshot of takenSnapshot(daily("2026-01-07", { schedule: "orders-full-old" })).snapshots) {
    api.objects.set(`VolumeSnapshot ${snapshot.metadata.name}`, snapshot);
  }
  const before = api.names();
  await run(api);
  expect(api.names()).toEqual(before);
});

test("failed ones are removed by days too, with the volumes that they created", async () => {
  const api = MemoryApi.of(
    daily("2026-11-20"),
    daily("2026-11-19", { phase: "failed" }),
    daily("2026-11-01", { phase: "failed" }),
    daily("2026-11-02", { phase: "invalid backup definition", volumes: [] }),
  );
  await run(api);
  expect(new Set(api.names().map((name) => /\d{8}/.exec(name)?.[0]))).toEqual(new Set(["20261119", "20261120"]));
});

test("snapshots whose schedule was recreated, which deleted its Backups, count and are removed like others", async () => {
  const api = MemoryApi.of(daily("2026-10-01"), daily("2026-10-02"), daily("2026-11-18"));
  for (const name of api.names()) if (name.startsWith("Backup ")) api.objects.delete(name);
  await run(api);
  expect(api.names().every((name) => name.includes("20261118"))).toBe(true);
  expect(api.names()).toHaveLength(3);
  // Without a Backup, a group counts only if it has its data volume and every snapshot is complete.
  const rest = MemoryApi.of(daily("2026-10-01"), daily("2026-10-02", { phase: "failed" }));
  for (const name of rest.names()) if (name.startsWith("Backup ")) rest.objects.delete(name);
  await run(rest);
  expect(rest.names()).toHaveLength(3);
  expect(rest.names().every((name) => name.includes("20261001"))).toBe(true);
});

test("a clock that is ahead removes nothing early", async () => {
  const api = MemoryApi.of(daily("2026-11-20"), daily("2026-11-19"));
  api.serverMs = TEST_TIME_MS;
  await run(api, {}, testContext({ startedAtMs: TEST_TIME_MS + 400 * 86_400_000 }));
  expect(api.removals).toEqual([]);
});

test("an unreadable time removes nothing", async () => {
  const api = MemoryApi.of(daily("2026-11-20"), daily("2026-11-01"), { ...daily("2026-11-02"), at: "yesterday" });
  await expect(run(api)).rejects.toMatchObject({ kind: "format" });
  expect(api.removals).toEqual([]);
});

describe("killed between any two deletions", () => {
  const owners = ["none", "backup", "cluster"] as const;
  const taken = owners.flatMap((owner, index) => [
    daily(`2026-11-0${index + 1}`, { owner }),
    daily(`2026-10-0${index + 1}`, { owner, phase: "failed", volumes: ["wal"] }),
  ]);
  const all = [daily("2026-11-20"), daily("2026-11-19", { phase: "failed" }), ...taken];

  // claim: docs/kubernetes/snapshots.md: a cluster's old volume…
  test("it leaves no Backup without its volumes, and the next run ends as if nothing had happened", async () => {
    const whole = MemoryApi.of(...all);
    await run(whole);
    const { length } = whole.removals;
    expect(length).toBeGreaterThan(10);
    for (let kept = 0; kept <= length; kept++) {
      const api = MemoryApi.of(...all);
      const ctx = testContext();
      api.before = (_name, count) => {
        if (count < kept) return;
        ctx.abort();
        throw fail("hostConnect", "gone");
      };
      if (kept < length) await expect(run(api, {}, ctx)).rejects.toBeDefined();
      else await run(api, {}, ctx);
      for (const each of all) {
        const { backup, snapshots } = takenSnapshot(each);
        if (!api.objects.has(`Backup ${backup.metadata.name}`)) continue;
        for (const { metadata } of snapshots) expect(api.names()).toContain(`VolumeSnapshot ${metadata.name}`);
      }
      api.before = () => {};
      await run(api);
      expect(api.names()).toEqual(whole.names());
    }
  });
});

test.each([
  ["snapshot-cluster", { cluster: "" }],
  ["snapshot-schedule", { schedules: [] }],
  ["snapshot-keep-days or snapshot-keep-count", { keepDays: undefined }],
])("without %s nothing is done", async (option, over) => {
  const snapshots = { host: "", port: 0, accountPath: "/nowhere", ...POLICY, ...over };
  const host: object = { config: { snapshots, dryRun: false }, ctx: testContext() };
  await expect(expireSnapshotsCommand(host as CommandProcess)).rejects.toMatchObject({
    kind: "optionRequired",
    message: `cnpg-expire command requires option: ${option}`,
  });
});
