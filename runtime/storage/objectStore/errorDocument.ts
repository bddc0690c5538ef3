/** The XML document with which S3 services and Azure explain a refusal. */
import { findText, parseXml, type XmlElement } from "./xml";

const MESSAGE_LENGTH_MAX = 300;

/** Null for any other text. */
export function findError(body: string): XmlElement | null {
  const element = parseOrNull(body);
  return element?.name === "Error" ? element : null;
}

export function errorFacts(element: XmlElement): { readonly code: string; readonly message: string } {
  const message = (findText(element, "Message") ?? "").replace(/\s+/g, " ").trim();
  const shown = message.length > MESSAGE_LENGTH_MAX ? `${message.slice(0, MESSAGE_LENGTH_MAX)}…` : message;
  return { code: (findText(element, "Code") ?? "").trim(), message: shown };
}

function parseOrNull(body: string): XmlElement | null {
  try {
    return parseXml(body);
  } catch {
    return null;
  }
}
