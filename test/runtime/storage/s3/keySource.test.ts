/** Keys from the instance's role, a web identity, a pod identity and a command. The doubles follow the documents. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { systemClock } from "../../../../runtime/base/clock";
import { BackupError } from "../../../../runtime/base/errors";
import type { S3KeySource } from "../../../../runtime/config/types";
import { fetchCredentials } from "../../../../runtime/storage/s3/keySource";
import { makeCertificates } from "../../../../tools/parts/servers/certificates";
import {
  type GivenKeys,
  InstanceMetadata,
  PodIdentityAgent,
  SecurityTokenService,
} from "../../../harness/doubles/awsKeyServices";

const KEYS: GivenKeys = {
  key: "ASIAEXAMPLE",
  secret: "plantedSecretKey",
  token: "plantedSessionToken",
  expiresAtMs: Date.UTC(2026, 10, 20, 7),
};
const ROLE_ARN = "arn:aws:iam::123456789012:role/writer";
const ROOT = "/latest/meta-data/iam/security-credentials/";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (let clean = cleanups.pop(); clean !== undefined; clean = cleanups.pop()) await clean();
});

async function started<Service extends { listen(): Promise<void>; stop(): Promise<void> }>(
  service: Service,
): Promise<Service> {
  await service.listen();
  cleanups.push(() => service.stop());
  return service;
}

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "pgb-"));
  cleanups.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function tokenFile(token: string): string {
  const path = join(folder(), "token");
  writeFileSync(path, `${token}\n`);
  return path;
}

const deps = { clock: systemClock, signal: new AbortController().signal, ioTimeoutMs: 400, readFile: readFileSync };

async function fetchPlain(source: S3KeySource, ca?: string): Promise<object> {
  const { key, keySecret, token, expiresAtMs } = await fetchCredentials(
    source,
    { repoIndex: 2, ...(ca === undefined ? {} : { ca }) },
    deps,
  );
  return { key: key.reveal(), secret: keySecret.reveal(), token: token?.reveal(), expiresAtMs };
}

/** `kind: message` and one line per hint. Checks that they name the repository and show no secret. */
async function refusal(source: S3KeySource, ca?: string): Promise<string> {
  const error = await fetchPlain(source, ca).then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof BackupError)) throw new Error(`no error: ${String(error)}`);
  expect(error.repoIndex).toBe(2);
  const text = [`${error.kind}: ${error.message}`, ...error.hints.map((hint) => `HINT: ${hint}`)].join("\n");
  expect(text).not.toContain("planted");
  return text;
}

describe("the role of an instance", () => {
  test("is requested in a session, and named by the instance", async () => {
    const metadata = await started(new InstanceMetadata(KEYS, "writer"));
    expect(await fetchPlain({ type: "auto", endpoint: metadata.origin })).toEqual(KEYS);
    expect(metadata.asked).toEqual(["PUT /latest/api/token", `GET ${ROOT}`, `GET ${ROOT}writer`]);
  });

  test("with a given name is not looked up, and an old service is asked without a session", async () => {
    const metadata = await started(new InstanceMetadata(KEYS, "writer", false));
    expect(await fetchPlain({ type: "auto", role: "writer", endpoint: `${metadata.origin}/` })).toEqual(KEYS);
    expect(metadata.asked).toEqual(["PUT /latest/api/token", `GET ${ROOT}writer`]);
  });

  test("that is missing, unknown or refused is reported as such", async () => {
    const metadata = await started(new InstanceMetadata(KEYS, "writer"));
    const endpoint = metadata.origin;
    expect(await refusal({ type: "auto", role: "other", endpoint })).toBe(
      "access: role 'other' not found\nHINT: is 'other' a valid IAM role associated with this instance?",
    );
    metadata.shape = (line, answer) => (line === `GET ${ROOT}` ? { status: 404 } : answer);
    expect(await refusal({ type: "auto", endpoint })).toBe(
      "access: role to retrieve temporary credentials not found\nHINT: is a valid IAM role associated with this instance?",
    );
    metadata.shape = (line, answer) =>
      line.endsWith("writer") ? { status: 200, body: '{"Code":"AssumeRoleUnauthorizedAccess"}' } : answer;
    expect(await refusal({ type: "auto", endpoint })).toBe(
      "access: unable to retrieve temporary credentials: AssumeRoleUnauthorizedAccess",
    );
    metadata.shape = (line, answer) =>
      line.endsWith("writer") ? { status: 200, body: '{"Code":"Success","AccessKeyId":"A"}' } : answer;
    expect(await refusal({ type: "auto", endpoint })).toBe(
      "format: unable to get temporary credentials of this instance's role: the answer lacks SecretAccessKey, Token",
    );
  });

  test("of an unreachable or silent service fails after three attempts, in bounded time", async () => {
    const metadata = await started(new InstanceMetadata(KEYS, "writer"));
    const endpoint = metadata.origin;
    const hint =
      "HINT: Does this host run on EC2? Elsewhere use another repo2-s3-key-type; in a container the hop limit of the metadata service must be 2.";
    metadata.shape = () => "hang";
    const startedMs = performance.now();
    expect(await refusal({ type: "auto", endpoint })).toBe(
      `hostConnect: unable to get temporary credentials of this instance's role: no answer from '127.0.0.1:${metadata.port}' in 3 tries: not within 400 ms\n${hint}`,
    );
    expect(performance.now() - startedMs).toBeLessThan(10_000);
    await metadata.stop();
    expect(await refusal({ type: "auto", endpoint })).toContain("in 3 tries: connect ECONNREFUSED");
  });

  test("is requested again after a transient error", async () => {
    const metadata = await started(new InstanceMetadata(KEYS, "writer"));
    let stumbles = 2;
    metadata.shape = (_line, answer) => (stumbles-- > 0 ? { status: 503 } : answer);
    expect(await fetchPlain({ type: "auto", endpoint: metadata.origin })).toEqual(KEYS);
  });
});

