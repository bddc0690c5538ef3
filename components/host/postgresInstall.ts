/**
 * Installs PostgreSQL on a host without one: packages by apt, from the distribution or from apt.postgresql.org, and one
 * cluster in the data directory, with checksums, started now and at each boot. With engine `pgbackrest` its package
 * comes from the same archive. An existing cluster is never touched, and nothing installed is ever removed.
 *
 * It resumes after a crash: a note next to the configuration marks a cluster that is still being created.
 */
import { dirname } from "node:path";
import { shellArgument } from "../plan/host/hostCommand";
import { type Connection, runScript, type LogLine } from "./connection";
import { distributionOf, type PackageSource, sourceOf } from "./distribution";
import type { HostFacts } from "./state";

/** The PostgreSQL that a host requires. */
export interface PostgresInput {
  readonly version: number;
  /** Installs it if missing. */
  readonly install: boolean;
  readonly port: number;
  /** Programs without a cluster, on hosts whose clusters come from backups. */
  readonly programsOnly?: boolean;
  /** Stock pgBackRest is missing, and its package is wanted too. */
  readonly pgbackrest?: boolean;
}

/** Program of the package. */
export const PACKAGED_PGBACKREST = "/usr/bin/pgbackrest";

const PACKAGES_TIMEOUT_MS = 45 * 60_000;
const CLUSTER_TIMEOUT_MS = 10 * 60_000;
/** The server's account in Debian's packages. */
const PACKAGE_USER = "postgres";
/** Debian's name of the cluster. */
const CLUSTER = "main";

/**
 * $1 `distribution` or `pgdg`, $2 code name, $3 root directory (empty), then the packages. postgresql-common comes from
 * the distribution and brings the other archive's key, which is trusted because the distribution trusts it. The
 * packages create no cluster, since they would choose its location.
 */
export const PACKAGES_SCRIPT = `
set -eu
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 LC_ALL=C.UTF-8
get() { apt-get -qq -y -o DPkg::Lock::Timeout=600 -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold -o APT::Install-Recommends=false "$@" </dev/null; }
tries=0
update() { until apt-get -qq update; do tries=$((tries + 1)); [ "$tries" -lt 20 ] || exit 100; sleep 3; done; }
made=$3/etc/postgresql-common/createcluster.d/pgbackstop.conf
list=$3/etc/apt/sources.list.d/pgbackstop-pgdg.sources
# An archive that could not be used is not left to trouble every later update of packages. One of an earlier run stays:
# installed packages get their updates from there.
end() { code=$?; [ "$code" = 0 ] || [ -z "$new" ] || rm -f "$new"; rm -f "$made"; exit "$code"; }
new=
trap end EXIT
dpkg --configure -a
update
get install postgresql-common
if [ "$1" = pgdg ]; then
  key=
  for file in asc gpg; do [ ! -r "$3/usr/share/postgresql-common/pgdg/apt.postgresql.org.$file" ] || key=/usr/share/postgresql-common/pgdg/apt.postgresql.org.$file; done
  [ -n "$key" ] || { echo "postgresql-common brought no key of apt.postgresql.org" >&2; exit 1; }
  [ -e "$list" ] || new=$list
  printf 'Types: deb\\nURIs: https://apt.postgresql.org/pub/repos/apt\\nSuites: %s-pgdg\\nComponents: main\\nSigned-By: %s\\n' "$2" "$key" > "$list"
  get install ca-certificates
  update
fi
mkdir -p "$(dirname -- "$made")"
echo 'create_main_cluster = false' > "$made"
shift 3
get install "$@"`;

/**
 * $1 major version, $2 data directory, $3 port, $4 note, $5 directory of Debian's configurations, $6 the server's
 * account, whose group has its name. A cluster that a boot started before the note said so is complete: initdb's own
 * servers leave no postmaster.opts, and a negative number in postmaster.pid. archive_mode is on before the first start,
 * as ALTER SYSTEM would write it. So a new server needs no restart, and undoing resets it.
 *
 * `recover` renames the data directory: as root where root alone may rename, else as the account
 * (runtime/operations/recover/moves.ts). pg_createcluster gives every missing directory above it to root, also below
 * /var/lib/postgresql, which is the account's. So they are made before, with the rights of the one who will rename.
 */
