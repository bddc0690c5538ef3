/**
 * Brings a backup host to its desired state and reads its true state. The order of an update: accounts, directories,
 * sshd's confinement of the accounts, then their keys: no account ever has keys without confinement. Repositories and
 * the accounts that own them are never removed.
 *
 * Administrators sign in through sshd, so its configuration is handled with care. A new text is tested alongside the
 * old one, renamed into place, tested again, compared in its effect on the administrator's login, and proved by a new
 * connection after sshd loaded it. Any failure restores the old text.
 */
import {
  forceCommand,
  REPOSITORY_HOST_PATHS,
  REPOSITORY_INSIDE,
  type RepositoryAccount,
  rootsIn,
  SEAL_SCRIPT,
  type SealedRepository,
} from "../render/host/sshdConfig";
import { type Connection, run, runScript, type LogLine } from "./connection";
import {
  type Accounts,
  accountsFor,
  desiredText,
  factText,
  readFacts,
  removeFiles,
  sha256Hex,
  writeFiles,
} from "./desiredFiles";
import { withLock } from "./hostLock";
import { enterHost, isUnfinished, leaveHost, markFinished, recordLine, requireAlone } from "./hostOwners";
import { withRemedy } from "./removeHost";
import { disableUnits, enableUnits, readUnits, reloadUnits, UNIT_AT_WORK, unitsIn } from "./systemdUnits";

export interface DesiredRepositoryHost {
  /** Writers before readers of their group. */
  readonly accounts: readonly RepositoryAccount[];
  /** Repositories by owner account. */
  readonly repositories: Readonly<Record<string, string>>;
  readonly sealed: readonly SealedRepository[];
  readonly sshdConfig: string;
  /** Keys, script and units: path to mode and text. */
  readonly files: Readonly<Record<string, { readonly mode: string; readonly text: string }>>;
  readonly timers: readonly string[];
  /** The administrator's login; empty on this machine. */
  readonly admin: string;
  /** Required mount point; empty if absent. */
  readonly mount: string;
}

export interface RepositoryHostUpdate {
  readonly connection: Connection;
  /** URN of the component; missing in the state of an earlier version. */
  readonly owner?: string;
  /** `owner` of the last update. */
  readonly formerOwner?: string;
  readonly desired: DesiredRepositoryHost;
  /** The last known state. */
  readonly before: Readonly<Record<string, string>>;
  /** Opens another connection to the host; throws if that is no longer possible. */
  signInAgain(): Promise<void>;
  readonly log: LogLine;
}

const SHELL = "/usr/sbin/nologin";
/** Exists wherever there is an sshd. */
const LOCKED = "/etc/ssh";
/** This comment marks our accounts. */
const COMMENT = "pgbackstop repository";

const ACCOUNT_SCRIPT = `
set -eu
if line=$(getent passwd "$1"); then
  case $line in
    *:"$3":*) ;;
    *) echo "there is another account $1 on this host: rename the client, or set its user" >&2; exit 1 ;;
  esac
  exit 0
fi
nologin=$4
if [ "$1" = "$2" ]; then group=--user-group; else group="--gid=$2"; fi
# No password fits a star; unlike an exclamation mark it does not lock the account for keys.
useradd --system --no-create-home --home-dir / --shell "$nologin" "$group" --password '*' --comment "$3" -- "$1"
echo made`;

/**
 * $1 chroot, $2 repository, $3 account. Existing files keep their owner: it may be root for some days. The repository
 * gets its name with its rights: an update that was cut off must not leave it with others.
 */
const DIRECTORY_SCRIPT = `
set -eu
mkdir -p -- "$1"
chown root:root -- "$1"
chmod 0755 -- "$1"
[ -d "$2" ] && exit 0
above=$(dirname -- "$2")
mkdir -p -- "$above"
made=$(mktemp -d -- "$above/.pgbackstop.XXXXXX")
chown "$3:$3" -- "$made"
chmod 0750 -- "$made"
mv -nT -- "$made" "$2" || true
# Another update was first.
[ ! -d "$made" ] || rmdir -- "$made"
[ -d "$2" ]`;

