import { expect, test } from "vitest";
import { dumpPod, podStateOf } from "../../../../runtime/cnpg/job/dumpPod";
import { at, type JsonObject, listAt, textAt } from "../../../../runtime/cnpg/kubernetes/clusterObject";
import { cluster } from "../support";

const REQUEST = { job: { name: "orders-dump-1", uid: "u1" }, nodeImage: "node:24", args: ["--database=a$(B)$$"] };
const production = (status: JsonObject = { image: "postgresql:18.6" }): JsonObject => ({ ...cluster(), status });

// claim: docs/dumps.md: the pod of a cluster's dump has the Cluster's image, keys and placement
test("the pod dumps with the Cluster's image, as long as its Job exists", () => {
  const pod = dumpPod(production(), REQUEST);
  expect(at(pod, "metadata")).toEqual({
    name: "orders-dump",
    labels: { "app.kubernetes.io/managed-by": "pgbackstop", "app.kubernetes.io/name": "orders-dump" },
    // Not its controller: the Job's controller gives up a pod that its labels do not select.
    ownerReferences: [
      {
        apiVersion: "batch/v1",
        kind: "Job",
        name: "orders-dump-1",
        uid: "u1",
        controller: false,
        blockOwnerDeletion: false,
      },
    ],
  });
  expect(at(pod, "spec")).toMatchObject({
    restartPolicy: "Never",
    automountServiceAccountToken: false,
    activeDeadlineSeconds: 86_400,
  });
  const [main] = listAt(pod, "spec", "containers");
  expect(textAt(main, "image")).toBe("postgresql:18.6");
  const mounts = listAt(main, "volumeMounts").map((mount) => textAt(mount, "mountPath"));
  expect(mounts).toContain("/pgbackstop/production");
  expect(mounts).not.toContain("/pgbackstop/scratch");
  // Kubernetes makes one $ of two, and replaces no $$(NAME).
  expect(listAt(main, "command").slice(-2)).toEqual(["dump", "--database=a$$(B)$$$$"]);
  expect(listAt(main, "command").at(-3)).toContain("PGBACKREST_DRILL_CLUSTER=orders\n");
});

test("refuses a Cluster without an image, or without this plugin", () => {
  expect(() => dumpPod(production({}), REQUEST)).toThrow("Cluster orders has no image yet");
  expect(() => dumpPod({ ...cluster({ plugins: [] }), status: { image: "p" } }, REQUEST)).toThrow("has no plugin");
});

const ended = (state: JsonObject): JsonObject => ({ containerStatuses: [{ state: { terminated: state } }] });

test.each<[string, JsonObject | null, object]>([
  ["gone", null, { kind: "disrupted", why: "somebody removed it" }],
  ["complete", { phase: "Succeeded" }, { kind: "ended", code: 0, why: "" }],
  [
    "failed",
    { phase: "Failed", ...ended({ exitCode: 104, reason: "Error" }) },
    { kind: "ended", code: 104, why: "Error" },
  ],
  [
    "out of memory",
    { phase: "Failed", ...ended({ exitCode: 137, reason: "OOMKilled" }) },
    { code: 137, why: "OOMKilled" },
  ],
  ["too long", { phase: "Failed", reason: "DeadlineExceeded" }, { kind: "ended", code: 1, why: "DeadlineExceeded" }],
  [
    "on a node that is emptied",
    {
      phase: "Failed",
      conditions: [{ type: "DisruptionTarget", status: "True", reason: "EvictionByEvictionAPI" }],
      ...ended({ exitCode: 63 }),
    },
    { kind: "disrupted", why: "EvictionByEvictionAPI" },
  ],
  ["running", { phase: "Running", containerStatuses: [{ state: { running: {} } }] }, { kind: "runs", started: true }],
  [
    "without an image",
    {
      phase: "Pending",
      containerStatuses: [{ state: { waiting: { reason: "ErrImagePull", message: "not found" } } }],
      conditions: [{ type: "PodScheduled", status: "True" }],
    },
    { kind: "runs", started: false, why: "ErrImagePull: not found" },
  ],
  [
    "without a node",
    { phase: "Pending", conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable" }] },
    { kind: "runs", started: false, why: "Unschedulable" },
  ],
])("a pod that is %s", (_what, status, expected) => {
  expect(podStateOf(status === null ? null : { status })).toMatchObject(expected);
});

test("a pod that failed because somebody removes it was taken away, whatever code it ended with", () => {
  const status = { phase: "Failed", ...ended({ exitCode: 63 }) };
  expect(podStateOf({ metadata: { deletionTimestamp: "2026-11-28T15:00:00Z" }, status })).toMatchObject({
    kind: "disrupted",
  });
});
