/** The configuration of procklet: one JSON file, named on its command line. */
import { readFileSync } from "node:fs";

/** What containers of an image see. The image's name alone decides; nothing is pulled. */
export interface ImageDouble {
  /** A regular expression for the image's name. */
  readonly name: string;
  /** Files and folders of this machine, read-only. */
  readonly mounts: readonly { readonly source: string; readonly target: string }[];
  readonly path: string;
  /** Precedes the arguments of a container that has no command. */
  readonly entrypoint?: readonly string[];
  /** Default user id of the image's containers. */
  readonly uid: number;
}

export interface ProckletConfig {
  readonly nodeAddress: string;
  readonly apiUrl: string;
  readonly token: string;
  readonly caFile: string;
  /** State of pods and claims. */
  readonly stateFolder: string;
  /** Logs of all containers, including deleted ones: `NAMESPACE_POD_CONTAINER.log`. */
  readonly logFolder: string;
  /** hostPath volumes are below this folder instead of the machine's root. */
  readonly hostFolder: string;
  /** Files that every pod sees, below each container's own layer. */
  readonly podRoot: string;
  /** The script that becomes a container's first process. */
  readonly containerScript: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly kubernetesVersion: string;
  /** The first double with a matching name wins. */
  readonly images: readonly ImageDouble[];
}

export const CONFIG = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as ProckletConfig;
export const NODE_NAME = "procklet";
export const KUBELET_PORT = 10250;
