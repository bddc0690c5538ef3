/**
 * WAL behind the end of the archive that agents have streamed into the repositories (format/streamChunk): what is there of a lost host's last
 * minute. Of each segment the session that is latest and reaches furthest; a piece that cannot be read is told, and another repository's taken.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { perRepo } from "../../base/parallel";
import { bySession, coverOf, newestFirst, reachOf, type StreamChunk } from "../../format/streamChunk";
import { lsnOfSegment, parseWalName } from "../../format/walSegment";
import { listChunks, readChunk, type StreamOrigin } from "../../repository/streamStore";
import { repoErrorLine } from "../results";
import type { Holder, Segment, WalArchive } from "./archive";

interface Source {
  readonly holder: Holder;
  /** Of one session. */
  readonly chunks: readonly StreamChunk[];
}

export class StreamedWal {
  readonly #sources: ReadonlyMap<string, readonly Source[]>;
  readonly #origin: StreamOrigin;
  readonly #ctx: Context;
  /** On the way of the timeline, ascending. */
  readonly segments: readonly Segment[];

  private constructor(archive: WalArchive, sources: ReadonlyMap<string, Source[]>, ctx: Context) {
    const { segmentSizeBytes, systemId } = archive;
    this.#sources = sources;
    this.#origin = { segmentSizeBytes, systemId };
    this.#ctx = ctx;
    this.segments = [...sources.keys()]
      .map((name): Segment => ({ name, lsn: lsnOfSegment(name, segmentSizeBytes), copies: [] }))
      .filter(({ lsn, name }) => archive.timelineAt(lsn) === parseWalName(name)?.timeline)
      .sort((left, right) => (left.lsn < right.lsn ? -1 : 1));
  }

  /** A repository that cannot tell is left out, with a warning. */
  static async open(archive: WalArchive, ctx: Context): Promise<StreamedWal> {
    const found = new Map<string, Source[]>();
    const { holders } = archive;
    const results = await perRepo(
      holders.map(({ repo }) => repo),
      async (repo) => {
        const holder = holders.find((each) => each.repo === repo) as Holder;
        return { holder, chunks: await listChunks(repo, holder.archiveId) };
      },
    );
    for (const result of results) {
      if (!result.ok) {
        ctx.log.warn(`streamed WAL: ${repoErrorLine(result.repoKey, result.error)}`);
        continue;
      }
      const { chunks, holder } = result.value;
      for (const segment of new Set(chunks.map((chunk) => chunk.segment))) {
        const sessions = bySession(chunks.filter((chunk) => chunk.segment === segment && chunk.end <= archive.segmentSizeBytes));
        // Only an unbroken beginning of a segment can be read.
        const usable = sessions.filter((own) => coverOf(own).length > 0).map((own): Source => ({ holder, chunks: own }));
        if (usable.length > 0) found.set(segment, [...(found.get(segment) ?? []), ...usable]);
      }
    }
    return new StreamedWal(archive, found, ctx);
  }

  /** With zeroes behind what was streamed, as in a segment that PostgreSQL is writing; null when nothing of it can be read. */
  async read({ name }: Segment): Promise<Uint8Array | null> {
    for (const source of [...(this.#sources.get(name) ?? [])].sort((left, right) => newestFirst(left.chunks, right.chunks))) {
      const bytes = await this.#join(source);
      if (bytes !== null) return bytes;
    }
    return null;
  }

  /** All of its bytes were streamed. */
  isWhole({ name }: Segment): boolean {
    const { segmentSizeBytes } = this.#origin;
    return (this.#sources.get(name) ?? []).some(({ chunks }) => reachOf(chunks) === segmentSizeBytes);
  }

  async #join({ chunks, holder }: Source): Promise<Uint8Array | null> {
    const { archiveId, pass, repo } = holder;
    const bytes = new Uint8Array(this.#origin.segmentSizeBytes);
    let usable = chunks;
    let reached = 0;
    for (;;) {
      const chunk = coverOf(usable).find(({ begin }) => begin >= reached);
      if (chunk === undefined || chunk.begin !== reached) return reached === 0 ? null : bytes;
      this.#ctx.signal.throwIfAborted();
      try {
        bytes.set(await readChunk(repo, { archiveId, pass }, chunk, this.#origin), chunk.begin);
        reached = chunk.end;
      } catch (error) {
        // The merged one may be damaged, or have been removed meanwhile: another may reach as far.
        this.#ctx.log.warn(`streamed WAL: ${repoErrorLine(repo.key, toBackupError(error))}`);
        usable = usable.filter((other) => other !== chunk);
      }
    }
  }
}
