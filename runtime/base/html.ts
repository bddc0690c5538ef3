/** Text for HTML and SVG pages. */

/** Removes control characters and those that change the text direction. */
export function oneLine(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text
    .replace(/\s+/g, " ")
    .replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, "�");
}

/** Escapes text for XML and HTML. */
export function escapeText(text: string): string {
  return oneLine(text)
    .replace(/&/g, "&amp;")
    .replace(/</g, "&lt;")
    .replace(/>/g, "&gt;")
    .replace(/"/g, "&quot;")
    .replace(/'/g, "&#39;");
}

/** A self-contained document: no network, no script. @param title plain text; the others are markup */
export function renderDocument({
  main,
  style,
  title,
}: { readonly [Part in "main" | "style" | "title"]: string }): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${escapeText(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
${main}
</main>
</body>
</html>
`;
}

const LIGHT =
  "--ground:#ffffff;--box:#f6f8fa;--ink:#1f2328;--dim:#4b535d;--line:#8c959f;--weak:#b3261e;--strong:#1a7f37;--open:#7d4e00";
const DARK =
  "--ground:#0d1117;--box:#161b22;--ink:#e6edf3;--dim:#a9b4c0;--line:#6e7681;--weak:#ff7b72;--strong:#56d364;--open:#e3b341";

/** Colours of every page: light and dark, and light on paper. */
export const PAGE_COLOURS = `:root{${LIGHT};color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{${DARK}}}
@media print{:root{${LIGHT}}}
`;
