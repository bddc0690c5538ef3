/** Rules abstain from values that come later: what does not depend on them is detected in the preview. */
import { describe, expect, test } from "vitest";
import { checkClusterPlan } from "../../../../components/plan/cluster/planCluster";
import type { DeclaredCluster } from "../../../../components/plan/cluster/declaredCluster";
import { findingText } from "../../../../components/plan/findings/findings";
import { view } from "../../../../components/plan/model/deferred";
import type { HostSettings } from "../../../../components/plan/model/databaseSettings";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { checkHost } from "../../../../components/plan/rules";
import { abstaining, eachOf, judged } from "../../../../components/plan/findings/abstain";
import { resolved } from "../../clusters";
import { BUCKET, NAS, plan } from "../../plans";

const DEFERRED = unknownMarker(0) as never;

function onHost(over: Partial<HostSettings>): string[] {
  return checkHost(plan(over)).map(({ code, path }) => `${code} ${path}`);
}

function inCluster(over: Partial<DeclaredCluster>): string[] {
  return checkClusterPlan(resolved(over), false).map(({ code, path }) => `${code} ${path}`);
}

test("a rule that reads a deferred value says nothing, and others go on", () => {
  const values = view({ deferred: DEFERRED, list: [DEFERRED, "known"] });
  const [known] = checkHost(plan({ port: 0 }));
  if (known === undefined) throw new Error("no finding");
  const detected = abstaining(
    () => [known],
    () => [{ ...known, message: values.deferred }],
    () => eachOf(values.list, (item) => [{ ...known, message: item }]),
  );
  expect(judged(detected)).toEqual({ findings: [known, { ...known, message: "known" }], isWhole: false });
});

describe("a deferred value hides only what follows from it", () => {
  test.each<[what: string, over: Partial<HostSettings>, hidden: string, detected: string]>([
    ["of an agent", { streaming: {}, agent: DEFERRED, port: 0 }, "PB150 streaming", "PB014 port"],
    [
      "of an item",
      { drillChecks: { assertions: [{ name: DEFERRED, sql: "" }] } },
      "PB040 drillChecks.assertions[0].name",
      "PB040 drillChecks.assertions[0].sql",
    ],
    [
      "of a task",
      { maintenance: { verify: { enabled: DEFERRED }, heal: { cron: "x" } } },
      "PB011 maintenance.verify.cron",
      "PB011 maintenance.heal.cron",
    ],
    [
      "of one repository",
      { repositories: { repo1: { ...NAS, keepDays: DEFERRED }, repo2: { ...BUCKET, keepFullCount: 0 } } },
      "PB005 repositories.repo1.keepDays",
      "PB005 repositories.repo2.keepFullCount",
    ],
    [
      "of a target",
      { repositories: { repo1: { at: DEFERRED, keepDays: 0 }, repo2: BUCKET } },
      "PB020 repositories.repo1.at",
      "PB005 repositories.repo1.keepDays",
    ],
    [
      "of a bucket",
      {
        repositories: {
          repo1: { ...BUCKET, at: { ...BUCKET.at, s3: { bucket: DEFERRED, endpoint: "a/b", region: "eu" } } },
        },
      },
      "PB020 repositories.repo1.at.s3.bucket",
      "PB020 repositories.repo1.at.s3.endpoint",
    ],
    [
      "of a schedule",
      { schedules: { full: { cron: DEFERRED, timeZone: "Nowhere" } } },
      "PB011 schedules.full.cron",
      "PB011 schedules.full.timeZone",
    ],
    [
      "of a directory",
      { dataDirectory: DEFERRED, directories: { lib: "lib" } },
      "PB014 dataDirectory",
      "PB014 directories.lib",
    ],
  ])("%s on a host", (_what, over, hidden, detected) => {
    const findings = onHost(over);
    expect(findings).toContain(detected);
    expect(findings).not.toContain(hidden);
  });

  test.each<[what: string, over: Partial<DeclaredCluster>, detected: string]>([
    ["of its name", { clusterName: DEFERRED, namespace: "No" }, "PB110 namespace"],
    ["of a field by `spec`", { spec: { instances: DEFERRED }, processMax: 0 }, "PB014 processMax"],
    [
      "of its restore",
      { bootstrap: { recovery: { stanza: DEFERRED, repositories: {} } } },
      "PB114 bootstrap.recovery.repositories",
    ],
    ["of its labels", { metadata: { labels: DEFERRED }, spec: { brandNew: 1 } }, "PB192 spec.brandNew"],
  ])("%s in a cluster", (_what, over, detected) => {
    expect(inCluster(over)).toContain(detected);
  });
});

test("what a field by `spec` says is not guessed while it comes later", () => {
  const instances = (value: unknown): string[] => inCluster({ instances: undefined, spec: { instances: value } });
  expect(instances(0)).toContain("PB096 instances");
  expect(instances(DEFERRED)).not.toContain("PB096 instances");
});

test("one repository is one, wherever it is", () => {
  const s3 = { ...BUCKET.at.s3, endpoint: DEFERRED } as never;
  const repositories = { repo1: { ...BUCKET, at: { ...BUCKET.at, s3 } } };
  const textOf = (over: Partial<HostSettings>): string[] =>
    checkHost(plan(over)).flatMap((detected) => (detected.code === "PB003" ? [findingText(detected)] : []));
  expect(textOf({ repositories })).toEqual(textOf({ repositories: { repo1: BUCKET } }));
});

test("a silence counts as unused only when every rule has judged", () => {
  const silence = { PB009: "one provider is enough here" };
  expect(onHost({ silence })).toContain("PB025 silence.PB009");
  expect(onHost({ silence, port: DEFERRED })).not.toContain("PB025 silence.PB009");
});
