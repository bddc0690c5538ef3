/**
 * The files of a host: reads their true state in one command, and writes atomically (temporary file, fsync, rename,
 * fsync of the directory). Contents travel over standard input only. Needs a POSIX shell and GNU or BusyBox stat,
 * sha256sum and sync on the host.
 *
 * Root works in directories where PostgreSQL's account may write. So each script enters the directory first, verifies
 * its location, and uses relative names from there: replacing a path component later has no effect.
 */
import { createHash } from "node:crypto";
import { type Account, type Connection, runScript } from "./connection";

export interface DesiredFile {
  readonly path: string;
  /** Four octal digits. */
  readonly mode: string;
  readonly owner: OwnerRole;
  readonly content: string | Uint8Array;
}

/** `admin`: the login; `database`: PostgreSQL's account; `shared`: the login with the group of PostgreSQL's account. */
export type OwnerRole = "admin" | "database" | "shared";
export type Accounts = Readonly<Record<OwnerRole, Account>>;

/** The accounts of all roles. */
export function accountsFor(admin: Account, database: Account): Accounts {
  return { admin, database, shared: { ...admin, gid: database.gid } };
}

export interface FileFact {
  readonly kind: "missing" | "file" | "directory" | "link" | "other";
  readonly mode: string;
  readonly uid: number;
  readonly gid: number;
  /** SHA-256 of a readable file, else empty. */
  readonly sha256: string;
}

export interface DesiredDirectory {
  readonly path: string;
  readonly mode: string;
  readonly owner: OwnerRole;
}

/**
 * A shell function that prints the state of its arguments for {@link parseFacts}: a line with the kind of each, then
 * the output of stat and sha256sum, each started once for all of them.
 */
export const FACTS_FUNCTION = `
facts() {
  for path do
    shift
    if [ -L "$path" ]; then echo 'kind link'
    elif [ -d "$path" ]; then echo 'kind directory'; set -- "$@" "$path"
    elif [ -f "$path" ]; then echo 'kind file'; set -- "$@" "$path"
    elif [ -e "$path" ]; then echo 'kind other'
    else echo 'kind missing'
    fi
  done
  [ $# -eq 0 ] || stat -c 'stat %a %u %g %n' -- "$@"
  for path do
    shift
    [ -d "$path" ] || set -- "$@" "$path"
  done
  # One that cannot be read has no line.
  [ $# -eq 0 ] || sha256sum -- "$@" || true
}`;
const READ_SCRIPT = `${FACTS_FUNCTION}
facts "$@"`;

/**
 * Shell functions. `resolved PATH` prints a path's directory with links resolved; root or the current account must own
 * each link. `enter PATH` changes to it, and ends the script if the kernel reports another directory: a link that was
 * planted in the meantime.
 */
const ENTER_FUNCTIONS = `
resolved() (
  rest=$1 way= links=0
  while [ -n "$rest" ]; do
    part=\${rest%%/*}
    case $rest in */*) rest=\${rest#*/} ;; *) rest= ;; esac
    case $part in '' | .) continue ;; ..) way=\${way%/*}; continue ;; esac
    if [ -L "$way/$part" ]; then
      owner=$(stat -c %u -- "$way/$part")
      if [ "$owner" != 0 ] && [ "$owner" != "$(id -u)" ]; then
        echo "$way/$part is a symbolic link of account $owner, which may lead anywhere: give it to root (chown -h), or name the directory itself" >&2
        exit 1
      fi
      links=$((links + 1))
      [ "$links" -le 40 ] || { echo "$1 leads through too many links" >&2; exit 1; }
      target=$(readlink -- "$way/$part")
      case $target in /*) way= ;; esac
      rest=$target/$rest
    else
      way=$way/$part
    fi
  done
  printf '%s\\n' "\${way:-/}"
)
enter() {
  place=$(resolved "$1") || exit 1
  cd -P -- "$place" || exit 1
  [ "$(pwd -P)" = "$place" ] || { echo "$1 was exchanged for another directory" >&2; exit 1; }
}
# After it is entered: nobody has put another one in the place of what we have made.
own() {
  owner=$(stat -c %u .)
  [ "$owner" = "$(id -u)" ] || [ "$owner" = "$1" ] || { echo "$place was exchanged for one of account $owner" >&2; exit 1; }
}`;

