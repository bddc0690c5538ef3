/** Lines of PostgreSQL's configuration files: written, found, and kept in a block that can be removed. Pure. */

export type Settings = Readonly<Record<string, string | number>>;

/** As ALTER SYSTEM writes them. */
export function settingLines(settings: Settings): string[] {
  return Object.entries(settings).map(([name, value]) => `${name} = '${String(value).replaceAll("'", "''")}'`);
}

/** Settings of lines as {@link settingLines} writes them. */
export function settingsIn(text: string): Settings {
  const lines = text.matchAll(/^(\w+) = '((?:[^'\n]|'')*)'$/gm);
  return Object.fromEntries([...lines].map(([, name = "", value = ""]) => [name, value.replaceAll("''", "'")]));
}

/** The value of a setting in configuration files, of which the last line counts; null if no line sets it. */
export function settingIn(name: string, texts: readonly string[]): string | null {
  const pattern = new RegExp(`^[ \\t]*${name}(?:[ \\t]*=[ \\t]*|[ \\t]+)(?:'((?:[^'\\n]|'')*)'|([^\\s#']+))`, "gim");
  let value: string | null = null;
  for (const text of texts)
    for (const [, quoted, plain] of text.matchAll(pattern)) value = quoted?.replaceAll("''", "'") ?? plain ?? "";
  return value;
}

/** The text with these settings between two marks: in place of an earlier block of that name, else at its end. */
export function withBlock(text: string, name: string, settings: Settings): string {
  const block = `${[beginOf(name), ...settingLines(settings), endOf(name)].join("\n")}\n`;
  const earlier = blockIn(text, name);
  if (earlier !== "") return text.replace(earlier, () => block);
  return `${text === "" || text.endsWith("\n") ? text : `${text}\n`}${block}`;
}

export function withoutBlock(text: string, name: string): string {
  const block = blockIn(text, name);
  return block === "" ? text : text.replace(block, () => "");
}

/** "" without one. */
export function blockIn(text: string, name: string): string {
  // A line inside may name the block too.
  return new RegExp(`^${beginOf(name)}\\n[^]*?^${endOf(name)}\\n`, "m").exec(text)?.[0] ?? "";
}

/**
 * Shell command that removes a block from a file, while nobody else writes there. The command always succeeds: for a
 * code above 125, as of a missing `sed`, PostgreSQL aborts the recovery ("xlogarchive.c", ExecuteRecoveryCommand).
 */
export function removeBlockCommand(name: string, file: string): string {
  return `sed -i "/^${beginOf(name)}$/,/^${endOf(name)}$/d" ${file} || :`;
}

/** Settings, which have no effect: ALTER SYSTEM keeps the lines that it does not change, in order, but no comment. */
const beginOf = (name: string): string => `pgbackstop.block = '${name}, begin'`;
const endOf = (name: string): string => `pgbackstop.block = '${name}, end'`;
