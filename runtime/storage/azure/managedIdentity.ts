/**
 * The token of a managed identity, from the metadata service of the machine (`repo-azure-key-type=auto`): "How to use
 * managed identities on an Azure VM to acquire an access token".
 */
import { textOf } from "../../base/bytes";
import { Secret } from "../../base/secret";
import { KeyAsker, type KeySourceDeps, METADATA_ORIGIN, parseFields } from "../objectStore/keyAsker";
import type { Temporary } from "../objectStore/renewed";

export interface IdentityToken extends Temporary {
  readonly token: Secret;
}

export interface IdentityOptions {
  readonly repoIndex: number;
  /** Name of the account's service, for which the token is. */
  readonly host: string;
  /** Instead of the metadata service's. */
  readonly origin?: string;
}

/** @throws hostConnect, access, service, format */
export async function fetchIdentityToken(options: IdentityOptions, deps: KeySourceDeps): Promise<IdentityToken> {
  const asker = new KeyAsker({ repoIndex: options.repoIndex }, deps);
  const doing = "get a token of this machine's managed identity";
  const query = new URLSearchParams({ "api-version": "2018-02-01", resource: `https://${options.host}` });
  const origin = (options.origin ?? METADATA_ORIGIN).replace(/\/$/, "");
  const hint = `Does this host run on Azure, with a managed identity? Elsewhere use another ${asker.option("azure-key-type")}.`;
  const answer = await asker.ask(
    { method: "GET", url: `${origin}/metadata/identity/oauth2/token?${query}`, headers: { metadata: "true" } },
    doing,
    hint,
  );
  if (answer.status !== 200) {
    const kind = answer.status >= 500 || answer.status === 429 ? "service" : "access";
    throw asker.fail(kind, `unable to ${doing}: [${answer.status}]`, { hint });
  }
  const fields = parseFields(textOf(answer.bytes), doing, asker);
  const { access_token: token, expires_in: seconds } = fields;
  if (typeof token !== "string" || token === "")
    throw asker.fail("format", `unable to ${doing}: the answer lacks access_token`);
  const lifeMs = Number(seconds) * 1000;
  if (!["string", "number"].includes(typeof seconds) || !Number.isFinite(lifeMs))
    throw asker.fail("format", `unable to ${doing}: the answer lacks expires_in`);
  return { token: new Secret(token), expiresAtMs: deps.clock.nowMs() + lifeMs };
}