/**
 * Every directory above a chroot must belong to root and be writable by root alone: otherwise sshd refuses the sign-in.
 */
const ABOVE_SCRIPT = `
path=$1
while :; do
  if [ -e "$path" ]; then
    case $(stat -c '%u %A' -- "$path") in
      "0 d"????-??-*) ;;
      *) echo "$path is not a directory of root's that only root writes: sshd would let nobody in below it" >&2; exit 1 ;;
    esac
  fi
  [ "$path" = / ] && exit 0
  path=$(dirname -- "$path")
done`;

const MOUNT_SCRIPT = `
path=$1
while [ ! -e "$path" ]; do path=$(dirname -- "$path"); done
stat -c %m -- "$path"`;

/** Pairs of repositories, the old one first: `left` if only that one has something in it. */
const LEFT_SCRIPT = `
while [ $# -gt 1 ]; do
  if [ -z "$(ls -A -- "$2" 2>/dev/null)" ] && [ -n "$(ls -A -- "$1" 2>/dev/null)" ]; then echo left; else echo free; fi
  shift 2
done`;

const SSHD = `
set -eu
sshd=$(command -v sshd || echo /usr/sbin/sshd)
[ -x "$sshd" ] || { echo "there is no sshd: install openssh-server" >&2; exit 1; }
mkdir -p -m 0755 /run/sshd
effective() { "$sshd" -T -C "user=$1,host=localhost,addr=127.0.0.1"; }
`;

/** $1 path, $2 administrator's login. Standard input has the text; empty input removes the file. */
const SSHD_CONFIG_SCRIPT = `${SSHD}
main=/etc/ssh/sshd_config
folder=$(mktemp -d /run/pgbackstop-sshd.XXXXXX)
trap 'rm -rf -- "$folder"' EXIT
cat > "$folder/new"
if [ -s "$folder/new" ]; then
  { cat -- "$main"; printf '\\nMatch all\\n'; cat "$folder/new"; } > "$folder/together"
  "$sshd" -t -f "$folder/together"
fi
effective "\${2:-root}" > "$folder/before"
[ ! -e "$1" ] || cp -p -- "$1" "$folder/old"
place() { # what is put there
  if [ -s "$1" ]; then
    mkdir -p -m 0755 -- "$(dirname -- "$2")"
    install -m 0644 -o root -g root -- "$1" "$2.part"
    sync "$2.part"
    mv -fT -- "$2.part" "$2"
  else
    rm -f -- "$2"
  fi
  sync "$(dirname -- "$2")"
}
place "$folder/new" "$1"
if ! "$sshd" -t || ! effective "\${2:-root}" > "$folder/after" || ! cmp -s "$folder/before" "$folder/after"; then
  echo "the administrator's own sign-in would have changed: nothing was" >&2
  diff "$folder/before" "$folder/after" >&2 || true
  : > "$folder/none"
  if [ -e "$folder/old" ]; then place "$folder/old" "$1"; else place "$folder/none" "$1"; fi
  exit 1
fi`;

const RELOAD_SCRIPT = `
set -eu
for unit in ssh.service sshd.service; do
  if systemctl is-active --quiet "$unit"; then systemctl reload "$unit"; sleep 1; systemctl is-active --quiet "$unit"; exit; fi
done
# Started for each connection by a socket: the next one reads the new text.
for unit in ssh.socket sshd.socket; do
  if systemctl is-active --quiet "$unit"; then exit 0; fi
done
echo "no service of sshd is active" >&2
exit 1`;

/** One line per account: sshd's effective settings, each entry of a list by itself, and the account's groups. */
const EFFECTIVE_SCRIPT = `${SSHD}
for name; do
  effective "$name" | sed -n -e '/^\\(forcecommand\\|chrootdirectory\\|disableforwarding\\|permittty\\|allowusers\\|allowgroups\\) /p' | tr '\\n' '|'
  printf 'groups %s\\n' "$(id -nG -- "$name" 2>/dev/null)"
done`;

const HOST_KEYS_SCRIPT = `${SSHD}
"$sshd" -T | sed -n 's/^hostkey //p' | while IFS= read -r file; do
  if [ -r "$file.pub" ]; then cat -- "$file.pub"; elif [ -r "$file" ]; then ssh-keygen -y -f "$file"; fi
done`;

