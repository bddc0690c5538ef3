/**
 * The ConfigMap that brings the runtime into a namespace: one for each, named after its contents and immutable, so that a new version is a new
 * object and what runs keeps what it was started with. Pure.
 */
import { BUNDLE_FILE } from "../../../runtime/cnpg/names";
import { NODE_IMAGE } from "../../plan/cluster/images";
import { MANAGED_BY, type Manifest } from "./objects";

/** The packed program. */
export interface RuntimeBundle {
  /** gzip of `runtime.cjs`. */
  readonly gzipBase64: string;
  /** Of `runtime.cjs` itself: hexadecimal. */
  readonly sha256: string;
}

const HASH_DIGITS = 12;

/** @param owner begins the name: the cluster, the plugin, or a word for several clusters of the namespace */
export function bundleConfigMap(owner: string, namespace: string, bundle: RuntimeBundle): Manifest {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: `${owner}-runtime-${bundle.sha256.slice(0, HASH_DIGITS)}`, namespace, labels: MANAGED_BY },
    immutable: true,
    // With the program, so that a cluster that stays with it also stays with its image.
    data: { image: NODE_IMAGE },
    binaryData: { [BUNDLE_FILE]: bundle.gzipBase64 },
  };
}
