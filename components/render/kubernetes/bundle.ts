/**
 * The ConfigMap that brings the runtime into a namespace, or notes which one the plugin serves: one per owner, named
 * after its content and immutable. So a new version is a new object, and running pods keep the one they started with.
 * Pure.
 */
import { BUNDLE_FILE } from "../../../runtime/cnpg/names";
import { programFile } from "../../../runtime/cnpg/programStart";
import { NODE_IMAGE } from "../../plan/cluster/images";
import { given } from "../../../runtime/base/given";
import { VERSION } from "../../../runtime/version";
import { MANAGED_BY, type Manifest } from "./objects";

/** The packed program. */
export interface RuntimeBundle {
  /** gzip of `runtime.cjs`. */
  readonly gzipBase64: string;
  /** SHA-256 of `runtime.cjs` itself: hexadecimal. */
  readonly sha256: string;
}

/** A runtime that the plugin serves to pods of clusters. */
export interface ServedRuntime {
  /** SHA-256 of `runtime.cjs`: hexadecimal. */
  readonly sha256: string;
  /** Address of the plugin's Service, without a path. */
  readonly url: string;
  /** Image of Node.js that belongs to it. */
  readonly image: string;
  /** Version of the package that brought it. Undefined if the plugin does not know it. */
  readonly version?: string | undefined;
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

/** The same with the runtime compressed to three quarters of that, under its digest, which pods name. */
export function packedConfigMap(owner: string, namespace: string, sha256: string, brotliBase64: string): Manifest {
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: packedName(owner, sha256), namespace, labels: MANAGED_BY },
    immutable: true,
    data: { image: NODE_IMAGE, sha256, version: VERSION },
    binaryData: { [programFile(sha256)]: brotliBase64 },
  };
}

export function packedName(owner: string, sha256: string): string {
  return `${owner}-program-${sha256.slice(0, HASH_DIGITS)}`;
}

/** Which runtime a cluster takes from the plugin: it stays with that one, whatever the plugin serves besides. */
export function servedNote(owner: string, namespace: string, served: ServedRuntime): Manifest {
  const { image, sha256, url, version } = served;
  return {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: `${owner}-served-${sha256.slice(0, HASH_DIGITS)}`, namespace, labels: MANAGED_BY },
    immutable: true,
    data: { image, sha256, url, ...given({ version }) },
  };
}
