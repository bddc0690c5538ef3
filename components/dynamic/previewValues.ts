/** Values that a preview does not know yet, as the engine passes them to the dynamic provider's process. */

/** The engine's marker of an unknown value of any type, at any depth; the SDK does not export it. */
export const UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

export function isUnknown(value: unknown): boolean {
  return value === UNKNOWN;
}

/** True if the value is or contains an unknown one. */
export function hasUnknown(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return isUnknown(value);
  return Object.entries(value).some(([name, item]) => name !== "__provider" && hasUnknown(item));
}
