/**
 * Recovery of a database on a host. Commands use the launcher that a component installs (`sudo pgbackstop`), or its
 * replacement on that host. Each command announces what it will do and asks before anything irreversible. Pure.
 */
import { OPERATOR_COMMAND, shellArgument } from "../host/hostCommand";
import { OF_THE_HOST } from "../repositories/posixType";
import type { DatabaseNode, RepositoryNode } from "../topology/topology";
import { isUnknown } from "../model/unknown";
import { archivingFails, commitsHang, keysLost, repositoryLost } from "./hostCare";
import { attacked, attackedAnswers, hasPast } from "./attacked";
import { type Markdown, markdown, marked, only } from "./markdown";
import { lostAnswers, repositoryText } from "./order";

/** Start of each command on the host. */
export function commandOf(command: DatabaseNode["command"]): string {
  return command === undefined || isUnknown(command) ? OPERATOR_COMMAND : command;
}

/** @param repositories with full backups, in the order to try */
export function hostPage(database: DatabaseNode, repositories: readonly RepositoryNode[]): Markdown {
  const { container, dataDirectory, engine, reachedBy, snapshots, stanza, synchronous } = database;
  const where = container === undefined ? "PostgreSQL" : `PostgreSQL in container ${container}`;
  const pgbackstop = commandOf(database.command);
  const [, ...others] = repositories;
  const [second] = others;
  const hasZfs = snapshots?.includes("zfs") === true;
  const isStandby = database.archive === "standby";
  return markdown`
    ${where} on a host (${reachedBy ?? "?"}), data in ${String(dataDirectory)}, stanza ${stanza}, engine ${engine}

    ## Where commands are run

    - pulumi …: in the folder of the stack's program, signed in to where its state is
    - everything else: on the host itself, with an account that may use sudo
    ${only(isStandby)}- recover: only once this standby was stopped, because it makes a server of its own of it

    ## Which scenario?

    1. Does the host answer?
       - no, and it will not come back → #host-lost
    ${only(isStandby)}1. Is the server that this standby follows lost?
       - yes: let the standby take its place → #promote
    1. Are data wrong (a bad UPDATE, a dropped table, a failed migration)?
       - yes, and the time is known: go back to just before it → #time
       - yes, in a table or two, and everything else must stay → #table
       ${only(hasZfs)}- yes, minutes ago, and everything since may be lost → #snapshot
       - yes, and the state of an old backup is wanted → #set
    1. Are data damaged or gone (disk, file system, deleted directory)?
       - yes: restore the newest state → #latest
       ${only(second !== undefined)}- yes, and the first repository is lost or damaged too → #repository-${second?.key ?? ""}
    1. Is the database well, but archiving fails or WAL fills the disk?
       - yes → #archiving
    ${only(synchronous !== undefined)}1. Do writes hang, while reads work?
       - yes → #commits
    1. Is a repository lost, while the database is well?
       ${lostAnswers(repositories)}
    1. Is a key or a passphrase lost, or known to others?
       - yes → #keys-lost
       ${attackedAnswers(repositories)}

    ${isStandby && promote(pgbackstop)}
    ${latest(pgbackstop, database, repositories)}
    ${pointInTime(pgbackstop)}
    ${table(pgbackstop)}
    ${others.map((repository) => fromRepository(pgbackstop, repository))}
    ${namedSet(pgbackstop)}
    ${hasZfs && snapshot(pgbackstop)}
    ${hostLost(pgbackstop, database, repositories)}
    ${archivingFails(pgbackstop, database)}
    ${synchronous !== undefined && commitsHang(pgbackstop, synchronous)}
    ${repositories.map((repository) => repositoryLost(pgbackstop, repository, repositories))}
    ${repositories.filter(hasPast).map((repository) => keyStolen(pgbackstop, repository))}
    ${keysLost(pgbackstop, database, repositories)}

    ## Keys and passphrases

    ${repositories.map((repository) => keysOf(database, repository))}
  `;
}

function look(pgbackstop: string): Markdown {
  return markdown`
    1. See the state: the recovery window of each repository, and what needs attention.
           ${pgbackstop} status
  `;
}

/** For `archive: "standby"`. */
function promote(pgbackstop: string): Markdown {
  return markdown`
    ### Let the standby take the server's place {#promote}

    The server is lost, and its standby on this host is well. It has every commit that it received.

    1. Make sure that the server is off and stays off: if it ran again, there would be two.
    1. Promote the standby, as a superuser: SELECT pg_promote(). The agent archives on, on a new timeline.
    1. Point the applications to this host.
    ${after(pgbackstop)}
  `;
}

