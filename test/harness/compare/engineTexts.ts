/** Reads everything that an engine stores and prints as text, so that tests can search it for secrets. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * Every file of a program folder's local backend: the current state, its copies and the history. One character is one
 * byte.
 */
export function stateTexts(folder: string): string[] {
  const state = join(folder, "state");
  return readdirSync(state, { recursive: true, encoding: "utf8" })
    .map((name) => join(state, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, "latin1"));
}

/** The error of a piece of work as text; `no error` if it succeeds. Adds the text to `printed` if that is given. */
export async function failureOf(work: Promise<unknown>, printed?: string[]): Promise<string> {
  const text = await work.then(
    () => "no error",
    (error: unknown) => String(error),
  );
  printed?.push(text);
  return text;
}
