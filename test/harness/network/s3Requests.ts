/**
 * Single requests to a real S3 server on this machine with any keys, for requests that no driver makes and requests
 * that the server refuses.
 */
import { readFileSync } from "node:fs";
import { systemClock } from "../../../runtime/base/clock";
import { systemRandom } from "../../../runtime/base/random";
import { Secret } from "../../../runtime/base/secret";
import { addressOf } from "../../../runtime/storage/s3/address";
import { bodyOf, readText, S3Http, type S3Request } from "../../../runtime/storage/s3/http";
import { Signer } from "../../../runtime/storage/s3/sign";
import type { S3Server } from "../../../tools/parts/servers/s3Server";

export interface S3Keys {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

export interface S3Question {
  readonly method: S3Request["method"];
  readonly bucket: string;
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface S3Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

/** Answers of the server, not failures of the request; 204 answers a bucket's policy. */
const EXPECTED = [204, 400, 403, 404, 409, 501];

/** Sends one request and returns refusals as answers. Without `keys` it uses the administrator's. */
export async function askS3(server: S3Server, question: S3Question, keys?: S3Keys): Promise<S3Reply> {
  const { body, bucket, ...rest } = question;
  const address = addressOf({ endpoint: server.host, bucket, uriStyle: "path", storagePort: server.port }, 1);
  const { accessKeyId, secretAccessKey } = keys ?? { accessKeyId: server.accessKey, secretAccessKey: server.secretKey };
  const http = new S3Http({
    address,
    signer: new Signer({ key: new Secret(accessKeyId), keySecret: new Secret(secretAccessKey) }, server.region),
    facts: { repoIndex: 1, bucket, endpoint: server.host, connection: address.connection },
    verifyTls: true,
    ca: readFileSync(server.caFile, "utf8"),
    ioTimeoutMs: 10_000,
    clock: systemClock,
    random: systemRandom,
    signal: new AbortController().signal,
  });
  try {
    const doing = `${question.method} '${bucket}/${question.key ?? ""}'`;
    const request = {
      ...rest,
      doing,
      expected: EXPECTED,
      ...(body === undefined ? {} : { body: bodyOf(Buffer.from(body), true) }),
    };
    return await http.exchange(request, async (answer) => ({
      status: answer.status,
      headers: answer.headers,
      text: await readText(answer),
    }));
  } finally {
    await http.close();
  }
}

/** Sends one request. A refusal throws an error with the server's message. */
export async function callS3(server: S3Server, question: S3Question): Promise<S3Reply> {
  const reply = await askS3(server, question);
  if (reply.status >= 300) throw new Error(`${question.method} ${question.bucket}: ${reply.status} ${reply.text}`);
  return reply;
}
