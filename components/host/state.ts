/**
 * Reads the true state of a host in one command: files, mounts, units, packages, its distribution, and answers of
 * PostgreSQL and the repositories. A POSIX script prints one record a line; {@link parseState} accepts complete output
 * only. Slow questions (programs to start) run in parallel. The script only reads.
 *
 * Needs the tools of {@link readFacts} and base64; without systemd, dpkg or findmnt their records are missing.
 */
import { type Account, AS_ACCOUNT_FUNCTION, type Connection, type ExecResult, runScript } from "./connection";
import { FACTS_FUNCTION, type FileFact, parseFacts } from "./desiredFiles";
import { unitText } from "./systemdUnits";

export interface StateQuery {
  /** PostgreSQL's account, which runs `ask`; it may not exist yet. */
  readonly user: string;
  /** Files and directories. */
  readonly paths: readonly string[];
  /** Paths whose file system is reported, existing or not. */
  readonly mounts: readonly string[];
  readonly units: readonly string[];
  readonly dataDirectory: string;
  /** A shell line by name. */
  readonly ask: Readonly<Record<string, string>>;
  /** The same, run as the login. */
  readonly askAsAdmin?: Readonly<Record<string, string>>;
}

export interface HostFacts {
  /** Null without such an account. */
  readonly account: Account | null;
  readonly paths: ReadonlyMap<string, FileFact>;
  readonly mounts: ReadonlyMap<string, MountFact>;
  /** `enabled active` and similar; empty if systemd is not running. */
  readonly units: Readonly<Record<string, string>>;
  readonly hasSystemd: boolean;
  /** Installed packages to their versions: of PostgreSQL, pgBackRest and Node. */
  readonly packages: Readonly<Record<string, string>>;
  /** Output of `uname -m`: `x86_64`, `aarch64`. */
  readonly machine: string;
  /** `/etc/machine-id`, which each installation has its own of; empty if unknown. */
  readonly machineId: string;
  /** Text of `/etc/os-release`; empty without it. */
  readonly osRelease: string;
  /** Major version of the cluster in the data directory; null if absent. */
  readonly clusterVersion: string | null;
  readonly answers: ReadonlyMap<string, ExecResult>;
}

export interface MountFact {
  /** Mount point of the file system: `/` for the root's. */
  readonly at: string;
  /** `ext4`; empty if unknown. */
  readonly type: string;
  readonly readOnly: boolean;
}

/**
 * $1 account, $2 data directory, $3 units, $4 number of questions; for each its account, name and line. The rest is
 * described below.
 */
const STATE_SCRIPT = `${FACTS_FUNCTION}
${AS_ACCOUNT_FUNCTION}
user=$1; data=$2; units=$3; asks=$4; shift 4
export LC_ALL=C
own=$(id -u)
uid=- gid=-
if said=$(id -- "$user" 2>/dev/null); then
  uid=\${said#uid=} gid=\${said#* gid=}
  uid=\${uid%%[!0-9]*} gid=\${gid%%[!0-9]*}
fi
printf 'account %s %s\\n' "$uid" "$gid"
as_user() {
  if [ "$uid" = - ]; then echo "there is no account $user" >&2; return 126; fi
  if [ "$uid" = "$own" ]; then "$@"; else (exec_as "$user" "$uid" "$gid" "$@"); fi
}
as_admin() { "$@"; }
ask() {
  { said=$( { { "$3" /bin/sh -c "$2" </dev/null 3>&-; printf 'code %s %s\\n' "$1" "$?" >&3; } |
    base64 -w 3000 | while read -r line; do printf 'out %s %s\\n' "$1" "$line" >&3; done; } 2>&1 ); } 3>&1
  [ -z "$said" ] || printf '%s' "$said" | tail -c 8000 | base64 -w 3000 | while read -r line; do printf 'err %s %s\\n' "$1" "$line"; done
}
# Most lie on the same file system.
mounts() {
  for path do
    shift
    while [ ! -e "$path" ]; do
      case $path in /*) path=\${path%/*} path=\${path:-/} ;; *) path=. ;; esac
    done
    set -- "$@" "$path"
  done
  [ $# -eq 0 ] || stat -c %m -- "$@" | {
    count=0 last=
    while IFS= read -r at; do
      [ "$at" = "$last" ] || kind=$(findmnt -rn -o FSTYPE,OPTIONS --mountpoint "$at" 2>/dev/null | tail -n 1)
      last=$at
      printf 'mount %s %s %s\\n' "$count" "\${kind:-- -}" "$at"
      count=$((count + 1))
    done
  }
}
each() { while IFS= read -r line; do printf '%s %s\\n' "$1" "$line"; done; }
while [ "$asks" -gt 0 ]; do
  ask "$2" "$3" "as_$1" &
  shift 3
  asks=$((asks - 1))
done
# $1 how many of the others are paths; the rest are those whose file system is told. What is found in the meantime is said when nobody else writes any
# more: only short lines are safe from each other.
said=$(
  count=$1
  shift
  (shift "$count" && mounts "$@")
  for path do
    shift
    [ "$count" -le 0 ] || set -- "$@" "$path"
    count=$((count - 1))
  done
  facts "$@"
  printf 'machine %s\\n' "$(uname -m)"
  [ ! -r /etc/machine-id ] || each installed < /etc/machine-id
  [ ! -r /etc/os-release ] || each os < /etc/os-release
  [ ! -r "$data/PG_VERSION" ] || each cluster < "$data/PG_VERSION"
  if [ -d /run/systemd/system ]; then
    echo systemd
    [ -z "$units" ] || systemctl show -p LoadState -p UnitFileState -p ActiveState -- $units | each unit
  fi
  dpkg-query -W -f='package \${db:Status-Status} \${Package} \${Version}\\n' 'postgresql-[0-9]*' postgresql-common pgbackrest nodejs 2>/dev/null
)
wait
printf '%s\\n' "$said"
echo end`;

