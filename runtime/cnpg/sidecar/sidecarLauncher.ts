/**
 * A command line for people: `kubectl exec POD -c plugin-pgbackstop -- /pgbackstop/run/pgbackstop info`. A script that the sidecar leaves beside
 * its program, with its own configuration.
 */
import { chmod, rename, writeFile } from "node:fs/promises";
import { shellWord } from "../../operations/restore/recovery";

/**
 * The options go into the environment, from which each verb takes what it knows; as words most verbs would refuse some of them.
 *
 * @param program the words that start it
 * @param options as words: `--lock-path=/run/lock`, `--no-delta`
 */
export function launcherText(program: readonly string[], options: readonly string[]): string {
  const variables = options.flatMap((word) => {
    const [, no, name = "", , value] = /^--(no-)?([a-z0-9-]+)(=(.*))?$/s.exec(word) ?? [];
    if (name === "" || name.startsWith("reset-")) return [];
    return [`export PGBACKREST_${name.toUpperCase().replaceAll("-", "_")}=${shellWord(value ?? (no === undefined ? "y" : "n"))}`];
  });
  return ["#!/bin/sh", "# Written by the sidecar at its start.", ...variables, `exec ${program.map(shellWord).join(" ")} "$@"`, ""].join("\n");
}

/** Somebody may be starting it: the old script or the new one. */
export async function writeLauncher(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text, { mode: 0o755 });
  await chmod(`${file}.new`, 0o755);
  await rename(`${file}.new`, file);
}
