/**
 * The way to a host: through those in between, each of which proves that it has the expected key before anything is told to it; then the login
 * with its own key. There is no first time that is believed: a host whose key nobody named is refused.
 */
import type { Duplex } from "node:stream";
import { Client, type ParsedKey, utils } from "ssh2";
import { algorithmsOf, describeKey, type KnownKey, keyTypeOf, listKnownKeys } from "../../../runtime/storage/sftp/hostKey";
import { expandHome } from "../../../runtime/storage/sftp/privateKey";
import type { SshTarget } from "./sshTarget";

type ReadText = (path: string) => Promise<string>;

const READY_MS = 30_000;
/** A host that is gone shows within a minute. */
const KEEP_ALIVE_MS = 15_000;
const KEEP_ALIVE_COUNT = 4;

/** The connected client; it and those on the way to it are added to `clients`, to be ended in reverse. @throws Error */
export async function openSshClient(target: SshTarget, clients: Client[], readText: ReadText): Promise<Client> {
  const known = await loadKnown(target, readText);
  const seen: Buffer[] = [];
  // A fingerprint does not say of which of the host's keys it is: each kind is asked for, until one fits.
  const byFingerprint = target.hostKeys.some((key) => key.trim().startsWith("SHA256:"));
  const types = byFingerprint || known.length === 0 ? null : known.map((key) => key.type);
  for (;;) {
    const serverHostKey = algorithmsOf(types, seen.map(keyTypeOf));
    if (serverHostKey.length === 0) throw wrongHostKey(target, known, seen);
    const through = target.jump === undefined ? undefined : await throughJump(target.jump, target, clients, readText);
    const client = new Client();
    clients.push(client);
    const outcome = await signIn(client, target, { known, serverHostKey, through, seen });
    if (outcome === "ready") return client;
    if (outcome === "no-more-keys" || !byFingerprint) throw wrongHostKey(target, known, seen);
  }
}

async function throughJump(jump: SshTarget, target: SshTarget, clients: Client[], readText: ReadText): Promise<Duplex> {
  const client = await openSshClient(jump, clients, readText);
  return new Promise((resolve, reject) => {
    client.forwardOut("127.0.0.1", 0, target.host, target.port, (error, channel) => {
      if (error === undefined) resolve(channel);
      else reject(new Error(`${jump.host} does not reach ${target.host}:${target.port}: ${error.message}`, { cause: error }));
    });
  });
}

interface Attempt {
  readonly known: readonly KnownKey[];
  readonly serverHostKey: ReturnType<typeof algorithmsOf>;
  readonly through: Duplex | undefined;
  /** Keys that were shown and refused. */
  readonly seen: Buffer[];
}

function signIn(
  client: Client,
  target: SshTarget,
  { known, seen, serverHostKey, through }: Attempt,
): Promise<"ready" | "wrong-key" | "no-more-keys"> {
  const method = methodOf(target);
  let refused = false;
  return new Promise((resolve, reject) => {
    client.once("ready", () => resolve("ready"));
    client.on("error", (error: Error & { readonly level?: string }) => {
      if (refused) resolve("wrong-key");
      else if (/no matching host key/i.test(error.message)) resolve("no-more-keys");
      else reject(connectError(target, error));
    });
    client.once("close", () => reject(connectError(target, new Error("the host closed the connection"))));
    client.connect({
      ...(through === undefined ? { host: target.host, port: target.port } : { sock: through }),
      username: target.user,
      authHandler: [method],
      readyTimeout: READY_MS,
      keepaliveInterval: KEEP_ALIVE_MS,
      keepaliveCountMax: KEEP_ALIVE_COUNT,
      algorithms: { serverHostKey },
      hostVerifier: (shown: Buffer): boolean => {
        if (isExpected(shown, target, known)) return true;
        refused = true;
        seen.push(Buffer.from(shown));
        return false;
      },
    });
  });
}

type Method = { type: "publickey"; username: string; key: ParsedKey } | { type: "agent"; username: string; agent: string };

function methodOf(target: SshTarget): Method {
  const { agent, host, passphrase, privateKey, user } = target;
  if (privateKey === undefined) {
    if (agent === undefined) {
      throw new Error(`there is no key for ${user} on ${host}: set privateKey or privateKeyFile, or start an agent (SSH_AUTH_SOCK) that has one`);
    }
    return { type: "agent", username: user, agent };
  }
  const found: unknown = utils.parseKey(privateKey, passphrase);
  const key = (Array.isArray(found) ? found[0] : found) as ParsedKey | Error;
  if (!(key instanceof Error) && key.isPrivateKey()) return { type: "publickey", username: user, key };
  // The library's messages are about the form of the key, never its content.
  const reason = key instanceof Error ? key.message : "it is a public key";
  const isLocked = /passphrase|decrypt|integrity/i.test(reason);
  throw new Error(`the key for ${user} on ${host} cannot be used: ${reason}${isLocked ? ": set passphrase" : ""}`);
}

async function loadKnown({ host, hostKeys, knownHostsFiles, port }: SshTarget, readText: ReadText): Promise<KnownKey[]> {
  if (hostKeys.length > 0) {
    return hostKeys.flatMap((key) => {
      const [type = "", base64 = ""] = key.trim().split(/\s+/);
      const blob = Buffer.from(base64, "base64");
      return keyTypeOf(blob) === type ? [{ type, blob, revoked: false }] : [];
    });
  }
  const texts = await Promise.all(
    knownHostsFiles.map((file) =>
      readText(expandHome(file)).catch((error: unknown) => {
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
        throw new Error(`unable to read known hosts ${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
      }),
    ),
  );
  return texts.flatMap((text) => listKnownKeys(text, host, port));
}

function isExpected(shown: Buffer, { hostKeys }: SshTarget, known: readonly KnownKey[]): boolean {
  const same = known.filter((key) => key.blob.equals(shown));
  if (same.some((key) => key.revoked)) return false;
  const fingerprint = describeKey(shown).split(" ")[1];
  return same.length > 0 || hostKeys.some((key) => key.trim().replace(/=+$/, "") === fingerprint);
}

function wrongHostKey({ host, hostKeys, knownHostsFiles, port }: SshTarget, known: readonly KnownKey[], seen: readonly Buffer[]): Error {
  const shown = seen.length === 0 ? "no key of a kind that is expected" : seen.map(describeKey).join(", ");
  if (hostKeys.length === 0 && known.length === 0) {
    const files = knownHostsFiles.join(", ");
    return new Error(
      `the key of ${host} is not known (${files} do not name it; it showed ${shown}): compare it with what the host's owner tells you, ` +
        `and set hostKeys to it (ssh-keyscan -p ${port} ${host} prints it)`,
    );
  }
  const expected = [
    ...known.map((key) => `${key.revoked ? "revoked " : ""}${describeKey(key.blob)}`),
    ...hostKeys.filter((key) => key.startsWith("SHA256:")),
  ];
  return new Error(
    `${host} has another key than expected: it showed ${shown}, expected is ${expected.join(", ")}: somebody may be in between; ` +
      "if the host was made anew on purpose, set the new key",
  );
}

function connectError({ host, port, user }: SshTarget, error: Error & { readonly level?: string }): Error {
  if (error.level === "client-authentication") {
    return new Error(`${host} does not let ${user} sign in: ${error.message}: add the public half of the key to authorized_keys of ${user} there`, {
      cause: error,
    });
  }
  return new Error(`unable to connect to ${host}:${port}: ${error.message}`, { cause: error });
}
