/**
 * What a command makes of a configuration file that it cannot use completely. Pure.
 *
 * A newer version of the package may have written the file: for a sidecar that was not restarted, for a host between
 * two files of an update, or before the package went back. Fields that this version does not know are then ignored with
 * a warning. In any other file such a field is a mistake, and refused. Commands that carry WAL or restore ignore both:
 * no field may stop them.
 */
import { compareVersions } from "./compareVersions";
import { isFields } from "../base/declaredTypes";
import { type BackupError, isError } from "../base/errors";
import { VERSION } from "../version";

export interface FileRule {
  /** `all` for commands that no field may stop. */
  readonly ignores: "newer" | "all";
  /** What stands for a field that is ignored, by its path: ignoring it would promise less. */
  readonly instead?: Readonly<Record<string, unknown>>;
  readonly warn: (text: string) => void;
}

type Keys = readonly (string | number)[];

/**
 * What `use` makes of the file's value, without the fields that it refuses and this command ignores.
 * @throws what `use` throws for any other field, and for a field that it refuses although the file lacks it
 */
export function usable<T>(value: unknown, rule: FileRule, use: (value: unknown) => T): T {
  const writtenFor = isNewer(value);
  let rest: unknown = structuredClone(value);
  for (;;) {
    try {
      return use(rest);
    } catch (error) {
      if (!isError(error, "config") || error.field === undefined) throw error;
      if (rule.ignores === "newer" && writtenFor === null) throw error;
      if (!drop(rest, error.field, rule.instead?.[error.field.join(".")])) {
        if (isEmpty(rest)) throw error;
        rest = {};
      }
      rule.warn(ignoredText(error, writtenFor));
    }
  }
}

function ignoredText({ hints, message }: BackupError, writtenFor: string | null): string {
  if (writtenFor === null) return [`${message}; ignored`, ...hints.map((hint) => `HINT: ${hint}`)].join("\n");
  return `${message}; ignored, because the file is for version ${writtenFor} and this is ${VERSION}\nHINT: Upgrade this runtime: docs/upgrading.md.`;
}

/** The version for which a newer package wrote the file; null for a file of this version, an older one, or by hand. */
function isNewer(value: unknown): string | null {
  const { package: writtenFor } = (value ?? {}) as { readonly package?: unknown };
  return typeof writtenFor === "string" && compareReleases(writtenFor, VERSION) > 0 ? writtenFor : null;
}

/** Below 0 if `left` is older; 0 if either is not a release. Of a pre-release the version that it leads to counts. */
export function compareReleases(left: string, right: string): number {
  return compareVersions(left, right) ?? 0;
}

/**
 * Removes what is at the path: if it is missing, what should have it. A list of names goes as a whole, because fewer
 * names may promise less. False if nothing is there to remove.
 */
function drop(root: unknown, path: Keys, instead: unknown): boolean {
  for (let length = path.length; length > 0; length -= 1) {
    const key = path[length - 1] ?? "";
    const parent = path.slice(0, length - 1).reduce(valueOf, root);
    if (typeof parent !== "object" || parent === null || !Object.hasOwn(parent, key)) continue;
    const fields = parent as Record<string | number, unknown>;
    if (Array.isArray(parent)) {
      if (typeof fields[key] !== "object") continue;
      parent.splice(Number(key), 1);
    } else if (length === path.length && instead !== undefined && fields[key] !== instead) fields[key] = instead;
    else delete fields[key];
    return true;
  }
  return false;
}

function valueOf(value: unknown, name: string | number): unknown {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

function isEmpty(value: unknown): boolean {
  return isFields(value) && Object.keys(value).length === 0;
}
