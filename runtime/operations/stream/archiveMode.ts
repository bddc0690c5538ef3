/** What a server's configuration says of `archive_mode`, while nobody can ask the server: it recovers. */
import { readFile } from "node:fs/promises";
import { readConfig } from "../shared/configFiles";

const ALWAYS = /^[ \t]*archive_mode[ \t=]+'?always\b/im;

/** True when any of its files, or its command line, says `always`: a server that recovers then archives what it recovers from. */
export async function archivesAlways(dataDirectory: string): Promise<boolean> {
  const words = await readFile(`${dataDirectory}/postmaster.opts`, "utf8").catch(() => "");
  if (/archive_mode=always/i.test(words)) return true;
  // Debian's lie elsewhere.
  const elsewhere = /config_file=([^"\s]+)/.exec(words)?.[1];
  const paths = [`${dataDirectory}/postgresql.conf`, `${dataDirectory}/postgresql.auto.conf`, ...(elsewhere === undefined ? [] : [elsewhere])];
  for (const path of paths)
    for (const { content } of await readConfig(path, "settings")) if (ALWAYS.test(Buffer.from(content).toString("latin1"))) return true;
  return false;
}
