/**
 * `/report` and `/report.json` of the agent and of a cluster's sidecar: the page of the verb `report` behind a
 * password, which a browser asks for. A page is made at most once a minute, however many ask.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { Clock } from "../../base/clock";
import { fail } from "../../base/errors";
import type { HttpAnswer, HttpRequest } from "../../web/httpServer";
import type { ReportFile } from "./reportFields";
import { judgeReport, NOTHING_EXPECTED } from "./judgeReport";
import { renderReportPage } from "./reportPage";

const KEPT_MS = 60_000;
const PASSWORD_LENGTH_MIN = 16;
/** The page runs nothing and asks for nothing. */
const SAFE = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

export class ReportAnswer {
  readonly #make: () => Promise<ReportFile>;
  readonly #password: Buffer;
  readonly #clock: Pick<Clock, "nowMs">;
  #made: { readonly atMs: number; readonly document: Promise<ReportFile> } | null = null;

  /** @throws optionInvalidValue (32) for a password that somebody could guess */
  constructor(make: () => Promise<ReportFile>, password: string, clock: Pick<Clock, "nowMs">) {
    if (password.length < PASSWORD_LENGTH_MIN)
      throw fail("optionInvalidValue", `the password of the report has fewer than ${PASSWORD_LENGTH_MIN} characters`, {
        hint: "Make one: openssl rand -hex 16.",
      });
    this.#make = make;
    this.#password = digest(password);
    this.#clock = clock;
  }

  /** Null for another path or method. @throws what hinders the report */
  async to({ authorization, method, path }: HttpRequest): Promise<HttpAnswer | null> {
    if (method !== "GET" || (path !== "/report" && path !== "/report.json")) return null;
    if (!timingSafeEqual(digest(passwordIn(authorization)), this.#password))
      return {
        status: 401,
        headers: { "www-authenticate": 'Basic realm="pgbackstop", charset="UTF-8"' },
        text: "give any name, and the password of the report\n",
      };
    const document = await this.#document();
    return path === "/report"
      ? {
          status: 200,
          headers: { ...SAFE, "content-type": "text/html; charset=utf-8" },
          text: renderReportPage(judgeReport([{ path: null, file: document }], this.#nowS(), NOTHING_EXPECTED)),
        }
      : {
          status: 200,
          headers: { ...SAFE, "content-type": "application/json" },
          text: `${JSON.stringify(document)}\n`,
        };
  }

  #nowS(): number {
    return Math.floor(this.#clock.nowMs() / 1000);
  }

  #document(): Promise<ReportFile> {
    const nowMs = this.#clock.nowMs();
    if (this.#made === null || nowMs - this.#made.atMs >= KEPT_MS) {
      const made = { atMs: nowMs, document: this.#make() };
      this.#made = made;
      // The next one tries again.
      made.document.catch(() => {
        if (this.#made === made) this.#made = null;
      });
    }
    return this.#made.document;
  }
}

/** Equal lengths, whatever was sent. */
function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}

/** Takes it from `Basic` (RFC 7617), with any name, or from `Bearer` (RFC 6750). Without either it is empty. */
function passwordIn(authorization = ""): string {
  const [, scheme = "", value = ""] = /^(basic|bearer) +(\S+)$/i.exec(authorization) ?? [];
  if (scheme.toLowerCase() === "bearer") return value;
  const pair = Buffer.from(value, "base64").toString("utf8");
  return pair.slice(pair.indexOf(":") + 1);
}
