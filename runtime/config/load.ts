/** From the command line, the environment and the files to one checked {@link Config}. Pure: everything is passed in. */
import { fail } from "../base/errors";
import type { Config } from "./types";

export interface LoadInput {
  /** Words after the program's name. */
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Null when the file is missing. */
  readonly readFile: (path: string) => string | null;
  /** Names in a directory; empty when it is missing. */
  readonly listDirectory: (path: string) => readonly string[];
}

export interface Loaded {
  readonly config: Config;
  /** For the log of the caller, in the order found; a HINT follows on a line of its own. */
  readonly warnings: readonly string[];
}

/** @throws BackupError: config, commandRequired, commandInvalid, optionInvalid, optionInvalidValue, optionRequired, paramInvalid, fileMissing, featureNotSupported. */
export function loadConfig(input: LoadInput): Loaded {
  throw fail("featureNotSupported", `unable to load a configuration for ${input.argv.length} words`);
}
