/** Markers for values that other resources have yet to produce: checks leave them alone, previews show them as unknown. Pure. */

const PATTERN = /\u0000unknown:[0-9]+\u0000/g;

/** The marker of the value number `index`; stands for numbers too. No argument of a user can look like it. */
export function unknownMarker(index: number): string {
  return `\u0000unknown:${index}\u0000`;
}

/** True for a value that is, or is made of, something not known yet. */
export function isUnknown(value: unknown): boolean {
  return typeof value === "string" && value.includes("\u0000unknown:");
}

/** The different markers in a text, in their order. */
export function unknownMarkers(text: string): string[] {
  return [...new Set(text.match(PATTERN) ?? [])];
}

/** Stands for a value that is secret: it is compared with nothing and shown as a word. */
export const SECRET_MARKER = "\u0000secret\u0000";

/** True for a value that is secret. */
export function isSecret(value: unknown): boolean {
  return value === SECRET_MARKER;
}
