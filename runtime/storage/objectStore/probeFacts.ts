/** What a probe finds out about any object store. */
import { fail } from "../../base/errors";
import type { Verdict } from "../space";
import type { StorageFact } from "../storage";
import { eachPage } from "./pages";
import { headerOf, type StoreAnswer } from "./storeHttp";

/** Signed requests are refused beyond 15 minutes (Amazon S3, "RequestTimeTooSkewed"; Azure, "Authorize requests"). */
const SKEW_SECONDS_MAX = 900;
const SKEW_SECONDS_GOOD = 60;

/** `origin` is the target of connections. */
export function tlsFact(origin: string, verifyTls: boolean): StorageFact {
  if (!origin.startsWith("https:")) {
    const text = "the endpoint is http: anyone on the network can read and change the data; use an https endpoint";
    return { name: "tls", verdict: "warn", text };
  }
  return verifyTls
    ? { name: "tls", verdict: "ok", text: "the certificate is checked" }
    : {
        name: "tls",
        verdict: "warn",
        text: "the certificate is not checked: anyone on the network can read and change the data",
      };
}

/** Compares the time of an answer with this machine's. `rule` says what the service does about a difference. */
export function clockVerdict(
  answer: Pick<StoreAnswer, "headers">,
  nowMs: number,
  rule = `which refuses requests at ${SKEW_SECONDS_MAX} s or more`,
): Verdict {
  const served = Date.parse(headerOf(answer, "date") ?? "");
  if (Number.isNaN(served)) return { verdict: "skip", text: "the service reports no time" };
  const seconds = Math.round(Math.abs(served - nowMs) / 1000);
  const text = `${seconds} s apart from the service, ${rule}`;
  return { verdict: seconds > SKEW_SECONDS_MAX ? "fail" : seconds > SKEW_SECONDS_GOOD ? "warn" : "ok", text };
}

interface ListingProbe<P> {
  /** Stores an object, at this path in the probe's directory. */
  put(path: string): Promise<void>;
  /** A page of `pageSize` objects below `page/` of that directory. */
  ask(
    next: P | null,
    pageSize: number,
  ): Promise<{
    readonly objects: readonly { readonly key: string }[];
    readonly next: P | null;
  }>;
  readonly doing: string;
  readonly repoIndex: number;
  /** What the service calls objects. */
  readonly title: string;
}

const PAGE_OBJECTS = 5;
const PAGE_SIZE = 2;

/** Whether a listing of several pages shows each object. @throws service */
export async function probePages<P extends object>(probe: ListingProbe<P>): Promise<Verdict> {
  const { doing, repoIndex, title } = probe;
  for (let index = 0; index < PAGE_OBJECTS; index++) await probe.put(`page/${index}`);
  const seen = new Set<string>();
  let pageCount = 0;
  for await (const { objects } of eachPage((next: P | null) => probe.ask(next, PAGE_SIZE), { doing, repoIndex })) {
    for (const { key } of objects) seen.add(key);
    pageCount++;
  }
  if (seen.size === PAGE_OBJECTS) return { verdict: "ok", text: `${PAGE_OBJECTS} ${title} in ${pageCount} pages` };
  const fact = `${seen.size} of ${PAGE_OBJECTS} ${title} are listed in ${pageCount} pages of ${PAGE_SIZE}`;
  throw fail("service", fact, { repoIndex });
}
