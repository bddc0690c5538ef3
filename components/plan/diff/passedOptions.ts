/** Changes in options of pgBackRest that the user passes on. Most are neutral; some remove protection. Pure. */
import { parseSize } from "../../../runtime/config/values";
import { nameOf } from "../model/confOptions";
import type { OptionNode } from "../topology/topology";
import { type Collector, isHidden, listText, type Value, valueText } from "./change";

interface Judge {
  /** The larger one is the stronger one; null is an option that is not set. `old` is the value before the change. */
  readonly rank: (value: Value, old: Value) => number;
  readonly text: (value: Value) => string;
}

const JUDGES: Readonly<Record<string, Judge>> = {
  "archive-push-queue-max": {
    rank: (value) => (value === null ? Number.POSITIVE_INFINITY : (parseSize(String(value)) ?? 0)),
    text: (value) =>
      value === null ? "no waiting WAL is dropped" : `waiting WAL is dropped beyond ${valueText(value)}`,
  },
  "archive-check": switchOf("whether a backup's WAL is in the repositories"),
  "archive-mode-check": switchOf("whether archive_mode is safe"),
  "checksum-page": switchOf("page checksums during backups"),
  "page-header-check": switchOf("page headers during backups"),
  "storage-verify-tls": switchOf("the certificate of the store"),
  exclude: {
    rank: (value, old) => (!excludesAll(old, value) ? -1 : excludesAll(value, old) ? 0 : 1),
    text: (value) => (value === null ? "backups exclude no path" : `backups exclude ${pathsOf(value).join(", ")}`),
  },
  "retention-archive": {
    rank: (value) => (value === null ? Number.POSITIVE_INFINITY : Number(value)),
    text: (value) =>
      value === null
        ? "WAL is kept as long as its backups"
        : `WAL between backups is kept for the newest ${valueText(value)} only`,
  },
  "retention-archive-type": {
    rank: (value) => (value === null || value === "full" ? 1 : 0),
    text: (value) => `retention-archive counts ${valueText(value ?? "full")} backups`,
  },
};

/** @param path of the options: `repositories.repo1.options` */
export function diffOptions(to: Collector, path: string, old: unknown, now: unknown): void {
  const [before, after] = [entriesOf(old), entriesOf(now)];
  // A topology from a file may hide the whole list.
  if (before === null || after === null) return to.plain(path, listText(old), listText(now), () => "");
  for (const name of [...new Set([...before.keys(), ...after.keys()])].sort()) {
    const sides = [`${path}.${name}`, before.get(name) ?? null, after.get(name) ?? null] as const;
    const judge = JUDGES[nameOf(name)];
    if (judge === undefined) to.plain(...sides, (value) => `option ${name}: ${valueText(value)}`);
    else to.rank(...sides, (value) => judge.rank(value, sides[1]), judge.text);
  }
}

/** True if the paths of `wide` cover those of `narrow`. Each covers what is below it, with or without a slash. */
function excludesAll(wide: Value, narrow: Value): boolean {
  const isCovered = (path: string): boolean =>
    pathsOf(wide).some((each) => path === each || path.startsWith(each.endsWith("/") ? each : `${each}/`));
  return pathsOf(narrow).every(isCovered);
}

function pathsOf(value: Value): string[] {
  return value === null
    ? []
    : String(value)
        .split("\n")
        .filter((path) => path !== "");
}

function switchOf(what: string): Judge {
  return {
    rank: (value) => (value === "n" ? 0 : 1),
    text: (value) => (value === "n" ? `nothing checks ${what}` : `pgbackstop checks ${what}`),
  };
}

/** Null for a hidden list. */
function entriesOf(list: unknown): Map<string, string> | null {
  if (!Array.isArray(list)) return list === undefined ? new Map() : null;
  const known = list.filter((item: unknown): item is OptionNode => typeof item === "object" && item !== null);
  return new Map(known.filter(({ name }) => !isHidden(name)).map(({ name, value }) => [name, value]));
}
