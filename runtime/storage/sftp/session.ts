/**
 * One SSH connection with one SFTP channel, for many requests at the same time.
 *
 * Nothing is sent before the host has proved that it has the expected key. A request ends with the server's answer, or with a retryable
 * `hostConnect` as soon as the connection is gone or nothing came back for `ioTimeoutMs`, or with `term` at once when the signal aborts.
 * ssh2 is loaded with the first connection: it would cost every call that needs none tens of milliseconds.
 */
import { userInfo } from "node:os";
import type { Client, SFTPWrapper } from "ssh2";
import { textOf } from "../../base/bytes";
import { type BackupError, fail, isError } from "../../base/errors";
import { describeKey, algorithmsOf, findFingerprint, fingerprintOf, isExpectedKey, type KnownKey, keyTypeOf, listKnownKeys } from "./hostKey";
import type { SftpConfig } from "../../config/types";
import { lost, type SftpScene, STATUS, StatusError } from "./failure";
import type { RetryDeps } from "./retries";

export interface SessionDeps extends RetryDeps {
  /** Reads a small local file: keys and known hosts. */
  readonly readFile: (path: string) => Uint8Array;
}

type Answer<T> = (error: Error | null | undefined, value: T) => void;

const KEEP_ALIVE_MS = 15_000;
/** Bounds the farewell to a server that does not answer any more. */
const CLOSE_TIMEOUT_MS = 2000;
/** Where ssh looks when it is not told, as in stock. */
const KNOWN_HOSTS_FILES = ["~/.ssh/known_hosts", "~/.ssh/known_hosts2", "/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"];

export class SftpSession {
  readonly #client: Client;
  readonly #sftp: SFTPWrapper;
  readonly #scene: SftpScene;
  readonly #deps: SessionDeps;
  readonly #pending = new Set<(error: BackupError) => void>();
  readonly #closing = new AbortController();
  #postedCount = 0;
  #nonePosted: (() => void) | undefined;
  #lastAnswerMs = 0;
  #watching = false;
  #dead: BackupError | undefined;

