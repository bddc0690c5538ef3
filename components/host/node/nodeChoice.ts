/** Chooses a host's Node.js and its source from the arguments, before anything reads the host. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { type Finding, finding } from "../../plan/findings/findings";
import { NODE_RELEASE_NAME, type NodeDownload, nodeReleases } from "./nodeRelease";

/** The arguments about Node.js. */
export interface NodeSettings {
  /** The host's own: nothing is brought. */
  readonly nodePath?: string | undefined;
  readonly node?:
    | { readonly upload?: string | undefined; readonly url?: string | undefined; readonly sha256?: string | undefined }
    | undefined;
}

export interface NodeLocation {
  /** The command: a file of ours, or a link. */
  readonly path: string;
  /** Programs of the host: `path` becomes a link to a suitable one; empty: `path` is the file. */
  readonly look: readonly string[];
  /** Our file. */
  readonly file: string;
}

/** How a Node.js is brought. Plain data: a part of the resource's inputs. */
export interface NodeInput extends NodeLocation {
  /** From the machine that runs the program. */
  readonly upload?: NodeUpload;
  /** Downloads by `uname -m`; `any` for a given address. */
  readonly download?: Readonly<Record<string, NodeDownload>>;
}

export interface NodeUpload {
  readonly from: string;
  readonly sha256: string;
  /** `uname -m` of hosts that can run it. */
  readonly machine: string;
}

export interface NodeChoice {
  readonly path: string;
  /** Omitted if nothing is brought. */
  readonly input?: NodeInput;
  readonly findings: readonly Finding[];
}

const LOOK = ["/usr/local/bin/node", "/usr/bin/node", "/run/current-system/sw/bin/node"];
/** e_machine of a program (ELF). */
const MACHINES: Readonly<Record<number, string>> = { 62: "x86_64", 183: "aarch64" };

/**
 * For a host behind SSH. The path depends on the content, so that no running file is ever overwritten. Reads the file
 * to be sent.
 */
export function chooseNode({ node, nodePath }: NodeSettings, lib: string): NodeChoice {
  if (nodePath !== undefined) {
    return {
      path: nodePath,
      findings: node === undefined ? [] : [wrong("node", "nodePath names an installed one", "give one of the two")],
    };
  }
  const { sha256, upload, url } = node ?? {};
  if (node === undefined) {
    const file = `${lib}/${NODE_RELEASE_NAME}`;
    return {
      path: `${lib}/node`,
      input: { path: `${lib}/node`, look: LOOK, file, download: nodeReleases() },
      findings: [],
    };
  }
  if (upload !== undefined && url === undefined && sha256 === undefined) return chooseUpload(upload, lib);
  if (upload === undefined && url !== undefined && sha256 !== undefined) {
    const findings = [
      ...(/^https?:\/\/\S+$/.test(url) ? [] : [wrong("node.url", `"${url}" is not an address`, "https://…")]),
      ...(/^[0-9a-f]{64}$/.test(sha256)
        ? []
        : [
            wrong(
              "node.sha256",
              "it is not a SHA-256",
              "give 64 hexadecimal digits, as sha256sum prints them for the download",
            ),
          ]),
    ];
    const path = `${lib}/node-${sha256.slice(0, 12)}`;
    return { path, input: { path, look: [], file: path, download: { any: { url, sha256 } } }, findings };
  }
  return {
    path: `${lib}/node`,
    findings: [wrong("node", "it does not name a source of Node.js", "give upload alone, or url with sha256")],
  };
}

function chooseUpload(from: string, lib: string): NodeChoice {
  try {
    const bytes = readFileSync(from);
    const isProgram = bytes.length > 20 && bytes.readUInt32BE(0) === 0x7f454c46;
    const machine = isProgram ? MACHINES[bytes.readUInt16LE(18)] : undefined;
    if (machine === undefined) {
      return {
        path: `${lib}/node`,
        findings: [
          wrong("node.upload", `${from} is not a program for Linux on x64 or arm64`, "give bin/node of a Linux build"),
        ],
      };
    }
    const sha256 = createHash("sha256").update(bytes).digest("hex");
    const path = `${lib}/node-${sha256.slice(0, 12)}`;
    return { path, input: { path, look: [], file: path, upload: { from, sha256, machine } }, findings: [] };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return {
      path: `${lib}/node`,
      findings: [
        wrong("node.upload", `it cannot be read: ${reason}`, "give a file on the machine that runs this program"),
      ],
    };
  }
}

function wrong(path: string, fact: string, remedy: string): Finding {
  return finding("PB014", path, fact, remedy);
}
