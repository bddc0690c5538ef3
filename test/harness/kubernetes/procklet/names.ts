/** Replaces DNS and kube-proxy: every pod's hosts file maps each Service to the address of one of its endpoints. */
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { get } from "./api";
import type { EndpointSliceObject, ListOf, ServiceObject } from "./objects";
import type { Pod } from "./pod";

/** Addresses stay after their endpoints disappear, as a cluster address would. */
const known = new Map<string, string>();

export async function writeHosts(pods: Iterable<Pod>): Promise<void> {
  const [services, slices] = await Promise.all([
    get<ListOf<ServiceObject>>("/api/v1/services"),
    get<ListOf<EndpointSliceObject>>("/apis/discovery.k8s.io/v1/endpointslices"),
  ]);
  const entries = services.items.flatMap(({ metadata: { name, namespace }, spec }) => {
    const endpoint = slices.items
      .filter(
        ({ metadata }) => metadata.namespace === namespace && metadata.labels?.["kubernetes.io/service-name"] === name,
      )
      .flatMap((slice) => slice.endpoints ?? [])
      .find(({ conditions }) => conditions?.ready !== false || spec.publishNotReadyAddresses === true);
    const address = endpoint?.addresses[0];
    if (address !== undefined) known.set(`${namespace}/${name}`, address);
    const ip = known.get(`${namespace}/${name}`);
    return ip === undefined ? [] : [{ ip, name, namespace }];
  });
  for (const pod of pods) {
    const file = join(pod.folder, "hosts");
    if (!existsSync(file)) continue;
    const { metadata, spec } = pod.object;
    const lines = entries.map(({ ip, name, namespace }) => {
      const short = namespace === metadata.namespace ? `${name} ` : "";
      return `${ip} ${short}${name}.${namespace} ${name}.${namespace}.svc ${name}.${namespace}.svc.cluster.local`;
    });
    const text = ["127.0.0.1 localhost", `${pod.ip} ${spec.hostname ?? metadata.name}`, ...lines, ""].join("\n");
    if (pod.hosts === text) continue;
    pod.hosts = text;
    // Write in place: the file is bind mounted.
    writeFileSync(file, text);
  }
}
