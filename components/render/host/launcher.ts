/**
 * The command `pgbackstop` of a host. With an agent, root's verbs run as a transient systemd unit, as PostgreSQL's
 * account, and have the repositories' keys while they run; nobody else ever has them. Without an agent that account can
 * read them, and runs the verbs. Pure.
 */
import { commandsWith } from "../../../runtime/config/commands";
import {
  bareArgv,
  hasLauncher,
  launcherPath,
  runtimeArgv,
  shellArgument,
  withoutStanza,
} from "../../plan/host/hostCommand";
import { DEFAULTS } from "../../plan/model/defaults";
import type { HostPlan } from "../../plan/model/plan";
import { isOpening, ownDrills } from "../../plan/schedule/declaredDrills";
import { FIND_VERB } from "./commandLine";
import { hostCredentials } from "./systemdCredentials";
import { madeFile, type RenderedFile } from "./renderedFile";
import { hardening } from "../units/hardening";
import { ALLOCATOR_LINES, ALLOCATOR_VARIABLES, UNIT_HEAD } from "../units/unit";

/** Verbs that prove a host, by hand and in an update: under the restrictions of the scheduled ones. */
const VERBS_AS_SCHEDULED = "backup | check";
const VERBS_OF_ROOT = commandsWith((row) => row.root === true).join(" | ");

/** Null without a launcher: then PostgreSQL's account runs every verb with its own command line. */
export function launcherFile(plan: HostPlan): RenderedFile | null {
  if (!hasLauncher(plan)) return null;
  return madeFile(launcherPath(plan), ["0755", "admin"], () => {
    if (plan.agent) return launcherText(plan);
    const what = `# Runs a verb of the backup program for stanza ${plan.stanza} as PostgreSQL's account. This host only restores.`;
    return accountLauncherText(
      plan,
      what,
      `set -- ${withoutStanza(runtimeArgv(plan)).map(shellArgument).join(" ")} "$@"`,
    );
  });
}

/**
 * A launcher for hosts where PostgreSQL's account can read the keys: for root, or for that account.
 * @param what a line of comment
 * @param lines turn the verb's arguments into the program's and the verb's
 */
export function accountLauncherText(plan: HostPlan, what: string, lines: string): string {
  const user = shellArgument(plan.user);
  return `#!/bin/sh
${UNIT_HEAD}
${what}
set -u
${FIND_VERB}
case $verb in '' | help | version) exec ${bareArgv(plan).map(shellArgument).join(" ")} "$@" ;; esac
export ${[...ALLOCATOR_VARIABLES, stanzaVariable(plan)].join(" ")}
${opensText(plan)}${lines}
case $verb in ${VERBS_OF_ROOT}) opens=1 ;; esac
if [ -n "$opens" ] || [ "$(id -un)" = ${user} ]; then exec "$@"; fi
if [ "$(id -u)" != 0 ]; then
  echo "pgbackstop: only root and ${plan.user} can read the keys of the repositories: sudo pgbackstop …" >&2
  exit 41
fi
cd /
HOME=~${user} USER=${user} LOGNAME=${user}; export HOME USER LOGNAME
exec setpriv --reuid="$(id -u ${user})" --regid="$(id -g ${user})" --init-groups -- "$@"
`;
}

