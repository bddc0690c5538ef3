/**
 * WAL on its way from one repository to another. A name proves nothing: a writer of the repository can store any
 * bytes under any name. So a carried segment must be the cluster's own by its header, at the position and timeline of
 * its name, and no later than the server.
 */
import { type ByteStream, concatBytes, streamOf } from "../../base/bytes";
import { fail, toBackupError } from "../../base/errors";
import { Measured } from "../../base/hash";
import { LIMITS } from "../../base/limits";
import { compress } from "../../format/codec/compress";
import { parseWalHeader, requireNamed, WAL_HEADER_SIZE_BYTES } from "../../format/wal/walHeader";
import { parseWalName, SEGMENT_LENGTH, TIMELINE_LENGTH, timelineOf } from "../../format/wal/walSegment";
import type { Repository } from "../../repository/repository";
import { isSegment, openWal, type StoredWal } from "../../repository/walStore";
import type { WalContent } from "../archivePush/pushWal";
import type { ClusterIdentity } from "./identity";
import { readNamed } from "./namedWal";

export interface WalPosition {
  readonly timeline: number;
  /** The sixteen digits of a segment's name after the timeline. */
  readonly segment: string;
}

/** How far a server's WAL goes. */
export interface NewestWal extends WalPosition {
  /** False while the server writes the segment: no whole copy of it is the server's. */
  readonly isFinished: boolean;
}

/** Where a segment, partial segment or backup label begins; a history has only a timeline. */
export function positionOf(name: string): WalPosition {
  return {
    timeline: timelineOf(name),
    segment: parseWalName(name)?.kind === "history" ? "" : name.slice(TIMELINE_LENGTH, SEGMENT_LENGTH),
  };
}

/** True for a file that a server at `newest` cannot have written yet. */
export function isAhead(name: string, newest: NewestWal): boolean {
  const { segment, timeline } = positionOf(name);
  if (timeline > newest.timeline || segment > newest.segment) return true;
  const isOpen = !newest.isFinished && timeline === newest.timeline && segment === newest.segment;
  return isOpen && parseWalName(name)?.kind === "segment";
}

/** A stored WAL file. */
export interface WalCopy {
  readonly repo: Repository;
  readonly archiveId: string;
  readonly pass: string | null;
  readonly stored: StoredWal;
}

/** A stored file as {@link PushTarget.push} takes it, packed with the target's own compression and key. */
export interface Copy extends WalCopy, WalContent {
  /** The plain content, read again with each call. Throws at its end as {@link carriedContent}. */
  open(): ByteStream;
}

/** Reads a history or backup label, whose name has no checksum. @throws checksum when it does not fit its name */
export async function openCopy(copy: WalCopy, cluster: ClusterIdentity | null): Promise<Copy> {
  const { archiveId, pass, repo, stored } = copy;
  if (stored.sha1 !== null) return made(copy, stored.sha1, () => carriedContent(copy, cluster));
  const { bytes, problem, sha1 } = await readNamed(repo, archiveId, stored, pass);
  if (problem !== null) throw toBackupError(new Error(problem), "checksum");
  return made(copy, sha1, () => streamOf(bytes));
}

function made(copy: WalCopy, sha1: string, open: () => ByteStream): Copy {
  const { name } = copy.stored;
  const packed: Copy["packed"] = async (spec) => () => compress(open(), spec);
  return { ...copy, name, sizeBytes: LIMITS.walSegmentSizeBytesMax, sha1, open, packed };
}

/**
 * The plain content. Throws at its end, before a copy is complete, if it does not match the checksum in its name, or
 * (unless `cluster` is null) if its header shows another cluster, position or timeline.
 */
export async function* carriedContent(
  { archiveId, pass, repo, stored }: WalCopy,
  cluster: ClusterIdentity | null,
): ByteStream {
  const measured = new Measured();
  let head: Uint8Array = new Uint8Array(0);
  for await (const chunk of measured.through(await openWal(repo, archiveId, stored, pass))) {
    if (head.length < WAL_HEADER_SIZE_BYTES)
      head = concatBytes([head, chunk.subarray(0, WAL_HEADER_SIZE_BYTES - head.length)]);
    yield chunk;
  }
  const { sha1 } = measured.result();
  if (stored.sha1 !== null && sha1 !== stored.sha1)
    throw fail("checksum", `content has checksum ${sha1} but ${stored.sha1} is expected`);
  if (cluster !== null && isSegment(stored.name)) requireOwn(stored.name, head, cluster);
}

/** @throws archiveMismatch (44), fileInvalid, versionNotSupported, format */
export function requireOwn(name: string, head: Uint8Array, { systemId, version }: ClusterIdentity): void {
  const header = parseWalHeader(head);
  if (header.pgVersion !== version || header.systemId !== systemId)
    throw fail(
      "archiveMismatch",
      `WAL file '${name}' version ${header.pgVersion}, system-id ${header.systemId} do not match version ${version}, system-id ${systemId}`,
    );
  requireNamed(header, name);
}