const STATE_SCRIPT = `
for name; do
  case $name in
    /*) if [ -L "$name" ] || [ ! -d "$name" ]; then echo missing; else stat -c 'directory %a %u:%g' -- "$name"; fi ;;
    *) getent passwd "$name" | cut -d: -f5-7 | grep . || echo missing ;;
  esac
done`;

/** The desired state of the host: the names of {@link readRepositoryHost} with the values of a healthy host. */
export function wantedFacts(desired: DesiredRepositoryHost): Record<string, string> {
  const { sshd } = REPOSITORY_HOST_PATHS;
  const files = { ...desired.files, [sshd]: { mode: "0644", text: desired.sshdConfig } };
  return Object.fromEntries([
    ...Object.entries(files).map(([path, { mode, text }]) => [
      path,
      desiredText({ mode, owner: "admin" }, sha256Hex(text)),
    ]),
    ...desired.accounts.map(({ name }) => [`account ${name}`, `${COMMENT}:/:${SHELL}`]),
    ...desired.accounts.map(({ name, readOnly, root }) => [`sshd ${name}`, confinement(root, readOnly)]),
    ...desired.accounts.map(({ root }) => [`directory ${root}`, "directory 755 0:0"]),
    ...Object.values(desired.repositories).map((path) => [`directory ${path}`, "directory"]),
    ...desired.timers.map((timer) => [timer, UNIT_AT_WORK]),
  ]) as Record<string, string>;
}

/** A name of {@link readRepositoryHost}, if the last update was killed: sshd may not have read its file. */
export const INTERRUPTED = "the last update";

/** The true state, by names. @param owner the component, to see whether its last update was killed */
export async function readRepositoryHost(
  connection: Connection,
  desired: DesiredRepositoryHost,
  owner?: string,
): Promise<Record<string, string>> {
  const record = await connection.exec(["/bin/sh", "-c", recordLine([REPOSITORY_HOST_PATHS.owners])]);
  const paths = [...Object.keys(desired.files), REPOSITORY_HOST_PATHS.sshd];
  const files = await readFacts(connection, paths);
  const names = desired.accounts.map(({ name }) => name);
  const repositories = Object.values(desired.repositories);
  const roots = desired.accounts.map(({ root }) => root);
  const { stdout } = await runScript(connection, "read the accounts", STATE_SCRIPT, [
    ...names,
    ...roots,
    ...repositories,
  ]);
  const lines = stdout.split("\n");
  const effective = await runScript(connection, "ask sshd for its configuration", EFFECTIVE_SCRIPT, names);
  const confined = effective.stdout.split("\n");
  return {
    ...Object.fromEntries([...files].map(([path, fact]) => [path, factText(fact, "admin", accountsOf(connection))])),
    ...Object.fromEntries(names.map((name, index) => [`account ${name}`, lines[index] ?? ""])),
    ...Object.fromEntries(names.map((name, index) => [`sshd ${name}`, effectiveOf(name, confined[index] ?? "")])),
    ...Object.fromEntries(roots.map((path, index) => [`directory ${path}`, lines[names.length + index] ?? ""])),
    // Its owner and mode change while its files belong to root.
    ...Object.fromEntries(
      repositories.map((path, index) => [
        `directory ${path}`,
        (lines[names.length + roots.length + index] ?? "").split(" ")[0] ?? "",
      ]),
    ),
    ...(await readUnits(connection, desired.timers)),
    ...(owner !== undefined && isUnfinished(record, [owner]) ? { [INTERRUPTED]: "was interrupted" } : {}),
  };
}

/** The host's public keys, read over the verified connection. */
export async function readHostKeys(connection: Connection): Promise<string[]> {
  const { stdout } = await runScript(connection, "read the keys of the host", HOST_KEYS_SCRIPT, []);
  const keys = stdout.split("\n").map((line) => line.split(" ").slice(0, 2).join(" "));
  return keys.filter((key) => key !== "");
}