function launcherText(plan: HostPlan): string {
  const given = hostCredentials(plan);
  const credentials = given.map(({ id, path }) => `-p ${shellArgument(`LoadCredential=${id}:${path}`)}`);
  const include = credentials.length === 0 ? "" : " '--config-include-path=${CREDENTIALS_DIRECTORY}'";
  const program = withoutStanza(runtimeArgv(plan)).map(shellArgument).join(" ");
  // Here no specifier is replaced.
  const restrictions = hardening(plan).map((line) => `-p ${shellArgument(line.replaceAll("%%", "%"))}`);
  // They refuse a stanza's options.
  const bare = bareArgv(plan).map(shellArgument).join(" ");
  // They look for it at its usual path: PostgreSQL's account can get the keys from nothing else.
  const isElsewhere = plan.directories.bin !== DEFAULTS.directories.bin && given.length > 0;
  const placed = isElsewhere ? `; set -- ${shellArgument(`--launcher=${launcherPath(plan)}`)} "$@"` : "";
  return `#!/bin/sh
${UNIT_HEAD}
# Runs a verb of the backup program for stanza ${plan.stanza} with the keys of its repositories, which only root can read: as a unit of systemd,
# as PostgreSQL's account. Exit code, standard streams and signals are the verb's.
set -u
${FIND_VERB}
case $verb in '' | help | version) exec ${bare} "$@" ;; esac
if [ "$(id -u)" != 0 ]; then
  echo "pgbackstop: only root can lend the keys of the repositories to $verb: sudo pgbackstop …" >&2
  exit 41
fi
${missingCheck(given.map(({ path }) => path))}${opensText(plan)}${opening(plan, program, given)}case $verb in ${VERBS_OF_ROOT}) user=root${placed} ;; *) user=${shellArgument(plan.user)} ;; esac
# systemd reads variables out of command lines: a dollar sign is doubled.
count=$#
while [ "$count" -gt 0 ]; do
  word=$1
  shift
  case $word in *'$'*) word=$(printf '%s.' "$word" | sed 's/\\$/$$/g') && word=\${word%.} ;; esac
  set -- "$@" "$word"
  count=$((count - 1))
done
set -- ${program}${include} "$@"
case $verb in ${VERBS_AS_SCHEDULED}) set -- ${restrictions.join(" ")} -- "$@" ;; *) set -- -- "$@" ;; esac
streams=--pipe
if [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; then streams=--pty; fi
unit=${shellArgument(`pgbackstop-${plan.stanza}-run`)}-$$
# Set before the unit starts: a signal that comes earlier would end the launcher alone.
signal=
trap 'signal=1; systemctl stop --no-block "$unit.service"' HUP INT TERM
# With the descriptor of the caller: what runs in the background reads nothing otherwise.
exec 3<&0
systemd-run --quiet --collect --wait "$streams" --unit="$unit" --service-type=exec --working-directory=/ -p User="$user" -p UMask=0027 \\
  ${[...ALLOCATOR_LINES.map((line) => `-p ${line}`), `-p Environment=${stanzaVariable(plan)}`, ...credentials, '"$@" <&3 &'].join(" \\\n  ")}
pid=$!
code=0
wait "$pid" || code=$?
# A signal ends the waiting, not what is waited for. A second wait answers 127 if the first had the unit's code.
while [ -n "$signal" ]; do
  signal=
  again=0
  wait "$pid" || again=$?
  [ "$again" -eq 127 ] || code=$again
done
exit "$code"
`;
}

/** For the shell. */
function stanzaVariable({ stanza }: HostPlan): string {
  return `PGBACKREST_STANZA=${shellArgument(stanza)}`;
}

/** Sets `opens` for what mounts or leaves processes that run on: only root may. */
function opensText(plan: HostPlan): string {
  const declared = ownDrills(plan);
  const drills = declared.filter(isOpening);
  const asked = [
    "extract-table:--open",
    "recover:--instant",
    "drill:--how=open",
    ...drills.map(({ name }) => `drill:${shellArgument(`--name=${name}`)}`),
    // Runs the only declared one.
    ...(declared.length === 1 && drills.length === 1 ? ["drill:--now"] : []),
  ];
  return `opens=
case $verb in open | clone | diff) opens=1 ;; esac
for word in "$@"; do
  case $verb:$word in
    *:--stanza=${shellArgument(plan.stanza)}) ;;
    *:--stanza=*) echo "pgbackstop: this command is of stanza ${plan.stanza}" >&2 && exit 31 ;;
    drill:--how=restore) opens= && break ;;
    ${asked.join(" | ")}) opens=1 ;;
  esac
done
`;
}

/**
 * Without a unit: systemd would end their processes with it. They read the keys at their start, as root. Steps of
 * `recover` that PostgreSQL's account runs are units as ever.
 */
function opening(
  plan: HostPlan,
  program: string,
  given: readonly { readonly id: string; readonly path: string }[],
): string {
  const copies = given.map(({ id, path }) => `cp ${shellArgument(path)} "$keys"/${shellArgument(id)} || exit 41\n  `);
  return `if [ -n "$opens" ]; then
  if [ "$verb" = recover ]; then set -- ${shellArgument(`--launcher=${launcherPath(plan)}`)} "$@"; fi
  keys=$(mktemp -d /run/pgbackstop-open-XXXXXXXX) || exit 41
  trap 'rm -rf "$keys"' EXIT
  trap : HUP INT TERM
  ${copies.join("")}cd /
  ${stanzaVariable(plan)} CREDENTIALS_DIRECTORY=$keys ${program} --config-include-path="$keys" "$@"
  exit
fi
`;
}

/** systemd reports only that the unit could not start, not which file is missing. */
function missingCheck(paths: readonly string[]): string {
  if (paths.length === 0) return "";
  return `for file in ${paths.map(shellArgument).join(" ")}; do
  [ -f "$file" ] && continue
  echo "pgbackstop: $file is missing, which has the keys of a repository: put it there again" >&2
  exit 55
done
`;
}
