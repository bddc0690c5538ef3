/** Objects without undefined fields: Kubernetes, files and states do not have them. Pure. */

/** The values without undefined ones, in their order. A late one (deferred.ts) stays late. */
export function given<T extends object>(values: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const fields = Object.entries(Object.getOwnPropertyDescriptors(values));
  return Object.defineProperties(
    {},
    Object.fromEntries(fields.filter(([, { get, value }]) => get !== undefined || value !== undefined)),
  );
}
