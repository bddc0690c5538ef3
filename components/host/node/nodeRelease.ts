/** The release for hosts without Node.js: nodejs.org's tarballs and their published checksums. */

const VERSION = "24.16.0";
/** Builds by `uname -m`: nodejs.org's name, and the tarball's checksum in its SHASUMS256.txt. */
const BUILDS: Readonly<Record<string, readonly [name: string, sha256: string]>> = {
  x86_64: ["x64", "2faf6a387e9b62b888e21c54f01249fb27537ffecf1842f29f4c919d0a59a0ff"],
  aarch64: ["arm64", "589f5b6dd4fcfee4dfda73013903c966abaa8abd93dbc9d436544e472b4f0e74"],
};

export interface NodeDownload {
  readonly url: string;
  /** Checksum of the download. */
  readonly sha256: string;
}

/** Name of its program in our folder. */
export const NODE_RELEASE_NAME = `node-${VERSION}`;

/** Downloads by `uname -m`. */
export function nodeReleases(): Record<string, NodeDownload> {
  return Object.fromEntries(
    Object.entries(BUILDS).map(([machine, [name, sha256]]) => [
      machine,
      { url: `https://nodejs.org/dist/v${VERSION}/node-v${VERSION}-linux-${name}.tar.gz`, sha256 },
    ]),
  );
}
