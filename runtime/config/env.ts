/**
 * Options from the environment: `PGBACKREST_REPO1_S3_KEY` is `repo1-s3-key`. Lists and hashes are split at `:`. Unknown
 * names only warn, and options that the command does not use are skipped, as in stock. Messages never contain a
 * variable's value.
 */
import { fail } from "../base/errors";
import { type Entries, entryId, isMultiple } from "./entry";
import type { CommandName } from "./commands";
import { findOption, type NamedOption } from "./optionName";
import { ifUnused } from "./unused";

const PREFIX = "PGBACKREST_";

/** Adds the environment's options to `entries`, without replacing any. @throws optionInvalid, optionInvalidValue */
export function addEnvironment(
  entries: Entries,
  env: Readonly<Record<string, string | undefined>>,
  command: CommandName,
  warn: (text: string) => void,
): void {
  for (const variable of Object.keys(env).sort()) {
    const value = env[variable];
    if (!variable.startsWith(PREFIX) || value === undefined) continue;
    const name = variable.slice(PREFIX.length).toLowerCase().replaceAll("_", "-");
    const option = findOption(name);
    if (option === null || option.negate || option.reset) {
      const kind = option === null ? "" : option.negate ? "negate " : "reset ";
      warn(`environment contains invalid ${kind}option '${name}'`);
      continue;
    }
    // As stock. Kubernetes sets variables for each Service: PGBACKREST_PORT for one that is named pgbackrest.
    if (!option.row.commands.includes(command)) continue;
    ifUnused({ command, source: "environment", warn }, option.row, () =>
      addVariable(entries, option, variable, name, value),
    );
  }
}

function addVariable(entries: Entries, { key, row }: NamedOption, variable: string, name: string, value: string): void {
  if (value === "")
    throw fail("optionInvalidValue", `environment variable '${name}' must have a value`, {
      hint: `set or unset ${variable}.`,
    });
  const id = entryId(row, key);
  if (entries.has(id)) return;
  if (row.type === "boolean" && value !== "y" && value !== "n") {
    throw fail("optionInvalidValue", `environment boolean option '${name}' must be 'y' or 'n'`, {
      hint: `correct ${variable}.`,
    });
  }
  entries.set(id, {
    row,
    key,
    texts: isMultiple(row) ? value.split(":") : [value],
    negate: false,
    reset: false,
    source: "environment",
    origin: `the value comes from the environment variable ${variable}.`,
  });
}
