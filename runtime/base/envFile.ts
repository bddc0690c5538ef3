/** Environment files, as systemd ("EnvironmentFile=") and shells read them. Pure. */

/** `NAME=value` lines, with or without `export` and quotes. Nothing is expanded. */
export function parseEnvFile(text: string): Readonly<Record<string, string>> {
  const variables: Record<string, string> = {};
  for (const line of text.split(/\r?\n/)) {
    const [, name, quoted = ""] = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)$/.exec(line) ?? [];
    if (name !== undefined) variables[name] = unquoted(quoted.trim());
  }
  return variables;
}

function unquoted(text: string): string {
  if (/^'[^']*'$/.test(text)) return text.slice(1, -1);
  if (/^"(?:[^"\\]|\\.)*"$/.test(text)) return text.slice(1, -1).replaceAll(/\\(["\\$`])/g, "$1");
  return text;
}