/** @throws Error before any change if the host is unsuitable; later errors keep the state reached */
export async function convergeRepositoryHost(update: RepositoryHostUpdate): Promise<void> {
  const { connection, desired } = update;
  if (connection.login.uid !== 0)
    throw new Error(`creating accounts needs root: sign in to ${connection.name} as root, or with sudo`);
  await checkDirectories(connection, desired);
  await withLock(connection, LOCKED, async () => {
    await refuseLeftBackups(update);
    await enter(update);
    await applyAll(update);
    if (update.owner !== undefined) await markFinished(connection, REPOSITORY_HOST_PATHS.owners, update.owner);
  });
}

/**
 * An account in another directory has the same address as before, and an empty repository there: nothing else would
 * notice that its backups are out of reach.
 * @throws Error if backups are where sshd confines an account now, and no repository is where it is to be confined
 */
async function refuseLeftBackups({ connection, desired, formerOwner, owner }: RepositoryHostUpdate): Promise<void> {
  const { owners, sshd } = REPOSITORY_HOST_PATHS;
  const { stdout: text } = await connection.exec(["cat", "--", sshd]);
  const roots = rootsIn(text);
  const moved = desired.accounts.flatMap(({ name, readOnly, root }) => {
    const former = roots.get(name) ?? root;
    return readOnly || former === root ? [] : [{ name, former, root }];
  });
  if (moved.length === 0) return;
  const pairs = moved.flatMap(({ former, root }) => [former, root].map((path) => `${path}${REPOSITORY_INSIDE}`));
  const { stdout } = await runScript(connection, "look for the repositories", LEFT_SCRIPT, pairs);
  const answers = stdout.split("\n");
  const left = moved.filter((_each, index) => answers[index] === "left");
  if (left.length === 0) return;
  // Another component's backups must not move.
  await requireAlone(connection, owners, [owner, formerOwner]);
  const facts = left.map(
    ({ former, name, root }) =>
      `${name} has its backups in ${former} on ${connection.name}, and would find none in ${root}: move them first (mv -T ${former} ${root}), or remove ${former} if nobody needs them`,
  );
  throw new Error(facts.join("\n"));
}

/** Records the component that declares the host. @throws Error if another one declares something else there */
async function enter({ connection, desired, formerOwner: former, log, owner }: RepositoryHostUpdate): Promise<void> {
  if (owner === undefined) return;
  const listOf = (names: readonly string[]): string => names.toSorted().join(" and ");
  const declared = {
    accounts: listOf(desired.accounts.map(({ name }) => name)),
    repositories: listOf(Object.values(desired.repositories)),
  };
  await enterHost(
    connection,
    REPOSITORY_HOST_PATHS.owners,
    { owner, former, declared, archives: false, unfinished: true },
    log,
  );
}

async function applyAll(update: RepositoryHostUpdate): Promise<void> {
  const { connection, desired, log } = update;
  const facts = await readRepositoryHost(connection, desired);
  for (const { group, name, root } of desired.accounts) {
    const made = await runScript(connection, `make the account ${name}`, ACCOUNT_SCRIPT, [name, group, COMMENT, SHELL]);
    if (made.stdout.includes("made")) log(`made the account ${name}`);
    const repository = desired.repositories[name];
    if (repository !== undefined)
      await runScript(connection, `make the directory ${repository}`, DIRECTORY_SCRIPT, [root, repository, name]);
  }
  await applySshd(update, facts);
  // Timers that are no longer wanted end first: they would protect what is returned.
  const changed = await applyFiles(update);
  await releaseUnsealed(connection, desired, log);
  if (desired.timers.length > 0) await enableUnits(connection, desired.timers, changed);
}

/** Afterwards only the administrator signs in; accounts and backups stay. */
export async function removeRepositoryHost(update: RepositoryHostUpdate): Promise<void> {
  const { before, connection, log, owner } = update;
  const files = filesIn(before);
  const own = { previousSettings: {}, madeDirectories: [], nodePaths: [], files };
  await withLock(connection, LOCKED, async () => {
    const left = await leaveHost(connection, REPOSITORY_HOST_PATHS.owners, owner, own, log);
    if (left !== null) await withRemedy(undo(update, [...new Set([...files, ...left.flatMap((each) => each.files)])]));
  });
}

