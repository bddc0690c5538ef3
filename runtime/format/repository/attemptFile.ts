/**
 * `pgbackstop.attempt` in the directory of an unlisted backup: the process that may write there, and the server that it
 * copies.
 *
 * Token and term are those of the lease at the start of the attempt. pgBackRest does not know the file: its resume
 * removes it with everything else that its manifest does not name, and its other commands ignore it
 * (test/interop/backup/backupResume.test.ts).
 */
import { isFields } from "../../base/declaredTypes";
import { fail } from "../../base/errors";
import { type JsonObject, type JsonValue, parseJson, renderJson } from "./json";

/** One data directory on one machine. */
export interface SourceDirectory {
  readonly dataDirectory: string;
  /** Device, inode and birth of `global/pg_control`: a restored or copied server has a new one. */
  readonly controlFile: string;
}

/** Two attempts with the same source read the same files, so equal sizes and times mean equal bytes. */
export interface SourceIdentity extends SourceDirectory {
  readonly systemId: bigint;
  readonly timeline: number;
  /** The source of relations when a standby shares the work. */
  readonly standby: SourceDirectory | null;
}

export interface Attempt {
  readonly token: string;
  readonly term: number;
  /** Lock files of one machine exclude two attempts of one domain. */
  readonly domain: string;
  /** Null when the bytes come from another repository. */
  readonly source: SourceIdentity | null;
}

const VERSION = 1;

/** Takes the attempt's place if it cannot be removed: its backup is listed, and no process writes there any more. */
export const LISTED_ATTEMPT = `${renderJson({ version: VERSION, listed: true })}\n`;

export function renderAttempt({ token, term, domain, source }: Attempt): string {
  return `${renderJson({ version: VERSION, token, term, domain, source: source === null ? null : sourceJson(source) })}\n`;
}

/** @throws format (29), jsonFormat (99) */
export function parseAttempt(text: string, name: string): Attempt {
  const value = parseJson(text);
  if (!isFields(value) || value["version"] !== VERSION)
    throw fail("format", `'${name}' is not an attempt file of version ${VERSION}`);
  const { token, term, domain, source } = value;
  if (typeof token !== "string" || !isInteger(term) || typeof domain !== "string")
    throw fail("format", `'${name}' lacks token, term or domain`);
  return { token, term, domain, source: isFields(source) ? parseSource(source, name) : null };
}

/**
 * True when both read the same server, so that equal sizes and times mean equal bytes. An unknown server equals none,
 * and a standby's bytes may be older than the primary's times say.
 */
export function isSameSource(left: SourceIdentity | null, right: SourceIdentity | null): boolean {
  return (
    left !== null &&
    right !== null &&
    right.standby === null &&
    renderJson(sourceJson(left)) === renderJson(sourceJson(right))
  );
}

function sourceJson({ systemId, timeline, standby, ...directory }: SourceIdentity): JsonObject {
  return { systemId, timeline, ...directoryJson(directory), standby: standby === null ? null : directoryJson(standby) };
}

function directoryJson({ dataDirectory, controlFile }: SourceDirectory): JsonObject {
  return { dataDirectory, controlFile };
}

function parseSource(value: JsonObject, name: string): SourceIdentity {
  const { systemId, timeline, standby } = value;
  if ((typeof systemId !== "bigint" && !isInteger(systemId)) || !isInteger(timeline)) {
    throw fail("format", `the source in '${name}' lacks system id or timeline`);
  }
  return {
    systemId: BigInt(systemId),
    timeline,
    ...parseDirectory(value, name),
    standby: isFields(standby) ? parseDirectory(standby, name) : null,
  };
}

function parseDirectory(
  { dataDirectory, controlFile }: { readonly [key: string]: JsonValue },
  name: string,
): SourceDirectory {
  if (typeof dataDirectory !== "string" || typeof controlFile !== "string")
    throw fail("format", `a directory in '${name}' lacks its path or control file`);
  return { dataDirectory, controlFile };
}

function isInteger(value: JsonValue | undefined): value is number {
  return Number.isSafeInteger(value);
}
