/** Where procklet finds things: one file of settings, named on its command line. */
import { readFileSync } from "node:fs";

/** What containers of an image see. No image is pulled: the name alone decides. */
export interface ImageDouble {
  /** A regular expression that the image's name matches. */
  readonly name: string;
  /** Files and folders of this machine, read only. */
  readonly mounts: readonly { readonly source: string; readonly target: string }[];
  readonly path: string;
  /** Before the arguments of a container that names no command. */
  readonly entrypoint?: readonly string[];
  /** Of whom nothing else is said. */
  readonly uid: number;
}

export interface ProckletConfig {
  readonly nodeAddress: string;
  readonly apiUrl: string;
  readonly token: string;
  readonly caFile: string;
  /** Run state: pods, claims. */
  readonly stateFolder: string;
  /** Logs of containers, also of those that are gone: `NAMESPACE_POD_CONTAINER.log`. */
  readonly logFolder: string;
  /** hostPath volumes lie below this folder, not in the machine's own tree. */
  readonly hostFolder: string;
  /** Files of every pod, below a layer of each container's own. */
  readonly podRoot: string;
  /** The script that becomes a container's first process. */
  readonly containerScript: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly kubernetesVersion: string;
  /** The first whose name matches. */
  readonly images: readonly ImageDouble[];
}

export const CONFIG = JSON.parse(readFileSync(process.argv[2] ?? "", "utf8")) as ProckletConfig;
export const NODE_NAME = "procklet";
export const KUBELET_PORT = 10250;
