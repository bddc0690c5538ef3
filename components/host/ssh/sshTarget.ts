/** How a host is reached by SSH: what a state may keep, and with the keys that sign in. */
import { expandHome } from "../../../runtime/storage/sftp/privateKey";

/** Without any secret. */
export interface SshInput {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** Becomes root by `sudo -n` where `user` is somebody else. */
  readonly sudo: boolean;
  /** `ssh-ed25519 AAAA…` or `SHA256:…`: the host must have one of these. Empty asks the files. */
  readonly hostKeys: readonly string[];
  /** Files of known hosts on the machine that runs the program; read when `hostKeys` is empty. */
  readonly knownHostsFiles: readonly string[];
  /** On the machine that runs the program. */
  readonly privateKeyFile?: string;
  /** Socket of an agent, used where no key is given; left out, the one of the environment. */
  readonly agent?: string;
  /** The host through which this one is reached. */
  readonly jump?: SshInput;
}

/** Of one host on the way. Secret. */
export interface SignInInput {
  readonly privateKey?: string;
  readonly passphrase?: string;
}

/** Complete: keys are texts. */
export interface SshTarget extends Omit<SshInput, "privateKeyFile" | "agent" | "jump"> {
  readonly privateKey: string | undefined;
  readonly passphrase: string | undefined;
  readonly agent: string | undefined;
  readonly jump: SshTarget | undefined;
}

export interface TargetAccess {
  readText(path: string): Promise<string>;
  /** `SSH_AUTH_SOCK` */
  readonly agent: string | undefined;
}

/** @param signIn of the host, then of those on the way to it. @throws Error for a key file that cannot be read */
export async function loadTarget(input: SshInput, signIn: readonly SignInInput[], access: TargetAccess): Promise<SshTarget> {
  const { agent, jump, privateKeyFile, ...common } = input;
  const [own = {}, ...others] = signIn;
  const privateKey = own.privateKey ?? (privateKeyFile === undefined ? undefined : await readKey(privateKeyFile, access));
  return {
    ...common,
    privateKey,
    passphrase: own.passphrase,
    agent: agent ?? access.agent,
    jump: jump === undefined ? undefined : await loadTarget(jump, others, access),
  };
}

async function readKey(file: string, { readText }: TargetAccess): Promise<string> {
  try {
    return await readText(expandHome(file));
  } catch (error) {
    throw new Error(`unable to read the private key ${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}