async function undo(update: RepositoryHostUpdate, files: readonly string[]): Promise<void> {
  const { connection, desired, log } = update;
  const timers = [...new Set([...desired.timers, ...unitsIn(files).filter((unit) => unit.endsWith(".timer"))])];
  if (timers.length > 0) await disableUnits(connection, timers);
  // Keys first: nobody may have one without the confinement.
  await removeFiles(connection, files);
  await writeSshd(update, "");
  await removeFiles(connection, [REPOSITORY_HOST_PATHS.owners]);
  if (timers.length > 0) await reloadUnits(connection);
  const accounts = desired.accounts.map(({ name }) => name).join(", ");
  log(
    `kept: the backups in ${Object.values(desired.repositories).join(", ")}, and the accounts that own them, without keys (${accounts})`,
  );
}

function accountsOf(connection: Connection): Accounts {
  return accountsFor(connection.login, connection.login);
}

/** The absolute paths among the facts: files. */
function filesIn(facts: Readonly<Record<string, string>>): string[] {
  return Object.keys(facts).filter((name) => name.startsWith("/") && name !== REPOSITORY_HOST_PATHS.sshd);
}

async function checkDirectories(connection: Connection, { accounts, mount }: DesiredRepositoryHost): Promise<void> {
  const first = accounts[0];
  if (first !== undefined)
    await runScript(connection, "use the directory", ABOVE_SCRIPT, [
      first.root.slice(0, first.root.lastIndexOf("/")) || "/",
    ]);
  if (mount === "") return;
  const { stdout } = await runScript(connection, `find the file system of ${mount}`, MOUNT_SCRIPT, [mount]);
  if (stdout.trim() === "/") {
    throw new Error(
      `nothing is mounted at or above ${mount} on ${connection.name}: mount it first, or set requireMount to false`,
    );
  }
}

async function applySshd(update: RepositoryHostUpdate, facts: Readonly<Record<string, string>>): Promise<void> {
  const { connection, desired, log } = update;
  const { sshd } = REPOSITORY_HOST_PATHS;
  const wanted = wantedFacts(desired);
  if (facts[sshd] !== wanted[sshd]) {
    await writeSshd(update, desired.sshdConfig);
    log(`wrote ${sshd}`);
  } else {
    // An update that was killed before may have written the file without having sshd read it.
    await runScript(connection, "reload sshd", RELOAD_SCRIPT, []);
  }
  const names = desired.accounts.map(({ name }) => name);
  const { stdout } = await runScript(connection, "ask sshd for its configuration", EFFECTIVE_SCRIPT, names);
  const lines = stdout.split("\n");
  for (const [index, { name, readOnly, root }] of desired.accounts.entries()) {
    const line = lines[index] ?? "";
    if (effectiveOf(name, line) === confinement(root, readOnly)) continue;
    throw new Error(
      !isAllowed(name, line)
        ? `sshd on ${connection.name} allows only some accounts to sign in (AllowUsers or AllowGroups): add ${name} there`
        : `sshd on ${connection.name} does not confine ${name} (${line}): its sshd_config must include ${sshd} before other rules for it`,
    );
  }
}

