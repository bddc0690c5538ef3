/**
 * Opens an SSH connection through the jump hosts. Each host proves its key before it receives anything, and then the
 * login uses its own key. There is no trust on first use: a host without a known key is refused.
 */
import type { Duplex } from "node:stream";
import { type AnyAuthMethod, Client, utils } from "ssh2";
import { shakeHands, type Start } from "../../../runtime/storage/sftp/handshake";
import { describeKey, type KnownKey, keyTypeOf, listKnownKeys } from "../../../runtime/storage/sftp/hostKey";
import { expandHome, privateKeyOf } from "../../../runtime/storage/sftp/privateKey";
import type { SshTarget } from "./sshTarget";

type ReadText = (path: string) => Promise<string>;

const READY_MS = 30_000;

/** No SSH server answered: it may do so later. */
export class NoAnswer extends Error {}

/** The server refused the login. */
export class SignInRefused extends Error {}

/** The connected client. Adds it and those of the jump hosts to `clients`, to be ended in reverse. @throws Error */
export async function openSshClient(target: SshTarget, clients: Client[], readText: ReadText): Promise<Client> {
  const known = await loadKnown(target, readText);
  const isByFingerprint = target.hostKeys.some((key) => key.trim().startsWith("SHA256:"));
  const start = async (): Promise<Start> => {
    const sock = target.jump === undefined ? undefined : await throughJump(target.jump, target, clients, readText);
    const client = new Client();
    clients.push(client);
    return {
      client,
      to: sock === undefined ? { host: target.host, port: target.port } : { sock },
      method: methodOf(target),
    };
  };
  const outcome = await shakeHands(start, {
    keyTypes: isByFingerprint || known.length === 0 ? null : known.map((key) => key.type),
    isByFingerprint,
    isExpected: (shown) => isExpected(shown, target, known),
    errorOf: (error) => connectError(target, error),
    readyTimeoutMs: (target.dialing?.attemptSeconds ?? 0) * 1000 || READY_MS,
  });
  if ("length" in outcome) throw wrongHostKey(target, known, outcome);
  return outcome;
}

async function throughJump(jump: SshTarget, target: SshTarget, clients: Client[], readText: ReadText): Promise<Duplex> {
  const client = await openSshClient(jump, clients, readText);
  return new Promise((resolve, reject) => {
    client.forwardOut("127.0.0.1", 0, target.host, target.port, (error, channel) => {
      if (error === undefined) resolve(channel);
      else
        reject(
          new NoAnswer(`${jump.host} cannot connect to ${target.host}:${target.port}: ${error.message}`, {
            cause: error,
          }),
        );
    });
  });
}

function methodOf(target: SshTarget): AnyAuthMethod {
  const { agent, host, passphrase, password, privateKey, user } = target;
  if (privateKey === undefined) {
    if (password !== undefined) return { type: "password", username: user, password };
    if (agent === undefined) {
      throw new Error(
        `there is no key for ${user} on ${host}: set privateKey or privateKeyFile, or start an agent (SSH_AUTH_SOCK) that has one`,
      );
    }
    return { type: "agent", username: user, agent };
  }
  const key = privateKeyOf(utils.parseKey(privateKey, passphrase));
  if (!("reason" in key)) return { type: "publickey", username: user, key };
  throw new Error(
    `the key for ${user} on ${host} cannot be used: ${key.reason}${key.isLocked ? ": set passphrase" : ""}`,
  );
}

async function loadKnown(
  { host, hostKeys, knownHostsFiles, port }: SshTarget,
  readText: ReadText,
): Promise<KnownKey[]> {
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
        throw new Error(
          `unable to read known hosts ${file}: ${error instanceof Error ? error.message : String(error)}`,
          { cause: error },
        );
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

function wrongHostKey(
  { host, hostKeys, knownHostsFiles, port }: SshTarget,
  known: readonly KnownKey[],
  seen: readonly Buffer[],
): Error {
  const shown = seen.length === 0 ? "no key of an expected type" : seen.map(describeKey).join(", ");
  if (hostKeys.length === 0 && known.length === 0) {
    const files = knownHostsFiles.join(", ");
    return new Error(
      `the key of ${host} is unknown (${files} do not list it; the host presented ${shown}): compare it with the owner's information, ` +
        `and set hostKeys to it (ssh-keyscan -p ${port} ${host} prints it)`,
    );
  }
  const expected = [
    ...known.map((key) => `${key.revoked ? "revoked " : ""}${describeKey(key.blob)}`),
    ...hostKeys.filter((key) => key.startsWith("SHA256:")),
  ];
  return new Error(
    `${host} presented ${shown} instead of the expected key ${expected.join(", ")}: this may be an attack; ` +
      "if the host was reinstalled, set the new key",
  );
}

function connectError(
  { host, password, port, privateKey, user }: SshTarget,
  error: Error & { readonly level?: string },
): Error {
  if (error.level === "client-authentication") {
    const remedy =
      privateKey === undefined && password !== undefined
        ? `check the password, and that sshd allows it (PasswordAuthentication)`
        : `add the public half of the key to authorized_keys of ${user} there`;
    return new SignInRefused(`${host} does not let ${user} sign in: ${error.message}: ${remedy}`, { cause: error });
  }
  const message = `unable to connect to ${host}:${port}: ${error.message}`;
  // Another level means that a server answered and SSH itself failed; except for a connection that was closed
  // immediately, as a forwarder does while its host is away, and sshd while it is full.
  const isSilent =
    [undefined, "client-socket", "client-timeout", "client-dns"].includes(error.level) ||
    error.message === "Connection lost before handshake";
  return isSilent ? new NoAnswer(message, { cause: error }) : new Error(message, { cause: error });
}
