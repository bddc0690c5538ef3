import { describe, expect, test } from "vitest";
import type { JsonObject } from "../../../../runtime/cnpg/kubernetes/clusterObject";
import { lifecycleService } from "../../../../runtime/cnpg/operator/lifecycle";
import { testContext } from "../../../harness/context";
import { applyPatch, bytesOf, cluster, job, PARAMETERS, pod } from "../support";

const RECOVERY = {
  plugins: [],
  bootstrap: { recovery: { source: "origin" } },
  externalClusters: [
    { name: "elsewhere", plugin: { name: "pgbackstop", parameters: { ...PARAMETERS, stanza: "elsewhere" } } },
    { name: "origin", plugin: { name: "pgbackstop", parameters: { ...PARAMETERS, stanza: "origin" } } },
  ],
};
const OWN = [{ name: "pgbackstop", enabled: true, isWALArchiver: true, parameters: PARAMETERS }];

function hook(object: JsonObject, of: JsonObject = cluster(), type = "TYPE_EVALUATE"): string {
  const service = lifecycleService("node@sha256:0123", testContext());
  const request = { operation_type: { type }, cluster_definition: bytesOf(of), object_definition: bytesOf(object) };
  const answer = service.methods["LifecycleHook"]?.(request as never, AbortSignal.timeout(1000)) as {
    json_patch: Uint8Array;
  };
  return new TextDecoder().decode(answer.json_patch);
}

describe("the lifecycle hook", () => {
  test("patches an instance's pod when it is evaluated, and needs nothing more when it is created", () => {
    const patch = hook(pod());
    expect(patch).toContain("plugin-pgbackstop");
    const patched = applyPatch(pod(), JSON.parse(patch) as Parameters<typeof applyPatch>[1]);
    // The answer must be empty. "[]" would be a patch.
    expect(hook(patched, cluster(), "TYPE_CREATE")).toBe("");
  });

  test("ignores pods that are not instances, and clusters without the plugin", () => {
    const other = { ...pod(), metadata: { name: "pooler-1", labels: { "cnpg.io/podRole": "pooler" } } };
    expect(hook(other)).toBe("");
    expect(hook(pod(), cluster({ plugins: [{ name: "other.example" }] }))).toBe("");
    expect(hook(pod(), cluster({ plugins: [{ name: "pgbackstop", enabled: false, parameters: PARAMETERS }] }))).toBe(
      "",
    );
    expect(hook(pod(), cluster(), "TYPE_PATCH")).toBe("");
  });

  test("knows the labels of operators under another domain", () => {
    expect(hook({ ...pod(), metadata: { name: "orders-1", labels: { "k8s.example/podRole": "instance" } } })).toContain(
      "plugin-pgbackstop",
    );
  });

  test("patches recovery jobs, with the repositories of the source that they name", () => {
    const patch = hook(job("full-recovery"), cluster(RECOVERY), "TYPE_CREATE");
    expect(patch).toContain("--stanza=origin");
    expect(hook(job("snapshot-recovery"), cluster(RECOVERY), "TYPE_CREATE")).toContain("cnpg-restore");
  });

  test.each(["initdb", "import", "join", "pgbasebackup", "major-upgrade"])("leaves the job %s alone", (role) => {
    expect(hook(job(role), cluster(RECOVERY), "TYPE_CREATE")).toBe("");
  });

  test("leaves a recovery alone whose source uses another plugin", () => {
    const foreign = {
      ...RECOVERY,
      externalClusters: [{ name: "origin", plugin: { name: "barman-cloud.cloudnative-pg.io" } }],
    };
    expect(hook(job("full-recovery"), cluster(foreign), "TYPE_CREATE")).toBe("");
  });

  test("adds the source of a replica cluster, even after its promotion, so that no pod is recreated then", () => {
    const following = (enabled: boolean): JsonObject =>
      cluster({
        ...(cluster()["spec"] as JsonObject),
        ...RECOVERY,
        plugins: OWN,
        replica: { enabled, source: "origin" },
      });
    const patch = hook(pod(), following(true));
    expect(patch).toContain("--plugin-source-stanza=origin");
    expect(patch).toContain("--stanza=orders");
    expect(hook(pod(), following(false))).toBe(patch);
  });

  test("lets instances of a replica cluster without an archive only read", () => {
    const patch = hook(pod(), cluster({ ...RECOVERY, replica: { enabled: true, source: "origin" } }));
    expect(patch).toContain("cnpg-restore");
    expect(patch).toContain("--plugin-instance=orders-1");
    expect(patch).toContain("--stanza=origin");
    expect(patch).not.toContain("pg1-user");
  });

  test("refuses to create a pod without the requested parts", () => {
    const lacking = cluster({ plugins: [{ name: "pgbackstop", parameters: { bundle: "b" } }] });
    expect(() => hook(pod(), lacking)).toThrow("plugin parameter 'configMap' is required");
  });
});
