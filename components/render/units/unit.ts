/** A host's units: pure data, which converging installs. */
import type { RenderedFile } from "../host/renderedFile";

/** One unit of systemd. Everything but its text follows from plain arguments alone. */
export interface Unit {
  /** With its ending: `pgbackstop-main-full.timer`. */
  readonly name: string;
  readonly text: string;
  /** True if the text may need late values. */
  readonly deferred: boolean;
  /**
   * An update enables, starts and monitors it: timers and sockets, which start the services, and services that a boot
   * starts.
   */
  readonly enabled: boolean;
  /**
   * A service that keeps program and configuration in memory: a running one restarts when these or its own file
   * changed. Requests meanwhile wait at its socket.
   */
  readonly restarted: boolean;
}

/** `pgbackstop-main-full`: a stanza's unit, without the ending. */
export function unitName(stanza: string, purpose: string): string {
  return `pgbackstop-${stanza}-${purpose}`;
}

/** A unit's file. */
export function unitFile(directory: string, unit: Unit): RenderedFile & { readonly deferred: boolean } {
  return { path: `${directory}/${unit.name}`, mode: "0644", owner: "admin", text: unit.text, deferred: unit.deferred };
}

/** First line of every unit. */
export const UNIT_HEAD = "# Written by pgbackstop: changes made here by hand are undone by the next update.";

export function unitText(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
