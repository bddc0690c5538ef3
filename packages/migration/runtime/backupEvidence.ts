/**
 * What the backup program says about the target's repositories: the JSON of its verbs `info` and `status`. Pure.
 * Unknown fields are ignored.
 */
import { fail } from "../../../runtime/base/errors";

export interface BackupEvidence {
  readonly repositories: readonly RepositoryEvidence[];
  /** The newest drill of each repository. */
  readonly drills: readonly DrillEvidence[];
}

export interface RepositoryEvidence {
  readonly key: number;
  /** Why it cannot be read; null if it can. */
  readonly trouble: string | null;
  /** Oldest first. */
  readonly backups: readonly BackupFacts[];
}

export interface BackupFacts {
  readonly label: string;
  readonly startedAtS: number;
  /** System identifier of the cluster that it is of; null if the answer does not say. */
  readonly systemId: string | null;
}

export interface DrillEvidence {
  readonly id: string;
  readonly ok: boolean;
  /** Backup that was restored; null if none could be chosen. */
  readonly label: string | null;
}

interface InfoDocument {
  readonly name?: string;
  readonly repo?: readonly {
    readonly key?: number;
    readonly status?: { readonly code?: number; readonly message?: string };
  }[];
  readonly backup?: readonly {
    readonly label?: string;
    readonly database?: { readonly id?: number; readonly "repo-key"?: number };
    readonly timestamp?: { readonly start?: number };
  }[];
  readonly db?: readonly { readonly id?: number; readonly "repo-key"?: number; readonly "system-id"?: string }[];
}

interface StatusDocument {
  readonly repos?: readonly {
    readonly drill?: { readonly id?: string; readonly ok?: boolean; readonly label?: string | null } | null;
  }[];
}

/** A repository without backups, or without the stanza, is readable: these are codes of stock. */
const READABLE_CODES = [0, 1, 2, 3];

/** @param texts of `info` and `status`, in any order. @throws format */
export function parseEvidence(texts: readonly string[]): BackupEvidence {
  const documents = texts.map(parseDocument);
  const infos = documents.flatMap((document) => (Array.isArray(document) ? (document as InfoDocument[]) : []));
  const statuses = documents.flatMap((document) => (Array.isArray(document) ? [] : [document as StatusDocument]));
  const [info, other] = infos;
  if (other !== undefined)
    throw fail("format", `the backups belong to several stanzas: ${infos.map(({ name = "" }) => name).join(", ")}`, {
      hint: "Choose the target's: --backup-command='pgbackstop --stanza=main'.",
    });
  return {
    repositories: (info?.repo ?? []).map((repo) => repositoryOf(repo, info ?? {})),
    drills: statuses.flatMap(({ repos = [] }) =>
      repos.flatMap(({ drill }) =>
        drill === undefined || drill === null
          ? []
          : [{ id: drill.id ?? "", ok: drill.ok === true, label: drill.label ?? null }],
      ),
    ),
  };
}

function parseDocument(text: string): object {
  try {
    const value: unknown = JSON.parse(text, exactSystemId);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Reported below.
  }
  throw fail("format", "the backup program answered no JSON, so nothing is known of the target's backups", {
    hint: "Run it with: --output=json info. The option backup-command says how to start it.",
  });
}

/** As text: it has more digits than a number of JavaScript. */
function exactSystemId(key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return key === "system-id" && typeof value === "number" ? (context?.source ?? String(value)) : value;
}

function repositoryOf(
  { key = 0, status }: NonNullable<InfoDocument["repo"]>[number],
  { backup = [], db = [] }: InfoDocument,
): RepositoryEvidence {
  const systemIdOf = (id: number | undefined): string | null =>
    db.find((each) => each["repo-key"] === key && each.id === id)?.["system-id"] ?? null;
  const isReadable = READABLE_CODES.includes(status?.code ?? 0);
  return {
    key,
    trouble: isReadable ? null : (status?.message ?? "unknown"),
    backups: backup
      .filter(({ database }) => database?.["repo-key"] === key)
      .map(({ database, label = "", timestamp }) => ({
        label,
        startedAtS: timestamp?.start ?? 0,
        systemId: systemIdOf(database?.id),
      }))
      .toSorted((left, right) => left.startedAtS - right.startedAtS),
  };
}
