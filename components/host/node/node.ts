/**
 * Brings Node.js to a host: links to a suitable one, has the host download one, or sends a compressed file over the
 * connection. It verifies the checksum and runs the program before the atomic rename: an incomplete one never has the
 * name.
 */
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { type Account, type Connection, type ExecResult, runScript, type LogLine } from "../connection";
import { type Accounts, desiredText, factText } from "../desiredFiles";
import type { NodeInput, NodeLocation, NodeUpload } from "./nodeChoice";
import type { NodeDownload } from "./nodeRelease";
import { findNodeFault } from "../runtimeVerbs";
import type { HostFacts } from "../state";

const MODE = "0755";
/** 50 MB over a slow line. */
const TRANSFER_TIMEOUT_MS = 30 * 60_000;
/** Takes half of the best level's time for 2 per cent more bytes. */
const GZIP_LEVEL = 4;

/** Names mark our temporary files, and only one update runs at a time: files of a killed update are removed first. */
const BEGIN = `
set -eu
umask 077
lib=$(dirname -- "$1")
rm -f -- "$lib"/.node.*
temporary=$(mktemp "$lib/.node.XXXXXX")
# apt-helper keeps what it refused, under a longer name.
trap 'rm -f -- "$lib"/.node.*' EXIT`;
/** $1 path, $2 checksum of the file or empty. */
const END = `
[ -z "$2" ] || echo "$2  $temporary" | sha256sum -c --quiet --strict - || { echo "what arrived has another SHA-256 than $2" >&2; exit 1; }
chmod 0755 -- "$temporary"
sync "$temporary"
"$temporary" --version
mv -fT -- "$temporary" "$1"
sync "$lib"`;
const UPLOAD_SCRIPT = `${BEGIN}
gzip -dc > "$temporary"${END}`;
/** $3 address, $4 checksum of the download. apt brings a download program; every Debian has it. */
const DOWNLOAD_SCRIPT = `${BEGIN}
archive=$(mktemp "$lib/.node.XXXXXX")
if command -v curl >/dev/null; then curl -fsSL --retry 3 --connect-timeout 20 -o "$archive" -- "$3"
elif command -v wget >/dev/null; then wget -q -T 30 -t 3 -O "$archive" -- "$3"
elif [ -x /usr/lib/apt/apt-helper ]; then /usr/lib/apt/apt-helper -q download-file "$3" "$archive" "SHA256:$4" >&2
else echo "there is neither curl nor wget nor apt-helper to fetch it with" >&2; exit 1
fi
got=$(sha256sum < "$archive"); got=\${got%% *}
[ "$got" = "$4" ] || { echo "$3 has the SHA-256 $got, not $4: it is not what was meant" >&2; exit 1; }
case $(head -c 4 "$archive" | od -An -tx1 | tr -d ' ') in
1f8b*) tar -xzOf "$archive" --wildcards '*/bin/node' > "$temporary" ;;
fd377a58) tar -xJOf "$archive" --wildcards '*/bin/node' > "$temporary" ;;
*) cat "$archive" > "$temporary" ;;
esac${END}`;
/** $1 link, $2 target. */
const LINK_SCRIPT = `
set -eu
[ "$(readlink -- "$1" 2>/dev/null || true)" = "$2" ] && exit 0
temporary=$1.new
ln -sfn -- "$2" "$temporary"
mv -fT -- "$temporary" "$1"
sync "$(dirname -- "$1")"`;

/** State of its path as one line: `link to /usr/bin/node`, or as of any file. */
export function nodeFactOf(node: NodeLocation, facts: HostFacts, accounts: Accounts): string {
  const fact = facts.paths.get(node.path);
  if (fact === undefined) return "missing";
  if (fact.kind === "link" && node.look.length > 0) return linkText(facts.answers.get("nodeLink")?.stdout.trim() ?? "");
  return factText(fact, "admin", accounts);
}

/** The shell line whose answer {@link nodeFactOf} needs. */
export function nodeLinkLine(path: string): string {
  return `readlink -- ${path}`;
}

/** Fault of the present one; null if it is good. @param before state after an earlier update */
export function findNeed(
  node: NodeInput,
  answer: ExecResult | undefined,
  fact: string,
  before: string | undefined,
): string | null {
  if (fact === "missing") return "there is none";
  if (node.upload !== undefined && fact !== desiredText({ mode: MODE, owner: "admin" }, node.upload.sha256))
    return "it is another one";
  if (node.download !== undefined && before !== undefined && before !== "" && before !== fact)
    return "it was changed by hand";
  return answer === undefined ? "it was not checked" : findNodeFault(answer);
}

/** Brings one. Returns the paths that are now ours. @throws Error naming the attempts */
export async function bringNode(
  connection: Connection,
  node: NodeInput,
  machine: string,
  account: Account,
  log: LogLine,
): Promise<string[]> {
  if (node.upload !== undefined) {
    await send(connection, node, node.upload, machine, log);
    return [node.file];
  }
  for (const path of node.look) {
    const answer = await connection.exec([path, "--version"], { account }).catch(() => null);
    if (answer === null || findNodeFault(answer) !== null) continue;
    log(`using ${path}, ${answer.stdout.trim()}`);
    await runScript(connection, `link ${node.path} to ${path}`, LINK_SCRIPT, [node.path, path]);
    return [node.path];
  }
  await fetchTo(connection, node, downloadFor(node, machine, connection.name), log);
  if (node.file === node.path) return [node.file];
  await runScript(connection, `link ${node.path} to ${node.file}`, LINK_SCRIPT, [node.path, node.file]);
  return [node.path, node.file];
}

function linkText(target: string): string {
  return `link to ${target}`;
}

function downloadFor({ download = {} }: NodeInput, machine: string, hostName: string): NodeDownload {
  const chosen = download["any"] ?? download[machine];
  if (chosen !== undefined) return chosen;
  throw new Error(
    `there is no Node.js to download for ${machine} (${hostName}): provide one by node.upload, or set nodePath to an installed one`,
  );
}

async function fetchTo(
  connection: Connection,
  node: NodeInput,
  { sha256, url }: NodeDownload,
  log: LogLine,
): Promise<void> {
  log(`fetching ${url}`);
  const options = { timeoutMs: TRANSFER_TIMEOUT_MS };
  try {
    await runScript(connection, `download Node.js from ${url}`, DOWNLOAD_SCRIPT, [node.file, "", url, sha256], options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `${reason}\nif the host cannot reach it, send one over the connection: node: { upload: "…/bin/node" }`,
      { cause: error },
    );
  }
}

async function send(
  connection: Connection,
  node: NodeInput,
  { from, machine: wanted, sha256 }: NodeUpload,
  machine: string,
  log: LogLine,
): Promise<void> {
  if (wanted !== machine)
    throw new Error(
      `${from} is a Node.js for ${wanted}, but ${connection.name} is ${machine}: set node.upload to one for ${machine}`,
    );
  const packed = await promisify(gzip)(await readFile(from), { level: GZIP_LEVEL });
  log(`sending ${from}, ${Math.round(packed.length / 1e6)} MB compressed`);
  await runScript(connection, `send ${from}`, UPLOAD_SCRIPT, [node.file, sha256], {
    stdin: packed,
    timeoutMs: TRANSFER_TIMEOUT_MS,
  });
}
