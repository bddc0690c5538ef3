/**
 * Which content of a WAL file counts. The server's own bytes decide: those in pg_wal, else those whose SHA-1 the record
 * of missing WAL remembers. Without them, one content in all repositories that hold the file counts. Different contents
 * are a conflict: the one of most repositories counts if its segment is valid from the first page to the last record,
 * else none does until the user decides (`heal --segment`).
 */
import { collect } from "../../base/bytes";
import { type BackupError, isError, toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { WalReader } from "../../format/wal/walReader";
import { isSegment } from "../../repository/walStore";
import type { Copy } from "../shared/carriedWal";

export interface Verdict {
  /** Null when no content may be copied. */
  readonly sha1: string | null;
  /** The repositories with different contents; null when they agree. */
  readonly conflict: string | null;
  /** Why the majority's copy could not be read, which leaves the conflict undecided; null otherwise. */
  readonly trouble: BackupError | null;
}

/** Begins the text of a conflict. */
export const CONFLICT = "its contents differ";
const DIGITS_SHOWN = 12;

/** The server's own content: read from pg_wal, or only remembered by the record of missing WAL. */
export interface ServerContent {
  readonly sha1: string;
  readonly isRemembered: boolean;
}

/** `server` is null when neither pg_wal nor a record has the file. */
export async function decide(name: string, copies: readonly Copy[], server: ServerContent | null): Promise<Verdict> {
  const contents = new Set(copies.map(({ sha1 }) => sha1));
  if (server !== null) contents.add(server.sha1);
  const conflict = contents.size < 2 ? null : conflictText(copies, server);
  if (server !== null) return { sha1: server.sha1, conflict, trouble: null };
  if (conflict === null) return { sha1: copies[0]?.sha1 ?? null, conflict, trouble: null };
  const most = isSegment(name) ? majorityOf(copies) : null;
  if (most === null) return { sha1: null, conflict, trouble: null };
  try {
    return { sha1: (await isWholeWal(most)) ? most.sha1 : null, conflict, trouble: null };
  } catch (error) {
    const trouble = toBackupError(error);
    return { sha1: null, conflict: `${conflict}; undecided: ${most.repo.name}: ${trouble.message}`, trouble };
  }
}

function conflictText(copies: readonly Copy[], server: ServerContent | null): string {
  const held = [...new Set(copies.map(({ sha1 }) => sha1))].map((sha1) => {
    const holders = copies.filter((copy) => copy.sha1 === sha1).map(({ repo }) => repo.name);
    return `${[...new Set(holders)].join(" and ")} ${sha1.slice(0, DIGITS_SHOWN)}`;
  });
  const own =
    server === null
      ? "pg_wal no longer has it"
      : `${server.isRemembered ? "this server archived" : "pg_wal has"} ${server.sha1.slice(0, DIGITS_SHOWN)}`;
  return `${CONFLICT}: ${held.sort().join(", ")}; ${own}`;
}

/** A copy with the content of more than half of the repositories that hold one. Two contents in one are no vote. */
function majorityOf(copies: readonly Copy[]): Copy | null {
  const ofRepo = (key: number): readonly Copy[] => copies.filter(({ repo }) => repo.key === key);
  const votes = copies.filter(({ repo }) => ofRepo(repo.key).length === 1);
  const repoCount = new Set(copies.map(({ repo }) => repo.key)).size;
  return votes.find(({ sha1 }) => 2 * votes.filter((vote) => vote.sha1 === sha1).length > repoCount) ?? null;
}

/** True when its bytes are records of PostgreSQL without a gap. @throws when the repository gives no answer */
async function isWholeWal(copy: Copy): Promise<boolean> {
  try {
    const bytes = await collect(copy.open(), LIMITS.wholeFileSizeBytesMax);
    const reader = new WalReader();
    for (const _record of reader.read(bytes));
    return reader.problem === null;
  } catch (error) {
    if (!isError(error, "archiveMismatch", "checksum", "crypto", "fileInvalid", "format", "versionNotSupported"))
      throw error;
    return false;
  }
}

/** Reads the copies to their ends. */
export async function findDamage(copies: readonly Copy[]): Promise<BackupError | null> {
  try {
    for (const copy of copies) for await (const _chunk of copy.open());
    return null;
  } catch (error) {
    return toBackupError(error);
  }
}