/** @throws Error if the administrator could no longer sign in; the old text is restored then */
async function writeSshd(update: RepositoryHostUpdate, text: string): Promise<void> {
  const { connection, desired } = update;
  const path = REPOSITORY_HOST_PATHS.sshd;
  const old = await connection.exec(["cat", "--", path]);
  const put = async (content: string): Promise<void> => {
    await runScript(connection, `write ${path}`, SSHD_CONFIG_SCRIPT, [path, desired.admin], { stdin: content });
    await runScript(connection, "reload sshd", RELOAD_SCRIPT, []);
  };
  try {
    await put(text);
    if (desired.admin !== "") await update.signInAgain();
  } catch (error) {
    if (old.stdout !== text) await put(old.stdout);
    throw new Error(`sshd's configuration was restored: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

async function applyFiles({ before, connection, desired, log }: RepositoryHostUpdate): Promise<string[]> {
  const stale = filesIn(before).filter((path) => desired.files[path] === undefined);
  const staleUnits = (kind: string): string[] => unitsIn(stale).filter((unit) => unit.endsWith(kind));
  const [staleTimers, staleServices] = [staleUnits(".timer"), staleUnits(".service")];
  if (staleTimers.length > 0) await disableUnits(connection, staleTimers);
  // One that runs would take files from their account after they were returned.
  if (staleServices.length > 0)
    await run(connection, "stop the services that protect files", ["systemctl", "stop", "--", ...staleServices]);
  await removeFiles(connection, stale);
  for (const path of stale) log(`removed ${path}`);
  const folders = new Set(Object.keys(desired.files).map((path) => path.slice(0, path.lastIndexOf("/"))));
  for (const folder of folders)
    await run(connection, `make the directory ${folder}`, ["install", "-d", "-m", "0755", "--", folder]);
  const files = Object.entries(desired.files).map(([path, { mode, text }]) => ({
    path,
    mode,
    owner: "admin" as const,
    content: text,
  }));
  const written = await writeFiles(connection, files, accountsOf(connection));
  for (const path of written) log(`wrote ${path}`);
  return [...stale, ...written];
}

/** Returns files from root to their account once they need no protection. Uses the timer's confinement. */
async function releaseUnsealed(
  connection: Connection,
  { repositories, sealed }: DesiredRepositoryHost,
  log: LogLine,
): Promise<void> {
  for (const [account, directory] of Object.entries(repositories)) {
    if (sealed.some((repository) => repository.account === account)) continue;
    const { stdout } = await connection.exec(["stat", "-c", "%u", "--", directory]);
    if (stdout.trim() !== "0") continue;
    log(`returning protected files to ${account}`);
    const confined = [
      "ProtectSystem=strict",
      "ProtectHome=yes",
      "PrivateTmp=yes",
      "PrivateDevices=yes",
      `ReadWritePaths=${directory}`,
    ];
    const parts = [
      "systemd-run",
      "--quiet",
      "--collect",
      "--wait",
      "--pipe",
      ...confined.map((property) => `--property=${property}`),
    ];
    await run(connection, "return the protected files", [...parts, "/bin/sh", "-s", "--", directory, account, "0"], {
      stdin: SEAL_SCRIPT,
    });
  }
}

function confinement(root: string, readOnly: boolean): string {
  return `${root} ${forceCommand(readOnly)} no yes`;
}

/**
 * `ROOT COMMAND no yes`, from the account's line of {@link EFFECTIVE_SCRIPT}; the line itself if sshd does not let the
 * account in.
 */
export function effectiveOf(account: string, line: string): string {
  const [root = "", command = ""] = ["chrootdirectory", "forcecommand"].flatMap((key) => valuesOf(line, key));
  const flags = ["disableforwarding", "permittty"].flatMap((key) => valuesOf(line, key)).sort();
  const isConfined = root.startsWith("/") && command.startsWith("internal-sftp");
  return isConfined && isAllowed(account, line) ? `${root} ${command} ${flags.join(" ")}` : line;
}

/** True if no list of sshd's excludes the account. */
function isAllowed(account: string, line: string): boolean {
  const isIn = (names: readonly string[], key: string): boolean => {
    const patterns = valuesOf(line, key).flatMap((value) => value.split(" "));
    return patterns.length === 0 || patterns.some((pattern) => names.some((name) => fits(name, pattern)));
  };
  const groups = valuesOf(line, "groups").flatMap((value) => value.split(" "));
  return isIn([account], "allowusers") && isIn(groups, "allowgroups");
}

/** Patterns of sshd_config(5): `*`, `?`, and `USER@HOST`, whose host depends on the client. */
function fits(name: string, pattern: string): boolean {
  const [user = ""] = pattern.split("@");
  const text = user
    .replaceAll(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${text}$`).test(name);
}

/** Values of one key among `KEY VALUE|KEY VALUE`. */
function valuesOf(line: string, key: string): string[] {
  return line.split("|").flatMap((part) => (part.startsWith(`${key} `) ? [part.slice(key.length + 1)] : []));
}