  constructor(client: Client, sftp: SFTPWrapper, scene: SftpScene, deps: SessionDeps) {
    this.#client = client;
    this.#sftp = sftp;
    this.#scene = scene;
    this.#deps = deps;
    const die = (reason: string, cause?: unknown): void => {
      this.#die(lost(scene, reason, cause));
      client.destroy();
    };
    client.on("error", (error) => die(error.message, error));
    client.on("close", () => die("the connection was closed"));
    sftp.on("error", (error: Error) => die(error.message, error));
    sftp.on("close", () => die("the server ended the SFTP channel"));
    deps.signal.addEventListener("abort", this.#abort, { once: true });
  }

  get isAlive(): boolean {
    return this.#dead === undefined;
  }

  /** Sends one request. @throws StatusError for an answer that is not "ok"; BackupError hostConnect, term */
  request<T>(send: (sftp: SFTPWrapper, answer: Answer<T>) => void): Promise<T> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    if (this.#deps.signal.aborted) return Promise.reject(this.#terminated());
    return new Promise((resolve, reject) => {
      if (this.#pending.size === 0) this.#lastAnswerMs = this.#deps.clock.monotonicMs();
      this.#pending.add(reject);
      this.#watch();
      const answer: Answer<T> = (error, value) => {
        this.#lastAnswerMs = this.#deps.clock.monotonicMs();
        this.#pending.delete(reject);
        if (error === null || error === undefined) resolve(value);
        else reject(this.#errorOf(error));
      };
      try {
        send(this.#sftp, answer);
      } catch (error) {
        // The library refuses extensions that the server has not announced.
        this.#pending.delete(reject);
        reject(new StatusError(STATUS.unsupported, error instanceof Error ? error.message : String(error)));
      }
    });
  }

  /** Sends a request whose answer does not matter: tidying up, after an abort too. */
  post(send: (sftp: SFTPWrapper, answer: Answer<unknown>) => void): void {
    if (this.#dead !== undefined) return;
    this.#postedCount++;
    // Extensions that a server may lack are never posted: nothing is thrown here.
    send(this.#sftp, () => {
      if (--this.#postedCount === 0) this.#nonePosted?.();
    });
  }

  /** Waits for what was posted, says goodbye, and gives up when the server does not take it. */
  async close(): Promise<void> {
    if (this.#dead === undefined) {
      const late = new AbortController();
      const timeout = this.#deps.clock.sleep(CLOSE_TIMEOUT_MS, late.signal).catch(() => undefined);
      const answered = new Promise<void>((resolve) => {
        this.#nonePosted = resolve;
      });
      if (this.#postedCount > 0) await Promise.race([answered, timeout]);
      const closed = new Promise<void>((resolve) => {
        this.#client.once("close", () => resolve());
      });
      this.#die(lost(this.#scene, "the storage was closed"));
      this.#client.end();
      await Promise.race([closed, timeout]);
      late.abort();
    }
    this.#client.destroy();
  }

  readonly #abort = (): void => {
    const error = this.#terminated();
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
  };

  #terminated(): BackupError {
    return fail("term", `terminated while working on '${this.#scene.server}'`);
  }

  #errorOf(error: Error): Error {
    // Requests that the end of the connection answers have no status.
    return "code" in error && typeof error.code === "number" ? new StatusError(error.code, error.message) : lost(this.#scene, error.message, error);
  }

  #die(error: BackupError): void {
    if (this.#dead !== undefined) return;
    this.#dead = error;
    this.#closing.abort();
    this.#deps.signal.removeEventListener("abort", this.#abort);
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
  }

  /** Ends the connection when requests wait and no answer comes. */
  #watch(): void {
    if (this.#watching) return;
    this.#watching = true;
    const { clock, ioTimeoutMs } = this.#deps;
    const run = async (): Promise<void> => {
      while (this.#pending.size > 0) {
        const leftMs = this.#lastAnswerMs + ioTimeoutMs - clock.monotonicMs();
        if (leftMs <= 0) {
          this.#die(lost(this.#scene, `it has not answered for ${Math.round(ioTimeoutMs / 1000)} s`));
          this.#client.destroy();
          return;
        }
        await clock.sleep(leftMs, this.#closing.signal);
      }
    };
    void run()
      .catch(() => undefined)
      .finally(() => {
        this.#watching = false;
      });
  }
}

/** Connects, checks the host's key and signs in. @throws hostConnect (retryable), service for a wrong host key, access, fileOpen, crypto */
export async function openSession(config: SftpConfig, scene: SftpScene, deps: SessionDeps): Promise<SftpSession> {
  const { hostKeyCheck: check } = config;
  const known = check.type === "known-hosts" ? loadKnownKeys(config, check.files, deps) : [];
  const types = known.length === 0 ? null : known.map((key) => key.type);
  const seen: Buffer[] = [];
  // A fingerprint does not say of which of the host's keys it is: each is asked for, until one fits or there are no more.
  for (;;) {
    const serverHostKey = algorithmsOf(types, seen.map(keyTypeOf));
    const outcome = serverHostKey.length === 0 ? "no-more-keys" : await connect(config, known, serverHostKey, seen, scene, deps);
    if (outcome instanceof SftpSession) return outcome;
    if (outcome === "no-more-keys" || check.type !== "fingerprint") throw wrongHostKey(config, known, seen, scene);
  }
}

/** One try with some of the host's keys; the key that was refused is added to `seen`. */
async function connect(
  config: SftpConfig,
  known: readonly KnownKey[],
  serverHostKey: ReturnType<typeof algorithmsOf>,
  seen: Buffer[],
  scene: SftpScene,
  deps: SessionDeps,
): Promise<SftpSession | "wrong-key" | "no-more-keys"> {
  const { signal, ioTimeoutMs } = deps;
  if (signal.aborted) throw fail("term", `terminated while connecting to '${scene.server}'`);
  const ssh2 = await import("ssh2");
  const privateKey = loadPrivateKey(ssh2.utils.parseKey, config, scene, deps);
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
    privateKey,
    ...(config.privateKeyPassphrase === undefined ? {} : { passphrase: config.privateKeyPassphrase.reveal() }),
    readyTimeout: ioTimeoutMs,
    keepaliveInterval: KEEP_ALIVE_MS,
    algorithms: { serverHostKey },
    hostVerifier: (key: Buffer): boolean => {
      if (isExpectedKey(key, config.hostKeyCheck, known)) return true;
      refused = Buffer.from(key);
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

/** The text of the private key, which the library can use. Never `fileMissing`: that is said of files in the repository only. */
function loadPrivateKey(parseKey: (data: Buffer, passphrase?: string) => unknown, config: SftpConfig, scene: SftpScene, deps: SessionDeps): Buffer {
  const path = expandHome(config.privateKeyFile);
  const details = { repoKey: scene.repoKey };
  let text: Buffer;
  try {
    text = Buffer.from(deps.readFile(path));
  } catch (error) {
    throw fail("fileOpen", `unable to read private key '${path}': ${error instanceof Error ? error.message : String(error)}`, {
      ...details,
      cause: error,
    });
  }
  const parsed = parseKey(text, config.privateKeyPassphrase?.reveal());
  // Its messages are about the form of the key, never its content.
  if (parsed instanceof Error) {
    const encrypted = /passphrase|decrypt|integrity/i.test(parsed.message);
    throw fail("crypto", `unable to use private key '${path}': ${parsed.message}`, {
      ...details,
      hint: encrypted ? `is repo${scene.repoKey}-sftp-private-key-passphrase set and right?` : "keys as ssh-keygen makes them can be used.",
    });
  }
  return text;
}

/** `~/x` of the user of this process, as in stock. */
function expandHome(path: string): string {
  const trimmed = path.trim();
  return trimmed.startsWith("~/") ? `${userInfo().homedir}${trimmed.slice(1)}` : trimmed;
}
