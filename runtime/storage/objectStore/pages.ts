/** Pages of a listing, one after the other. */
import { fail } from "../../base/errors";

/** 100 million objects: a server with more pages repeats itself. */
const PAGES_MAX = 100_000;

/** `ask` gets what the page before says of the next one; null for the first. @throws service if they do not end */
export async function* eachPage<P extends { readonly next: object | null }>(
  ask: (next: P["next"] | null) => Promise<P>,
  { doing, repoIndex }: { readonly doing: string; readonly repoIndex: number },
): AsyncIterable<P> {
  let next: P["next"] | null = null;
  for (let pageCount = 0; pageCount < PAGES_MAX; pageCount++) {
    const page: P = await ask(next);
    yield page;
    if (page.next === null) return;
    if (JSON.stringify(page.next) === JSON.stringify(next)) break;
    next = page.next;
  }
  throw fail("service", `unable to ${doing}: the listing does not end`, { repoIndex });
}
