/**
 * Sources of keys outside the configuration (`repo-s3-key-type`): the instance's role, a web identity, a pod identity,
 * a command.
 *
 * Shapes: "Instance metadata and user data" (EC2), AssumeRoleWithWebIdentity (STS), "Container credential provider" and
 * "Process credential provider" (AWS SDKs and Tools reference). No message contains a key, or more of a
 * service's answer than its error code.
 */
import { execFile } from "node:child_process";
import { rootCertificates } from "node:tls";
import { textOf } from "../../base/bytes";
import type { BackupError } from "../../base/errors";
import { Secret } from "../../base/secret";
import type { S3KeySource } from "../../config/types";
import type { WebAnswer, WebQuestion } from "../../web/ask";
import type { TemporaryCredentials } from "./credentials";
import {
  KeyAsker,
  type KeySourceDeps,
  type KeySourceOptions,
  METADATA_ORIGIN,
  parseFields,
} from "../objectStore/keyAsker";
import { findChild, findText, parseXml, type XmlElement } from "../objectStore/xml";

const ROLE_PATH = "/latest/meta-data/iam/security-credentials";
const TOKEN_SECONDS = "60";
/** Hosts that may receive a pod's token without TLS: this machine, and the agents of ECS and EKS. */
const PLAIN_HOSTS = new Set(["127.0.0.1", "localhost", "[::1]", "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"]);
const OUTPUT_SIZE_BYTES_MAX = 64 * 1024;
const TRUST_HINT = "is the role's trust policy made for this service account, and is the token fresh?";

/** Makes one request to the source. @throws optionInvalid, hostConnect, service, access, format, execute */
export function fetchCredentials(
  source: S3KeySource,
  options: KeySourceOptions,
  deps: KeySourceDeps,
): Promise<TemporaryCredentials> {
  const asker = new KeyAsker(options, deps);
  switch (source.type) {
    case "auto":
      return fromInstance(source, asker);
    case "web-id":
      return fromWebIdentity(source, asker);
    case "pod-id":
      return fromPod(source, asker);
    case "process":
      return fromProcess(source, asker);
  }
}

async function fromInstance(source: S3KeySource & { type: "auto" }, asker: KeyAsker): Promise<TemporaryCredentials> {
  const origin = (source.endpoint ?? METADATA_ORIGIN).replace(/\/$/, "");
  const doing = "get temporary credentials of this instance's role";
  const away = `Does this host run on EC2? Elsewhere use another ${asker.option("s3-key-type")}; in a container the hop limit of the metadata service must be 2.`;
  const ask = (question: WebQuestion): Promise<WebAnswer> => asker.ask(question, doing, away);
  const session = await ask({
    method: "PUT",
    url: `${origin}/latest/api/token`,
    headers: { "x-aws-ec2-metadata-token-ttl-seconds": TOKEN_SECONDS },
  });
  // A service without sessions answers as version 1 did.
  const headers: Record<string, string> =
    session.status === 200 ? { "x-aws-ec2-metadata-token": textOf(session.bytes).trim() } : {};
  const get = (path: string): Promise<WebAnswer> => ask({ method: "GET", url: `${origin}${path}`, headers });
  const findRole = async (): Promise<string> => {
    const answer = await get(`${ROLE_PATH}/`);
    const name = textOf(answer.bytes).trim().split("\n")[0] ?? "";
    if (answer.status === 404 || (answer.status === 200 && name === "")) {
      throw asker.fail("access", "role to retrieve temporary credentials not found", {
        hint: "is a valid IAM role associated with this instance?",
      });
    }
    if (answer.status !== 200) throw asker.fail("service", `unable to ${doing}: [${answer.status}]`, { hint: away });
    return name;
  };
  const role = source.role ?? (await findRole());
  const answer = await get(`${ROLE_PATH}/${encodeURIComponent(role)}`);
  if (answer.status === 404) {
    throw asker.fail("access", `role '${role}' not found`, {
      hint: `is '${role}' a valid IAM role associated with this instance?`,
    });
  }
  if (answer.status !== 200) throw asker.fail("service", `unable to ${doing}: [${answer.status}]`, { hint: away });
  const fields = parseFields(textOf(answer.bytes), doing, asker);
  const code = fields["Code"];
  if (code !== undefined && code !== "Success") {
    const codeText = typeof code === "string" ? code.slice(0, 100) : "no code";
    throw asker.fail("access", `unable to retrieve temporary credentials: ${codeText}`);
  }
  return credentialsOf(fields, "Token", doing, asker);
}

