/** The section `## Rooms` of docs/architecture.md: the picture and a line for each room, from the import table. */

export interface DocumentedFolder {
  readonly prefix: string;
  readonly about: string;
  readonly mayImport: readonly string[];
}

/** Rooms in the picture; the others may import nearly everything. */
const DRAWN = /^(runtime|components)\b/;

export function renderFolders(folders: readonly DocumentedFolder[]): string {
  const drawn = folders.filter(({ prefix }) => DRAWN.test(prefix));
  return [
    "An arrow leads from a room to one that it may import.",
    "Arrows that follow from others are omitted.",
    "A dotted arrow opens single files.",
    "`tools/foldersDoc.ts` makes this section from the table in `test/tidy/imports.ts` (`npx vitest run test/tidy -u` writes it).",
    "`npm run check` compares both with the code.",
    "",
    "```mermaid",
    "flowchart TD",
    ...drawn.map(({ prefix }) => `  ${idOf(prefix)}["${prefix}"]`),
    ...arrowsOf(drawn).map(({ from, isWhole, to }) => `  ${idOf(from)} ${isWhole ? "-->" : "-.->"} ${idOf(to)}`),
    "```",
    "",
    "| room | what it is for |",
    "| --- | --- |",
    ...folders.map(({ about, prefix }) => `| \`${prefix}\` | ${about} |`),
    "",
  ].join("\n");
}

/** The page with a regenerated section `## Rooms`. */
export function withFolders(page: string, folders: readonly DocumentedFolder[]): string {
  return page.replace(/^## Rooms\n\n[\s\S]*?(?=\n## |(?![\s\S]))/m, () => `## Rooms\n\n${renderFolders(folders)}`);
}

interface Arrow {
  readonly from: string;
  readonly to: string;
  /** False if only files of the room may be imported. */
  readonly isWhole: boolean;
}

function arrowsOf(folders: readonly DocumentedFolder[]): readonly Arrow[] {
  const prefixes = folders.map(({ prefix }) => prefix);
  const arrows = folders.flatMap(({ mayImport, prefix }) =>
    [prefix, ...mayImport].flatMap((entry) => openedBy(entry, prefix, prefixes)),
  );
  const reaches = (from: string, to: string, seen: readonly string[] = []): boolean =>
    arrows.some(
      (arrow) =>
        arrow.isWhole &&
        arrow.from === from &&
        !seen.includes(arrow.to) &&
        (arrow.to === to || reaches(arrow.to, to, [...seen, from])),
    );
  const isImplied = ({ from, isWhole, to }: Arrow): boolean =>
    arrows.some(
      (other) => other.isWhole && other.from === from && (other.to === to ? !isWhole : reaches(other.to, to)),
    );
  const shown = arrows.filter((arrow) => !isImplied(arrow)).map((arrow) => [JSON.stringify(arrow), arrow] as const);
  return [...new Map(shown).values()];
}

/**
 * The rooms that a table entry opens: those below it, else the one that contains it. A room also opens those below
 * itself.
 */
function openedBy(entry: string, from: string, prefixes: readonly string[]): readonly Arrow[] {
  const others = prefixes.filter((prefix) => prefix !== from);
  const below = others.filter((prefix) => `${prefix}/`.startsWith(`${entry}/`));
  if (below.length > 0 || entry === from) return below.map((to) => ({ from, to, isWhole: true }));
  const [around] = others.filter((prefix) => entry.startsWith(`${prefix}/`)).sort((a, b) => b.length - a.length);
  return around === undefined ? [] : [{ from, to: around, isWhole: false }];
}

function idOf(prefix: string): string {
  return prefix.replaceAll("/", "_");
}
