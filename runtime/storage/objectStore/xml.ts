/**
 * A reader for the few XML documents of S3 services, and a writer for the two that are sent to them.
 *
 * Supports elements, text, the five named entities, numeric ones, CDATA, comments and the declaration; skips attributes
 * and drops name space prefixes. It refuses document types: no service sends one, and their entities are the classic
 * attack. Any other malformed text is an error, because something other than an S3 service has answered.
 */
import { type BackupError, fail } from "../../base/errors";

export interface XmlElement {
  readonly name: string;
  /** The element's own text, all pieces joined. */
  readonly text: string;
  readonly children: readonly XmlElement[];
}

interface OpenElement {
  readonly name: string;
  readonly children: XmlElement[];
  text: string;
}

const DEPTH_MAX = 32;
const NAMED_ENTITIES: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };
/** A start or end tag; quoted attribute values may hold ">". */
const TAG = /<(\/?)([^\s<>/!?"'=]+)(?=[\s/>])((?:"[^"]*"|'[^']*'|[^"'<>])*)>/y;

/** The root element. @throws format unless the text is one XML document of the supported kind. */
export function parseXml(text: string): XmlElement {
  const open: OpenElement[] = [];
  let root: XmlElement | undefined;
  let position = 0;
  // Every iteration advances or throws, so the time grows with the text only.
  for (;;) {
    const at = text.indexOf("<", position);
    addText(open, decodeEntities(text.slice(position, at === -1 ? undefined : at), position), position);
    if (at === -1) break;
    if (text.startsWith("<!--", at)) position = endOf(text, "-->", at + 4);
    else if (text.startsWith("<?", at)) position = endOf(text, "?>", at + 2);
    else if (text.startsWith("<![CDATA[", at)) {
      position = endOf(text, "]]>", at + 9);
      addText(open, text.slice(at + 9, position - 3), at);
    } else if (text.startsWith("<!", at)) throw malformed("a document type", at);
    else {
      TAG.lastIndex = at;
      const [whole = "", slash = "", name = "", rest = ""] = TAG.exec(text) ?? [];
      if (whole === "") throw malformed("a '<' that begins no tag", at);
      if (slash === "") {
        if (root !== undefined) throw malformed("a second root element", at);
        if (open.length >= DEPTH_MAX) throw malformed(`more than ${DEPTH_MAX} levels`, at);
        open.push({ name: localName(name), text: "", children: [] });
      }
      if (slash !== "" || rest.endsWith("/")) root = closeElement(open, localName(name), at) ?? root;
      position = at + whole.length;
    }
  }
  if (root === undefined)
    throw malformed(open.length === 0 ? "no element" : `no end of element '${open.at(-1)?.name}'`, text.length);
  return root;
}

/** The first child of that name; undefined if absent. */
export function findChild(element: XmlElement, name: string): XmlElement | undefined {
  return element.children.find((child) => child.name === name);
}

/** Text of the first child of that name; undefined if absent. */
export function findText(element: XmlElement, name: string): string | undefined {
  return findChild(element, name)?.text;
}

/** Escapes text for use between tags. */
export function escapeXml(text: string): string {
  // XML 1.0 forbids literal characters below a space other than tab; services read the numeric form.
  return text.replace(/[&<>"'\u0000-\u0008\u000a-\u001f]/g, (character) => `&#${character.charCodeAt(0)};`);
}

function closeElement(open: OpenElement[], name: string, at: number): XmlElement | undefined {
  const element = open.pop();
  if (element === undefined || element.name !== name)
    throw malformed(`an end of '${name}' where '${element?.name ?? "nothing"}' is open`, at);
  const parent = open.at(-1);
  if (parent === undefined) return element;
  parent.children.push(element);
  return undefined;
}

function addText(open: readonly OpenElement[], piece: string, at: number): void {
  const innermost = open.at(-1);
  if (innermost !== undefined) innermost.text += piece;
  else if (piece.replace("\uFEFF", "").trim() !== "") throw malformed("text outside of the root element", at);
}

/** The position after the next `mark`. */
function endOf(text: string, mark: string, from: number): number {
  const index = text.indexOf(mark, from);
  if (index === -1) throw malformed(`no '${mark}'`, from);
  return index + mark.length;
}

function localName(name: string): string {
  return name.slice(name.indexOf(":") + 1);
}

function decodeEntities(text: string, at: number): string {
  if (!text.includes("&")) return text;
  return text.replace(
    /&(?:#x([0-9a-fA-F]{1,6})|#([0-9]{1,7})|([a-zA-Z]+));|&/g,
    (whole, hex?: string, decimal?: string, named?: string) => {
      const code =
        hex !== undefined ? Number.parseInt(hex, 16) : decimal !== undefined ? Number.parseInt(decimal, 10) : undefined;
      if (code !== undefined && code <= 0x10ffff) return String.fromCodePoint(code);
      const value = named === undefined ? undefined : NAMED_ENTITIES[named];
      if (value === undefined) throw malformed(`the unknown entity '${whole}'`, at);
      return value;
    },
  );
}

function malformed(what: string, at: number): BackupError {
  return fail("format", `the answer is not XML of an S3 service: ${what} at character ${at}`);
}
