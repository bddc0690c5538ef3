/**
 * The SSH handshake: the host proves that it has an expected key, then the client signs in. There is no trust on first
 * use.
 */
import type { AnyAuthMethod, Client, ConnectConfig } from "ssh2";
import { algorithmsOf, keyTypeOf } from "./hostKey";

/** How one connection begins. */
export interface Start {
  readonly client: Client;
  readonly to: Pick<ConnectConfig, "host" | "port" | "sock">;
  readonly method: AnyAuthMethod;
}

export interface HandshakeOptions {
  /** Types of the host's keys; null: all. */
  readonly keyTypes: readonly string[] | null;
  /** A fingerprint does not say of which of the host's keys it is: each type is asked for, until one fits. */
  readonly isByFingerprint: boolean;
  isExpected(shown: Buffer): boolean;
  /** What an error of the library or a closed connection means. */
  errorOf(error: Error): Error;
  readonly readyTimeoutMs: number;
}

const KEEP_ALIVE_MS = 15_000;

/**
 * The client that signed in, or the keys of the host that were not expected.
 * @throws what `start` throws and `errorOf` makes
 */
export async function shakeHands(
  start: () => Promise<Start>,
  options: HandshakeOptions,
): Promise<Client | readonly Buffer[]> {
  const seen: Buffer[] = [];
  for (;;) {
    const serverHostKey = algorithmsOf(options.keyTypes, seen.map(keyTypeOf));
    if (serverHostKey.length === 0) return seen;
    const begun = await start();
    const outcome = await connect(begun, serverHostKey, options, seen).catch((error: unknown) => {
      begun.client.destroy();
      throw error;
    });
    if (outcome === "ready") return begun.client;
    begun.client.destroy();
    if (outcome === "no-more-keys" || !options.isByFingerprint) return seen;
  }
}

function connect(
  { client, method, to }: Start,
  serverHostKey: ReturnType<typeof algorithmsOf>,
  { errorOf, isExpected, readyTimeoutMs }: HandshakeOptions,
  seen: Buffer[],
): Promise<"ready" | "wrong-key" | "no-more-keys"> {
  let isRefused = false;
  return new Promise((resolve, reject) => {
    const end = (error: Error): void => {
      if (isRefused) resolve("wrong-key");
      else if (/no matching host key/i.test(error.message)) resolve("no-more-keys");
      else reject(errorOf(error));
    };
    client.once("ready", () => resolve("ready"));
    client.on("error", end);
    client.once("close", () => end(new Error("the server closed the connection")));
    client.connect({
      ...to,
      username: method.username,
      authHandler: [method],
      readyTimeout: readyTimeoutMs,
      keepaliveInterval: KEEP_ALIVE_MS,
      algorithms: { serverHostKey },
      hostVerifier: (shown: Buffer): boolean => {
        if (isExpected(shown)) return true;
        isRefused = true;
        seen.push(Buffer.from(shown));
        return false;
      },
    });
  });
}
