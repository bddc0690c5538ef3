/**
 * The way to a connection: the host proves that it has the expected key, then the client signs in with its own.
 *
 * ssh2 is loaded with the first connection: it would cost every call that needs none tens of milliseconds.
 */
import type { PublicKeyAuthMethod, SFTPWrapper } from "ssh2";
import { textOf } from "../../base/bytes";
import { type BackupError, fail, isError } from "../../base/errors";
import type { SftpConfig } from "../../config/types";
import { lost, type SftpScene } from "./failure";
import { algorithmsOf, describeKey, findFingerprint, fingerprintOf, isExpectedKey, type KnownKey, keyTypeOf, listKnownKeys } from "./hostKey";
import { expandHome, type PrivateKey } from "./privateKey";
import { type SessionDeps, SftpSession } from "./session";

const KEEP_ALIVE_MS = 15_000;
/** Where ssh looks when it is not told, as in stock. */
const KNOWN_HOSTS_FILES = ["~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

/** Connects, checks the host's key and signs in. @throws hostConnect (retryable), service for a wrong host key, access, fileOpen, crypto */
export async function openSession(config: SftpConfig, privateKey: PrivateKey, scene: SftpScene, deps: SessionDeps): Promise<SftpSession> {
  const { hostKeyCheck: check } = config;
  const known = check.type === "known-hosts" ? loadKnownKeys(config, check.files, deps) : [];
  const types = known.length === 0 ? null : known.map((key) => key.type);
  const seen: Buffer[] = [];
  // A fingerprint does not say of which of the host's keys it is: each is asked for, until one fits or there are no more.
  for (;;) {
    const serverHostKey = algorithmsOf(types, seen.map(keyTypeOf));
    const outcome = serverHostKey.length === 0 ? "no-more-keys" : await connect(config, privateKey, known, serverHostKey, seen, scene, deps);
    if (outcome instanceof SftpSession) return outcome;
    if (outcome === "no-more-keys" || check.type !== "fingerprint") throw wrongHostKey(config, known, seen, scene);
  }
}

/** One try with some of the host's keys; the key that was refused is added to `seen`. */
async function connect(
  config: SftpConfig,
  privateKey: PrivateKey,
  known: readonly KnownKey[],
  serverHostKey: ReturnType<typeof algorithmsOf>,
  seen: Buffer[],
  scene: SftpScene,
  deps: SessionDeps,
): Promise<SftpSession | "wrong-key" | "no-more-keys"> {
  const { signal, ioTimeoutMs } = deps;
  if (signal.aborted) throw fail("term", `terminated while connecting to '${scene.server}'`);
  const ssh2 = await import("ssh2");
  const key = privateKey.load(ssh2.utils.parseKey, config, scene, deps.readFile);
  const method: PublicKeyAuthMethod = { type: "publickey", username: config.user, key };
  const client = new ssh2.Client();
  let refused: Buffer | undefined;
  let abort: () => void = () => undefined;
  const connected = new Promise<SFTPWrapper>((resolve, reject) => {
    abort = () => reject(fail("term", `terminated while connecting to '${scene.server}'`));
    signal.addEventListener("abort", abort, { once: true });
    client.on("error", reject);
    client.on("close", () => reject(new Error("the server closed the connection")));
    client.on("ready", () => {
      client.setNoDelay(true);
      client.sftp((error, sftp) => (error === undefined ? resolve(sftp) : reject(noSftp(error, scene))));
    });
  });
  client.connect({
    host: config.host,
    port: config.port,
    username: config.user,
    authHandler: [method],
    readyTimeout: ioTimeoutMs,
    keepaliveInterval: KEEP_ALIVE_MS,
    algorithms: { serverHostKey },
    hostVerifier: (shown: Buffer): boolean => {
      if (isExpectedKey(shown, config.hostKeyCheck, known)) return true;
      refused = Buffer.from(shown);
      return false;
    },
  });
  try {
    return new SftpSession(client, await connected, scene, deps);
  } catch (error) {
    client.on("error", () => undefined);
    client.destroy();
    if (refused !== undefined) {
      seen.push(refused);
      return "wrong-key";
    }
    if (isError(error)) throw error;
    if (error instanceof Error && /no matching host key/i.test(error.message)) return "no-more-keys";
    throw connectError(error, config, scene);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

function connectError(error: unknown, config: SftpConfig, scene: SftpScene): BackupError {
  const text = error instanceof Error ? error.message : String(error);
  const level = error instanceof Error && "level" in error ? error.level : undefined;
  if (level !== "client-authentication") return lost(scene, text, error);
  return fail("access", `unable to sign in to '${scene.server}' with the key of '${config.privateKeyFile}': ${text}`, {
    repoKey: scene.repoKey,
    cause: error,
    hint: [
      `add its public half (ssh-keygen -y -f ${config.privateKeyFile}) to the authorized_keys of '${config.user}' on the server.`,
      "the log of the server says why it refused.",
    ],
  });
}

function noSftp(error: Error, scene: SftpScene): BackupError {
  if (/No response|Not connected/i.test(error.message)) return lost(scene, error.message, error);
  return fail("service", `unable to start SFTP on '${scene.server}': ${error.message}`, {
    repoKey: scene.repoKey,
    cause: error,
    hint: "the server needs the subsystem sftp, and the user must be allowed to use it.",
  });
}

/** Both sides of the mismatch: what the host showed, and what was expected. */
function wrongHostKey(config: SftpConfig, known: readonly KnownKey[], seen: readonly Buffer[], scene: SftpScene): BackupError {
  const check = config.hostKeyCheck;
  const details = { repoKey: scene.repoKey };
  if (check.type === "fingerprint") {
    const shown = seen.map((key) => `${keyTypeOf(key)} ${fingerprintOf(key, check.hashType)}`).join(", ");
    const expected = findFingerprint(check.fingerprint, check.hashType) ?? check.fingerprint;
    return fail("service", `host key of '${scene.server}' [${shown}] and configured fingerprint (${check.hashType}) [${expected}] do not match`, {
      ...details,
      hint: "somebody may be between this machine and the server. If its key was changed on purpose, set the new fingerprint.",
    });
  }
  const shown = seen.length === 0 ? "no key of a known type" : seen.map(describeKey).join(", ");
  const files = check.type === "known-hosts" && check.files.length > 0 ? check.files.join(", ") : KNOWN_HOSTS_FILES.join(", ");
  if (known.length === 0) {
    return fail("service", `host key of '${scene.server}' [${shown}] is not in the files of known hosts (${files})`, {
      ...details,
      hint: `compare it with what the server's owner tells you, then add it: ssh-keyscan -p ${config.port} ${config.host}.`,
    });
  }
  const expected = known.map((key) => `${key.revoked ? "revoked " : ""}${describeKey(key.blob)}`).join(", ");
  return fail("service", `host key of '${scene.server}' [${shown}] and known hosts [${expected}] do not match`, {
    ...details,
    hint: `somebody may be between this machine and the server. If its key was changed on purpose, replace it in ${files}.`,
  });
}

function loadKnownKeys(config: SftpConfig, files: readonly string[], deps: SessionDeps): KnownKey[] {
  return (files.length === 0 ? KNOWN_HOSTS_FILES : files).flatMap((file) => {
    const path = expandHome(file);
    try {
      return listKnownKeys(textOf(deps.readFile(path)), config.host, config.port);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      throw fail("fileOpen", `unable to read known hosts '${path}': ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    }
  });
}
