/**
 * Installs the Barman Cloud plugin in a lab: the published manifest, with certificates made here because the lab has no
 * issuer.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BarmanParts } from "../../../tools/parts/debian/barmanCloud";
import { type Lab, OPERATOR_NAMESPACE } from "./lab";
import { certificate } from "./plugin";

/** The name of the Service and the Deployment, and the prefix of the certificates' Secrets. */
const SERVICE = "barman-cloud";

/** Applies the manifest and waits until the plugin is available. */
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
