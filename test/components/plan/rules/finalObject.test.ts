/** A field that decides and that a transform has changed is found in each object, and no other field is. */
import { expect, test } from "vitest";
import { checkFinalFields, checkFinalObject, judgeFinal } from "../../../../components/plan/rules/finalObject";
import { unknownMarker } from "../../../../components/plan/model/unknown";
import { renderCluster } from "../../../../components/render/kubernetes/clusterObjects";
import type { Manifest } from "../../../../components/render/kubernetes/objects";
import { PLUGIN_DEFAULTS, renderPlugin } from "../../../../components/render/kubernetes/plugin";
import { context } from "../../clusters";

type Tree = { [name: string]: Tree };

const OVER = { drills: { weekly: { cron: "0 5 * * 6" } }, poolers: { web: {} } };
const OBJECTS: readonly Manifest[] = [
  ...renderCluster(context(OVER), null),
  ...renderPlugin({ ...PLUGIN_DEFAULTS, image: "node", runtime: { configMap: "runtime" } }),
].map(({ manifest }) => JSON.parse(JSON.stringify(manifest)) as Manifest);

function changed(kind: string, change: (object: Tree) => void): string[] {
  return OBJECTS.filter((object) => object.kind === kind).flatMap((judged) => {
    const final = structuredClone(judged) as object as Tree;
    change(final);
    return checkFinalObject(kind, judged, final).map(({ code, path }) => `${code} ${path}`);
  });
}

const set =
  (value: unknown, ...path: readonly string[]) =>
  (object: Tree): void => {
    const last = path.at(-1) ?? "";
    const parent = path.slice(0, -1).reduce((at, step) => at[step] as Tree, object);
    parent[last] = value as Tree;
  };

test.each<[string, string, (object: Tree) => void, string]>([
  ["suspends a schedule", "ScheduledBackup", set(true, "spec", "suspend"), "PB202 spec.suspend"],
  ["moves a schedule", "ScheduledBackup", set("0 0 0 1 1 *", "spec", "schedule"), "PB202 spec.schedule"],
  ["backs up another cluster", "ScheduledBackup", set("x", "spec", "cluster", "name"), "PB202 spec.cluster.name"],
  [
    "backs up with another plugin",
    "ScheduledBackup",
    set("x", "spec", "pluginConfiguration", "name"),
    "PB202 spec.pluginConfiguration.name",
  ],
  ["suspends a drill", "CronJob", set(true, "spec", "suspend"), "PB202 spec.suspend"],
  ["moves a drill", "CronJob", set("0 0 1 1 *", "spec", "schedule"), "PB202 spec.schedule"],
  [
    "changes what a drill does",
    "CronJob",
    set(["--help"], "spec", "jobTemplate", "spec", "template", "spec", "containers", "0", "args"),
    "PB202 spec.jobTemplate.spec.template.spec.containers.drill.args",
  ],
  ["changes the configuration", "ConfigMap", set("", "data", "pgbackrest.conf"), "PB202 data.pgbackrest.conf"],
  ["takes the settings away", "ConfigMap", set(undefined, "data", "pgbackstop.json"), "PB202 data.pgbackstop.json"],
  ["pools for another cluster", "Pooler", set("x", "spec", "cluster", "name"), "PB202 spec.cluster.name"],
  ["runs no plugin", "Deployment", set(0, "spec", "replicas"), "PB202 spec.replicas"],
  ["removes the archiver", "Cluster", set([], "spec", "plugins"), "PB201 spec.plugins"],
])("a transform that %s", (_what, kind, change, expected) => {
  expect([...new Set(changed(kind, change))]).toEqual([expected]);
});

test.each<[string, string, (object: Tree) => void]>([
  ["nothing", "ConfigMap", () => undefined],
  ["labels", "ScheduledBackup", set({ team: "a" }, "metadata", "labels")],
  ["a default", "ScheduledBackup", set(false, "spec", "suspend")],
  ["more data", "ConfigMap", set("mine", "data", "mine.txt")],
  ["an image of a mirror", "CronJob", imageOf("spec", "jobTemplate", "spec", "template", "spec", "containers", "0")],
  ["an image of a mirror", "Deployment", imageOf("spec", "template", "spec", "containers", "0")],
  ["places", "Deployment", set({ pool: "a" }, "spec", "template", "spec", "nodeSelector")],
  [
    "another container before ours",
    "CronJob",
    (object) => {
      const pod = (object as never as Record<"spec", Record<"jobTemplate", { spec: { template: { spec: Pod } } }>>)
        .spec;
      pod.jobTemplate.spec.template.spec.containers.unshift({ name: "mesh", args: ["proxy"] });
    },
  ],
])("a transform of %s in a %s is no finding", (_what, kind, change) => {
  expect(OBJECTS.some((object) => object.kind === kind)).toBe(true);
  expect(changed(kind, change)).toEqual([]);
});

interface Pod {
  containers: object[];
}

function imageOf(...path: readonly string[]): (object: Tree) => void {
  return set("mirror.example.net/node", ...path, "image");
}

test("what was there before is a note, and what changes to another value is an error", () => {
  const compare = checkFinalObject.bind(null, "ScheduledBackup");
  const object = (schedule: string, suspend: boolean): object => ({ spec: { schedule, suspend } });
  const codes = (judged: object, final: object, before?: object): string[] =>
    judgeFinal(compare, judged, final, before).map(({ code, path }) => `${code} ${path}`);
  expect(codes(object("new", false), object("old", false), object("old", false))).toEqual(["PB206 spec.schedule"]);
  expect(codes(object("new", false), object("old", true), object("old", false))).toEqual([
    "PB206 spec.schedule",
    "PB202 spec.suspend",
  ]);
  expect(codes(object("new", false), object("other", false), object("old", false))).toEqual(["PB202 spec.schedule"]);
  expect(codes(object("new", false), object("old", false))).toEqual(["PB202 spec.schedule"]);
  expect(codes(object("new", false), object("new", false), object("old", true))).toEqual([]);
});

test("what a preview does not know is no change", () => {
  expect(changed("ConfigMap", set(unknownMarker(0), "data", "pgbackrest.conf"))).toEqual([]);
  expect(changed("Cluster", set(unknownMarker(0), "spec", "instances"))).toEqual([]);
  const judged = { spec: { schedule: unknownMarker(0), suspend: false } };
  expect(checkFinalObject("ScheduledBackup", judged, { spec: { schedule: "0 0 3 * * *" } })).toEqual([]);
});

test("a host's desired state is compared field by field, without its values", () => {
  const judged = { desired: '{"secret":1}', files: "{}" };
  expect(checkFinalFields(judged, { ...judged, __provider: "x", more: 1 })).toEqual([]);
  const [first, ...others] = checkFinalFields(judged, { ...judged, desired: '{"planted":2}' });
  expect([first?.code, first?.path, others]).toEqual(["PB202", "desired", []]);
  expect(JSON.stringify(first)).not.toMatch(/planted|secret/);
});
