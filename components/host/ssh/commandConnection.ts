/**
 * A host's connection as the provider of `@pulumi/command` takes it. The provider knows one host key, one key text and
 * one jump host, so known_hosts files and key files are read here. What it cannot do is refused.
 */
import type { remote } from "@pulumi/command/types/input";
import { expandHome } from "../../../runtime/storage/sftp/privateKey";
import { keyTypeOf, listKnownKeys } from "../../../runtime/storage/sftp/hostKey";
import { given } from "../../../runtime/base/given";
import type { SignInInput, SshInput } from "./sshTarget";

type Login = remote.ProxyConnectionArgs;

export interface FileAccess {
  /** Reads a file of this machine. */
  readText(path: string): Promise<string>;
  /** In a preview, no key file is read: another machine may run the update. */
  readonly isPreview: boolean;
}

/** Failed logins before the last one: more could get this machine banned, and the host has answered before. */
const DIAL_ERRORS_MAX = 4;
/** In order of preference. The provider asks for SHA-1 signatures of an RSA key, which servers refuse. */
const KEY_TYPES = [
  "ssh-ed25519",
  "ecdsa-sha2-nistp256",
  "ecdsa-sha2-nistp384",
  "ecdsa-sha2-nistp521",
  "sk-ssh-ed25519@openssh.com",
];

/** The program's connection is the cause. */
export class ConnectionError extends Error {}

/**
 * @param signIn credentials for the host, then for the jump host
 * @throws ConnectionError if @pulumi/command cannot express the connection; the message says how to fix it
 */
export async function commandConnection(
  input: SshInput,
  signIn: readonly SignInInput[],
  access: FileAccess,
): Promise<remote.ConnectionArgs> {
  const { jump } = input;
  if (jump?.jump !== undefined) {
    throw new ConnectionError(
      `${input.host} is behind more than one jump host, and @pulumi/command knows one: run the action on the host itself, ` +
        "or make the first jump in the ssh configuration of this machine (a tunnel)",
    );
  }
  const [own = {}, others = {}] = signIn;
  return {
    ...(await loginOf(input, own, access)),
    ...(jump === undefined ? {} : { proxy: await loginOf(jump, others, access) }),
  };
}

async function loginOf(
  input: SshInput,
  { passphrase, password, privateKey }: SignInInput,
  access: FileAccess,
): Promise<Login> {
  const { agent, dialing = {}, host, port, privateKeyFile, user } = input;
  if (host === "" || /[\s\p{Cc}]/u.test(host))
    throw new ConnectionError(`${JSON.stringify(host)} is no name or address of a host`);
  const key = privateKey ?? (privateKeyFile === undefined ? undefined : await readKey(host, privateKeyFile, access));
  return {
    host,
    port,
    user,
    hostKey: await hostKeyOf(input, access),
    dialErrorLimit: dialing.errorsMax ?? DIAL_ERRORS_MAX,
    ...given({
      privateKey: key,
      privateKeyPassword: passphrase,
      password: key === undefined ? password : undefined,
      agentSocketPath: agent,
      perDialTimeout: dialing.attemptSeconds,
    }),
  };
}

async function readKey(host: string, file: string, { isPreview, readText }: FileAccess): Promise<string> {
  if (isPreview) return "";
  return readText(expandHome(file)).catch((error: unknown) => {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConnectionError(`unable to read the private key ${file} for ${host}: ${reason}`);
  });
}

async function hostKeyOf(
  { host, hostKeys, knownHostsFiles, port }: SshInput,
  { readText }: FileAccess,
): Promise<string> {
  const listed = hostKeys.map((line) => line.trim());
  const known = listed.length > 0 ? [] : await readKnown(knownHostsFiles, readText);
  const usableKeys = [
    ...listed.flatMap((line) => {
      const [type = "", base64 = ""] = line.split(/\s+/);
      return keyTypeOf(Buffer.from(base64, "base64")) === type ? [{ type, base64 }] : [];
    }),
    ...usable(known.flatMap((text) => listKnownKeys(text, host, port))),
  ];
  const best = KEY_TYPES.map((type) => usableKeys.find((key) => key.type === type)).find((key) => key !== undefined);
  if (best !== undefined) return `${best.type} ${best.base64}`;
  const where = listed.length > 0 ? "hostKeys" : knownHostsFiles.join(", ");
  const what =
    usableKeys.length > 0
      ? `only a key of type ${usableKeys[0]?.type}`
      : listed.length > 0
        ? "only fingerprints"
        : "no key";
  throw new ConnectionError(
    `${where} ${listed.length > 0 ? "have" : "has"} ${what} for ${host}, and @pulumi/command needs an ed25519 or ecdsa host key: ` +
      `add the line that ssh-keyscan -p ${port} -t ed25519 ${host} prints, once you have compared it`,
  );
}

function usable(keys: ReturnType<typeof listKnownKeys>): { readonly type: string; readonly base64: string }[] {
  const revoked = keys.filter((key) => key.revoked);
  return keys
    .filter((key) => !revoked.some(({ blob }) => blob.equals(key.blob)))
    .map(({ blob, type }) => ({ type, base64: blob.toString("base64") }));
}

function readKnown(files: readonly string[], readText: FileAccess["readText"]): Promise<string[]> {
  return Promise.all(files.map((file) => readText(expandHome(file)).catch(() => "")));
}
