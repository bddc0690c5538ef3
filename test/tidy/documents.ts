/** Rules for Markdown: one title, working links and anchors, and citations of existing sections. */
import type { TextFile } from "./sources";

/** @param read returns a project file's text, "" for a folder, null if the path is missing */
export function checkDocument(file: TextFile, read: (path: string) => string | null): string[] {
  const lines = withoutFences(file.text).split("\n");
  const titles = lines.filter((line) => /^# \S/.test(line)).length;
  const result = titles === 1 ? [] : [`${file.path}: ${titles} titles instead of one`];
  if (!/^# \S/.test(lines[0] ?? "")) result.push(`${file.path}: the first line is not its title`);
  for (const match of withoutCode(lines.join("\n")).matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)/g)) {
    const [, link = "", anchor] = match;
    const target = link === "" ? file.path : resolve(file.path, link);
    const text = link === "" ? file.text : read(target);
    if (text === null) result.push(`${file.path}: the link to ${link} leads nowhere`);
    else if (anchor !== undefined && !anchorsOf(text).has(anchor))
      result.push(`${file.path}: ${target} has no heading #${anchor}`);
  }
  return result;
}

/** Sections of the format's specification that `file` cites and `specification` lacks. */
export function checkCitations(file: TextFile, specification: string): string[] {
  const sections = new Set([...specification.matchAll(/^#{2,3} (\d+(?:\.\d+)?)\.? /gm)].map(([, number]) => number));
  const flat = file.text.replace(/\s*\n\s*(?:\*(?!\/)|\/\/)?\s*/g, " ");
  return [...flat.matchAll(/"pgbackrest-format",? (\d+(?:\.\d+)?(?:(?:, | and )\d+(?:\.\d+)?)*)/g)].flatMap(
    ([, list = ""]) =>
      list
        .split(/, | and /)
        .filter((number) => !sections.has(number))
        .map((number) => `${file.path}: "pgbackrest-format" has no section ${number}`),
  );
}

/** Anchors that GitHub generates for headings. */
function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  for (const [, heading = ""] of withoutFences(text).matchAll(/^#{1,6} (.+)$/gm)) {
    const args = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
    const anchor = args.replace(/[^\p{L}\p{N}\p{M} _-]/gu, "").replaceAll(" ", "-");
    let unique = anchor;
    for (let count = 1; anchors.has(unique); count += 1) unique = `${anchor}-${count}`;
    anchors.add(unique);
  }
  return anchors;
}

function resolve(from: string, link: string): string {
  const folder = from.split("/").slice(0, -1).join("/");
  return decodeURI(new URL(link, `file:///${folder === "" ? "" : `${folder}/`}`).pathname.slice(1));
}

function withoutFences(text: string): string {
  return text.replace(/^(```|~~~)[\s\S]*?^\1\s*$/gm, (block) => block.replace(/[^\n]+/g, ""));
}

/** Removes inline code, which may look like a link. */
function withoutCode(text: string): string {
  return text.replace(/`[^`\n]*`/g, "``");
}
