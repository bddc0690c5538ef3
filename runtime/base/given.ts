/** Objects without undefined fields. Pure. */

/** The values without undefined ones, in their order. A field that is read later (a getter) stays one. */
export function given<T extends object>(values: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const fields = Object.entries(Object.getOwnPropertyDescriptors(values));
  return Object.defineProperties(
    {},
    Object.fromEntries(fields.filter(([, { get, value }]) => get !== undefined || value !== undefined)),
  );
}