async function fromWebIdentity(
  source: S3KeySource & { type: "web-id" },
  asker: KeyAsker,
): Promise<TemporaryCredentials> {
  const { roleArn, tokenFile, stsHost, sessionName } = source;
  if (roleArn === undefined || tokenFile === undefined)
    throw unset(asker, "web-id", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE");
  const doing = `assume role '${roleArn}'`;
  const form = new URLSearchParams({
    Action: "AssumeRoleWithWebIdentity",
    RoleArn: roleArn,
    RoleSessionName: sessionName ?? "pgBackRest",
    Version: "2011-06-15",
    WebIdentityToken: asker.readToken(tokenFile, "AWS_WEB_IDENTITY_TOKEN_FILE"),
  });
  const { ca } = asker.options;
  const answer = await asker.ask(
    {
      method: "POST",
      url: `https://${stsHost}/`,
      headers: { "content-type": "application/x-www-form-urlencoded" },
      body: form.toString(),
      ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
    },
    doing,
    `check ${asker.option("s3-sts-host")} and the network.`,
  );
  const root = parseAnswer(answer, doing, asker);
  if (answer.status !== 200) throw asker.refused(answer, doing, TRUST_HINT, textIn(root, ["Error", "Code"]));
  const credentials = childIn(root, ["AssumeRoleWithWebIdentityResult", "Credentials"]);
  const names = ["AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"];
  const fields = Object.fromEntries(
    names.map((name) => [name, credentials === undefined ? undefined : findText(credentials, name)?.trim()]),
  );
  return credentialsOf(fields, "SessionToken", doing, asker);
}

async function fromPod(source: S3KeySource & { type: "pod-id" }, asker: KeyAsker): Promise<TemporaryCredentials> {
  const { uri, tokenFile } = source;
  if (uri === undefined || tokenFile === undefined) {
    throw unset(asker, "pod-id", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  }
  const url = URL.canParse(uri) ? new URL(uri) : null;
  if (url === null || !(url.protocol === "https:" || (url.protocol === "http:" && PLAIN_HOSTS.has(url.hostname)))) {
    throw asker.fail(
      "optionInvalid",
      `AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to an agent of this host, not '${url?.origin ?? "no address"}'`,
    );
  }
  const doing = "get temporary credentials of this pod";
  const authorization = asker.readToken(tokenFile, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
  const answer = await asker.ask(
    { method: "GET", url: url.href, headers: { authorization } },
    doing,
    "does the pod identity agent run on this node?",
  );
  if (answer.status !== 200) throw asker.refused(answer, doing, TRUST_HINT);
  return credentialsOf(parseFields(textOf(answer.bytes), doing, asker), "Token", doing, asker);
}

async function fromProcess(source: S3KeySource & { type: "process" }, asker: KeyAsker): Promise<TemporaryCredentials> {
  const [program = "", ...args] = source.command;
  const doing = `get temporary credentials from '${program}'`;
  const { signal, ioTimeoutMs } = asker.deps;
  // Its stderr may contain secrets, and so may its arguments: neither is repeated.
  const hint = `run the command of ${asker.option("s3-process-cmd")} as this user to see what it says.`;
  const output = await new Promise<string>((resolve, reject) => {
    execFile(
      program,
      args,
      {
        signal,
        timeout: ioTimeoutMs,
        maxBuffer: OUTPUT_SIZE_BYTES_MAX,
        killSignal: "SIGKILL",
      },
      (error, stdout) => {
        if (error === null) resolve(stdout);
        else if (typeof error.code === "number")
          reject(asker.fail("execute", `unable to ${doing}: it ended with exit code ${error.code}`, { hint }));
        else if (error.killed === true)
          reject(asker.fail("execute", `unable to ${doing}: it did not end within ${ioTimeoutMs} ms`, { hint }));
        else reject(asker.fail("execute", `unable to ${doing}: [${String(error.code ?? error.signal)}]`, { hint }));
      },
    );
  });
  return credentialsOf(parseFields(output, doing, asker), "SessionToken", doing, asker);
}

function unset(asker: KeyAsker, type: string, ...variables: readonly [string, string]): BackupError {
  return asker.fail(
    "optionInvalid",
    `option '${asker.option("s3-key-type")}' is '${type}' but '${variables[0]}' and '${variables[1]}' are not set`,
    {
      hint: "is the service account bound to a role, and did this process inherit the variables?",
    },
  );
}

function parseAnswer(answer: WebAnswer, doing: string, asker: KeyAsker): XmlElement {
  try {
    return parseXml(textOf(answer.bytes));
  } catch {
    throw asker.fail(
      answer.status === 200 ? "format" : "service",
      `unable to ${doing}: [${answer.status}] the answer does not come from STS`,
    );
  }
}

/** @throws format naming the missing field */
function credentialsOf(
  fields: Readonly<Record<string, unknown>>,
  tokenName: string,
  doing: string,
  asker: KeyAsker,
): TemporaryCredentials {
  const text = (name: string): string | undefined => {
    const value = fields[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const [key, keySecret, token, expiration] = [
    text("AccessKeyId"),
    text("SecretAccessKey"),
    text(tokenName),
    text("Expiration"),
  ];
  const wanted: readonly (readonly [string, string | undefined])[] = [
    ["AccessKeyId", key],
    ["SecretAccessKey", keySecret],
    [tokenName, token],
  ];
  const missing = wanted.filter(([, value]) => value === undefined).map(([name]) => name);
  if (key === undefined || keySecret === undefined || token === undefined) {
    throw asker.fail("format", `unable to ${doing}: the answer lacks ${missing.join(", ")}`);
  }
  const expiresAtMs = expiration === undefined ? undefined : Date.parse(expiration);
  if (expiresAtMs !== undefined && Number.isNaN(expiresAtMs))
    throw asker.fail("format", `unable to ${doing}: '${expiration}' is not an expiration time`);
  const keys = { key: new Secret(key), keySecret: new Secret(keySecret), token: new Secret(token) };
  return expiresAtMs === undefined ? keys : { ...keys, expiresAtMs };
}

function childIn(element: XmlElement, path: readonly string[]): XmlElement | undefined {
  return path.reduce<XmlElement | undefined>(
    (current, name) => (current === undefined ? undefined : findChild(current, name)),
    element,
  );
}

function textIn(element: XmlElement, path: readonly string[]): string | undefined {
  const parent = childIn(element, path.slice(0, -1));
  return parent === undefined ? undefined : findText(parent, path.at(-1) ?? "")?.trim();
}
