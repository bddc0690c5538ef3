/** Time zones: their names, and the clocks in them. */

/** Cached: a lookup takes half a millisecond, and a program makes several for each schedule. */
const timeZones = new Map<string, boolean>();

/** True if both systemd and this program know `timeZone`: `UTC` or an IANA name, not an offset such as `+02:00`. */
export function isTimeZone(timeZone: string): boolean {
  const known = timeZones.get(timeZone) ?? isNamedZone(timeZone);
  timeZones.set(timeZone, known);
  return known;
}

function isNamedZone(timeZone: string): boolean {
  if (!/^[A-Za-z][A-Za-z0-9_+-]*(\/[A-Za-z0-9_+-]+)*$/.test(timeZone)) return false;
  try {
    new Intl.DateTimeFormat("en", { timeZone });
    return true;
  } catch {
    return false;
  }
}

/** Minute of the day, 0 to 1439, that clocks in a zone show. */
export function minuteOfDay(timeZone: string): (atMs: number) => number {
  const format = new Intl.DateTimeFormat("en-u-nu-latn", {
    timeZone,
    hour: "2-digit",
    minute: "2-digit",
    hourCycle: "h23",
  });
  return (atMs) => {
    const parts = new Map(format.formatToParts(atMs).map(({ type, value }) => [type, Number(value)]));
    return (parts.get("hour") ?? 0) * 60 + (parts.get("minute") ?? 0);
  };
}
