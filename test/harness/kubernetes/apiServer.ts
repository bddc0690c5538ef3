/**
 * A real API server alone, on loopback, ready in a few seconds. It accepts and checks objects, and nothing acts on
 * them. Needs no root.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DefinitionSource } from "../../../tools/parts/kubernetes/kubernetesManifests";
import type { ApiServerParts } from "../../../tools/parts/kubernetes/kubernetesPrograms";
import { onEnd, sleep } from "../../../tools/parts/process";
import { makeLogFolder } from "../real/logs";
import { loopbackNetwork } from "../testNetwork";
import { startControlPlane } from "./controlPlane";
import type { Kubectl } from "./kubectl";

export interface ApiServer {
  readonly kubectl: Kubectl;
  readonly url: string;
  /** The admin's kubeconfig. */
  readonly kubeconfig: string;
  /** The certificate authority of the server's certificate. */
  readonly caFile: string;
  /** Kept until the next server of the same name. */
  readonly logFolder: string;
  /** Defines custom resources from published definitions or doubles. Resolves when the server serves them. */
  define(sources: readonly DefinitionSource[], doubles?: readonly object[]): Promise<void>;
  stop(): Promise<void>;
}

/** Time limit for the server to establish definitions on a busy machine. */
const ESTABLISHED_MS = 60_000;

/** @param name of the folder of logs @throws Error with the end of the logs if the server does not become ready */
export async function startApiServer(parts: ApiServerParts, name = "api-server"): Promise<ApiServer> {
  const runFolder = mkdtempSync(join(tmpdir(), "pgbk-"));
  const logFolder = makeLogFolder("kubernetes", name);
  const testNetwork = loopbackNetwork(logFolder);
  const stop = async (): Promise<void> => {
    await testNetwork.stop();
    rmSync(runFolder, { recursive: true, force: true });
  };
  const forget = onEnd(stop);
  try {
    const { caFile, kubeconfig, kubectl, url } = await startControlPlane(parts, testNetwork, runFolder);
    return {
      kubectl,
      url,
      kubeconfig,
      caFile,
      logFolder,
      define: (sources, doubles = []) => define(kubectl, parts, sources, doubles),
      stop: async () => {
        forget();
        await stop();
      },
    };
  } catch (error) {
    forget();
    await stop();
    throw error;
  }
}

async function define(
  kubectl: Kubectl,
  { manifests }: ApiServerParts,
  sources: readonly DefinitionSource[],
  doubles: readonly object[],
): Promise<void> {
  await kubectl.applyFiles(...sources.map((source) => manifests.definitions[source]));
  if (doubles.length > 0) await kubectl.apply(doubles);
  const wait = ["wait", "--for=condition=Established", "--timeout=60s", "customresourcedefinitions", "--all"];
  // For a new definition without conditions, kubectl reports an error instead of waiting.
  for (const endMs = performance.now() + ESTABLISHED_MS; performance.now() < endMs; await sleep(200)) {
    if ((await kubectl.run(wait)).exitCode === 0) return;
  }
  await kubectl.runOk(wait);
}
