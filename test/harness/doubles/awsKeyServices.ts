/**
 * Doubles of three services that issue temporary keys, on loopback: the metadata service of an EC2 instance, STS, and
 * the EKS pod identity agent. They enforce the documentation ("Instance metadata service version 2",
 * "AssumeRoleWithWebIdentity", "EKS Pod Identity"): a session token before metadata, the fields of the form, the token
 * from the file. `shape` lets a test change an answer.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { CertificateFiles } from "../../../tools/parts/servers/certificates";

export interface GivenKeys {
  readonly key: string;
  readonly secret: string;
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly expiresAtMs: number;
}

interface Answer {
  readonly status: number;
  readonly body?: string;
}

abstract class KeyService {
  keys: GivenKeys;
  /** Requests so far, such as `PUT /latest/api/token`. */
  readonly asked: string[] = [];
  /** Changes the answer; `hang` never answers. */
  shape: ((line: string, answer: Answer) => Answer | "hang") | undefined;
  #server: Server | undefined;

  constructor(keys: GivenKeys) {
    this.keys = keys;
  }

  async listen(certificates?: CertificateFiles): Promise<void> {
    const serve: RequestListener = (request, response) => {
      const parts: Buffer[] = [];
      request.on("data", (part: Buffer) => parts.push(part));
      request.on("end", () => {
        const line = `${request.method} ${request.url}`;
        this.asked.push(line);
        const planned = this.answer(line, request, Buffer.concat(parts).toString("utf8"));
        const answer = this.shape === undefined ? planned : this.shape(line, planned);
        if (answer !== "hang") response.writeHead(answer.status).end(answer.body ?? "");
      });
    };
    const tls =
      certificates === undefined
        ? null
        : { key: readFileSync(certificates.keyFile), cert: readFileSync(certificates.certFile) };
    const server = tls === null ? createServer(serve) : createTlsServer(tls, serve);
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  }

  get port(): number {
    const address = this.#server?.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise((resolve) => (this.#server === undefined ? resolve(null) : this.#server.close(resolve)));
  }

  protected abstract answer(line: string, request: IncomingMessage, body: string): Answer;

  protected json(more: object = {}): string {
    const { key, secret, token, expiresAtMs } = this.keys;
    return JSON.stringify({
      ...more,
      AccessKeyId: key,
      SecretAccessKey: secret,
      Token: token,
      Expiration: isoOf(expiresAtMs),
    });
  }
}

/** An instance with one role. */
export class InstanceMetadata extends KeyService {
  readonly role: string;
  /** False: only version 1, which has no sessions. */
  readonly sessions: boolean;
  #session = "";

  constructor(keys: GivenKeys, role: string, sessions = true) {
    super(keys);
    this.role = role;
    this.sessions = sessions;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  protected answer(line: string, request: IncomingMessage): Answer {
    const root = "/latest/meta-data/iam/security-credentials/";
    if (line === "PUT /latest/api/token" && this.sessions) {
      const seconds = Number(request.headers["x-aws-ec2-metadata-token-ttl-seconds"] ?? Number.NaN);
      if (!(seconds >= 1 && seconds <= 21_600)) return { status: 400 };
      this.#session = randomBytes(24).toString("base64");
      return { status: 200, body: this.#session };
    }
    if (this.sessions && request.headers["x-aws-ec2-metadata-token"] !== this.#session) return { status: 401 };
    if (line === `GET ${root}`) return { status: 200, body: this.role };
    if (line === `GET ${root}${this.role}`)
      return { status: 200, body: this.json({ Code: "Success", Type: "AWS-HMAC" }) };
    return { status: 404 };
  }
}

/** STS with one role, which one token may assume. */
export class SecurityTokenService extends KeyService {
  readonly roleArn: string;
  readonly webToken: string;

  constructor(keys: GivenKeys, roleArn: string, webToken: string) {
    super(keys);
    this.roleArn = roleArn;
    this.webToken = webToken;
  }

  protected answer(line: string, request: IncomingMessage, body: string): Answer {
    const form = new URLSearchParams(body);
    const refuse = (status: number, code: string): Answer => ({
      status,
      body: `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${code}</Code><Message>no</Message></Error></ErrorResponse>`,
    });
    if (line !== "POST /" || request.headers["content-type"] !== "application/x-www-form-urlencoded")
      return refuse(400, "InvalidAction");
    if (form.get("Action") !== "AssumeRoleWithWebIdentity" || form.get("Version") !== "2011-06-15")
      return refuse(400, "InvalidAction");
    if (!/^[\w+=,.@-]{2,64}$/.test(form.get("RoleSessionName") ?? "")) return refuse(400, "ValidationError");
    if (form.get("WebIdentityToken") !== this.webToken) return refuse(400, "InvalidIdentityToken");
    if (form.get("RoleArn") !== this.roleArn) return refuse(403, "AccessDenied");
    const { key, secret, token, expiresAtMs } = this.keys;
    const fields = { AccessKeyId: key, SecretAccessKey: secret, SessionToken: token, Expiration: isoOf(expiresAtMs) };
    const inner = Object.entries(fields).map(([name, value]) => `<${name}>${value}</${name}>`);
    const result = `<AssumeRoleWithWebIdentityResult><Credentials>${inner.join("")}</Credentials></AssumeRoleWithWebIdentityResult>`;
    const document = `<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">${result}</AssumeRoleWithWebIdentityResponse>`;
    return { status: 200, body: document };
  }
}

/** The agent of one node. It serves one pod. */
export class PodIdentityAgent extends KeyService {
  readonly podToken: string;

  constructor(keys: GivenKeys, podToken: string) {
    super(keys);
    this.podToken = podToken;
  }

  get uri(): string {
    return `http://127.0.0.1:${this.port}/v1/credentials`;
  }

  protected answer(line: string, request: IncomingMessage): Answer {
    if (line !== "GET /v1/credentials") return { status: 404 };
    if (request.headers.authorization !== this.podToken)
      return { status: 400, body: "Service account token cannot be empty" };
    return { status: 200, body: this.json({ AccountId: "123456789012" }) };
  }
}

/** The services write times without fractions. */
function isoOf(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d{3}Z$/, "Z");
}
