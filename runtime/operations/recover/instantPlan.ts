/** What `recover --instant` cannot do, and its steps. Pure. */
import { dirname } from "node:path";
import { fail } from "../../base/errors";
import type { HostFacts } from "./hostFacts";
import type { RecoverSource } from "./recoverSource";

/** This machine, as far as an instant recovery needs it. */
export interface InstantFacts {
  readonly isRoot: boolean;
  /** `/dev/fuse` exists. */
  readonly hasFuse: boolean;
  /** The machine has SELinux. */
  readonly hasLabels: boolean;
  readonly isContainer: boolean;
  /** Keys of repositories that systemd lends to this process alone. */
  readonly hasLentKeys: boolean;
  /** The folder for pages exists already. */
  readonly isLeft: boolean;
  /** Other accounts than root and PostgreSQL's may write in the directory that has the data directory. */
  readonly isShared: boolean;
  /** `02:00`; null moves the files as soon as all are here. */
  readonly moveAt: string | null;
}

/** What it needs to know of a request. */
interface InstantRequest {
  readonly type: string;
  readonly targetAction: string;
  readonly repoTargetTime?: string | undefined;
}

const COPY_HINT = "Recover without --instant: that copies everything before the server starts.";

/** Made while the old server still runs. @throws access, featureNotSupported, fileExists, optionInvalid */
export function requireInstant(
  instant: InstantFacts,
  { dataDirectory, tablespaces, walDirectory }: HostFacts,
  { links, targets }: RecoverSource,
  { repoTargetTime, targetAction, type }: InstantRequest,
): void {
  if (!instant.isRoot)
    throw fail("access", "recover --instant needs root: only root may mount a directory", {
      hint: ["Run it with sudo; the server runs as PostgreSQL's account.", COPY_HINT],
    });
  if (instant.isLeft)
    throw fail("fileExists", `'${dataDirectory}.pgbackstop' exists, where fetched pages would be kept`, {
      hint: "It may hold writes of an earlier server. Move it away if nothing needs it.",
    });
  const hasTablespaces = tablespaces.length > 0 || targets.some(({ name }) => name !== "pg_data");
  const link = walDirectory ?? links[0];
  const reasons: readonly (readonly [boolean, string])[] = [
    [instant.isContainer, "a server in a container"],
    [!instant.hasFuse, "a machine without /dev/fuse ('modprobe fuse' may load it)"],
    [instant.hasLabels, "a machine with SELinux"],
    [instant.hasLentKeys, "keys that systemd lends to one command, because it serves files after that command"],
    [hasTablespaces, "tablespaces"],
    [instant.isShared, `a data directory beside which other accounts may write ('${dirname(dataDirectory)}')`],
    [link !== undefined, `a data directory with links ('${link}')`],
    [repoTargetTime !== undefined, "--repo-target-time"],
    [type !== "default" && targetAction !== "promote", `--target-action=${targetAction}`],
  ];
  const reason = reasons.find(([applies]) => applies)?.[1];
  if (reason !== undefined)
    throw fail("featureNotSupported", `recover --instant does not support ${reason}`, { hint: COPY_HINT });
}

/** Steps of the plan, instead of those of a restore. */
export function instantSteps(
  { moveAt }: InstantFacts,
  texts: { readonly what: string; readonly dataDirectory: string; readonly start: string; readonly stop: string },
): string[] {
  const { dataDirectory, start, stop, what } = texts;
  const at = moveAt === null ? "" : `, at ${moveAt}`;
  return [
    `mount ${what} in ${dataDirectory}; its pages and writes are kept in ${dataDirectory}.pgbackstop`,
    `start it: ${start}`,
    "wait until it is open on a new timeline, and check that every repository gets its WAL",
    "fetch everything else behind it",
    `when everything is here${at}: ${stop}; move the files to ${dataDirectory}; ${start}`,
  ];
}
