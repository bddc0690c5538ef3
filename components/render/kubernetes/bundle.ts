/**
 * The ConfigMap that brings the runtime into a namespace: one per owner, named after its content and immutable. So a
 * new version is a new object, and running pods keep the one they started with. Pure.
 */
import { BUNDLE_FILE } from "../../../runtime/cnpg/names";
import { NODE_IMAGE } from "../../plan/cluster/images";
import { MANAGED_BY, type Manifest } from "./objects";

/** The packed program. */
export interface RuntimeBundle {
  /** gzip of `runtime.cjs`. */
  readonly gzipBase64: string;
  /** SHA-256 of `runtime.cjs` itself: hexadecimal. */
  readonly sha256: string;
}

const HASH_DIGITS = 12;

/** @param owner prefix of the name: the cluster, the plugin, or a name for several clusters of the namespace */
export function bundleConfigMap(owner: string, namespace: string, bundle: RuntimeBundle): Manifest {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: `${owner}-runtime-${bundle.sha256.slice(0, HASH_DIGITS)}`, namespace, labels: MANAGED_BY },
    immutable: true,
    // With the program, so that a cluster that keeps its program also keeps its image.
    data: { image: NODE_IMAGE },
    binaryData: { [BUNDLE_FILE]: bundle.gzipBase64 },
  };
}
