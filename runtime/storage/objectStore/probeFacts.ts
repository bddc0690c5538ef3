/** What a probe finds out about any object store. */
import type { Verdict } from "../space";
import type { StorageFact } from "../storage";
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
