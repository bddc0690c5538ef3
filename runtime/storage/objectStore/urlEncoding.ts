/** Paths and parameters as object stores expect them in URLs and signatures. */

/** A path or parameter part as signatures require: everything but letters, digits and `-._~` in hexadecimal. */
export function encodePart(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** Keeps slashes. */
export function encodePath(path: string): string {
  return path.split("/").map(encodePart).join("/");
}

/** `a=1&b=2`, sorted as in the signature, empty without parameters. */
export function encodeQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => [encodePart(name), encodePart(value)] as const)
    .sort(([left], [right]) => (left < right ? -1 : 1))
    .map((pair) => pair.join("="))
    .join("&");
}
