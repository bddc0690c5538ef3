/** Files, directories and environment in memory for loadConfig, and its errors as text. */
import { type Loaded, loadConfig, type LoadInput } from "../../../runtime/config/load";
import { BackupError } from "../../../runtime/base/errors";

export interface Machine {
  readonly argv?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  readonly providers?: readonly string[];
  readonly fileAccount?: LoadInput["fileAccount"];
}

export const MAIN_FILE = "/etc/pgbackrest/pgbackrest.conf";

export function load(machine: Machine): Loaded {
  const files = machine.files ?? {};
  return loadConfig({
    argv: machine.argv ?? [],
    env: machine.env ?? {},
    readFile: (path) => files[path] ?? null,
    listDirectory: (path) => namesIn(files, path),
    ...(machine.providers === undefined ? {} : { providers: machine.providers }),
    ...(machine.fileAccount === undefined ? {} : { fileAccount: machine.fileAccount }),
  });
}

/** Null without a file below the directory. */
export function namesIn(files: Readonly<Record<string, string>>, path: string): readonly string[] | null {
  const below = Object.keys(files).filter((name) => name.startsWith(`${path}/`));
  return below.length === 0 ? null : below.map((name) => name.slice(path.length + 1));
}

/** The error as `kind: message`, and one line per hint. */
export function failure(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (!(error instanceof BackupError)) throw error;
    return [`${error.kind}: ${error.message}`, ...error.hints.map((hint) => `HINT: ${hint}`)].join("\n");
  }
  return "no error";
}
