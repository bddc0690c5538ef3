/** Runs commands on a host as its users do: over SSH, with the host's key checked. */
import { Client } from "ssh2";
import type { DebianHost } from "./debianHost";

/**
 * Runs a command like `ssh USER@HOST COMMAND`, in a new connection.
 * @throws Error if there is no connection within `timeoutMs`
 */
export function runOverSsh(
  host: DebianHost,
  user: keyof DebianHost["keys"],
  command: string,
  timeoutMs = 30_000,
): Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string }> {
  const known = host.hostKeys.map((key) => key.split(" ")[1]);
  return new Promise((resolve, reject) => {
    const client = new Client();
    // A handshake error can follow the error of the connection, so `once` would leave it unhandled.
    client.on("error", reject);
    client.once("ready", () => {
      client.exec(command, (error, channel) => {
        if (error !== undefined) return reject(error);
        const texts = { stdout: "", stderr: "" };
        channel.setEncoding("utf8").on("data", (text: string) => void (texts.stdout += text));
        channel.stderr.setEncoding("utf8").on("data", (text: string) => void (texts.stderr += text));
        channel.once("close", (code: number | null) => {
          client.end();
          resolve({ exitCode: code ?? -1, ...texts });
        });
      });
    });
    client.once("close", () => reject(new Error("the connection has ended")));
    client.connect({
      ...host.ssh,
      username: user,
      privateKey: host.keys[user],
      hostVerifier: (key: Buffer) => known.includes(key.toString("base64")),
      readyTimeout: timeoutMs,
    });
  });
}