/** The last steps of every recovery. */
function after(pgbackstop: string): Markdown {
  return markdown`
    1. Prove that it archives into every repository again.
           ${pgbackstop} check
    1. Take a full backup: the recovered database writes a new timeline.
           ${pgbackstop} backup --type=full
    1. Verify everything that is stored.
           ${pgbackstop} verify
  `;
}

/** @param situation when the step applies, if not always */
function recover(pgbackstop: string, args = "", situation = ""): Markdown {
  return markdown`
    1. ${situation}Recover. The command first prints its plan, with the backup and the time that it found, and stops
       nothing before you agree. It keeps the old directory beside the new one. When it has ended the database is open,
       and applications may use it while you do the rest.
           ${pgbackstop} recover${args}
  `;
}

function latest(
  pgbackstop: string,
  { container, engine }: DatabaseNode,
  repositories: readonly RepositoryNode[],
): Markdown {
  // It needs root, which mounts the files.
  const mayBeInstant = engine === "runtime" && container === undefined && !pgbackstop.startsWith("sudo -u ");
  return markdown`
    ### Restore the newest state {#latest}

    The data directory is damaged or gone. Restores from ${repositories.map(repositoryText).join(", then ")}.

    ${look(pgbackstop)}
    ${only(mayBeInstant)}1. *not always:* If a copy of all data takes too long: the next command with --instant opens the
       database in seconds, and fetches its files behind it. It refuses tablespaces before it stops anything.
    ${recover(pgbackstop)}
    ${after(pgbackstop)}
  `;
}

function pointInTime(pgbackstop: string): Markdown {
  return markdown`
    ### Go back to a point in time {#time}

    Data are wrong. Choose the time just before the first wrong transaction, with its time zone: 2026-11-20 14:29:59+01.

    ${look(pgbackstop)}
    1. *not always:* If nobody knows the time: this lists the destructive transactions of the last hour (--from and --to
       for another span, --table for one table), with the options to stop just before each. They can replace --type and
       --target.
           ${pgbackstop} find
    1. Stop all writers: the recovered database will lack every transaction after the chosen time.
    ${recover(pgbackstop, ' --type=time --target="<TIME>"')}
    ${after(pgbackstop)}
  `;
}

/** Production continues; nothing in it changes without consent. */
function table(pgbackstop: string): Markdown {
  return markdown`
    ### Restore a table or its rows {#table}

    A table was dropped, or rows of it were deleted or changed, and everything else written since must stay. Production
    continues in the meantime.

    ${look(pgbackstop)}
    1. Archive pending WAL: a time is restorable once its WAL is in a repository.
           ${pgbackstop} check
    1. Find the transaction: this lists those of the last hour that destroyed part of the table (--from and --to for
       another span). What stands behind just before it is <TARGET>.
           ${pgbackstop} find --database="<DATABASE>" --table="<SCHEMA>.<TABLE>"
    1. Restore it beside the current table, into schema <SCHEMA>_restored. The command compares its rows with the
       backup's, shows how it differs from the current table, and asks whether to replace that. If you answer no, both
       stay: copy what you need from <SCHEMA>_restored, and drop it.
           ${pgbackstop} extract-table --swap --database="<DATABASE>" --table="<SCHEMA>.<TABLE>" <TARGET>
  `;
}

function keyStolen(pgbackstop: string, repository: RepositoryNode): Markdown {
  const args = ` --repo=${repository.key} --repo-target-time="<BEFORE>"`;
  const lost = recover(pgbackstop, args, "If the database is lost or not trusted either. ");
  return attacked(repository, (verb) => `${pgbackstop} ${verb}`, marked("not always", lost));
}

function fromRepository(pgbackstop: string, repository: RepositoryNode): Markdown {
  const { key, name } = repository;
  return markdown`
    ### Restore from ${name} {#repository-${key}}

    The repositories before it are unreadable or not trusted. ${repositoryText(repository)} alone is enough.

    ${look(pgbackstop)}
    ${recover(pgbackstop, ` --repo=${key}`)}
    ${after(pgbackstop)}
  `;
}

function namedSet(pgbackstop: string): Markdown {
  return markdown`
    ### Restore one backup by its label {#set}

    Restores an old backup: the state at its end, and everything archived since, unless you add a target time.

    1. Choose the label.
           ${pgbackstop} info
    ${recover(pgbackstop, " --set=<LABEL>")}
    ${after(pgbackstop)}
  `;
}

function snapshot(pgbackstop: string): Markdown {
  return markdown`
    ### Go back to a ZFS snapshot {#snapshot}

    It happened minutes ago, and there is a snapshot from before. Only the snapshot's state can be restored, and
    everything since is lost.

    1. Choose the snapshot.
           zfs list -t snapshot -o name,creation
    1. Roll back. The plan names the newer snapshots that would be removed; afterwards the database writes a new
       timeline, so archiving continues.
           ${pgbackstop} rollback --snapshot=<SNAPSHOT>
    ${after(pgbackstop)}
  `;
}

