/** Which dumps of a repository stay, and the removal of the others. */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import type { RepoConfig } from "../../config/types";
import { dumpTimeMs } from "../../format/repository/dumpManifest";
import { removeDump } from "../../repository/dumpStore";
import type { Lease } from "../../repository/lease";
import type { Repository } from "../../repository/repository";
import { type DumpCopy, findCopies, oncePerLabel } from "./readDump";

/** As in `pgbackstop.json`. */
export type KeepDumps = NonNullable<RepoConfig["keepDumps"]>;

export interface KnownDump {
  readonly label: string;
  /** `unknown`: its manifest cannot be read. */
  readonly state: "complete" | "incomplete" | "unknown";
}

export function knownDump({ fault, label, manifest }: DumpCopy): KnownDump {
  return { label, state: fault === null ? "complete" : manifest === null ? "unknown" : "incomplete" };
}

const DAY_MS = 24 * 60 * 60 * 1000;

/**
 * Labels that go, oldest first. Ages count from `own`, the dump that was just made, so that neither a host that was off
 * nor a clock removes the last dumps. It stays, and so does the newest complete one. What cannot be read stays: it may
 * be a newer version's.
 */
export function expiredDumps(dumps: readonly KnownDump[], own: string, { count, days }: KeepDumps): string[] {
  if (count === undefined && days === undefined) return [];
  // Its own too counts only as what the repository shows now.
  const complete = dumps
    .filter(({ state }) => state === "complete")
    .map(({ label }) => label)
    .sort();
  const counted = complete.slice(-Math.max(count ?? 1, 1));
  // An incomplete dump counts for nothing: it stays only among those that stay.
  const firstCounted = counted[0] ?? own;
  const firstTimeMs = days === undefined ? Number.POSITIVE_INFINITY : (dumpTimeMs(own) ?? 0) - days * DAY_MS;
  return dumps
    .filter(({ label, state }) => {
      if (state === "unknown" || label === own || label >= firstCounted) return false;
      const timeMs = dumpTimeMs(label);
      return timeMs !== null && timeMs < firstTimeMs;
    })
    .map(({ label }) => label)
    .sort();
}

/** Called after `own` was published. A failure is a warning: the dump itself is complete. */
export async function expireDumps(
  repo: Repository,
  own: string,
  { keep, lease }: { readonly keep: KeepDumps | undefined; readonly lease: Pick<Lease, "check"> },
  ctx: Context,
): Promise<void> {
  if (keep === undefined) return;
  try {
    const copies = await findCopies(repo);
    const known = oncePerLabel(copies).map(knownDump);
    for (const { label, state } of known)
      if (state === "unknown") ctx.log.warn(`${repo.name}: dump ${label} stays, because its manifest cannot be read`);
    for (const label of expiredDumps(known, own, keep)) {
      for (const { directory } of copies.filter((copy) => copy.label === label)) {
        await lease.check();
        await removeDump(repo, directory);
      }
      ctx.log.info(`${repo.name}: removed dump ${label}, which keepDumps no longer keeps`);
    }
  } catch (error) {
    ctx.log.warn(
      `${repo.name}: dump ${own} is complete, but old ones were not removed: ${toBackupError(error).message}`,
    );
  }
}
