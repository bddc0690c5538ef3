/**
 * Opens a connection: the host proves that it has the expected key, then the client signs in with its own.
 *
 * Loads ssh2 with the first connection: loading costs tens of milliseconds, and many calls need no connection.
 */
import type { Client, SFTPWrapper } from "ssh2";
import { textOf } from "../../base/bytes";
import type { Clock } from "../../base/clock";
import { type BackupError, fail } from "../../base/errors";
import type { SftpConfig } from "../../config/types";
import { silenceMs } from "../ioLimits";
import { lost, type SftpEndpoint } from "./failure";
import { shakeHands, type Start } from "./handshake";
import {
  describeKey,
  findFingerprint,
  fingerprintOf,
  isExpectedKey,
  type KnownKey,
  keyTypeOf,
  listKnownKeys,
} from "./hostKey";
import { expandHome, type PrivateKey } from "./privateKey";
import { type SessionDeps, SftpSession } from "./session";

/** Where ssh looks by default, as in stock. */
const KNOWN_HOSTS_FILES = [
  "~/.ssh/known_hosts",
  "~/.ssh/known_hosts2",
  "/etc/ssh/ssh_known_hosts",
  "/etc/ssh/ssh_known_hosts2",
];

/**
 * Connects, checks the host's key and signs in. The limits follow from the number of silent attempts before.
 * @throws hostConnect (retryable), service for a wrong host key, access, fileOpen, crypto
 */
export async function openSession(
  config: SftpConfig,
  privateKey: PrivateKey,
  endpoint: SftpEndpoint,
  deps: SessionDeps,
  silentAttempts: number,
): Promise<SftpSession> {
  const limitMs = silenceMs(silentAttempts, deps.ioTimeoutMs);
  const { hostKeyCheck: check, host, port, user } = config;
  const { signal } = deps;
  const known = check.type === "known-hosts" ? loadKnownKeys(config, check.files, deps) : [];
  const terminated = (): BackupError => fail("term", `terminated while connecting to '${endpoint.server}'`);
  let client: Client | undefined;
  const abort = (): void => void client?.destroy();
  signal.addEventListener("abort", abort);
  const start = async (): Promise<Start> => {
    if (signal.aborted) throw terminated();
    const ssh2 = await import("ssh2");
    const key = privateKey.load(ssh2.utils.parseKey, config, endpoint, deps.readFile);
    client = new ssh2.Client();
    return { client, to: { host, port }, method: { type: "publickey", username: user, key } };
  };
  try {
    const outcome = await shakeHands(start, {
      keyTypes: known.length === 0 ? null : known.map((key) => key.type),
      isByFingerprint: check.type === "fingerprint",
      isExpected: (shown) => isExpectedKey(shown, check, known),
      errorOf: (error) => connectError(error, config, endpoint),
      readyTimeoutMs: limitMs,
    });
    if ("length" in outcome) throw wrongHostKey(config, known, outcome, endpoint);
    const sftp = await sftpOf(outcome, endpoint, deps.clock, limitMs);
    return new SftpSession(outcome, sftp, endpoint, deps, silentAttempts);
  } catch (error) {
    client?.destroy();
    throw signal.aborted ? terminated() : error;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** The library has no limit for it, and a server whose disk hangs answers everything else. */
async function sftpOf(client: Client, endpoint: SftpEndpoint, clock: Clock, limitMs: number): Promise<SFTPWrapper> {
  client.setNoDelay(true);
  const started = new AbortController();
  const silence = clock.sleep(limitMs, started.signal).then((): never => {
    throw lost(endpoint, `it has not started SFTP for ${Math.round(limitMs / 1000)} s`);
  });
  silence.catch(() => undefined);
  const opened = new Promise<SFTPWrapper>((resolve, reject) => {
    client.once("error", (error) => reject(lost(endpoint, error.message, error)));
    client.once("close", () => reject(lost(endpoint, "the server closed the connection")));
    client.sftp((error, sftp) => (error === undefined ? resolve(sftp) : reject(noSftp(error, endpoint))));
  });
  try {
    return await Promise.race([opened, silence]);
  } finally {
    started.abort();
    opened.catch(() => undefined);
  }
}

function connectError(error: Error, config: SftpConfig, endpoint: SftpEndpoint): BackupError {
  const text = error.message;
  if (!("level" in error) || error.level !== "client-authentication") return lost(endpoint, text, error);
  return fail(
    "access",
    `unable to sign in to '${endpoint.server}' with the key of '${config.privateKeyFile}': ${text}`,
    {
      repoIndex: endpoint.repoIndex,
      cause: error,
      hint: [
        `add its public half (ssh-keygen -y -f ${config.privateKeyFile}) to the authorized_keys of '${config.user}' on the server.`,
        "The server's log has the reason.",
      ],
    },
  );
}

function noSftp(error: Error, endpoint: SftpEndpoint): BackupError {
  if (/No response|Not connected/i.test(error.message)) return lost(endpoint, error.message, error);
  return fail("service", `unable to start SFTP on '${endpoint.server}': ${error.message}`, {
    repoIndex: endpoint.repoIndex,
    cause: error,
    hint: "the server needs the subsystem sftp, and the user must be allowed to use it.",
  });
}

/** Names both sides of the mismatch: the host's key and the expected one. */
function wrongHostKey(
  config: SftpConfig,
  known: readonly KnownKey[],
  seen: readonly Buffer[],
  endpoint: SftpEndpoint,
): BackupError {
  const check = config.hostKeyCheck;
  const details = { repoIndex: endpoint.repoIndex };
  if (check.type === "fingerprint") {
    const shown = seen.map((key) => `${keyTypeOf(key)} ${fingerprintOf(key, check.hashType)}`).join(", ");
    const expected = findFingerprint(check.fingerprint, check.hashType) ?? check.fingerprint;
    return fail(
      "service",
      `host key of '${endpoint.server}' [${shown}] and configured fingerprint (${check.hashType}) [${expected}] do not match`,
      {
        ...details,
        hint: "Someone may intercept the connection. If the server's key was changed on purpose, set the new fingerprint.",
      },
    );
  }
  const shown = seen.length === 0 ? "no key of a known type" : seen.map(describeKey).join(", ");
  const files =
    check.type === "known-hosts" && check.files.length > 0 ? check.files.join(", ") : KNOWN_HOSTS_FILES.join(", ");
  if (known.length === 0) {
    return fail(
      "service",
      `host key of '${endpoint.server}' [${shown}] is not in the files of known hosts (${files})`,
      {
        ...details,
        hint: `Verify it with the server's owner, then add it: ssh-keyscan -p ${config.port} ${config.host}.`,
      },
    );
  }
  const expected = known.map((key) => `${key.revoked ? "revoked " : ""}${describeKey(key.blob)}`).join(", ");
  return fail("service", `host key of '${endpoint.server}' [${shown}] and known hosts [${expected}] do not match`, {
    ...details,
    hint: `Someone may intercept the connection. If the server's key was changed on purpose, replace it in ${files}.`,
  });
}

function loadKnownKeys(config: SftpConfig, files: readonly string[], deps: SessionDeps): KnownKey[] {
  return (files.length === 0 ? KNOWN_HOSTS_FILES : files).flatMap((file) => {
    const path = expandHome(file);
    try {
      return listKnownKeys(textOf(deps.readFile(path)), config.host, config.port);
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
      throw fail(
        "fileOpen",
        `unable to read known hosts '${path}': ${error instanceof Error ? error.message : String(error)}`,
        { hint: "Let the user of this process read it.", cause: error },
      );
    }
  });
}
