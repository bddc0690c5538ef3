/**
 * A command line for people: `kubectl exec POD -c plugin-pgbackstop -- /pgbackstop/run/pgbackstop info`. The sidecar
 * writes this script, with its own configuration, next to its program, and so does the Job that extracts tables.
 */
import { chmod, rename, writeFile } from "../../local/nodeFiles";
import { shellQuote } from "../../operations/restore/recovery";

/**
 * Passes options in the environment, where each verb reads those it knows; most verbs would refuse some as arguments.
 *
 * @param program the command that starts it
 * @param options as arguments: `--lock-path=/run/lock`, `--no-delta`
 */
export function launcherText(program: readonly string[], options: readonly string[]): string {
  const variables = options.flatMap((arg) => {
    const [, no, name = "", , value] = /^--(no-)?([a-z0-9-]+)(=(.*))?$/s.exec(arg) ?? [];
    if (name === "" || name.startsWith("reset-")) return [];
    return [
      `export PGBACKREST_${name.toUpperCase().replaceAll("-", "_")}=${shellQuote(value ?? (no === undefined ? "y" : "n"))}`,
    ];
  });
  return [
    "#!/bin/sh",
    "# Written by pgbackstop at the start of this container.",
    ...variables,
    `exec ${program.map(shellQuote).join(" ")} "$@"`,
    "",
  ].join("\n");
}

/** Another process may be starting it: it gets the old script or the new one. */
export async function writeLauncher(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o755 });
  await chmod(`${file}.new`, 0o755);
  await rename(`${file}.new`, file);
}
