/** Opens, finds and closes a clone of a database on a host, by the runtime's verbs. */
import { parseJsonOutput } from "../host/runtimeVerbs";
import { CommandFailed, type Connection, type LogLine, run, runScript } from "../host/connection";

/** What a clone is made of. Nothing of it is secret. */
export interface CloneSpec {
  /** The component's name: the beginning of the directory's. */
  readonly name: string;
  /** Parent directory. */
  readonly directory: string;
  /** Empty for the newest state, else a time as the runtime takes it. */
  readonly target: string;
  /** Number of the repository; 0 for the first that has the backup. */
  readonly repoIndex: number;
  readonly databases: readonly string[];
  readonly mask: readonly string[];
  readonly role: string;
  readonly listen: string;
  readonly allow: readonly string[];
  readonly lifetimeHours: number;
  readonly binDirectory: string;
  /** Space for fetched pages; 0 for no limit. */
  readonly cacheGiB: number;
}

export interface CloneOnHost {
  readonly connection: Connection;
  /** Program and options before each verb. */
  readonly argv: readonly string[];
  /** Where it is mounted. */
  readonly at: string;
  readonly log: LogLine;
}

/** What the runtime says about a clone that it has opened. */
export interface CloneAnswer {
  readonly backup: string;
  readonly repo: string;
  readonly databases: string[];
  readonly dataTime: string;
  readonly dataAgeS: number;
  readonly diskBytes: number;
  readonly fetchedBytes: number;
  readonly totalBytes: number;
  readonly endsAt: string | null;
  readonly port: number;
}

/** `down`: its server has ended, as after a restart of the machine. */
export type ClonePresence = "up" | "down" | "gone";

/** A recovery may take hours. */
const OPEN_TIMEOUT_MS = 6 * 3600_000;
const CLOSE_TIMEOUT_MS = 10 * 60_000;
/** Exit code for what is not there. */
const MISSING = 55;
const MASK_SCRIPT = 'umask 077 && file=$(mktemp /run/pgbackstop-mask-XXXXXXXX) && cat > "$file" && printf %s "$file"';
const PRESENCE_SCRIPT = `if [ ! -e "$1.pgbackstop/clone.json" ]; then echo gone; exit; fi
# A mount whose process has ended gives errors.
[ -e "$1/PG_VERSION" ] || { echo down; exit; }
read -r pid 2> /dev/null < "$1.pgbackstop/upper/postmaster.pid" || { echo down; exit; }
if tr '\\0' '\\n' 2> /dev/null < "/proc/$pid/cmdline" | grep -qxF -- "$1"; then echo up; else echo down; fi`;

/** Opens it, or continues one whose server has ended. @throws CommandFailed with nothing left */
export async function openClone(
  { argv, at, connection }: CloneOnHost,
  spec: CloneSpec,
  password: string,
): Promise<CloneAnswer> {
  requireRoot(connection);
  await run(connection, "make the directory of clones", ["install", "-d", "-m", "0711", "--", spec.directory]);
  const maskFile = spec.mask.length === 0 ? "" : await writeMask(connection, spec.mask);
  try {
    const { stdout } = await run(
      connection,
      `open the clone ${spec.name}`,
      [...argv, ...optionsOf(at, spec, maskFile)],
      {
        stdin: password,
        timeoutMs: OPEN_TIMEOUT_MS,
        startsServer: true,
      },
    );
    return answerOf(parseJsonOutput("read the clone", stdout));
  } finally {
    if (maskFile !== "") await connection.exec(["rm", "-f", "--", maskFile]);
  }
}

async function writeMask(connection: Connection, mask: readonly string[]): Promise<string> {
  // A statement may end with a comment.
  const stdin = mask.map((statement) => `${statement}\n;\n`).join("");
  const { stdout } = await runScript(connection, "store the mask", MASK_SCRIPT, [], { stdin });
  return stdout.trim();
}

function optionsOf(at: string, spec: CloneSpec, maskFile: string): string[] {
  const { allow, binDirectory, cacheGiB, databases, lifetimeHours, listen, repoIndex, role, target } = spec;
  return [
    "--log-level-console=off",
    "--log-level-stderr=warn",
    "clone",
    `--at=${at}`,
    "--output=json",
    "--password-file=/dev/stdin",
    `--role=${role}`,
    `--listen=${listen}`,
    `--lifetime-hours=${lifetimeHours}`,
    ...(maskFile === "" ? [] : [`--mask-file=${maskFile}`]),
    ...(target === "" ? [] : ["--type=time", `--target=${target}`]),
    ...(repoIndex === 0 ? [] : [`--repo=${repoIndex}`]),
    ...(cacheGiB === 0 ? [] : [`--cache-max=${cacheGiB}GiB`]),
    ...(binDirectory === "" ? [] : [`--bin-path=${binDirectory}`]),
    ...databases.map((name) => `--keep-database=${name}`),
    ...allow.map((network) => `--allow=${network}`),
  ];
}

/** @throws Error if a field is missing: the host may have another version of the runtime */
function answerOf(value: unknown): CloneAnswer {
  const answer = value as CloneAnswer;
  if (typeof answer.port === "number" && Array.isArray(answer.databases) && typeof answer.dataTime === "string")
    return answer;
  throw new Error("the runtime of the host does not describe its clone: update the host first");
}

/** Closes it and discards what it has; one that is gone is no error. @throws CommandFailed */
export async function closeClone({ argv, at, connection, log }: CloneOnHost): Promise<void> {
  requireRoot(connection);
  const result = await connection.exec([...argv, "close", `--at=${at}`], { timeoutMs: CLOSE_TIMEOUT_MS });
  if (result.exitCode === MISSING) log(`the clone in ${at} is gone already`);
  else if (result.exitCode !== 0) throw new CommandFailed("close the clone", result);
}

/** @throws CommandFailed if the host cannot say */
export async function findClone({ at, connection }: CloneOnHost): Promise<ClonePresence> {
  requireRoot(connection);
  const { stdout } = await runScript(connection, "look at the clone", PRESENCE_SCRIPT, [at]);
  return stdout.trim() as ClonePresence;
}

/** @throws Error for a login that may not mount */
function requireRoot({ login, name }: Connection): void {
  if (login.uid === 0) return;
  throw new Error(
    `a clone needs root on ${name}, to mount it, and the connection is ${login.name}: sign in as root, or as an account with sudo`,
  );
}
