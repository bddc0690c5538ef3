/**
 * Finds a server's configuration files: postgresql.conf, pg_hba.conf or pg_ident.conf with all included files, by
 * PostgreSQL's rules ("utils/misc/guc-file.l", "libpq/hba.c"). Relative names are relative to the including file.
 * `include_dir` takes every `*.conf` whose name does not begin with a dot. pg_hba.conf and pg_ident.conf support the
 * same directives since PostgreSQL 16, and always `@file` lists of names.
 */

import { dirname, resolve } from "node:path";
import { bytesIfThere, namesIfThere } from "../../local/systemError";

/** The syntax of a file: settings, or client authentication records. */
export type ConfigKind = "settings" | "records";

export interface ConfigFile {
  /** Absolute. */
  readonly path: string;
  readonly content: Uint8Array;
}

export interface Include {
  readonly kind: "file" | "directory";
  readonly name: string;
}

/** PostgreSQL stops at ten levels; this bounds a loop. */
const FILES_MAX = 1000;

/** The includes of a configuration file, in order. Pure. */
export function includesOf(text: string, kind: ConfigKind): Include[] {
  const includes: Include[] = [];
  for (const line of text.split("\n")) {
    const match =
      /^[ \t]*(include_if_exists|include_dir|include)(?!\w)[ \t]*=?[ \t]*('(?:[^'\\]|''|\\.)*'|"[^"]*"|[^\s#'"=]+)/i.exec(
        line,
      );
    if (match !== null)
      includes.push({
        kind: match[1]?.toLowerCase() === "include_dir" ? "directory" : "file",
        name: unquoted(match[2] ?? ""),
      });
    else if (kind === "records" && !/^\s*#/.test(line))
      for (const [, quoted, plain] of line.matchAll(/(?:^|[\s,])@(?:"([^"]+)"|([^\s,#"]+))/g))
        includes.push({ kind: "file", name: quoted ?? plain ?? "" });
  }
  return includes;
}

function unquoted(text: string): string {
  if (text.startsWith('"')) return text.slice(1, -1);
  return text.startsWith("'") ? text.slice(1, -1).replaceAll("''", "'").replaceAll(/\\(.)/g, "$1") : text;
}

/**
 * The file and all its includes, each once; missing ones are skipped.
 * @param within the only directory that is read: of a container, other paths mean other files here
 * @throws fileOpen, pathOpen for unreadable ones
 */
export async function readConfig(path: string, kind: ConfigKind, within?: string): Promise<ConfigFile[]> {
  const files = new Map<string, ConfigFile>();
  const queue = [path];
  for (let next = queue.shift(); next !== undefined && files.size < FILES_MAX; next = queue.shift()) {
    if (files.has(next) || (within !== undefined && !next.startsWith(`${within}/`))) continue;
    const content = await bytesIfThere(next);
    if (content === null) continue;
    files.set(next, { path: next, content });
    for (const include of includesOf(Buffer.from(content).toString("utf8"), kind)) {
      const target = resolve(dirname(next), include.name);
      if (include.kind === "file") queue.push(target);
      else if (within === undefined || `${target}/`.startsWith(`${within}/`))
        queue.push(...(await listDirectory(target)));
    }
  }
  return [...files.values()];
}

async function listDirectory(path: string): Promise<string[]> {
  const names = await namesIfThere(path);
  const wanted = (names ?? []).filter((name) => name.endsWith(".conf") && !name.startsWith("."));
  return wanted.sort().map((name) => `${path}/${name}`);
}
