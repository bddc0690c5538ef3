/**
 * Files of a backup host: the part of sshd's configuration that confines its accounts, their keys, and the script that
 * protects complete files for some days by giving them to root. Keywords: sshd_config(5) and sftp-server(8) of OpenSSH
 * 8.4 (Debian 11) to 10. Pure; no secret.
 */

/** An account of a backup host. */
export interface RepositoryAccount {
  readonly name: string;
  /** Group that may read the repository; the writer's own. */
  readonly group: string;
  /** The only directory that it sees; belongs to root. */
  readonly root: string;
  /** True if every changing request is refused. */
  readonly readOnly: boolean;
}

/** A repository of a backup host whose files belong to root for some days. */
export interface SealedRepository {
  readonly client: string;
  readonly account: string;
  readonly directory: string;
  readonly days: number;
}

export interface RepositoryHostFile {
  readonly path: string;
  readonly mode: string;
  readonly text: string;
}

/** Paths on the host; Debian's `sshd_config` includes this directory. */
export const REPOSITORY_HOST_PATHS = {
  sshd: "/etc/ssh/sshd_config.d/60-pgbackstop.conf",
  keys: "/etc/ssh/pgbackstop",
  /** The components that declare the host. */
  owners: "/etc/ssh/pgbackstop.owners",
  sealScript: "/usr/local/lib/pgbackstop/seal-repository",
  units: "/etc/systemd/system",
} as const;

/** The repository's directory, as its account sees it. */
export const REPOSITORY_INSIDE = "/repository";

const HEAD = "# Written by pgbackstop: changes made here by hand are undone by the next update.";
const SEAL_UNIT = "pgbackstop-seal";

/** The timers that give files to root, one for each repository. */
export function sealTimers(sealed: readonly SealedRepository[]): string[] {
  return sealed.map(({ client }) => `${SEAL_UNIT}-${client}.timer`);
}

/** One block for each account. The first match in sshd's configuration wins, so no other part loosens it. */
export function renderSshdConfig(accounts: readonly RepositoryAccount[]): string {
  const blocks = accounts.flatMap(({ name, readOnly, root }) => [
    `Match User ${name}`,
    `    ChrootDirectory ${root}`,
    `    ForceCommand ${forceCommand(readOnly)}`,
    `    AuthorizedKeysFile ${REPOSITORY_HOST_PATHS.keys}/%u`,
    "    AuthorizedKeysCommand none",
    "    AuthenticationMethods publickey",
    "    PasswordAuthentication no",
    "    KbdInteractiveAuthentication no",
    "    DisableForwarding yes",
    "    AllowTcpForwarding no",
    "    AllowStreamLocalForwarding no",
    "    AllowAgentForwarding no",
    "    X11Forwarding no",
    "    PermitTunnel no",
    "    PermitTTY no",
    "    PermitUserRC no",
    "",
  ]);
  return [HEAD, "", ...blocks, "Match all", ""].join("\n");
}

/** The accounts that {@link renderSshdConfig} confined, and the root of each. */
export function rootsIn(sshdConfig: string): ReadonlyMap<string, string> {
  const blocks = [...sshdConfig.matchAll(/^Match User (\S+)\n +ChrootDirectory (\S+)$/gm)];
  return new Map(blocks.map(([, name = "", root = ""]) => [name, root]));
}

/** Argument of `ForceCommand`: sshd's own server, which needs no shell and no file below the root. */
export function forceCommand(readOnly: boolean): string {
  return readOnly ? "internal-sftp -R" : "internal-sftp";
}

/** Lines of an account's keys, restricted to the configuration's permissions. */
export function renderAuthorizedKeys(publicKeys: readonly string[]): string {
  return [HEAD, ...publicKeys.map((key) => `restrict ${key.trim()}`), ""].join("\n");
}

/** Script, services and timers of the repositories whose files are given to root. */
export function renderSealFiles(sealed: readonly SealedRepository[]): RepositoryHostFile[] {
  if (sealed.length === 0) return [];
  const { sealScript, units } = REPOSITORY_HOST_PATHS;
  return [
    { path: sealScript, mode: "0755", text: SEAL_SCRIPT },
    ...sealed.flatMap((repository) => [
      { path: `${units}/${SEAL_UNIT}-${repository.client}.service`, mode: "0644", text: sealService(repository) },
      { path: `${units}/${SEAL_UNIT}-${repository.client}.timer`, mode: "0644", text: sealTimer(repository) },
    ]),
  ];
}

/**
 * The directory's owner may put links into it. So the service can write only that directory: a link has no effect
 * elsewhere, and other repositories are out of reach.
 */
function sealService({ account, client, days, directory }: SealedRepository): string {
  return [
    HEAD,
    "[Unit]",
    `Description=pgbackstop: keep what ${client} stored from its own account for ${days} days`,
    `RequiresMountsFor=${directory}`,
    "",
    "[Service]",
    "Type=oneshot",
    `ExecStart=${REPOSITORY_HOST_PATHS.sealScript} ${directory} ${account} ${days}`,
    "Nice=10",
    "IOSchedulingClass=idle",
    "CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER CAP_DAC_READ_SEARCH CAP_DAC_OVERRIDE CAP_FSETID",
    "NoNewPrivileges=yes",
    "LockPersonality=yes",
    "MemoryDenyWriteExecute=yes",
    "PrivateDevices=yes",
    "PrivateNetwork=yes",
    "PrivateTmp=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHome=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "ProtectSystem=strict",
    "RestrictAddressFamilies=AF_UNIX",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    `ReadWritePaths=${directory}`,
    "",
  ].join("\n");
}

