/** What an engine keeps and says, as texts: for looking into them for what must not be there. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * Everything that the local backend of a program folder keeps: the present state, its copies and the history. Bytes are
 * characters.
 */
export function stateTexts(folder: string): string[] {
  const state = join(folder, "state");
  return readdirSync(state, { recursive: true, encoding: "utf8" })
    .map((name) => join(state, name))
    .filter((path) => statSync(path).isFile())
    .map((path) => readFileSync(path, "latin1"));
}

/**
 * What a piece of work fails with, as text; `no error` when it does not. Also put into `printed`, where that is given.
 */
export async function failureOf(work: Promise<unknown>, printed?: string[]): Promise<string> {
  const text = await work.then(
    () => "no error",
    (error: unknown) => String(error),
  );
  printed?.push(text);
  return text;
}
