/**
 * A real API server enforces the policy for the account of a cluster's dumps. The account can create the pod of a dump,
 * but not one with another image, another Secret, or rights.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { renderCluster } from "../../components/render/kubernetes/clusterObjects";
import { mergeOver } from "../../components/plan/model/mergeOver";
import type { RenderedObject } from "../../components/render/kubernetes/objects";
import { dumpPod } from "../../runtime/cnpg/job/dumpPod";
import type { JsonObject } from "../../runtime/cnpg/kubernetes/clusterObject";
import { sleep } from "../../tools/parts/process";
import { context, declaredCluster, objectOf } from "../components/clusters";
import { type ApiServer, startApiServer } from "../harness/kubernetes/apiServer";
import type { KubernetesObject } from "../harness/kubernetes/kubectl";
import { apiServerParts } from "../harness/kubernetes/parts";

const SHAPE = {
  dumps: { cron: "30 4 * * *" },
  spec: { postgresql: { extensions: [{ name: "vector", image: { reference: "registry.example.net/pgvector:18" } }] } },
};
const rendered = (): RenderedObject[] => renderCluster(context(declaredCluster(SHAPE)), null);
const production = (): JsonObject =>
  mergeOver(objectOf(rendered(), "cluster"), { spec: { imageName: "postgresql:18.6" } }) as JsonObject;
const job = { name: "orders-dump-29", uid: "c0ffee00-0000-4000-8000-000000000000" };
const pod = (): JsonObject => dumpPod(production(), { job, nodeImage: undefined, args: [] });
interface PodSpec {
  readonly containers: readonly object[];
  readonly initContainers: readonly object[];
  readonly volumes: readonly object[];
}
const spec = (): PodSpec => pod()["spec"] as object as PodSpec;
const withContainer = (over: object): object => ({ containers: [mergeOver(spec().containers[0] ?? {}, over)] });
const withVolume = (volume: object): object => ({ volumes: [...spec().volumes, { name: "more", ...volume }] });

const REFUSED: readonly (readonly [what: string, over: object, pattern: RegExp])[] = [
  ["another name", { metadata: { name: "orders-1" } }, /makes the pod orders-dump/],
  ["another image", { spec: withContainer({ image: "registry.example.net/own:18" }) }, /has the images/],
  [
    "another image at first",
    { spec: { initContainers: [mergeOver(spec().initContainers[0] ?? {}, { image: "registry.example.net/own" })] } },
    /has the images/,
  ],
  ["another Secret", { spec: withVolume({ secret: { secretName: "of-somebody-else" } }) }, /mounts the Secrets/],
  [
    "another Secret among others",
    { spec: withVolume({ projected: { sources: [{ secret: { name: "of-somebody-else" } }] } }) },
    /mounts the Secrets/,
  ],
  [
    "a token",
    { spec: withVolume({ projected: { sources: [{ serviceAccountToken: { path: "t" } }] } }) },
    /mounts|volumes/,
  ],
  ["files of the node", { spec: withVolume({ hostPath: { path: "/" } }) }, /the volumes of/],
  ["production's volume", { spec: withVolume({ persistentVolumeClaim: { claimName: "orders-1" } }) }, /the volumes of/],
  [
    "another image's files",
    { spec: withVolume({ image: { reference: "registry.example.net/own" } }) },
    /the volumes of/,
  ],
  [
    "a variable out of a Secret",
    {
      spec: withContainer({
        env: [{ name: "K", valueFrom: { secretKeyRef: { name: "of-somebody-else", key: "k" } } }],
      }),
    },
    /no variables/,
  ],
  [
    "all variables of a Secret",
    { spec: withContainer({ envFrom: [{ secretRef: { name: "other" } }] }) },
    /no variables/,
  ],
  ["its token", { spec: { automountServiceAccountToken: true } }, /no account|mounts the Secrets/],
  ["another account", { spec: { serviceAccountName: "admin" } }, /no account/],
  ["the node's network", { spec: { hostNetwork: true } }, /no rights on its node/],
  ["the node's processes", { spec: { hostPID: true } }, /no rights on its node/],
  ["root", { spec: { securityContext: { runAsNonRoot: false } } }, /no rights on its node/],
  [
    "privileges",
    { spec: withContainer({ securityContext: { privileged: true, allowPrivilegeEscalation: true } }) },
    /no rights on its node/,
  ],
];

describe("the account of a cluster's dumps", async () => {
  const parts = await apiServerParts("the policy of dumps");
  if (parts === null) return;
  let server: ApiServer;
  /** Returns the API server's refusal to the account. The dry run stores nothing. */
  const refusal = (over: object): Promise<string> => {
    const object = mergeOver(pod(), mergeOver({ metadata: { namespace: "orders" } }, over)) as KubernetesObject;
    return server.kubectl.refusalTo("system:serviceaccount:orders:orders-dump", object, "orders");
  };

  beforeAll(async () => {
    server = await startApiServer(parts, "dump-policy");
    await server.define(["cnpg"]);
    const account = (name: string): object => ({
      apiVersion: "v1",
      kind: "ServiceAccount",
      metadata: { name, namespace: "orders" },
    });
    await server.kubectl.apply([
      { apiVersion: "v1", kind: "Namespace", metadata: { name: "orders" } },
      account("default"),
      account("admin"),
      production(),
    ]);
    const own = rendered().filter(({ role }) => role.startsWith("dump-"));
    await server.kubectl.apply(own.map(({ manifest }) => manifest));
    // The server enforces a new policy with a delay.
    for (const over of [{ metadata: { name: "another" } }, { spec: { hostPID: true } }]) {
      for (const endMs = performance.now() + 60_000; !(await refusal(over)).includes("ValidatingAdmissionPolicy"); ) {
        if (performance.now() > endMs) throw new Error(`a policy is not in force: ${await refusal(over)}`);
        await sleep(200);
      }
    }
  });
  afterAll(() => server?.stop());

  // claim: docs/dumps.md: what the account of a cluster's dumps may create (a real API server)
  test("creates the pod of a dump", async () => {
    expect(await refusal({})).toBe("");
  });

  // claim: docs/dumps.md: what the account of a cluster's dumps…
  test.each(REFUSED)("is refused %s", async (_what, over, pattern) => {
    const printed = await refusal(over);
    expect(printed).toMatch(/ValidatingAdmissionPolicy 'pgbackstop-dump(-scope)?\.orders\.orders'/);
    expect(printed).toMatch(pattern);
  });

  // claim: docs/dumps.md: what the account of a cluster's dumps…
  test("creates nothing once production is gone, while others still create pods", async () => {
    await server.kubectl.runOk(["delete", "clusters.postgresql.cnpg.io", "orders", "-n", "orders"]);
    for (const endMs = performance.now() + 60_000; (await refusal({})) === ""; ) {
      if (performance.now() > endMs) throw new Error("a pod would be made");
      await sleep(200);
    }
    expect(await refusal({})).toMatch(/no params found/);
    const other = mergeOver(pod(), { metadata: { name: "other", namespace: "orders" } }) as KubernetesObject;
    expect(await server.kubectl.refusal([other])).toBe("");
  });
});
