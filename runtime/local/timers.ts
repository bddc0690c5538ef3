/** The next runs of a stanza's systemd units, from `systemctl list-timers --output=json` (systemd 248 and newer). */

export interface NextRun {
  /** `full`, `verify`: the timer's name without the common prefix. */
  readonly name: string;
  /** Null for a timer without a next run. */
  readonly nextAtS: number | null;
  /** Null when it has never run. */
  readonly lastAtS: number | null;
}

/** Arguments of `systemctl` for the timers `pgbackstop-<stanza>-*`. */
export function timerArgs(stanza: string): string[] {
  return ["list-timers", "--all", "--no-pager", "--output=json", `pgbackstop-${stanza}-*.timer`];
}

/** The next one first. Null for another format: an older systemd prints a table. */
export function parseTimers(text: string, stanza: string): NextRun[] | null {
  let rows: unknown;
  try {
    rows = JSON.parse(text);
  } catch {
    return null;
  }
  if (!Array.isArray(rows)) return null;
  const prefix = `pgbackstop-${stanza}-`;
  const runs = rows.flatMap(
    (row: { readonly unit?: unknown; readonly next?: unknown; readonly last?: unknown }): NextRun[] => {
      const { unit } = row;
      if (typeof unit !== "string" || !unit.startsWith(prefix)) return [];
      return [
        {
          name: unit.slice(prefix.length).replace(/\.timer$/, ""),
          nextAtS: secondsOf(row.next),
          lastAtS: secondsOf(row.last),
        },
      ];
    },
  );
  const rank = ({ nextAtS }: NextRun): number => nextAtS ?? Number.POSITIVE_INFINITY;
  return runs.sort((left, right) => rank(left) - rank(right) || (left.name < right.name ? -1 : 1));
}

/** Microseconds since 1970; 0 and the largest number stand for never. */
function secondsOf(microseconds: unknown): number | null {
  if (typeof microseconds !== "number" || microseconds <= 0 || microseconds >= Number.MAX_SAFE_INTEGER) return null;
  return Math.floor(microseconds / 1_000_000);
}