export const CLUSTER_SCRIPT = `
set -eu
export LC_ALL=C.UTF-8 LANG=C.UTF-8
fail() { echo "$*" >&2; exit 1; }
if [ -e "$4" ]; then
  read -r state directory < "$4"
  [ "$directory" = "$2" ] || fail "$4 tells of a cluster in $directory that was never finished: remove that and the note"
  if [ "$state" = creating ]; then
    if [ -e "$2/postmaster.opts" ] || [ -e "$2/backup_label" ] || [ -e "$2/recovery.signal" ] || [ -e "$2/standby.signal" ] ||
      grep -qs '^[0-9]' "$2/postmaster.pid"; then
      state=created
    else
      other=$(pg_conftool -s "$1" ${CLUSTER} show data_directory 2>/dev/null) || other=
      [ -z "$other" ] || [ "$(readlink -f -- "$other")" = "$(readlink -f -- "$2")" ] ||
        fail "$5/$1/${CLUSTER} is now of the cluster in $other: set dataDirectory to that and remove $4, or drop that cluster"
      [ ! -d "$2" ] || find "$2" -mindepth 1 -delete
      rm -rf -- "$5/$1/${CLUSTER}"
    fi
  fi
elif [ -n "$(ls -A -- "$2" 2>/dev/null)" ]; then fail "$2 is not empty, and holds no cluster: name another dataDirectory"
elif [ -e "$5/$1/${CLUSTER}" ]; then
  fail "there is a cluster $1/${CLUSTER} in $(pg_conftool -s "$1" ${CLUSTER} show data_directory) already: set dataDirectory to it"
fi
account=$6 owner=root
above=$(dirname -- "$(readlink -m -- "$2")")
path=$above
while :; do
  [ ! -e "$path" ] || [ -z "$(find "$path" -maxdepth 0 '(' ! -uid 0 -o -perm /022 ')')" ] || owner=$account
  [ "$path" != / ] || break
  path=$(dirname -- "$path")
done
as_owner() { if [ "$owner" = root ]; then "$@"; else setpriv --reuid="$owner" --regid="$owner" --clear-groups -- "$@"; fi; }
(umask 022 && as_owner mkdir -p -- "$above") && as_owner test -w "$above" -a -x "$above" ||
  fail "neither root alone nor $account may rename in $above, which a recovery needs: chown $account: $above, or name another dataDirectory"
note() { printf '%s %s\\n' "$1" "$2" > "$3.new"; sync "$3.new"; mv -f -- "$3.new" "$3"; }
if [ ! -e "$4" ] || [ "$state" = creating ]; then
  note creating "$2" "$4"
  pg_createcluster --datadir="$2" --port="$3" "$1" ${CLUSTER} -- --data-checksums
  note created "$2" "$4"
fi
grep -q '^archive_mode' "$2/postgresql.auto.conf" || echo "archive_mode = 'on'" >> "$2/postgresql.auto.conf"
sync "$2/postgresql.auto.conf"
if [ -d /run/systemd/system ]; then systemctl start "postgresql@$1-${CLUSTER}"; else pg_ctlcluster "$1" ${CLUSTER} start; fi
tries=0
until pg_lsclusters -h | grep -q "^$1 *${CLUSTER} .* online "; do tries=$((tries + 1)); [ "$tries" -lt 60 ] || fail "the new cluster does not start: see its log"; sleep 1; done
rm -f -- "$4"`;

