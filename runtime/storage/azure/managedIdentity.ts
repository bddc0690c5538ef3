/**
 * The token of a managed identity, from the metadata service of the machine (`repo-azure-key-type=auto`): "How to use
 * managed identities on an Azure VM to acquire an access token".
 */
import { type AccessToken, tokenOf } from "../objectStore/accessToken";
import { KeyAsker, type KeySourceDeps, METADATA_ORIGIN } from "../objectStore/keyAsker";

export interface IdentityOptions {
  readonly repoIndex: number;
  /** Name of the account's service, for which the token is. */
  readonly host: string;
  /** Instead of the metadata service's. */
  readonly origin?: string;
}

/** @throws hostConnect, access, service, format */
export async function fetchIdentityToken(options: IdentityOptions, deps: KeySourceDeps): Promise<AccessToken> {
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
  if (answer.status !== 200) throw asker.refused(answer, doing, hint);
  return tokenOf(answer, doing, asker);
}
