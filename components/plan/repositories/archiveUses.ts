/** What a database uses that no other one may: its archives, and the Cluster that it archives. Pure. */
import type { Use } from "../findings/claims";
import { readOr } from "../model/deferred";
import type { DatabasePlan } from "../model/plan";
import { type RepositoryPlan, typeOf } from "./repositoryTypes";

/**
 * How a cluster writes into its archives: as the only one, or on after a cluster that is gone. Two that go on after the
 * same cluster would write over each other. A replica cluster owns its archives: it archives what it receives.
 */
export type ArchiveRole = "owns" | "continues";

export function archiveRole(continuesArchive: boolean): ArchiveRole {
  return continuesArchive ? "continues" : "owns";
}

/**
 * A repository with a deferred value is omitted.
 * @param machine on which a directory is: another one on each machine, or in each namespace
 */
export function archiveUses(
  plan: DatabasePlan,
  machine: () => string,
  memberOf: () => Use["member"] = () => undefined,
): Use[] {
  const usesOf = (repository: RepositoryPlan): Use[] => {
    if (repository.readOnly) return [];
    const type = typeOf(repository);
    const server = repository.kind === "posix" ? machine() : (type.endpoint(repository) ?? "");
    const key = keyOf("archive", server, type.location(repository), plan.stanza);
    return [archiveUse(repository.name, key, memberOf())];
  };
  return plan.repositories.flatMap((repository) => readOr(() => usesOf(repository), []));
}

export function archiveUse(name: string, key: string, member: Use["member"]): Use {
  return {
    key,
    path: `repositories.${name}.at`,
    code: "PB195",
    what: "this repository with this stanza",
    remedy: "give each database its own stanza, path or bucket",
    ...(member === undefined ? {} : { member }),
  };
}

/** The uses of a cluster in that role: it shares an archive with clusters of other roles. */
export function inRole(role: ArchiveRole, uses: readonly Use[]): Use[] {
  return uses.map((use) => (role === "owns" ? use : { ...use, key: keyOf(role, use.key) }));
}

/** @param cluster everything that tells it from others */
export function archiverUse(path: string, cluster: readonly string[]): Use {
  return {
    key: keyOf("archiver", ...cluster),
    path,
    code: "PB196",
    what: "the Cluster that archives here",
    remedy: "a Cluster has one archiver: keep one of the two",
  };
}

export function keyOf(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}
