/**
 * What makes an opened backup a clone: `clone.json` in its folder, of PostgreSQL's account. Only with a ready one does
 * an opened server listen to clients, and it is written when nothing unmasked is left.
 */
import { utf8 } from "../../base/bytes";
import { fail } from "../../base/errors";
import { atomicWrite } from "../../local/atomicWrite";
import { textIfThere } from "../../local/systemError";

export interface CloneState {
  readonly version: 1;
  /** False until it is masked and locked. */
  readonly ready: boolean;
  readonly role: string;
  /** The only ones that clients reach. */
  readonly databases: readonly string[];
  /** Addresses on which it listens, as `listen_addresses` has them. */
  readonly listen: string;
  readonly port: number;
  /** Networks of clients. */
  readonly allow: readonly string[];
  /** Time of the last transaction in it; milliseconds since 1970. */
  readonly dataTimeMs: number;
  /** End of its life; null if it has none. */
  readonly endsAtMs: number | null;
}

/** The part of an opened directory's location that counts here. */
interface Folder {
  readonly folder: string;
}

function fileOf({ folder }: Folder): string {
  return `${folder}/clone.json`;
}

/** Null for a backup that was only opened. @throws jsonFormat, fileOpen */
export async function loadClone(location: Folder): Promise<CloneState | null> {
  const path = fileOf(location);
  const text = await textIfThere(path);
  if (text === null) return null;
  try {
    const state = JSON.parse(text) as CloneState;
    if (state.version === 1 && typeof state.ready === "boolean" && Array.isArray(state.databases)) return state;
  } catch {
    // Reported below.
  }
  throw fail("jsonFormat", `'${path}' does not describe a clone`, {
    hint: "Close it, and make another one.",
    path,
  });
}

export async function saveClone(location: Folder, state: CloneState): Promise<void> {
  await atomicWrite(fileOf(location), utf8(`${JSON.stringify(state, null, 2)}\n`), { mode: 0o600 });
}

/** @throws featureNotSupported after the end of its life */
export function requireAlive({ endsAtMs }: CloneState, at: string, nowMs: number): void {
  if (endsAtMs === null || nowMs < endsAtMs) return;
  throw fail("featureNotSupported", `the life of the clone in '${at}' ended at ${new Date(endsAtMs).toISOString()}`, {
    hint: `Close it, and make another one: close --at=${at}`,
  });
}
