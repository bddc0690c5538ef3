/**
 * Markers for values that other resources have yet to produce: checks skip them, previews show them as unknown. Pure.
 */

/** The marker of value number `index`; it stands for numbers too. No user argument can look like it. */
export function unknownMarker(index: number): string {
  return `\u0000unknown:${index}\u0000`;
}

/** Also true for a text that contains a marker. */
export function isUnknown(value: unknown): boolean {
  return typeof value === "string" && value.includes("\u0000unknown:");
}

/** Stands for a secret value: never compared, shown as a word. */
export const SECRET_MARKER = "\u0000secret\u0000";

export function isSecret(value: unknown): boolean {
  return value === SECRET_MARKER;
}
