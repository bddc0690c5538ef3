/** How SSH reaches a host: the part for the state, and the complete one with private keys. */
import { expandHome } from "../../../runtime/storage/sftp/privateKey";

/** Without secrets. */
export interface SshInput {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Becomes root by `sudo -n` if `user` is another account. */
  readonly sudo: boolean;
  /** `ssh-ed25519 AAAA…` or `SHA256:…`: the host must have one of these. Empty reads the files. */
  readonly hostKeys: readonly string[];
  /** known_hosts files on the machine that runs the program; read if `hostKeys` is empty. */
  readonly knownHostsFiles: readonly string[];
  /** On the machine that runs the program. */
  readonly privateKeyFile?: string;
  /** Socket of an agent, used without a given key; default: the environment's. */
  readonly agent?: string;
  readonly jump?: SshInput;
  /** True if a password signs in, and no key. */
  readonly passwordLogin?: boolean;
  readonly dialing?: DialLimits;
}

/** Limits of the attempts to connect; an omitted one has its default. */
export interface DialLimits {
  /** For a host that does not answer, and again for the end of its cloud-init. */
  readonly waitSeconds?: number;
  /** Failed attempts; -1 for no limit. */
  readonly errorsMax?: number;
  /** Time limit of each attempt. */
  readonly attemptSeconds?: number;
}

/** For one host of the chain. Secret. */
export interface SignInInput {
  readonly privateKey?: string;
  readonly passphrase?: string;
  readonly password?: string;
}

/** Complete: keys are texts. */
export interface SshTarget extends Omit<SshInput, "privateKeyFile" | "agent" | "jump"> {
  readonly privateKey: string | undefined;
  readonly passphrase: string | undefined;
  readonly password?: string | undefined;
  readonly agent: string | undefined;
  readonly jump: SshTarget | undefined;
}

export interface TargetAccess {
  readText(path: string): Promise<string>;
  /** `SSH_AUTH_SOCK` */
  readonly agent: string | undefined;
}

/** @param signIn of the host, then of the jump hosts. @throws Error for an unreadable key file */
export async function loadTarget(
  input: SshInput,
  signIn: readonly SignInInput[],
  access: TargetAccess,
): Promise<SshTarget> {
  const { agent, jump, privateKeyFile, ...common } = input;
  const [own = {}, ...others] = signIn;
  const privateKey =
    own.privateKey ?? (privateKeyFile === undefined ? undefined : await readKey(privateKeyFile, access));
  return {
    ...common,
    privateKey,
    passphrase: own.passphrase,
    ...(own.password === undefined ? {} : { password: own.password }),
    agent: agent ?? access.agent,
    jump: jump === undefined ? undefined : await loadTarget(jump, others, access),
  };
}

async function readKey(file: string, { readText }: TargetAccess): Promise<string> {
  try {
    return await readText(expandHome(file));
  } catch (error) {
    throw new Error(
      `unable to read the private key ${file}: ${error instanceof Error ? error.message : String(error)}`,
      { cause: error },
    );
  }
}
