/** Helpers that write the pages of docs/reference. */

export function document(...texts: readonly string[]): string {
  return `${texts.join("\n")}\n`;
}

/** A table; bars in cells are escaped and line ends become spaces. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replace(/\s+/g, " ").trim().replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(head), `| ${head.map(() => "---").join(" | ")} |`, ...rows.map(line)].join("\n");
}

/** As a sentence: the program's tables have no capital and no full stop. */
export function sentence(text: string): string {
  const first = /^[a-z]/.test(text) ? `${text.slice(0, 1).toUpperCase()}${text.slice(1)}` : text;
  return /[.…!?]$/.test(first) ? first : `${first}.`;
}
