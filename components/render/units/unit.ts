/** What a host's units are: pure data, which converging brings to systemd. */
import type { RenderedFile } from "../host/renderedFile";

/** One unit of systemd. Everything but its text follows from plain arguments alone. */
export interface Unit {
  /** With its ending: `pgbackstop-main-full.timer`. */
  readonly name: string;
  readonly text: string;
  /** True where the text may have to wait for values of other resources. */
  readonly late: boolean;
  /** Enabled and started by an update, and looked after: timers and sockets. Services are started by those. */
  readonly enabled: boolean;
  /**
   * A service that holds program and configuration in memory: restarted, if it runs, when one of them or its own file changed. What wants
   * something of it meanwhile waits at its socket.
   */
  readonly restarted: boolean;
}

/** `pgbackstop-main-full`: the name of what belongs to a stanza, without the ending. */
export function unitName(stanza: string, purpose: string): string {
  return `pgbackstop-${stanza}-${purpose}`;
}

/** The file that a unit is. */
export function unitFile(directory: string, unit: Unit): RenderedFile & { readonly late: boolean } {
  return { path: `${directory}/${unit.name}`, mode: "0644", owner: "admin", text: unit.text, late: unit.late };
}

/** First line of every unit. */
export const UNIT_HEAD = "# Written by pgbackstop: changes made here by hand are undone by the next update.";

export function unitText(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}
