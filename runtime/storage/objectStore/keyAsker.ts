/**
 * Questions to sources of keys, such as a machine's metadata service. Every error is the repository's own and comes
 * after a bounded time: {@link TRIES} attempts of at most {@link TRY_MS} each. No message contains a key.
 */
import { textOf } from "../../base/bytes";
import { type Clock, withTimeTo } from "../../base/clock";
import { type BackupError, type ErrorDetails, fail, isError } from "../../base/errors";
import { retry } from "../../base/retry";
import { askWeb, type WebAnswer, type WebQuestion } from "../../web/ask";

export interface KeySourceDeps {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly ioTimeoutMs: number;
  /** Reads small local files: tokens. */
  readonly readFile: (path: string) => Uint8Array;
}

export interface KeySourceOptions {
  readonly repoIndex: number;
  /** PEM text of authorities trusted besides the public ones. */
  readonly ca?: string;
}

/** Where virtual machines of Amazon and Azure learn about themselves. */
export const METADATA_ORIGIN = "http://169.254.169.254";
const TRIES = 3;
const TRY_MS = 5_000;
const PAUSES_MS = [200, 400];
/** Requests for one repository, with its number in every error. */
export class KeyAsker {
  readonly options: KeySourceOptions;
  readonly deps: KeySourceDeps;

  constructor(options: KeySourceOptions, deps: KeySourceDeps) {
    this.options = options;
    this.deps = deps;
  }

  fail(
    kind: "optionInvalid" | "hostConnect" | "service" | "access" | "format" | "execute",
    message: string,
    details: ErrorDetails = {},
  ): BackupError {
    return fail(kind, message, { repoIndex: this.options.repoIndex, ...details });
  }

  /** `doing` follows "unable to". @throws hostConnect after the last attempt */
  async ask(question: WebQuestion, doing: string, hint: string): Promise<WebAnswer> {
    const { clock, signal, ioTimeoutMs } = this.deps;
    const origin = new URL(question.url).host;
    const limitMs = Math.min(TRY_MS, ioTimeoutMs);
    try {
      return await retry({ attempts: TRIES, pausesMs: PAUSES_MS }, clock, signal, async (attempt) => {
        const answer = await withTimeTo(limitMs, clock, (timeout) =>
          askWeb(question, AbortSignal.any([timeout, signal])),
        );
        if (attempt < TRIES && (answer.status >= 500 || answer.status === 429))
          throw this.fail("service", "try again", { retryable: true });
        return answer;
      });
    } catch (error) {
      if (signal.aborted) throw this.fail("hostConnect", `unable to ${doing}: terminated`);
      const reason = error instanceof Error ? error.message : String(error);
      throw this.fail("hostConnect", `unable to ${doing}: no answer from '${origin}' in ${TRIES} tries: ${reason}`, {
        hint,
        cause: error,
      });
    }
  }

  /** The error for an answer that is no success; `code` is the source's own name of it. */
  refused({ status }: WebAnswer, doing: string, hint: string, code = ""): BackupError {
    const kind = status >= 500 || status === 429 ? "service" : "access";
    return this.fail(kind, `unable to ${doing}: [${status}]${code === "" ? "" : ` ${code.slice(0, 100)}`}`, { hint });
  }

  /** A token in a file that another program renews. */
  readToken(path: string, variable: string): string {
    try {
      return textOf(this.deps.readFile(path)).trim();
    } catch (error) {
      throw this.fail(
        "optionInvalid",
        `unable to read the token file '${path}' of ${variable}: ${isError(error) ? error.message : String(error)}`,
        {
          hint: "is the service account's token mounted here, and may this user read it?",
        },
      );
    }
  }

  option(name: string): string {
    return `repo${this.options.repoIndex}-${name}`;
  }
}

/** Fields of a JSON answer. @throws format */
export function parseFields(text: string, doing: string, asker: KeyAsker): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Readonly<Record<string, unknown>>;
  } catch {
    // The text may contain a key: the message leaves it out.
  }
  throw asker.fail("format", `unable to ${doing}: the answer is not a JSON object`);
}
