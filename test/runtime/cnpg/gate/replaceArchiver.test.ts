/** The one request that replaces the operator's archiver, against a Cluster in memory that others change meanwhile. */
import { beforeEach, expect, test } from "vitest";
import { replaceArchiver, replaceArchiverCommand } from "../../../../runtime/cnpg/gate/replaceArchiver";
import type { Json, JsonObject } from "../../../../runtime/cnpg/kubernetes/clusterObject";
import type { KubernetesApi } from "../../../../runtime/cnpg/kubernetes/kubernetesApi";
import type { CommandProcess } from "../../../../runtime/process/commandProcess";
import { type TestContext, testContext } from "../../../harness/context";

const SPEC = { plugins: [{ name: "pgbackstop", isWALArchiver: true }], backup: { target: "prefer-standby" } };
const IN_TREE = { backup: { barmanObjectStore: { destinationPath: "s3://a/b" }, retentionPolicy: "30d" } };
const ARCHIVING = { conditions: [{ type: "ContinuousArchiving", status: "True" }] };

let ctx: TestContext;
let cluster: JsonObject | null;
/** Changes by others before the next request. */
let others: number;
let requests: JsonObject[];
/** Keeps what it gets, and the manager of the fields, as the API server does. */
const api: Pick<KubernetesApi, "find" | "patch"> = {
  find: async (_collection, name) => (name === "legacy" ? cluster : null),
  patch: async (_collection, _name, fields, manager = "") => {
    requests.push(fields);
    others -= 1;
    if (others >= 0) return false;
    const { managedFields } = fields["metadata"] as { readonly managedFields?: Json };
    const metadata = { resourceVersion: "9", managedFields: managedFields ?? [{ manager: "others" }, { manager }] };
    cluster = { ...cluster, metadata, spec: fields["spec"] ?? cluster?.["spec"] ?? {} };
    return true;
  },
};
beforeEach(() => {
  ctx = testContext();
  const metadata = { resourceVersion: "7", managedFields: [{ manager: "others" }] };
  cluster = { metadata, spec: IN_TREE, status: ARCHIVING };
  others = 0;
  requests = [];
});

const run = (name = "legacy"): Promise<void> => replaceArchiver(api, { cluster: name, spec: SPEC }, ctx);

// claim: docs/kubernetes/engines.md: `replaceBarmanObjectStore`: one update takes…
test("one request removes the old archiver and its retention, and sets the new one, unless the Cluster has changed", async () => {
  others = 2;
  await run();
  expect(requests).toHaveLength(4);
  expect(requests[2]).toEqual({
    metadata: { resourceVersion: "7" },
    spec: {
      plugins: SPEC.plugins,
      backup: { target: "prefer-standby", barmanObjectStore: null, retentionPolicy: null },
    },
  });
  // It gives the fields up, so that the attachment alone owns them.
  expect(requests[3]).toEqual({ metadata: { resourceVersion: "9", managedFields: [{ manager: "others" }] } });
  await run();
  expect(requests).toHaveLength(4);
  expect(ctx.lines.filter(({ level }) => level === "warn")).toEqual([]);
});

// claim: docs/kubernetes/engines.md: `replaceBarmanObjectStore`: one update takes…
test("a run that ended between its two requests is completed by the next one", async () => {
  const metadata = { resourceVersion: "8", managedFields: [{ manager: "pgbackstop-archiver" }, { manager: "others" }] };
  cluster = { metadata, spec: SPEC };
  await run();
  expect(requests).toEqual([{ metadata: { resourceVersion: "8", managedFields: [{ manager: "others" }] } }]);
});

test("a Cluster without the old archiver stays as it is", async () => {
  cluster = { metadata: { resourceVersion: "8" }, spec: { ...SPEC, backup: { target: "primary" } } };
  await run();
  expect(requests).toEqual([]);
});

test("an archive that is behind is a warning: its remaining WAL goes to the new one", async () => {
  cluster = {
    ...cluster,
    status: { conditions: [{ type: "ContinuousArchiving", status: "False", message: "no bucket" }] },
  };
  await run();
  expect(ctx.lines.filter(({ level }) => level === "warn").map(({ text }) => text)).toEqual([
    "ContinuousArchiving of Cluster legacy is not True (no bucket): waiting WAL goes to the new archive alone",
  ]);
});

test("other plugins, a missing Cluster and endless changes are errors, and nothing is changed", async () => {
  cluster = { ...cluster, spec: { ...IN_TREE, plugins: [{ name: "other.example.net" }] } };
  await expect(run()).rejects.toThrow("Cluster legacy has other plugins: other.example.net");
  await expect(run("absent")).rejects.toThrow("there is no Cluster absent in this namespace");
  expect(requests).toEqual([]);
  cluster = { ...cluster, spec: IN_TREE };
  others = 100;
  await expect(run()).rejects.toThrow("Cluster legacy changed 20 times");
});

test("the command needs both options", async () => {
  const proc = { config: { replaceArchiver: { cluster: undefined, spec: undefined } }, ctx } as never as CommandProcess;
  await expect(replaceArchiverCommand(proc)).rejects.toThrow("requires option: archiver-cluster");
});