function hostLost(
  pgbackstop: string,
  { container, dataDirectory, name }: DatabaseNode,
  repositories: readonly RepositoryNode[],
): Markdown {
  const inContainer = container !== undefined;
  const lost = repositories.filter(({ failureDomain }) => failureDomain === OF_THE_HOST);
  const [left] = repositories.filter((repository) => !lost.includes(repository));
  // Without this a recovery would wait forever alongside an empty repository.
  const alone = lost.length > 0 && left !== undefined && left;
  const gone = lost.map((each) => each.name).join(" and ");
  const directory = String(dataDirectory);
  if (lost.length > 0 && left === undefined) return everythingLost(pgbackstop, name, lost);
  return markdown`
    ### The host is lost {#host-lost}

    The machine will not come back. Make sure that it is off and stays off: if it ran again, it would archive to the
    same location.

    ${only(inContainer)}1. Get a new machine with the container engine, the files of the Compose project, and the same
       mounts of other machines' directories. Start the container ${container ?? ""} once, so that its data directory
       exists with the right owner. Stop it, and empty that directory.
    ${only(!inContainer)}1. Get a new machine with the same major version of PostgreSQL, the same extensions, and the
       same mounts of other machines' directories.
    ${only(!inContainer)}1. *not always:* If the installation created an empty cluster there: stop it, and rename its directory.
           sudo systemctl stop 'postgresql*'
           sudo mv ${shellArgument(directory)} ${shellArgument(`${directory}.empty`)}
    1. Remove the lost machine from the stack's state: otherwise the update tries to tidy up there, and fails. The first
       command prints the address (URN) for the second one: it ends in ::${name}-host.
           pulumi stack --show-urns | grep HostState
           pulumi state delete '<URN>'
    1. In the program, at PostgresHost ${name}: the new connection, and restoreOnly: true. Remove for now what configures
       backups: schedules, archiveTimeoutSeconds, acknowledge, allowRestart, firstBackup, streaming, monitoring; the
       preview names what is left. The machine gets configuration, keys and program.
           pulumi up
    1. On the new machine: recover${alone && `, from ${alone.name} alone: ${gone} went with the old machine`}. It ends
       with a warning that WAL does not arrive, and exit code ${inContainer ? "87" : "103 or 104"}. That is expected:
       nothing is archived here before the next step.
           ${pgbackstop} recover${alone && ` --repo=${alone.key}`}
    1. In the program: remove restoreOnly, and put back what you removed. It archives again, and each repository without
       a full backup gets one.
           pulumi up
    1. Point the applications to the new machine.
    ${after(pgbackstop)}
  `;
}

/** Without a repository elsewhere. */
function everythingLost(pgbackstop: string, name: string, lost: readonly RepositoryNode[]): Markdown {
  return markdown`
    ### The host is lost {#host-lost}

    The machine will not come back. Every copy was on it: ${lost.map(repositoryText).join(" and ")}. Nothing that this
    stack declares is left to restore from.

    1. Keep the machine and its disks, whatever their state, and have them read: the data directory or a repository on
       them is the only way back. Ask too for exports and copies that others made.
    1. *not always:* If a repository's directory can be read: copy it to the same path of a new machine, declare that
       machine at PostgresHost ${name} with restoreOnly: true, and recover there.
           pulumi up
           ${pgbackstop} recover
    1. Declare a repository on another machine or in a bucket before the database is used again.
  `;
}

function keysOf({ keysIn }: DatabaseNode, { encrypted, keyFiles, kind, name }: RepositoryNode): Markdown {
  const onHost =
    keyFiles === undefined
      ? `on the host below ${keysIn ?? "/etc/pgbackstop"}`
      : `on the host in ${keyFiles.join(", ")}`;
  const state = "the state of the stack (pulumi stack output --show-secrets, if the program has it as an output)";
  const [key, passphrase] =
    keyFiles === undefined
      ? ["the configuration of the stack", state]
      : ["the source of these files", "the source of these files"];
  return markdown`
    ${only(kind !== "posix")}- ${name}: the key of the service is in ${key}, and ${onHost}
    ${only(encrypted)}- ${name}: the passphrase is in ${passphrase}, and ${onHost}. Without it that repository is
      unreadable: keep a copy outside both, for the case that the host and the stack are lost
    ${only(!encrypted)}- ${name}: not encrypted: anyone who can read the location can read the database; no passphrase is
      needed
  `;
}