/** $1 path, $2 mode, $3 uid:gid, $4 size in bytes; standard input has the content. Written in our own directory. */
const WRITE_SCRIPT = `${ENTER_FUNCTIONS}
set -eu
umask 077
enter "$(dirname -- "$1")"
name=$(basename -- "$1")
if [ -d "./$name" ] && [ ! -L "./$name" ]; then echo "$1 is a directory" >&2; exit 1; fi
# Of an update that was cut off while it wrote this file; should it still run, it must not put its content in place later.
rm -rf -- "./.pgbackstop.$name."??????
made=
# Not every shell goes there by itself when a signal ends it, such as the hang-up that sudo passes on.
trap 'exit 1' HUP INT PIPE TERM
trap '[ -z "$made" ] || { rm -f content; cd -P ..; rmdir -- "$made"; }' EXIT
folder=$(mktemp -d "./.pgbackstop.$name.XXXXXX")
enter "\${place%/}/\${folder#./}"
made=$folder
own "$(id -u)"
cat > content
[ "$(wc -c < content)" -eq "$4" ] || { echo "the content arrived incomplete" >&2; exit 1; }
[ "$(stat -c '%u:%g' content)" = "$3" ] || chown -- "$3" content
chmod -- "$2" content
sync content
mv -fT -- content "../$name"
cd -P ..
trap - EXIT
rmdir -- "$made"
sync .`;

/**
 * $1 path, $2 mode, $3 uid:gid; prints every directory that it created, outermost first. All accounts may pass the
 * ancestors. The directory gets its name last: an update leaves the rights of existing ones alone, so one that was cut
 * off must not leave it with others.
 */
const DIRECTORY_SCRIPT = `${ENTER_FUNCTIONS}
set -eu
make() {
  [ -d "$1" ] && return 0
  make "$(dirname -- "$1")"
  # Another update may have made it since.
  (enter "$(dirname -- "$1")"; mkdir -m 0755 -- "./$(basename -- "$1")") || { [ -d "$1" ] && return 0; exit 1; }
  printf '%s\\n' "$1"
}
[ -d "$1" ] && exit 0
make "$(dirname -- "$1")"
enter "$(dirname -- "$1")"
parent=$place
name=$(basename -- "$1")
# Of an update that was cut off; another one may be at work here now.
find . -maxdepth 1 -type d -name ".pgbackstop.$name.??????" -mmin +60 -exec rmdir -- {} + 2> /dev/null || true
folder=$(mktemp -d "./.pgbackstop.$name.XXXXXX")
enter "\${parent%/}/\${folder#./}"
own "$(id -u)"
[ "$(stat -c '%u:%g' .)" = "$3" ] || chown -- "$3" .
chmod -- "$2" .
enter "$parent"
mv -nT -- "$folder" "./$name" || true
# Another update was first.
[ ! -d "$folder" ] || { rmdir -- "$folder"; [ -d "./$name" ] && exit 0; exit 1; }
printf '%s\\n' "$1"`;

const REMOVE_FILES_SCRIPT = `${ENTER_FUNCTIONS}
for path; do
  if [ -d "$path" ] && [ ! -L "$path" ]; then continue; fi
  [ -d "$(dirname -- "$path")" ] || continue
  (enter "$(dirname -- "$path")"; rm -f -- "./$(basename -- "$path")") || exit 1
done`;
const REMOVE_DIRECTORIES_SCRIPT = `${ENTER_FUNCTIONS}
for path; do
  [ ! -d "$path" ] || (enter "$(dirname -- "$path")"; rmdir -- "./$(basename -- "$path")") 2>/dev/null || echo "$path"
done`;

/** Kind, rights, owner and SHA-256 of each path, in one command. */
export async function readFacts(
  connection: Connection,
  paths: readonly string[],
): Promise<ReadonlyMap<string, FileFact>> {
  if (paths.length === 0) return new Map();
  const { stdout } = await runScript(connection, "read the state of the files", READ_SCRIPT, paths);
  return parseFacts(paths, stdout.split("\n"));
}

/**
 * One line for state and diff: `0644 admin sha256:…`. The owner is named by its role, first `expected` (both may be one
 * account), or by its ids without a role.
 */
export function factText(fact: FileFact, expected: OwnerRole, accounts: Accounts): string {
  if (fact.kind === "missing") return "missing";
  if (fact.kind !== "file") return `a ${fact.kind} instead of a file`;
  return `${fact.mode} ${ownerText(fact, expected, accounts)} sha256:${fact.sha256}`;
}

/** The line of {@link factText} for a file as desired. */
export function desiredText(file: { readonly mode: string; readonly owner: OwnerRole }, sha256: string): string {
  return `${file.mode} ${file.owner} sha256:${sha256}`;
}

