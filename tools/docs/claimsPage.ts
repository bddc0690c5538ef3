/** docs/internals/claims.md, from the `// claim:` comments of the tests. */
import { type Claim, joinClaims, readAnnotations } from "./claims";
import { document, sentence } from "./markdown";

const WIDTH = 120;

export function renderClaims(): string {
  return document(
    "# Claims",
    "",
    "What README and docs promise, and the tests that show it.",
    "`npm run docs -- --all` makes this page from the `// claim:` comments of the tests ([how](../../CONTRIBUTING.md#claims)).",
    "In each file the comment stands above the test. Parentheses name doubles and limits.",
    'Only `npm test -- --nightly` runs what is marked "nightly".',
    ...renderPages(joinClaims(readAnnotations())),
  );
}

export function renderPages(claims: readonly Claim[]): string[] {
  const pages = [...new Set(claims.flatMap((claim) => claim.pages))].sort();
  return pages.flatMap((page) => [
    "",
    `## ${page}`,
    "",
    ...claims.filter((claim) => claim.pages.includes(page)).flatMap(renderClaim),
  ]);
}

function renderClaim({ text, shownBy }: Claim): string[] {
  const paths = [...new Set(shownBy.map(({ path }) => path))].map((path) => {
    const isNightly = shownBy.every((one) => one.path !== path || one.nightly);
    return isNightly ? `\`${path}\` (nightly)` : `\`${path}\``;
  });
  return [...wrap("- ", sentence(text)), ...wrap("  ", paths.join(", "))];
}

/** Lines of at most 120 characters, the first one after `mark`. */
function wrap(mark: string, text: string): string[] {
  const [first = "", ...parts] = text.split(" ");
  const lines: string[] = [];
  let line = `${mark}${first}`;
  for (const part of parts) {
    if (line.length + 1 + part.length <= WIDTH) line = `${line} ${part}`;
    else {
      lines.push(line);
      line = `${" ".repeat(mark.length)}${part}`;
    }
  }
  return [...lines, line];
}
