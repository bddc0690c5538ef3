/**
 * Text of a repository for a terminal or a log. Names, annotations and errors may hold what any writer of the
 * repository chose: control characters would move the cursor, colour, or hide lines. They become `\u001b`, which is
 * also their form in JSON.
 */
const CONTROL = /[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Keeps line ends and tabs. */
export function printable(text: string): string {
  return text.replace(CONTROL, escaped);
}

/** For a value within a line: a line end would forge a line. */
export function printableValue(text: string): string {
  return printable(text).replace(/\n/g, "\\n");
}

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