/** Asks everything at once. @throws CommandFailed, Error for an incomplete answer */
export async function readState(connection: Connection, query: StateQuery, timeoutMs?: number): Promise<HostFacts> {
  const asks = [
    ...Object.entries(query.ask).map(([name, line]) => ["user", name, line]),
    ...Object.entries(query.askAsAdmin ?? {}).map(([name, line]) => ["admin", name, line]),
  ];
  const examined = [String(query.paths.length), ...query.paths, ...query.mounts];
  const args = [
    query.user,
    query.dataDirectory,
    query.units.join(" "),
    String(asks.length),
    ...asks.flat(),
    ...examined,
  ];
  const { stdout } = await runScript(
    connection,
    "read the state of the host",
    STATE_SCRIPT,
    args,
    timeoutMs === undefined ? {} : { timeoutMs },
  );
  return parseState(query, stdout);
}

/** Parses the script's output. @throws Error if a requested record is missing or incomplete */
export function parseState(query: StateQuery, stdout: string): HostFacts {
  const lines = stdout.split("\n");
  // Truncated output is not used at all.
  if (lines.at(-2) !== "end") throw new Error("unable to read the state of the host: the answer is incomplete");
  const rows = (kind: string): string[] =>
    lines.filter((line) => line.startsWith(`${kind} `)).map((line) => line.slice(kind.length + 1));
  const hasSystemd = lines.includes("systemd");
  return {
    account: parseAccount(query.user, rows("account")[0] ?? ""),
    paths: parseFacts(query.paths, lines),
    mounts: new Map(
      query.mounts.map((path, index) => [path, parseMount(rowOf(rows("mount"), String(index), path), path)]),
    ),
    units: hasSystemd ? parseUnits(query.units, lines) : {},
    hasSystemd,
    packages: Object.fromEntries(
      rows("package")
        .map((row) => row.split(" "))
        .filter(([status]) => status === "installed")
        .map(([, name = "", version = ""]) => [name, version]),
    ),
    machine: rows("machine")[0] ?? "",
    machineId: machineIdIn(rows("installed")[0] ?? ""),
    osRelease: rows("os").join("\n"),
    clusterVersion: rows("cluster")[0]?.trim() ?? null,
    answers: new Map(
      [...Object.keys(query.ask), ...Object.keys(query.askAsAdmin ?? {})].map((name) => [
        name,
        parseAnswer(name, rows),
      ]),
    ),
  };
}

function rowOf(rows: readonly string[], name: string, what: string): string {
  const row = rows.find((line) => line.startsWith(`${name} `));
  if (row === undefined) throw new Error(`unable to read the state of ${what}: the answer lacks it`);
  return row.slice(name.length + 1);
}

function parseAccount(name: string, row: string): Account | null {
  const match = /^([0-9]+) ([0-9]+)$/.exec(row);
  return match === null ? null : { name, uid: Number(match[1]), gid: Number(match[2]) };
}

/** Empty for any other text, such as `uninitialized` during the first boot. */
export function machineIdIn(text: string): string {
  return /^[0-9a-f]{32}$/.exec(text.trim())?.[0] ?? "";
}

function parseMount(row: string, path: string): MountFact {
  const match = /^(\S+) (\S+) (\/.*)$/.exec(row);
  if (match === null) throw new Error(`unable to find the file system of ${path}: "${row}"`);
  const [, type = "", options = "", at = ""] = match;
  return { at, type: type === "-" ? "" : type, readOnly: options.split(",").includes("ro") };
}

/** Blocks of lines in the requested order, separated by empty lines. */
function parseUnits(units: readonly string[], lines: readonly string[]): Record<string, string> {
  if (units.length === 0) return {};
  const text = lines
    .filter((line) => line.startsWith("unit ") || line === "unit")
    .map((line) => line.slice(5))
    .join("\n");
  const blocks = text.split(/\n\n+/);
  if (blocks.length !== units.length)
    throw new Error(`unable to read the state of the units: ${blocks.length} answers for ${units.length} units`);
  return Object.fromEntries(units.map((unit, index) => [unit, unitText((blocks[index] ?? "").replaceAll("\n", " "))]));
}

function parseAnswer(name: string, rows: (kind: string) => string[]): ExecResult {
  const textOf = (kind: string): string =>
    rows(kind)
      .filter((row) => row.startsWith(`${name} `))
      .map((row) => Buffer.from(row.slice(name.length + 1), "base64").toString("latin1"))
      .join("");
  const decode = (kind: string): string => Buffer.from(textOf(kind), "latin1").toString("utf8");
  return { exitCode: Number(rowOf(rows("code"), name, name)), stdout: decode("out"), stderr: decode("err") };
}

/** Empty if unknown. */
export async function readMachineId(connection: Connection): Promise<string> {
  const script = "[ ! -r /etc/machine-id ] || cat /etc/machine-id";
  return machineIdIn((await runScript(connection, "read the machine's id", script, [])).stdout);
}