describe("a web identity", () => {
  const open = async (): Promise<{ service: SecurityTokenService; ca: string; stsHost: string }> => {
    const certificates = await makeCertificates(folder());
    const service = new SecurityTokenService(KEYS, ROLE_ARN, "planted.web.token");
    await service.listen(certificates);
    cleanups.push(() => service.stop());
    return { service, ca: readFileSync(certificates.caFile, "utf8"), stsHost: `localhost:${service.port}` };
  };

  test("is exchanged at STS over TLS", async () => {
    const { service, ca, stsHost } = await open();
    const source = { type: "web-id", roleArn: ROLE_ARN, tokenFile: tokenFile("planted.web.token"), stsHost } as const;
    expect(await fetchPlain(source, ca)).toEqual(KEYS);
    // The token must be in the body, because URLs appear in logs.
    expect(service.asked).toEqual(["POST /"]);
    expect(await refusal(source)).toMatch(/^hostConnect: .* in 3 tries: .*(self-signed certificate|unable to verify)/);
  });

  test("that STS refuses is reported with the reason, without the token", async () => {
    const { ca, stsHost } = await open();
    const wrongToken = await refusal(
      { type: "web-id", roleArn: ROLE_ARN, tokenFile: tokenFile("planted.other.token"), stsHost },
      ca,
    );
    expect(wrongToken).toBe(
      `access: unable to assume role '${ROLE_ARN}': [400] InvalidIdentityToken\nHINT: is the role's trust policy made for this service account, and is the token fresh?`,
    );
    const other = "arn:aws:iam::123456789012:role/other";
    expect(
      await refusal({ type: "web-id", roleArn: other, tokenFile: tokenFile("planted.web.token"), stsHost }, ca),
    ).toContain(`access: unable to assume role '${other}': [403] AccessDenied`);
  });

  test("without its variables or its file is a separate error", async () => {
    expect(await refusal({ type: "web-id", stsHost: "localhost" })).toBe(
      "optionInvalid: option 'repo2-s3-key-type' is 'web-id' but 'AWS_ROLE_ARN' and 'AWS_WEB_IDENTITY_TOKEN_FILE' are not set\nHINT: is the service account bound to a role, and did this process inherit the variables?",
    );
    expect(
      await refusal({ type: "web-id", roleArn: ROLE_ARN, tokenFile: "/nowhere/token", stsHost: "localhost" }),
    ).toContain("optionInvalid: unable to read the token file '/nowhere/token' of AWS_WEB_IDENTITY_TOKEN_FILE: ");
  });
});

describe("a pod identity", () => {
  test("comes from the node's agent", async () => {
    const agent = await started(new PodIdentityAgent(KEYS, "planted.pod.token"));
    expect(await fetchPlain({ type: "pod-id", uri: agent.uri, tokenFile: tokenFile("planted.pod.token") })).toEqual(
      KEYS,
    );
    expect(await refusal({ type: "pod-id", uri: agent.uri, tokenFile: tokenFile("other") })).toContain(
      "access: unable to get temporary credentials of this pod: [400]\n",
    );
  });

  test("never travels in the clear to another host", async () => {
    const file = tokenFile("planted.pod.token");
    for (const uri of ["http://agent.example.com/v1", "ftp://127.0.0.1/", "nonsense"]) {
      expect(await refusal({ type: "pod-id", uri, tokenFile: file })).toContain(
        "optionInvalid: AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or http to an agent of this host, not ",
      );
    }
    expect(await refusal({ type: "pod-id", uri: "http://127.0.0.1/" })).toContain(
      "option 'repo2-s3-key-type' is 'pod-id' but 'AWS_CONTAINER_CREDENTIALS_FULL_URI' and 'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE' are not set",
    );
  });
});

describe("a command", () => {
  const printed = (script: string, ...args: string[]): S3KeySource => ({
    type: "process",
    command: ["/bin/sh", "-c", script, "sh", ...args],
  });

  test("prints keys; without an expiration they never expire", async () => {
    const output = { Version: 1, AccessKeyId: KEYS.key, SecretAccessKey: KEYS.secret, SessionToken: KEYS.token };
    const expiring = JSON.stringify({ ...output, Expiration: "2026-11-20T07:00:00+00:00" });
    expect(await fetchPlain(printed('echo "$1"', expiring))).toEqual(KEYS);
    expect(await fetchPlain(printed('echo "$1"', JSON.stringify(output)))).toEqual({ ...KEYS, expiresAtMs: undefined });
  });

  test("that fails, hangs, is missing or prints garbage is reported without its output", async () => {
    const hint = "\nHINT: run the command of repo2-s3-process-cmd as this user to see what it says.";
    const doing = "unable to get temporary credentials from '/bin/sh'";
    expect(await refusal(printed("echo plantedSecret >&2; exit 3"))).toBe(
      `execute: ${doing}: it ended with exit code 3${hint}`,
    );
    expect(await refusal(printed("exec sleep 30"))).toBe(`execute: ${doing}: it did not end within 400 ms${hint}`);
    expect(await refusal(printed("echo plantedSecret"))).toBe(`format: ${doing}: the answer is not a JSON object`);
    expect(await refusal({ type: "process", command: ["/nowhere/keys"] })).toBe(
      `execute: unable to get temporary credentials from '/nowhere/keys': [ENOENT]${hint}`,
    );
  });
});
