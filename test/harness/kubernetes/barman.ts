/**
 * The Barman Cloud plugin in a lab: what its project publishes, with certificates made here, because nobody issues any
 * in the lab.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BarmanParts } from "../../../tools/parts/debian/barmanCloud";
import { type Lab, OPERATOR_NAMESPACE } from "./lab";
import { certificate } from "./plugin";

/** Of its Service and its Deployment; its Secrets of certificates begin with it. */
const SERVICE = "barman-cloud";

/** Applies everything and waits until the plugin is available. */
export async function installBarman({ kubectl, logFolder }: Lab, { manifest }: BarmanParts): Promise<void> {
  const documents = readFileSync(manifest, "utf8").split(/^---$/m);
  const file = join(logFolder, "barman.yaml");
  writeFileSync(file, documents.filter((text) => !/^apiVersion: cert-manager\.io\//m.test(text)).join("---"));
  await kubectl.apply([
    await certificate({ commonName: SERVICE, secretName: `${SERVICE}-server-tls`, usage: "serverAuth" }),
    await certificate({ commonName: `${SERVICE}-client`, secretName: `${SERVICE}-client-tls`, usage: "clientAuth" }),
  ]);
  await kubectl.applyFiles(file);
  await kubectl.runOk(["rollout", "status", `deployment/${SERVICE}`, "-n", OPERATOR_NAMESPACE, "--timeout=120s"], {
    timeoutMs: 130_000,
  });
}
