/** Reads `archive_mode` from a server's configuration, while a recovering server accepts no questions. */
import { readFile } from "../../local/nodeFiles";
import { nullIfMissing } from "../../local/systemError";
import { readConfig } from "../shared/configFiles";

const ALWAYS = /^[ \t]*archive_mode[ \t=]+'?always\b/im;

/**
 * True when a configuration file or the command line says `always`: a recovering server then archives the WAL that it
 * replays.
 */
export async function archivesAlways(dataDirectory: string): Promise<boolean> {
  const options = (await nullIfMissing(readFile(`${dataDirectory}/postmaster.opts`, "utf8"))) ?? "";
  if (/archive_mode=always/i.test(options)) return true;
  // Debian keeps them elsewhere.
  const elsewhere = /config_file=([^"\s]+)/.exec(options)?.[1];
  const paths = [
    `${dataDirectory}/postgresql.conf`,
    `${dataDirectory}/postgresql.auto.conf`,
    ...(elsewhere === undefined ? [] : [elsewhere]),
  ];
  for (const path of paths)
    for (const { content } of await readConfig(path, "settings"))
      if (ALWAYS.test(Buffer.from(content).toString("latin1"))) return true;
  return false;
}
