/**
 * The opened server's restore_command: it asks the process that serves the files, which has the keys of the
 * repositories and open connections to them. A few lines of Node ask: they start ten times faster than this program,
 * and read no configuration, so the server's account needs no key.
 *
 * Only an answer counts. A serving process that is missing, dies or fails is never the end of the archive.
 */
import { NOT_IN_ARCHIVE, RECOVERY_ABORTED } from "../../base/recoveryExit";
import { fail } from "../../base/errors";
import { access, constants } from "../../local/nodeFiles";
import { shellQuote } from "../restore/recovery";
import type { OpenLocation } from "./openLocation";

/** Speaks the protocol of the agent's socket. Arguments: the socket, then the request. */
export const ASK_SCRIPT = `"use strict";
const [, , path, ...words] = process.argv;
let answer = "";
process.exitCode = ${RECOVERY_ABORTED};
const socket = require("node:net").connect(path, () => socket.write(["/", ...words, ""].join("\\0") + "\\n"));
socket.setEncoding("utf8").on("data", (text) => { answer += text; });
socket.on("error", (error) => console.error("no answer to archive-get: " + error.message));
socket.on("close", () => {
  const [, code] = /^exit (\\d+)$/m.exec(answer) || [];
  for (const line of answer.split("\\n")) if (line.startsWith(" ")) console.error(line.slice(1));
  if (code === "0") process.exitCode = 0;
  if (code === "1") process.exitCode = ${NOT_IN_ARCHIVE};
});
`;

/** For a process that has the server's account. @throws execute when it cannot run that program */
export async function requireRunnable(node: string): Promise<void> {
  try {
    await access(node, constants.X_OK);
  } catch (error) {
    throw fail("execute", `the server's account cannot run '${node}', which would ask for its WAL`, {
      hint: "Install Node where every account can run it, or only mount the backup: --no-start.",
      cause: error,
    });
  }
}

/** @param node the program that runs the script */
export function askingCommand({ fetchedWal, walScript, walSocket }: OpenLocation, node: string): string {
  const [script, socket, fetched] = [walScript, walSocket, fetchedWal].map((path) => quoted(path));
  return [
    `${quoted(node)} ${script} ${socket} archive-get %f; c=$?`,
    `[ $c -eq ${NOT_IN_ARCHIVE} ] && exit 1`,
    `[ $c -eq 0 ] && cp ${fetched}/%f "%p" || exit ${RECOVERY_ABORTED}`,
  ].join("; ");
}

/** PostgreSQL replaces names after a percent sign, and its settings drop a backslash. */
function quoted(path: string): string {
  return shellQuote(path).replaceAll("%", "%%").replaceAll("\\'", `"'"`);
}