/** @throws Error if the cluster has another version, or is missing and may not be created */
export function requireVersion(
  wanted: PostgresInput | undefined,
  dataDirectory: string,
  { clusterVersion }: HostFacts,
  hostName: string,
): void {
  if (wanted === undefined || clusterVersion === null || clusterVersion === String(wanted.version)) return;
  throw new Error(
    `${dataDirectory} on ${hostName} holds a cluster of PostgreSQL ${clusterVersion}, but ${wanted.version} is declared: set postgres.version to ` +
      `${clusterVersion}, or name another dataDirectory; use pg_upgrade to move to another major version`,
  );
}

/** Creates the cluster, or finishes one that an interrupted update began. @throws CommandFailed with initdb's output */
export async function createCluster(
  connection: Connection,
  { port, version }: PostgresInput,
  { dataDirectory, directories }: { readonly dataDirectory: string; readonly directories: { readonly config: string } },
  log: LogLine,
): Promise<void> {
  log(`creating a cluster of PostgreSQL ${version} in ${dataDirectory}`);
  await runScript(
    connection,
    `make a cluster in ${dataDirectory}`,
    CLUSTER_SCRIPT,
    [String(version), dataDirectory, String(port), notePath(directories.config), "/etc/postgresql", PACKAGE_USER],
    { timeoutMs: CLUSTER_TIMEOUT_MS },
  );
}

/**
 * A shell line that makes Debian's configuration of a cluster whose data directory `recover` will fill: its programs
 * make one only together with a cluster. Directories above it are made as {@link CLUSTER_SCRIPT} makes them.
 */
export function emptyClusterCommand({ port, version }: PostgresInput, dataDirectory: string): string {
  const [directory, above] = [dataDirectory, dirname(dataDirectory)].map(shellArgument);
  const make = [
    `{ runuser -u ${PACKAGE_USER} -- mkdir -p ${above} 2>/dev/null || mkdir -p ${above}; }`,
    `pg_createcluster --datadir=${directory} --port=${port} ${version} ${CLUSTER}`,
    `find ${directory} -delete`,
  ].join(" && ");
  return `test ! -e ${directory}/PG_VERSION && { test -e /etc/postgresql/${version}/${CLUSTER} || { ${make}; }; }`;
}

/** True while {@link createCluster} is still to be finished. */
export async function isUnfinished(connection: Connection, config: string): Promise<boolean> {
  return (await connection.exec(["test", "-e", notePath(config)])).exitCode === 0;
}

/**
 * Installs missing packages. True if it did something.
 * @throws Error for an unknown distribution or version, CommandFailed with the output of apt
 */
export async function bringPackages(
  connection: Connection,
  wanted: PostgresInput | undefined,
  { user }: { readonly user: string },
  facts: HostFacts,
  log: LogLine,
): Promise<boolean> {
  if (wanted?.install !== true || (facts.clusterVersion !== null && wanted.pgbackrest !== true)) return false;
  const distribution = distributionOf(facts.osRelease);
  const source: PackageSource = sourceOf(distribution, wanted.version, connection.name);
  if (connection.login.uid !== 0)
    throw new Error(
      `installing PostgreSQL needs root, and the login on ${connection.name} is ${connection.login.name}`,
    );
  if (user !== PACKAGE_USER) {
    throw new Error(
      `the packages run PostgreSQL as ${PACKAGE_USER}, not as ${user}: leave user out, or install PostgreSQL yourself`,
    );
  }
  const server = `postgresql-${wanted.version}`;
  const hasServer = facts.clusterVersion !== null || facts.packages[server] !== undefined;
  const missing = [...(hasServer ? [] : [server]), ...(wanted.pgbackrest === true ? ["pgbackrest"] : [])];
  if (missing.length === 0) return false;
  const what = missing.map((name) => (name === server ? `PostgreSQL ${wanted.version}` : "pgBackRest")).join(" and ");
  log(`installing ${what} from ${source === "pgdg" ? "apt.postgresql.org" : distribution.title}`);
  await runScript(connection, `install ${what}`, PACKAGES_SCRIPT, [source, distribution.codename, "", ...missing], {
    timeoutMs: PACKAGES_TIMEOUT_MS,
  });
  return true;
}

function notePath(config: string): string {
  return `${config}/postgresql.unfinished`;
}
