/** The release of Node.js that hosts get which have none: nodejs.org's tarballs and their published sums. */

const VERSION = "24.16.0";
/** By `uname -m`: nodejs.org's name of it, and the sum of the tarball in its SHASUMS256.txt. */
const BUILDS: Readonly<Record<string, readonly [name: string, sha256: string]>> = {
  x86_64: ["x64", "2faf6a387e9b62b888e21c54f01249fb27537ffecf1842f29f4c919d0a59a0ff"],
  aarch64: ["arm64", "589f5b6dd4fcfee4dfda73013903c966abaa8abd93dbc9d436544e472b4f0e74"],
};

export interface NodeDownload {
  readonly url: string;
  /** Of what the address gives. */
  readonly sha256: string;
}

/** Name of its program in a folder of ours. */
export const NODE_RELEASE_NAME = `node-${VERSION}`;

/** By `uname -m`. */
export function nodeReleases(): Record<string, NodeDownload> {
  return Object.fromEntries(
    Object.entries(BUILDS).map(([machine, [name, sha256]]) => [
      machine,
      { url: `https://nodejs.org/dist/v${VERSION}/node-v${VERSION}-linux-${name}.tar.gz`, sha256 },
    ]),
  );
}
