/** Tokens of OAuth 2.0, which requests carry instead of a signature. */
import { textOf } from "../../base/bytes";
import { Secret } from "../../base/secret";
import type { WebAnswer } from "../../web/ask";
import { type KeyAsker, parseFields } from "./keyAsker";
import type { Renewed, Temporary } from "./renewed";

export interface AccessToken extends Temporary {
  readonly token: Secret;
}

/** The header `authorization` of requests. */
export interface Bearer {
  header(): Promise<string>;
  /** After the service has refused a request with this header: true if another try has another token. */
  refuse(authorization: string): boolean;
}

const SCHEME = "Bearer ";

export function renewedBearer(tokens: Pick<Renewed<AccessToken>, "current" | "refuse">): Bearer {
  return {
    header: async () => SCHEME + (await tokens.current()).token.reveal(),
    refuse: (authorization) => tokens.refuse(authorization.slice(SCHEME.length)),
  };
}

/** One token for ever, optionally with its scheme, which stock needs. */
export function fixedBearer(token: Secret): Bearer {
  return {
    header: async () => {
      const text = token.reveal().trim();
      return text.includes(" ") ? text : SCHEME + text;
    },
    refuse: () => false,
  };
}

/** The token in an answer with the status 200. @throws format */
export function tokenOf(answer: WebAnswer, doing: string, asker: KeyAsker): AccessToken {
  const { access_token: token, expires_in: seconds } = parseFields(textOf(answer.bytes), doing, asker);
  if (typeof token !== "string" || token === "")
    throw asker.fail("format", `unable to ${doing}: the answer lacks access_token`);
  const lifeMs = Number(seconds) * 1000;
  if (!["string", "number"].includes(typeof seconds) || !Number.isFinite(lifeMs))
    throw asker.fail("format", `unable to ${doing}: the answer lacks expires_in`);
  return { token: new Secret(token), expiresAtMs: asker.deps.clock.nowMs() + lifeMs };
}
