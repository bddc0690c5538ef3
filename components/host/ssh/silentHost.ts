/**
 * Finds a host that accepts connections and says nothing: an sshd that hangs, or a forwarder before a machine that is
 * down. The provider of `@pulumi/command` would wait for it forever, because its `perDialTimeout` ends only the TCP
 * connection (golang.org/x/crypto/ssh, ClientConfig.Timeout) and nothing ends the handshake after it.
 */
import { connect } from "node:net";
import type { LogLine } from "../connection";
import { dial } from "./newMachine";
import { NoAnswer } from "./sshClient";
import type { SshInput } from "./sshTarget";

/** The provider's own limit. */
const ATTEMPT_SECONDS = 15;

type Greeting = "greets" | "unreachable" | "silent";

/**
 * Why a connection would hang; null if it would not. The first host of the route alone can be asked from here.
 * A machine behind a forwarder may be booting, so that it has the time of `waitSeconds`.
 */
export async function findSilence(
  { dialing = {}, host, jump, port }: SshInput,
  log: LogLine = () => {},
): Promise<string | null> {
  if (jump !== undefined) return findSilence({ ...jump, dialing: jump.dialing ?? dialing }, log);
  const attemptSeconds = dialing.attemptSeconds || ATTEMPT_SECONDS;
  const name = `${host}:${port}`;
  const ask = async (): Promise<null> => {
    if ((await greetingOf(host, port, attemptSeconds * 1000)) === "silent")
      throw new NoAnswer(`${name} accepts connections and has sent nothing for ${attemptSeconds} s`);
    return null;
  };
  try {
    return await dial(name, { ...dialing, errorsMax: -1 }, ask, log);
  } catch (error) {
    if (error instanceof NoAnswer) return `${error.message}: is sshd hanging, or a forwarder before a dead machine?`;
    throw error;
  }
}

/** A server of SSH speaks first (RFC 4253, 4.2). The provider reports an unreachable host within its own limit. */
function greetingOf(host: string, port: number, limitMs: number): Promise<Greeting> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    let isConnected = false;
    const end = (greeting: Greeting): void => {
      socket.destroy();
      resolve(greeting);
    };
    socket.setTimeout(limitMs, () => end(isConnected ? "silent" : "unreachable"));
    socket
      .once("connect", () => (isConnected = true))
      .once("data", () => end("greets"))
      .once("error", () => end("unreachable"))
      .once("close", () => end("unreachable"));
  });
}
