/**
 * The plugin serves its runtime to the pods of clusters, in a Kubernetes with the real operator and PostgreSQL: pods
 * carry no runtime, start without the plugin from their volume's copy, wait for the plugin without one, refuse
 * another program, and take a newer one instance by instance, while the plugin still serves the older one.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { brotliCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PluginRuntime } from "../../components/databases/cnpgArgs";
import { CnpgCluster } from "../../components/databases/cnpgCluster";
import { packedConfigMap } from "../../components/render/kubernetes/bundle";
import { PLUGIN_DEFAULTS, renderPlugin, runtimeUrl } from "../../components/render/kubernetes/plugin";
import { programFile } from "../../runtime/cnpg/programStart";
import { projectFolder } from "../../tools/parts/cache";
import { CLUSTERS } from "../harness/kubernetes/clusterCalls";
import { type ComponentLab, startComponentLab } from "../harness/kubernetes/componentLab";
import { OPERATOR_NAMESPACE } from "../harness/kubernetes/lab";
import { labParts } from "../harness/kubernetes/parts";
import { NODE_IMAGE } from "../harness/kubernetes/plugin";

const SERVICE = "pgbackstop";
const RUN = "/pgbackstop/run/runtime.cjs";
const KEPT = "/var/lib/postgresql/data/pgbackstop";
const sha256Of = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

interface PodObject {
  readonly metadata: { readonly uid: string };
  readonly spec: { readonly volumes: readonly { readonly name: string }[] };
}

describe("a runtime that the plugin serves", async () => {
  const parts = await labParts("a runtime from the plugin in the lab");
  if (parts === null) return;
  let own: ComponentLab;
  let server: Server;
  const url = runtimeUrl({ namespace: OPERATOR_NAMESPACE, serviceName: SERVICE });
  const program = readFileSync(join(projectFolder(), "dist", "runtime.cjs"));
  // The program finds its parts from the end of the file.
  const lineEnd = program.indexOf("\n") + 1;
  const newer = Buffer.concat([program.subarray(0, lineEnd), Buffer.from("// newer\n"), program.subarray(lineEnd)]);
  const [older, newest] = [sha256Of(program), sha256Of(newer)];

  beforeAll(async () => {
    own = await startComponentLab(parts, "served");
    server = createServer((_request, response) => void response.end(brotliCompressSync("process.exit(0)")));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    await own.lab.expose("liar", (server.address() as AddressInfo).port);
  });
  afterAll(async () => {
    await own?.stop();
    await new Promise((resolve) => server?.close(resolve));
  });

  function declare(name: string, runtime: Partial<PluginRuntime> = {}, instances = 1): Promise<unknown> {
    const served = { sha256: older, url, image: NODE_IMAGE, onRequest: false, ...runtime };
    return own.declare(
      () =>
        new CnpgCluster(name, {
          ...own.common(`/${name}`),
          plugin: { name: SERVICE, runtime: served },
          instances,
          storageGiB: 1,
        }),
    );
  }
  const logOf = (pod: string): string =>
    readFileSync(join(own.lab.logFolder, "pods", `default_${pod}_plugin-pgbackstop.log`), "utf8");
  const podOf = (name: string): Promise<PodObject | null> => own.lab.kubectl.find<PodObject>("pods", name);
  const inSidecar = async (pod: string, ...command: readonly string[]): Promise<string> => {
    const result = await own.lab.kubectl.exec(pod, "plugin-pgbackstop", [...command]);
    if (result.exitCode !== 0) throw new Error(result.stderr);
    return result.stdout;
  };
  const archives = async (name: string, pod = `${name}-1`): Promise<void> =>
    own.awaitSegment(`/${name}`, await own.endSegment(pod));
  const scalePlugin = (replicas: number): Promise<string> =>
    own.lab.kubectl.runOk(["scale", `deployment/${SERVICE}`, "-n", OPERATOR_NAMESPACE, `--replicas=${replicas}`]);
  const isPluginGone = async (): Promise<boolean> => {
    const pods = await own.lab.kubectl.list("pods", OPERATOR_NAMESPACE);
    return !pods.some(({ metadata }) => metadata.name.startsWith(`${SERVICE}-`));
  };

  test("runs in every pod without a ConfigMap, and archives into both repositories", async () => {
    await declare("orders", {}, 2);
    await own.lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
    await own.lab.kubectl.waitForCondition(CLUSTERS, "orders", "ContinuousArchiving");
    await archives("orders");
    for (const pod of ["orders-1", "orders-2"]) {
      expect((await podOf(pod))?.spec.volumes.map(({ name }) => name)).not.toContain("pgbackstop-bundle");
      expect(await inSidecar(pod, "sha256sum", RUN)).toContain(older);
      expect(await inSidecar(pod, "ls", KEPT)).toContain(programFile(older));
    }
  });

  // claim: docs/kubernetes/runtime.md: without the plugin a…
  test("starts from the copy on its volume while the plugin is down, and waits for the plugin without one", async () => {
    await scalePlugin(0);
    await expect.poll(isPluginGone, { timeout: 120_000 }).toBe(true);
    await inSidecar("orders-1", "rm", RUN);
    await own.lab.signal("orders-1", "plugin-pgbackstop", "SIGKILL");
    await expect.poll(() => inSidecar("orders-1", "ls", RUN).catch(String), { timeout: 120_000 }).toContain(RUN);
    await archives("orders");
    expect(logOf("orders-1")).not.toContain("no runtime");

    await inSidecar("orders-1", "rm", RUN, `${KEPT}/${programFile(older)}`);
    await own.lab.signal("orders-1", "plugin-pgbackstop", "SIGKILL");
    await expect.poll(() => logOf("orders-1"), { timeout: 120_000 }).toMatch(/no runtime [0-9a-f]{64} from .*next try/);
    expect(await own.sql("orders-1", "select 1")).toBe("1");
    const waiting = await own.endSegment("orders-1");
    await scalePlugin(2);
    await own.awaitSegment("/orders", waiting);
  });

  // claim: docs/kubernetes/runtime.md: a pod runs only…
  test("refuses another program under its digest, and says so", async () => {
    const port = (server.address() as AddressInfo).port;
    await declare("wrong", { url: `http://liar.default.svc:${port}` });
    const refused = `no runtime ${older} from http://liar.default.svc:${port}: refused: its SHA-256 is ${sha256Of(Buffer.from("process.exit(0)"))}`;
    const log = (): string => {
      try {
        return logOf("wrong-1");
      } catch {
        return "";
      }
    };
    await expect.poll(log, { timeout: 180_000 }).toContain(refused);
    await own.lab.kubectl.runOk(["delete", CLUSTERS, "wrong", "--wait=false"]);
  });

  // claim: docs/kubernetes/runtime.md: a newer runtime rolls instances one after the other; the plugin still serves the
  //   older ones
  test("becomes a newer one instance by instance, and the plugin still serves the older one", async () => {
    const map = packedConfigMap(SERVICE, OPERATOR_NAMESPACE, newest, brotliCompressSync(newer).toString("base64"));
    const plan = {
      ...PLUGIN_DEFAULTS,
      namespace: OPERATOR_NAMESPACE,
      image: NODE_IMAGE,
      runtime: { configMap: map.metadata.name, sha256: newest },
      isServing: true,
      earlier: [older, "0".repeat(64)],
    };
    await own.lab.kubectl.apply([map, ...renderPlugin(plan).map(({ manifest }) => manifest)], { force: true });
    await own.lab.kubectl.runOk(
      ["rollout", "status", `deployment/${SERVICE}`, "-n", OPERATOR_NAMESPACE, "--timeout=120s"],
      { timeoutMs: 130_000 },
    );
    const before = await Promise.all(["orders-1", "orders-2"].map(podOf));
    await declare("late");
    await own.lab.kubectl.waitForCondition(CLUSTERS, "late", "Ready");
    expect(await inSidecar("late-1", "sha256sum", RUN)).toContain(older);
    expect((await podOf("orders-1"))?.metadata.uid).toBe(before[0]?.metadata.uid);

    await declare("orders", { sha256: newest }, 2);
    let busy = 0;
    const isRolled = async (): Promise<boolean> => {
      const pods = await Promise.all(["orders-1", "orders-2"].map(podOf));
      if (pods.filter((pod) => pod === null).length === 2) busy += 1;
      const digests = await Promise.all(
        ["orders-1", "orders-2"].map((pod) => inSidecar(pod, "sha256sum", RUN).catch(String)),
      );
      return digests.every((text) => text.includes(newest));
    };
    await expect.poll(isRolled, { timeout: 400_000, interval: 1000 }).toBe(true);
    expect(busy).toBe(0);
    await own.lab.kubectl.waitForCondition(CLUSTERS, "orders", "Ready");
    const primary = await own.lab.kubectl.find<{ status: { currentPrimary: string } }>(CLUSTERS, "orders");
    await archives("orders", primary?.status.currentPrimary);
    expect(await inSidecar("orders-1", "ls", KEPT)).not.toContain(programFile(older));
  });
});