export function sha256Hex(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Writes only files that differ. Returns the paths that were written or got other rights. */
export async function writeFiles(
  connection: Connection,
  files: readonly DesiredFile[],
  accounts: Accounts,
): Promise<string[]> {
  const facts = await readFacts(
    connection,
    files.map((file) => file.path),
  );
  const changed: string[] = [];
  for (const file of files) {
    const fact = facts.get(file.path);
    const sha256 = sha256Hex(file.content);
    if (fact !== undefined && isAsDesired(fact, file, sha256, accounts)) continue;
    await writeFile(connection, file, accounts);
    changed.push(file.path);
  }
  return changed;
}

/** Creates missing directories and ancestors; leaves existing ones alone. Returns the new ones, outermost first. */
export async function makeDirectories(
  connection: Connection,
  directories: readonly DesiredDirectory[],
  accounts: Accounts,
): Promise<string[]> {
  const made: string[] = [];
  for (const directory of directories) {
    const args = [directory.path, directory.mode, ownerNumbers(accounts[directory.owner])];
    const { stdout } = await runScript(connection, `make the directory ${directory.path}`, DIRECTORY_SCRIPT, args);
    made.push(...stdout.split("\n").filter((line) => line !== ""));
  }
  return made;
}

/** Removes files and links; missing ones are fine. */
export async function removeFiles(connection: Connection, paths: readonly string[]): Promise<void> {
  if (paths.length > 0) await runScript(connection, "remove files", REMOVE_FILES_SCRIPT, paths);
}

/** Removes empty directories, the last given first. Returns those that are not empty and stay. */
export async function removeDirectories(connection: Connection, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  const { stdout } = await runScript(connection, "remove directories", REMOVE_DIRECTORIES_SCRIPT, [...paths].reverse());
  return stdout.split("\n").filter((line) => line !== "");
}

async function writeFile(connection: Connection, file: DesiredFile, accounts: Accounts): Promise<void> {
  const args = [file.path, file.mode, ownerNumbers(accounts[file.owner]), String(Buffer.byteLength(file.content))];
  await runScript(connection, `write ${file.path}`, WRITE_SCRIPT, args, { stdin: file.content });
}

function isAsDesired(fact: FileFact, file: DesiredFile, sha256: string, accounts: Accounts): boolean {
  const account = accounts[file.owner];
  return (
    fact.kind === "file" &&
    fact.sha256 === sha256 &&
    fact.mode === file.mode &&
    fact.uid === account.uid &&
    fact.gid === account.gid
  );
}

/** Facts in the shell function's output, ignoring lines between. @throws Error for a path with missing parts */
export function parseFacts(paths: readonly string[], lines: readonly string[]): ReadonlyMap<string, FileFact> {
  const kinds = lines.flatMap((line) => /^kind (missing|file|directory|link|other)$/.exec(line)?.[1] ?? []);
  const stats = new Map<string, { readonly mode: string; readonly uid: number; readonly gid: number }>();
  const sums = new Map<string, string>();
  for (const line of lines) {
    const [, mode = "", uid, gid, named = ""] = /^stat ([0-7]+) ([0-9]+) ([0-9]+) (.+)$/.exec(line) ?? [];
    if (named !== "") stats.set(named, { mode: mode.padStart(4, "0"), uid: Number(uid), gid: Number(gid) });
    const [, escape, sha256 = "", name = ""] = /^(\\?)([0-9a-f]{64}) [ *](.+)$/.exec(line) ?? [];
    if (name !== "") sums.set(escape === "" ? name : name.replaceAll("\\\\", "\\"), sha256);
  }
  return new Map(
    paths.map((path, index) => {
      const kind = kinds[index];
      const hasStat = kind === "file" || kind === "directory";
      const stat = hasStat ? stats.get(path) : { mode: "0000", uid: 0, gid: 0 };
      if (kind === undefined || stat === undefined || kinds.length !== paths.length) {
        throw new Error(`unable to read the state of ${path}: the answer lacks it`);
      }
      return [path, { kind: kind as FileFact["kind"], ...stat, sha256: kind === "file" ? (sums.get(path) ?? "") : "" }];
    }),
  );
}

function ownerText(fact: FileFact, expected: OwnerRole, accounts: Accounts): string {
  const role = [expected, "admin" as const, "database" as const, "shared" as const].find(
    (name) => accounts[name].uid === fact.uid && accounts[name].gid === fact.gid,
  );
  return role ?? ownerNumbers(fact);
}

function ownerNumbers(account: { readonly uid: number; readonly gid: number }): string {
  return `${account.uid}:${account.gid}`;
}
