/** Incidents on a host whose database lives: archiving fails, a repository or a key is lost. Pure. */
import { engineOf } from "../engines/engines";
import { shellArgument } from "../host/hostCommand";
import type { DatabaseNode, RepositoryNode, SynchronousNode } from "../topology/topology";
import { type Markdown, markdown, only } from "./markdown";
import { leftText, repositoryText } from "./order";

export function archivingFails(pgbackstop: string, { command, dataDirectory, engine, stanza }: DatabaseNode): Markdown {
  const hasAgent = engineOf(engine).own && command?.includes("runtime.cjs") !== true;
  return markdown`
    ### Archiving fails {#archiving}

    The alert says so, or the disk of the WAL fills up. No data are lost yet: PostgreSQL keeps every segment until it is
    archived. Never delete files in pg_wal.

    1. See which repository it is, which WAL it lacks, and how many segments wait.
           ${pgbackstop} status
    ${only(hasAgent)}1. See the agent's log.
           sudo journalctl --no-pager -n 50 -u pgbackstop-${stanza}-agent.service
    1. See how much space is left. If it gets short, free space on that disk, but not in the data directory.
           sudo df -h ${shellArgument(String(dataDirectory))}
    1. Fix what the error names: keys, mount, bucket, certificate, network. PostgreSQL then archives what waits.
       Prove it.
           ${pgbackstop} check
    1. Copy what one repository has and another lacks, and verify what was archived in the meantime.
           ${pgbackstop} heal
           ${pgbackstop} verify
  `;
}

export function commitsHang(pgbackstop: string, { degradeAfterSeconds }: SynchronousNode): Markdown {
  const ends =
    degradeAfterSeconds !== undefined &&
    ` By itself the wait ends after ${degradeAfterSeconds} seconds, and when no agent runs ten seconds later.`;
  return markdown`
    ### Commits hang {#commits}

    Reads work, and every write waits: the repositories, or the agent, do not answer.${ends}

    1. See which repository does not answer, and why.
           ${pgbackstop} status
    1. Fix what it names. The waiting commits then end well. Prove it.
           ${pgbackstop} check
    1. If that takes too long, end the wait: commits that are acknowledged from now on are lost if the host is. If you
       have synchronous standbys of your own, set the value that names them instead. Restart the agent when the
       repositories answer again: commits then wait again.
           sudo -u postgres psql -c "ALTER SYSTEM RESET synchronous_standby_names" -c "SELECT pg_reload_conf()"
  `;
}

export function repositoryLost(
  pgbackstop: string,
  repository: RepositoryNode,
  all: readonly RepositoryNode[],
): Markdown {
  const { key } = repository;
  const others = all.filter((each) => each.key !== key);
  const [other] = others;
  return markdown`
    ### ${repositoryText(repository)} is lost {#repository-${key}-lost}

    The database is well; its backups there are not. ${leftText(others)}

    1. Repair the storage, or declare another location under the same key in the program.
           pulumi up
    ${only(other === undefined)}1. Take a full backup into it.
           ${pgbackstop} backup --type=full --repo=${key}
    ${only(other !== undefined)}1. Copy backups and WAL from ${other?.name ?? ""}, so that it reaches back as far.
           ${pgbackstop} sync --from-repo=${other?.key ?? ""} --to-repo=${key}
    1. Verify everything in it.
           ${pgbackstop} verify --repo=${key}
  `;
}

export function keysLost(
  pgbackstop: string,
  { keysIn }: DatabaseNode,
  repositories: readonly RepositoryNode[],
): Markdown {
  const encrypted = repositories.filter((repository) => repository.encrypted).map(({ name }) => name);
  return markdown`
    ### A key is lost, or known to others {#keys-lost}

    A key of a storage service is gone, has expired or has leaked; or a passphrase is missing.

    1. A key of a service: make a new one there, and bring it into the configuration of the stack (pulumi config set
       --secret) or to the host's source of it. Withdraw the old one only when the next step has passed.
           pulumi up
    1. Prove that every repository can be read and written.
           ${pgbackstop} check
    ${only(encrypted.length > 0)}1. A passphrase (${encrypted.join(", ")}): the state of the stack has it, and the host
       does, below ${keysIn ?? "/etc/pgbackstop"}. Write it into the safe, not into a chat.
           pulumi stack output --show-secrets
    ${only(encrypted.length > 0)}1. *not always:* If neither has it, that repository is unreadable for good. In the
       program, replace it by one under another key, at another location, with a new passphrase; take a full backup at
       once.
           pulumi up
           ${pgbackstop} backup --type=full
  `;
}
