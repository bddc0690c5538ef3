/**
 * The kubelet's port: container logs, and exec over WebSocket (v5.channel.k8s.io). An API server from 1.36 on passes
 * exec unchanged to nodes that declare ExtendWebSocketsToKubelet, so SPDY is not needed.
 *
 * Tests reach three more paths through the API server's node proxy. `/signal/…/CONTAINER?name=SIGSTOP` signals a
 * container's first process. `/crash/…/POD` simulates that the pod's node loses power. After `/lose/…/POD` the node
 * does not come back either: a deleted pod stays in Terminating until someone deletes it by force.
 */
import { existsSync, readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { CONFIG, KUBELET_PORT } from "./config";
import { execIn } from "./container";
import { findPod, type Pod, signal } from "./pod";
import { log, logError } from "./util";
import { acceptOf, frame, frameReader, OPCODE } from "./webSocket";

const PROTOCOL = "v5.channel.k8s.io";
const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, close: 255 } as const;

export function serveKubelet(): void {
  const server = createServer({ key: readFileSync(CONFIG.keyFile), cert: readFileSync(CONFIG.certFile) }, serveRequest);
  server.on("upgrade", serveExec);
  server.listen(KUBELET_PORT, CONFIG.nodeAddress);
}

/** The paths have the form `/WHAT/NAMESPACE/POD/CONTAINER?…`. */
function parse(request: IncomingMessage): {
  what: string;
  namespace: string;
  pod: string;
  container: string;
  query: URLSearchParams;
} {
  const url = new URL(request.url ?? "/", "https://kubelet");
  const [, what = "", namespace = "", pod = "", container = ""] = url.pathname.split("/");
  return { what, namespace, pod, container, query: url.searchParams };
}

function serveRequest(request: IncomingMessage, response: ServerResponse): void {
  const { what, namespace, pod: name, container, query } = parse(request);
  const pod = findPod(namespace, name);
  const isDone =
    (what === "signal" && pod !== undefined && signalOne(pod, container, query.get("name") as NodeJS.Signals)) ||
    (["crash", "lose"].includes(what) && pod !== undefined && crash(pod, what === "lose"));
  if (what === "containerLogs") serveLogs(request, response);
  else if (isDone) response.end("done\n");
  else {
    log("kubelet", request.method, request.url, "is not served");
    response.statusCode = 404;
    response.end("not served by procklet\n");
  }
}

function signalOne(pod: Pod, name: string, signalName: NodeJS.Signals): boolean {
  const container = pod.containers.get(name);
  log(pod.object.metadata.name, name, signalName);
  if (container?.running !== true) return false;
  signal(container, signalName);
  return true;
}

/** Kills every process at once and restarts none. The object stays, because nobody has noticed yet. */
function crash(pod: Pod, lost: boolean): boolean {
  log(pod.object.metadata.name, lost ? "lose" : "crash");
  pod.stopping = true;
  pod.lost = lost;
  for (const container of pod.containers.values()) if (container.running) signal(container, "SIGKILL");
  return true;
}

function serveLogs(request: IncomingMessage, response: ServerResponse): void {
  const { namespace, pod, container, query } = parse(request);
  const file = join(CONFIG.logFolder, `${namespace}_${pod}_${container}.log`);
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  const tail = Number(query.get("tailLines"));
  response.end(
    tail > 0
      ? text
          .split("\n")
          .slice(-tail - 1)
          .join("\n")
      : text,
  );
}

function exitStatus(code: number | null): object {
  if (code === 0) return { metadata: {}, status: "Success" };
  return {
    metadata: {},
    status: "Failure",
    reason: "NonZeroExitCode",
    message: `command terminated with non-zero exit code: exit status ${code}`,
    details: { causes: [{ reason: "ExitCode", message: String(code ?? 137) }] },
  };
}

function serveExec(request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { what, namespace, pod, container: name, query } = parse(request);
  const container = findPod(namespace, pod)?.containers.get(name);
  const command = query.getAll("command");
  const protocols = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((protocol) => protocol.trim());
  log("kubelet", what, pod, name, command.join(" "));
  const fits = what === "exec" && container?.running === true && protocols.includes(PROTOCOL);
  const child = fits ? execIn(container, command, { stdio: ["pipe", "pipe", "pipe"] }) : null;
  if (child === null) {
    socket.end(`HTTP/1.1 ${container === undefined ? 404 : 400} no\r\nContent-Length: 0\r\n\r\n`);
    return;
  }
  const answer = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${acceptOf(request.headers["sec-websocket-key"] ?? "")}`,
    `Sec-WebSocket-Protocol: ${PROTOCOL}`,
  ];
  socket.write(`${answer.join("\r\n")}\r\n\r\n`);
  const send = (channel: number, bytes: Buffer): void => {
    if (socket.writable) socket.write(frame(OPCODE.data, Buffer.concat([Buffer.from([channel]), bytes])));
  };
  if (!["1", "true"].includes(query.get("input") ?? query.get("stdin") ?? "")) child.stdin?.end();
  child.stdin?.on("error", () => {});
  child.stdout?.on("data", (bytes: Buffer) => send(CHANNEL.stdout, bytes));
  child.stderr?.on("data", (bytes: Buffer) => send(CHANNEL.stderr, bytes));
  child.on("error", logError);
  child.on("close", (code) => {
    log("kubelet", "exec done", command.join(" "), code);
    send(CHANNEL.error, Buffer.from(JSON.stringify(exitStatus(code))));
    // Code 1000: normal closure.
    if (socket.writable) socket.write(frame(OPCODE.close, Buffer.from([3, 232])));
    socket.end();
  });
  const read = frameReader((opcode, payload) => {
    if (opcode === OPCODE.ping) socket.write(frame(OPCODE.pong, payload));
    else if (opcode === OPCODE.close) {
      child.kill();
      socket.end();
    } else if (payload[0] === CHANNEL.stdin) child.stdin?.write(payload.subarray(1));
    else if (payload[0] === CHANNEL.close && payload[1] === CHANNEL.stdin) child.stdin?.end();
  });
  if (head.length > 0) read(head);
  socket.on("data", read);
  socket.on("error", () => child.kill());
}
