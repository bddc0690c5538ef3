/**
 * Makes histories and backup labels equal in all repositories. PostgreSQL's own file in pg_wal wins, else the only
 * valid content. If several valid contents differ, the right one is unknown, and nothing is written.
 */
import { collect, streamOf, textOf } from "../../base/bytes";
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { LIMITS } from "../../base/limits";
import { mapParallel } from "../../base/parallel";
import { putWal, type StoredWal } from "../../repository/walStore";
import type { Repository } from "../../repository/repository";
import type { LocalWal } from "../shared/localWal";
import { findNamedProblem, type NamedContent, readNamed } from "../shared/namedWal";

export interface NamedArchive {
  readonly repo: Repository;
  readonly archiveId: string;
  readonly pass: string | null;
  readonly stored: ReadonlyMap<string, readonly StoredWal[]>;
}

export interface NamedHealed {
  copied: number;
  readonly unhealed: string[];
}

/** Files checked together: hides an object store's latency. */
const FILES_AT_ONCE = 8;

/** The results by repository key. Skips `pending` names: they may be written right now. */
export async function healNamed(
  archives: readonly NamedArchive[],
  local: LocalWal,
  pending: ReadonlySet<string>,
  ctx: Context,
): Promise<ReadonlyMap<number, NamedHealed>> {
  const healed = new Map<number, NamedHealed>(archives.map(({ repo }) => [repo.key, { copied: 0, unhealed: [] }]));
  const names = new Set(
    archives.flatMap(({ stored }) =>
      [...stored.values()]
        .flat()
        .filter(({ sha1 }) => sha1 === null)
        .map(({ name }) => name),
    ),
  );
  const wanted = [...names].filter((name) => !pending.has(name)).sort();
  await mapParallel(wanted, FILES_AT_ONCE, (name) => healName(name, archives, local, healed, ctx));
  for (const { unhealed } of healed.values()) unhealed.sort();
  return healed;
}

interface Copy {
  readonly archive: NamedArchive;
  readonly content: NamedContent;
}

async function healName(
  name: string,
  archives: readonly NamedArchive[],
  local: LocalWal,
  healed: ReadonlyMap<number, NamedHealed>,
  ctx: Context,
): Promise<void> {
  const copies: Copy[] = [];
  for (const archive of archives) {
    const [stored] = archive.stored.get(name) ?? [];
    if (stored === undefined) continue;
    try {
      copies.push({ archive, content: await readNamed(archive.repo, archive.archiveId, stored, archive.pass) });
    } catch (error) {
      healed.get(archive.repo.key)?.unhealed.push(`${name}: ${toBackupError(error).message}`);
    }
  }
  const isAlike = copies.every(({ content }) => content.problem === null && content.sha1 === copies[0]?.content.sha1);
  if (isAlike) return;
  const good = await findGood(name, copies, local, ctx);
  for (const { archive, content } of copies) {
    const own = healed.get(archive.repo.key);
    if (good === null) {
      own?.unhealed.push(
        `${name}: ${content.problem ?? "other repositories have different content, and any of them may be right"}`,
      );
    } else if (content.sha1 !== good.sha1) {
      const wal = {
        archiveId: archive.archiveId,
        name,
        sha1: "",
        compressType: "none" as const,
        open: () => streamOf(good.bytes),
      };
      try {
        await putWal(archive.repo, wal, archive.pass, () => ctx.random.bytes(8));
      } catch (error) {
        own?.unhealed.push(`${name}: ${toBackupError(error).message}`);
        continue;
      }
      ctx.log.warn(`${archive.repo.name}: replaced ${name}: ${content.problem ?? "pg_wal has different content"}`);
      if (own !== undefined) own.copied++;
    }
  }
}

/**
 * PostgreSQL's own file, else the content that all readable copies share; null without either, and while the own file
 * is there but cannot be read.
 */
async function findGood(
  name: string,
  copies: readonly Copy[],
  local: LocalWal,
  { log }: Context,
): Promise<Pick<NamedContent, "bytes" | "sha1"> | null> {
  try {
    const wal = await local.prepare(name);
    if (wal !== null) {
      const bytes = await collect((await wal.packed({ type: "none", level: 0 }))(), LIMITS.wholeFileSizeBytesMax);
      if (findNamedProblem(name, textOf(bytes)) === null) return { bytes, sha1: wal.sha1 };
    }
  } catch (error) {
    log.warn(`pg_wal: ${name}: ${toBackupError(error).message}`);
    return null;
  }
  const readable = copies.filter(({ content }) => content.problem === null);
  const contents = new Set(readable.map(({ content }) => content.sha1));
  return contents.size === 1 ? (readable[0]?.content ?? null) : null;
}
