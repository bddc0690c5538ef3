/** What a probe finds out about any object store. */
import { type Clock, timeText } from "../../base/clock";
import { fail } from "../../base/errors";
import type { Verdict } from "../space";
import type { StorageFact } from "../storage";
import { eachPage } from "./pages";
import { headerOf, readText, type StoreHttp, type StoreRequest } from "./storeHttp";
import type { RequestFacts } from "./transportFailure";

/** Statuses of a request that the key may not make. */
export const DENIED = [401, 403];

/** What a probe of any store needs. */
export interface StoreProbe {
  /** Key prefix of the directory for probes, without a slash at the end. */
  readonly prefix: string;
  /** `s3://bucket/prefix` for messages. */
  readonly name: string;
  /** Target of connections. */
  readonly origin: string;
  readonly verifyTls: boolean;
  readonly repoIndex: number;
  readonly clock: Clock;
}

/** Signed requests are refused beyond 15 minutes (Amazon S3, "RequestTimeTooSkewed"; Azure, "Authorize requests"). */
const SKEW_SECONDS_MAX = 900;
const SKEW_SECONDS_GOOD = 60;

export function tlsFact({ origin, verifyTls }: Pick<StoreProbe, "origin" | "verifyTls">): StorageFact {
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
export async function probeClock(
  { clock, http }: { readonly clock: Clock; readonly http: StoreHttp<RequestFacts> },
  request: StoreRequest,
  rule = `which refuses requests at ${SKEW_SECONDS_MAX} s or more`,
): Promise<Verdict> {
  const { headers } = await http.exchange(request, async (answer) => {
    await readText(answer);
    return answer;
  });
  const served = Date.parse(headerOf({ headers }, "date") ?? "");
  if (Number.isNaN(served)) return { verdict: "skip", text: "the service reports no time" };
  const seconds = Math.round(Math.abs(served - clock.nowMs()) / 1000);
  const text = `${seconds} s apart from the service, ${rule}`;
  return { verdict: seconds > SKEW_SECONDS_MAX ? "fail" : seconds > SKEW_SECONDS_GOOD ? "warn" : "ok", text };
}

/** A version that a service did not delete when it was asked to. */
export interface Refusal {
  /** Asks to delete a version of an object that does not exist; the status of the answer. */
  destroyMissing(): Promise<number>;
  /** Ends of the locks that the refused versions show. */
  readonly locks: readonly (number | undefined)[];
  readonly nowMs: number;
}

/**
 * What a refused deletion proves. A key without the right is refused also where nothing is locked; a lock of the
 * version stays with it. A rule of the bucket is no proof: it ends, or somebody changes it.
 */
export async function judgeRefusal({ destroyMissing, locks, nowMs }: Refusal): Promise<Verdict> {
  if (DENIED.includes(await destroyMissing()))
    return { verdict: "ok", text: "versions are kept, and this key has no right to delete them" };
  const untilMs = Math.min(...locks.map((lock) => lock ?? 0));
  if (untilMs <= nowMs) return { verdict: "fail", text: UNPROVEN };
  const until = timeText(Math.floor(untilMs / 1000));
  const text = `this key may delete versions, but new ones show a lock until ${until}`;
  return { verdict: "ok", text, lockedForMs: untilMs - nowMs };
}

const UNPROVEN =
  "this key may delete versions: only a rule of the bucket refuses it now, and the versions show no lock of their own, so a thief waits or changes the rule; use a key without that right, or lock each version and let the key read locks";

/** Facts of `doctor` name a danger, and do not fail it. */
export function asDanger(fact: Verdict): Verdict {
  return fact.verdict === "fail" ? { ...fact, verdict: "warn" } : fact;
}

/** Path of an object that no probe and no attack writes. */
export const NEVER_WRITTEN = "never-written";

interface ListingProbe<P> {
  /** Stores an object, at this path in the probe's directory. */
  put(path: string): Promise<unknown>;
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
    // More pages than there are objects show nothing more.
    if (++pageCount > PAGE_OBJECTS) break;
  }
  if (seen.size === PAGE_OBJECTS) return { verdict: "ok", text: `${PAGE_OBJECTS} ${title} in ${pageCount} pages` };
  const fact = `${seen.size} of ${PAGE_OBJECTS} ${title} are listed in ${pageCount} pages of ${PAGE_SIZE}`;
  throw fail("service", fact, { repoIndex });
}
