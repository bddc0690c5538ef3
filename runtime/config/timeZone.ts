/** Names of time zones. */

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
