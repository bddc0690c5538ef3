/**
 * The files of a host: their true state in one go, and writes that nobody can see half done (temporary file, fsync, rename, fsync of the
 * directory). Contents travel over standard input only. Needs a POSIX shell and GNU or BusyBox stat, sha256sum and sync on the host.
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

/** `admin`: the account that the host is reached with; `database`: the one of PostgreSQL; `shared`: the first with the group of the second. */
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
  /** Of a file that could be read, else empty. */
  readonly sha256: string;
}

export interface DesiredDirectory {
  readonly path: string;
  readonly mode: string;
  readonly owner: OwnerRole;
}

/**
 * A shell's function that prints the state of its arguments for {@link parseFacts}: a line with the kind of each, then what stat and sha256sum say,
 * each started once for all of them.
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

/** $1 path, $2 mode, $3 uid:gid, $4 size in bytes; the content comes on standard input. */
const WRITE_SCRIPT = `
set -eu
umask 077
directory=$(dirname -- "$1")
if [ -d "$1" ] && [ ! -L "$1" ]; then echo "$1 is a directory" >&2; exit 1; fi
name=.pgbackstop.$(basename -- "$1")
# Of an update that was cut off while it wrote this file; should it still run, it must not put its content in place later.
rm -f -- "$directory/$name."??????
temporary=
# Not every shell goes there by itself when a signal ends it, such as the hang-up that sudo passes on.
trap 'exit 1' HUP INT PIPE TERM
trap '[ -z "$temporary" ] || rm -f -- "$temporary"' EXIT
temporary=$(mktemp "$directory/$name.XXXXXX")
cat > "$temporary"
[ "$(wc -c < "$temporary")" -eq "$4" ] || { echo "the content arrived incomplete" >&2; exit 1; }
[ "$(stat -c '%u:%g' -- "$temporary")" = "$3" ] || chown -- "$3" "$temporary"
chmod -- "$2" "$temporary"
sync "$temporary"
mv -fT -- "$temporary" "$1"
trap - EXIT
sync "$directory"`;

/** $1 path, $2 mode, $3 uid:gid. */
const ATTRIBUTES_SCRIPT = `
set -eu
[ "$(stat -c '%u:%g' -- "$1")" = "$3" ] || chown -- "$3" "$1"
chmod -- "$2" "$1"`;

/** $1 path, $2 mode, $3 uid:gid; prints every directory that it made, outermost first. Ancestors are open for all to pass. */
const DIRECTORY_SCRIPT = `
set -eu
make() {
  [ -d "$1" ] && return 0
  make "$(dirname -- "$1")"
  # Another update may have made it since.
  mkdir -m 0755 -- "$1" || { [ -d "$1" ] && return 0; exit 1; }
  printf '%s\\n' "$1"
}
[ -d "$1" ] && exit 0
make "$1"
[ "$(stat -c '%u:%g' -- "$1")" = "$3" ] || chown -- "$3" "$1"
chmod -- "$2" "$1"`;

const REMOVE_FILES_SCRIPT = `for path; do if [ ! -d "$path" ] || [ -L "$path" ]; then rm -f -- "$path" || exit 1; fi; done`;
const REMOVE_DIRECTORIES_SCRIPT = `for path; do [ ! -d "$path" ] || rmdir -- "$path" 2>/dev/null || echo "$path"; done`;

/** Kind, rights, owner and SHA-256 of each path, in one command. */
export async function readFacts(connection: Connection, paths: readonly string[]): Promise<ReadonlyMap<string, FileFact>> {
  if (paths.length === 0) return new Map();
  const { stdout } = await runScript(connection, "read the state of the files", READ_SCRIPT, paths);
  return parseFacts(paths, stdout.split("\n"));
}

/**
 * One line for state and diff: `0644 admin sha256:…`. The owner is given by its role, first `expected` (both may be one account), or by
 * its numbers when it has none.
 */
export function factText(fact: FileFact, expected: OwnerRole, accounts: Accounts): string {
  if (fact.kind === "missing") return "missing";
  if (fact.kind !== "file") return `a ${fact.kind} instead of a file`;
  return `${fact.mode} ${ownerText(fact, expected, accounts)} sha256:${fact.sha256}`;
}

/** What {@link factText} gives for a file that is as desired. */
export function desiredText(file: { readonly mode: string; readonly owner: OwnerRole }, sha256: string): string {
  return `${file.mode} ${file.owner} sha256:${sha256}`;
}

export function sha256Hex(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Writes the files that differ, and nothing else. Returns the paths that were written or had their rights changed. */
export async function writeFiles(connection: Connection, files: readonly DesiredFile[], accounts: Accounts): Promise<string[]> {
  const facts = await readFacts(
    connection,
    files.map((file) => file.path),
  );
  const changed: string[] = [];
  for (const file of files) {
    const fact = facts.get(file.path);
    const sha256 = sha256Hex(file.content);
    if (fact !== undefined && isAsDesired(fact, file, sha256, accounts)) continue;
    await writeFile(connection, file, accounts, fact?.kind === "file" && fact.sha256 === sha256);
    changed.push(file.path);
  }
  return changed;
}

/** Makes a directory and its ancestors where missing; one that exists is left as it is. Returns what it made, outermost first. */
export async function makeDirectories(connection: Connection, directories: readonly DesiredDirectory[], accounts: Accounts): Promise<string[]> {
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

/** Removes directories that are empty, the last given first. Returns those that hold something and stay. */
export async function removeDirectories(connection: Connection, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  const { stdout } = await runScript(connection, "remove directories", REMOVE_DIRECTORIES_SCRIPT, [...paths].reverse());
  return stdout.split("\n").filter((line) => line !== "");
}

async function writeFile(connection: Connection, file: DesiredFile, accounts: Accounts, contentIsRight: boolean): Promise<void> {
  const owner = ownerNumbers(accounts[file.owner]);
  if (contentIsRight) {
    await runScript(connection, `set the rights of ${file.path}`, ATTRIBUTES_SCRIPT, [file.path, file.mode, owner]);
    return;
  }
  const args = [file.path, file.mode, owner, String(Buffer.byteLength(file.content))];
  await runScript(connection, `write ${file.path}`, WRITE_SCRIPT, args, { stdin: file.content });
}

function isAsDesired(fact: FileFact, file: DesiredFile, sha256: string, accounts: Accounts): boolean {
  const account = accounts[file.owner];
  return fact.kind === "file" && fact.sha256 === sha256 && fact.mode === file.mode && fact.uid === account.uid && fact.gid === account.gid;
}

/** Facts in what the shell's function printed, whatever is printed between. @throws Error for a path of which something is missing */
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
        throw new Error(`unable to read the state of ${path}: there is no record of it`);
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
