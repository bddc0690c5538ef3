/** A host's units: pure data, which converging installs. */
import { SMALL_ALLOCATOR } from "../../../runtime/base/limits";
import { fields } from "../../plan/model/deferred";
import { madeFile, type RenderedFile } from "../host/renderedFile";

export interface Unit {
  /** With its ending: `pgbackstop-main-full.timer`. */
  readonly name: string;
  /** Deferred if it reads a deferred value. */
  readonly text: string;
  /**
   * An update enables, starts and monitors it: timers and sockets, which start the services, and services that a boot
   * starts.
   */
  readonly enabled: boolean;
  /**
   * A service that keeps program and configuration in memory: a running one restarts when these or its own file
   * changed. Requests wait in the meantime at its socket.
   */
  readonly restarted: boolean;
}

/** `pgbackstop-main-full`: a stanza's unit, without the ending. */
export function unitName(stanza: string, purpose: string): string {
  return `pgbackstop-${stanza}-${purpose}`;
}

/** @param name with its ending */
export function madeUnit(
  name: string,
  text: () => string,
  { enabled = false, restarted = false }: Partial<Pick<Unit, "enabled" | "restarted">> = {},
): Unit {
  return fields({ name: () => name, text, enabled: () => enabled, restarted: () => restarted });
}

export function unitFile(directory: string, unit: Unit): RenderedFile {
  return madeFile(`${directory}/${unit.name}`, ["0644", "admin"], () => unit.text);
}

/** First line of every unit. */
export const UNIT_HEAD = "# Written by pgbackstop: changes made here by hand are undone by the next update.";

/** Without them, each thread of a backup would keep the memory that it has used. */
export const ALLOCATOR_VARIABLES = Object.entries(SMALL_ALLOCATOR).map(([name, value]) => `${name}=${value}`);
export const ALLOCATOR_LINES = ALLOCATOR_VARIABLES.map((variable) => `Environment=${variable}`);

export function unitText(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
