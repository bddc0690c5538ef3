/** Checks of values that several rules share. Pure. */
import { checkRange } from "../arguments/ranges";
import { type Finding, finding } from "../findings/findings";

/** Paths go into ini files, unit files, and the shell words of archive_command, where `%` begins a placeholder. */
const PATH_CHARACTERS = /^\/[A-Za-z0-9_.,:@+=/ ~-]*$/;

/** Absolute, in one form only, and of characters that need no quotes. */
export function isUsablePath(path: string): boolean {
  if (!PATH_CHARACTERS.test(path) || path.trim() !== path) return false;
  return (
    path === "/" ||
    !path
      .split("/")
      .slice(1)
      .some((part) => ["", ".", ".."].includes(part))
  );
}

/** For hosts and clusters, for directories and for prefixes of keys. @param argument its path */
export function checkPath(argument: string, path: string | undefined): Finding[] {
  if (path === undefined || isUsablePath(path)) return [];
  const fact = `"${path}" is not usable as a path: it must be absolute, without empty, "." or ".." parts or a trailing slash, and consist of letters, digits, blanks and _ . , : @ + = ~ -`;
  return [finding("PB014", argument, fact, "move the directory, or link to it under another name")];
}

/** For hosts and clusters. The stanza names a directory of the repository and a section of its configuration. */
export function checkStanza(argument: string, stanza: string): Finding[] {
  if (/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(stanza)) return [];
  const fact = `"${stanza}" is not a stanza name: letters, digits, underscore, dot and hyphen are allowed`;
  return [finding("PB013", argument, fact, 'set a name such as "main"')];
}

/** A whole number from min to max, inclusive. */
export function isWithin(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

/** True when `path` is `parent` or lies below it. */
export function isBelow(path: string, parent: string): boolean {
  return path === parent || parent === "/" || path.startsWith(`${parent}/`);
}

/** For hosts and clusters. */
export function checkStreamInterval({
  streamIntervalSeconds: seconds,
}: {
  readonly streamIntervalSeconds?: number;
}): Finding[] {
  const path = "streaming.intervalSeconds";
  return checkRange("StreamingArgs.intervalSeconds", path, seconds, "not a whole number from");
}