function sealTimer({ client }: SealedRepository): string {
  return [
    HEAD,
    "[Unit]",
    `Description=pgbackstop: keep what ${client} stored from its own account`,
    "",
    "[Timer]",
    "OnCalendar=*-*-* *:0/10:00",
    "RandomizedDelaySec=120",
    "FixedRandomDelay=yes",
    "Persistent=yes",
    "",
    "[Install]",
    "WantedBy=timers.target",
    "",
  ].join("\n");
}

/**
 * Directories become root's and sticky: the account adds files, and removes or replaces its own. Complete files (WAL,
 * the files of backups with a manifest, copies of manifests, streamed WAL of segments that the archive lacks) become
 * root's: the account reads them. The info files stay
 * the account's, because each backup writes them. After the given days a file is returned, and `expire` of the
 * database's host may remove it. The account cannot set a file's change time (that is the time of the sealing). It can
 * set the modification time, which only gives up the protection of its own new files.
 */
export const SEAL_SCRIPT = `#!/bin/sh
${HEAD}
# seal-repository DIRECTORY ACCOUNT DAYS: files that ACCOUNT stored are root's for DAYS days; see docs/hosts.md.
set -eu
LC_ALL=C
export LC_ALL
account=$2
minutes=$(($3 * 1440))
cd -P -- "$1"

close_files() { # what find asks of a file
  find "$@" -type f -user "$account" -mmin "-$minutes" ! -name '*.tmp' -exec chown -h "root:$account" {} + -exec chmod 0440 {} +
}
close_folders() {
  find "$@" -type d '(' ! -user root -o ! -perm 1770 ')' -exec chown -h "root:$account" {} + -exec chmod 1770 {} +
}
open_folders() {
  find "$@" -type d '(' ! -user "$account" -o ! -perm 0750 ')' -exec chown -h "$account:$account" {} + -exec chmod 0750 {} +
}
has_closed() { [ -n "$(find "$1" -type f -user root -print -quit)" ]; }
settle() { if has_closed "$1"; then close_folders "$1"; else open_folders "$1"; fi; }

# No days: everything is the account's again.
if [ "$minutes" -eq 0 ]; then
  find . -type f -user root -exec chown -h "$account:$account" {} + -exec chmod 0640 {} +
  open_folders .
  exit 0
fi

# Given back first: its content is older than the days as well, so it is not closed again.
find . -type f -user root -cmin "+$minutes" -exec chown -h "$account:$account" {} + -exec chmod 0640 {} +

close_folders . -maxdepth 0
for kind in archive backup; do
  if [ -d "$kind" ] && [ ! -L "$kind" ]; then close_folders "$kind" -maxdepth 1; fi
done

for id in archive/*/*/; do
  id=\${id%/}
  [ -d "$id" ] && [ ! -L "$id" ] || continue
  # Not in the minute of its writing.
  close_files "$id" -mindepth 1 -cmin +0
  close_folders "$id" -maxdepth 0
  for folder in "$id"/*/; do
    if [ -d "\${folder%/}" ] && [ ! -L "\${folder%/}" ]; then settle "\${folder%/}"; fi
  done
done

# Streamed WAL, until root keeps its segment in the archive: then the agent tidies it up.
is_kept() { # an archive's directory, a segment
  [ -n "$(find "$1/\${2%????????}" -type f -user root -name "$2-*" -print -quit 2>/dev/null)" ]
}
for id in pgbackstop/*/stream/*/; do
  id=\${id%/}
  stream=\${id%/*}
  stanza=\${stream%/stream}
  [ -d "$id" ] && [ ! -L "$id" ] && [ ! -L "$stream" ] && [ ! -L "$stanza" ] && [ ! -L pgbackstop ] || continue
  for folder in pgbackstop "$stanza" "$stream" "$id"; do close_folders "$folder" -maxdepth 0; done
  for chunk in "$id"/*; do
    [ -f "$chunk" ] && [ ! -L "$chunk" ] || continue
    segment=\${chunk##*/}
    segment=\${segment%%-*}
    if is_kept "archive/\${stanza##*/}/\${id##*/}" "$segment"; then
      find "$chunk" -type f -user root -exec chown -h "$account:$account" {} + -exec chmod 0640 {} +
    else
      close_files "$chunk" -cmin +0
    fi
  done
done

for folder in backup/*/*/; do
  folder=\${folder%/}
  [ -d "$folder" ] && [ ! -L "$folder" ] || continue
  case $folder in
    */backup.history)
      close_files "$folder"
      close_folders "$folder"
      continue
      ;;
  esac
  # Without a manifest a backup is being taken, or was interrupted: the next attempt resumes or removes it.
  if [ -f "$folder/backup.manifest" ]; then close_files "$folder"; fi
  settle "$folder"
done
`;
