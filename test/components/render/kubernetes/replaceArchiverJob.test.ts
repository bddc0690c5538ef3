/** Objects that take over from the operator's own archiver: before the attachment, with rights on one Cluster. */
import { expect, test } from "vitest";
import { loadConfig } from "../../../../runtime/config/load";
import { renderAttachment } from "../../../../components/render/kubernetes/clusterObjects";
import type { RenderedObject } from "../../../../components/render/kubernetes/objects";
import { context, declaredCluster, objectOf } from "../../clusters";

interface PodSpec {
  readonly serviceAccountName: string;
  readonly containers: readonly [{ readonly args: readonly string[] }];
}

const attached = (replaces: boolean): RenderedObject[] =>
  renderAttachment(context(declaredCluster({ replaceBarmanObjectStore: replaces })));

test("only where it is declared, and right before the attachment", () => {
  const roles = (rendered: readonly RenderedObject[]): string[] => rendered.map(({ role }) => role);
  expect(roles(attached(false))).not.toContain("replace-archiver");
  expect(roles(attached(true)).slice(0, 6)).toEqual([
    "config",
    "replace-archiver-account",
    "replace-archiver-role",
    "replace-archiver-binding",
    "replace-archiver",
    "attachment",
  ]);
});

test("its account may read and change this Cluster, and nothing else", () => {
  expect(objectOf(attached(true), "replace-archiver-role")["rules"]).toEqual([
    { apiGroups: ["postgresql.cnpg.io"], resources: ["clusters"], resourceNames: ["orders"], verbs: ["get", "patch"] },
  ]);
});

test("it sets what the attachment then owns", () => {
  const objects = attached(true);
  const job = objectOf(objects, "replace-archiver")["spec"] as { readonly template: { readonly spec: PodSpec } };
  const { containers, serviceAccountName } = job.template.spec;
  expect(serviceAccountName).toBe("orders-archiver");
  // Kubernetes puts variables in.
  const argv = containers[0].args.map((arg) => arg.replace("$(KUBERNETES_SERVICE_PORT)", "443"));
  const { config } = loadConfig({ argv, env: {}, readFile: () => null, listDirectory: () => [] });
  expect(config.command).toBe("cnpg-replace-archiver");
  expect(config.replaceArchiver.cluster).toBe("orders");
  expect(objectOf(objects, "attachment")["spec"]).toMatchObject(
    JSON.parse(config.replaceArchiver.spec ?? "") as object,
  );
  expect(Object.keys(JSON.parse(config.replaceArchiver.spec ?? "") as object)).toEqual(["plugins"]);
});
