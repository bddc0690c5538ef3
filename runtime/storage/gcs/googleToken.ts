/**
 * Tokens for Google Cloud Storage (`repo-gcs-key-type`): for the signature of a service account's key, or from the
 * metadata service of the machine, which answers for workload identity of GKE too.
 *
 * "Using OAuth 2.0 for Server to Server Applications"; "Authenticate workloads using service accounts". No message
 * contains a key, or more of an answer than its error code.
 */
import { sign } from "node:crypto";
import { rootCertificates } from "node:tls";
import { textOf } from "../../base/bytes";
import type { BackupError } from "../../base/errors";
import type { Secret } from "../../base/secret";
import type { WebAnswer } from "../../web/ask";
import { type AccessToken, tokenOf } from "../objectStore/accessToken";
import { KeyAsker, type KeySourceDeps, type KeySourceOptions, parseFields } from "../objectStore/keyAsker";
import { headerOf } from "../objectStore/storeHttp";

export interface ServiceKeyOptions extends KeySourceOptions {
  /** Path of the key's JSON file, or its text. */
  readonly key: Secret;
  /** For a repository that is only read. */
  readonly isReadOnly: boolean;
}

export interface MetadataOptions extends KeySourceOptions {
  /** Instead of the usual one. */
  readonly origin?: string;
}

interface ServiceKey {
  readonly email: string;
  readonly privateKey: string;
  readonly id?: string;
  readonly tokenUrl: string;
}

const SCOPE = "https://www.googleapis.com/auth/devstorage.read";
const TOKEN_URL = "https://oauth2.googleapis.com/token";
const METADATA_ORIGIN = "http://metadata.google.internal";
const ASSERTION_SECONDS = 3600;
const LOCAL_HOSTS = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** @throws optionInvalid, hostConnect, access, service, format */
export async function fetchServiceToken(options: ServiceKeyOptions, deps: KeySourceDeps): Promise<AccessToken> {
  const asker = new KeyAsker(options, deps);
  const key = readServiceKey(options.key, asker);
  const doing = "get a token for a service account";
  const assertion = assertionOf(key, options.isReadOnly, asker);
  const form = new URLSearchParams({ grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer", assertion });
  const { ca } = options;
  const answer = await asker.ask(
    {
      method: "POST",
      url: key.tokenUrl,
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: form.toString(),
      ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
    },
    doing,
    "check the network: the key's token_uri must be reachable.",
  );
  if (answer.status === 200) return tokenOf(answer, doing, asker);
  throw refused(answer, doing, asker);
}

/** @throws hostConnect, access, service, format */
export async function fetchMetadataToken(options: MetadataOptions, deps: KeySourceDeps): Promise<AccessToken> {
  const asker = new KeyAsker(options, deps);
  const doing = "get a token of this machine's service account";
  const origin = (options.origin ?? METADATA_ORIGIN).replace(/\/$/, "");
  const hint = `Does this host run at Google, with a service account? Elsewhere use another ${asker.option("gcs-key-type")}.`;
  const url = `${origin}/computeMetadata/v1/instance/service-accounts/default/token`;
  const answer = await asker.ask({ method: "GET", url, headers: { "metadata-flavor": "Google" } }, doing, hint);
  if (answer.status !== 200) throw asker.refused(answer, doing, hint);
  if (headerOf(answer, "metadata-flavor") !== "Google")
    throw asker.fail("format", `unable to ${doing}: the answer is not one of Google's metadata service`, { hint });
  return tokenOf(answer, doing, asker);
}

/** The value may be a token by mistake: no message repeats it. */
function readServiceKey(secret: Secret, asker: KeyAsker): ServiceKey {
  const option = asker.option("gcs-key");
  const wrong = (fact: string, hint: string): BackupError =>
    asker.fail("optionInvalid", `unable to use the service account's key of ${option}: ${fact}`, { hint });
  const value = secret.reveal().trim();
  let text = value;
  if (!value.startsWith("{")) {
    try {
      text = textOf(asker.deps.readFile(value));
    } catch (error) {
      const code =
        error instanceof Error && "code" in error && typeof error.code === "string" ? ` [${error.code}]` : "";
      const hint = `${option} must be the path of a file that this user may read. For a token set ${option}-type=token.`;
      throw wrong(`the file cannot be read${code}`, hint);
    }
  }
  const remedy = "Create a JSON key for the service account, and name its file.";
  const fields = fieldsOf(text);
  if (fields === null) throw wrong("it is not a JSON object", remedy);
  const { client_email: email, private_key: privateKey, private_key_id: id, token_uri: tokenUri, type } = fields;
  if (type === "external_account") {
    const hint = `At Google, also in GKE, use ${option}-type=auto. Elsewhere use a key of a service account, or a token with ${option}-type=token.`;
    throw wrong("it describes a workload identity federation, which is not supported", hint);
  }
  if (type !== "service_account") throw wrong("its type is not service_account", remedy);
  if (typeof email !== "string" || typeof privateKey !== "string")
    throw wrong("it lacks client_email or private_key", remedy);
  const tokenUrl = typeof tokenUri === "string" ? tokenUri : TOKEN_URL;
  if (!isSafe(tokenUrl)) throw wrong("its token_uri is not https", remedy);
  return { email, privateKey, tokenUrl, ...(typeof id === "string" ? { id } : {}) };
}

function fieldsOf(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : null;
  } catch {
    return null;
  }
}

/** An assertion that others can read gives them tokens for an hour. */
function isSafe(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { hostname, protocol } = new URL(url);
  return protocol === "https:" || (protocol === "http:" && LOCAL_HOSTS.has(hostname));
}

/** A JSON Web Token with which the account asks for a token. */
function assertionOf(key: ServiceKey, isReadOnly: boolean, asker: KeyAsker): string {
  const { email, id, privateKey, tokenUrl } = key;
  const seconds = Math.floor(asker.deps.clock.nowMs() / 1000);
  const head = { alg: "RS256", typ: "JWT", ...(id === undefined ? {} : { kid: id }) };
  const scope = `${SCOPE}_${isReadOnly ? "only" : "write"}`;
  const claims = { iss: email, scope, aud: tokenUrl, iat: seconds, exp: seconds + ASSERTION_SECONDS };
  const text = [head, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  try {
    return `${text}.${sign("RSA-SHA256", Buffer.from(text), privateKey).toString("base64url")}`;
  } catch {
    const fact = "its private_key is no RSA key in PEM";
    throw asker.fail("optionInvalid", `unable to use the service account's key of ${asker.option("gcs-key")}: ${fact}`);
  }
}

function refused(answer: WebAnswer, doing: string, asker: KeyAsker): BackupError {
  const fields = answer.status < 500 ? parseFields(textOf(answer.bytes), doing, asker) : {};
  const [code, description] = [fields["error"], fields["error_description"]].map((value) =>
    typeof value === "string" ? value : "",
  ) as [string, string];
  const hint = /timeframe|\biat\b|\bexp\b|expired/i.test(description)
    ? "This host's clock and Google's are too far apart. Check NTP on this host."
    : `Does the service account of ${asker.option("gcs-key")} exist, and has it this key still?`;
  return asker.refused(answer, doing, hint, code);
}
