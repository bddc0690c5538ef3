/**
 * Executes the calls of the cloud doubles on a real S3 server: buckets with versions, object lock and policies, users
 * with policies and keys. Tests can then back up into what a program declares and check the permissions. The double
 * alone handles what the server does not support (lifecycle, encryption, public access).
 */
import { createHash, createHmac } from "node:crypto";
import type { S3Server } from "../../../tools/parts/servers/s3Server";
import type { LiveAnswer, LiveResource } from "../doubles/providerDouble";
import { textOf, type Value, type Values } from "../doubles/providerValues";
import { askS3, callS3, type S3Keys } from "../network/s3Requests";

/** `nameInput` is the input that holds the bucket's name: `bucket` for Amazon, `name` for Cloudflare. */
export function liveBucket(server: S3Server, nameInput: string): LiveResource {
  const request = async (method: "PUT" | "DELETE", inputs: Values): Promise<void> => {
    await callS3(server, { method, bucket: textOf(inputs[nameInput]) });
  };
  const remove = async (inputs: Values): Promise<void> => {
    if (inputs["forceDestroy"] === true) await emptyBucket(server, textOf(inputs[nameInput]));
    await request("DELETE", inputs);
  };
  return { create: (inputs) => request("PUT", inputs), delete: remove };
}

/** Deletes every version and delete marker, page by page. */
async function emptyBucket(server: S3Server, bucket: string): Promise<void> {
  for (;;) {
    const { text } = await askS3(server, { method: "GET", bucket, query: { versions: "" } });
    const result = [...text.matchAll(/<(Version|DeleteMarker)>(.*?)<\/\1>/gs)].map((match) => match[2] ?? "");
    if (result.length === 0) return;
    for (const entry of result) {
      const read = (tag: string): string => new RegExp(`<${tag}>([^<]*)</${tag}>`).exec(entry)?.[1] ?? "";
      await callS3(server, { method: "DELETE", bucket, key: read("Key"), query: { versionId: read("VersionId") } });
    }
  }
}

/** Amazon's buckets and users by type token, for a server that was started with `versioning` and `users`. */
export function liveAws(server: S3Server): Record<string, LiveResource> {
  return {
    "aws:s3/bucket:Bucket": liveBucket(server, "bucket"),
    "aws:s3/bucketVersioning:BucketVersioning": setting(server, "versioning", (inputs) => {
      const { status } = inputs["versioningConfiguration"] as { status: string };
      return xml("VersioningConfiguration", `<Status>${status}</Status>`);
    }),
    "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration": setting(server, "object-lock", (inputs) => {
      const rule = inputs["rule"] as { defaultRetention: { mode: string; days: number } } | undefined;
      const { mode = "", days = 0 } = rule?.defaultRetention ?? {};
      const retention = `<Rule><DefaultRetention><Mode>${mode}</Mode><Days>${days}</Days></DefaultRetention></Rule>`;
      return xml(
        "ObjectLockConfiguration",
        `<ObjectLockEnabled>Enabled</ObjectLockEnabled>${rule === undefined ? "" : retention}`,
      );
    }),
    "aws:s3/bucketPolicy:BucketPolicy": setting(server, "policy", (inputs) => textOf(inputs["policy"])),
    "aws:iam/user:User": {
      create: async (inputs) => void (await askUsers(server, "CreateUser", { UserName: inputs["name"] })),
      delete: async (inputs) => void (await askUsers(server, "DeleteUser", { UserName: inputs["name"] })),
    },
    "aws:iam/userPolicy:UserPolicy": {
      create: (inputs) => putPolicy(server, inputs),
      update: (inputs) => putPolicy(server, inputs),
      delete: async ({ name, user }) =>
        void (await askUsers(server, "DeleteUserPolicy", { UserName: user, PolicyName: name })),
    },
    "aws:iam/accessKey:AccessKey": {
      create: ({ user }) => createKey(server, user),
      delete: async ({ user }, id) =>
        void (await askUsers(server, "DeleteAccessKey", { UserName: user, AccessKeyId: id })),
    },
  };
}

/** A user with these rights and its keys. @param policy JSON text */
export async function makeUser(server: S3Server, name: string, policy: string): Promise<S3Keys> {
  await askUsers(server, "CreateUser", { UserName: name });
  await putPolicy(server, { name: "rights", policy, user: name });
  const { id, outputs } = await createKey(server, name);
  return { accessKeyId: textOf(id), secretAccessKey: textOf(outputs?.["secret"]) };
}

/** The policy of a user of a server's bucket. */
export function policyOf({ bucket }: S3Server, actions: readonly string[]): string {
  const resources = [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`];
  return JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: actions, Resource: resources }],
  });
}

/** A setting of a bucket. Destroying it changes nothing: versioning cannot be turned off while object lock needs it. */
function setting(server: S3Server, name: string, bodyFor: (inputs: Values) => string): LiveResource {
  const put = async (inputs: Values): Promise<void> => {
    await callS3(server, {
      method: "PUT",
      bucket: textOf(inputs["bucket"]),
      query: { [name]: "" },
      body: bodyFor(inputs),
    });
  };
  return { create: put, update: put, delete: () => Promise.resolve() };
}

function xml(root: string, content: string): string {
  return `<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${content}</${root}>`;
}

async function putPolicy(server: S3Server, { name, policy, user }: Values): Promise<void> {
  await askUsers(server, "PutUserPolicy", { UserName: user, PolicyName: name, PolicyDocument: policy });
}

async function createKey(server: S3Server, user: Value | undefined): Promise<LiveAnswer> {
  const text = await askUsers(server, "CreateAccessKey", { UserName: user });
  const read = (tag: string): string => new RegExp(`<${tag}>([^<]+)</${tag}>`).exec(text)?.[1] ?? "";
  return { id: read("AccessKeyId"), outputs: { secret: read("SecretAccessKey") } };
}

/**
 * One call of Amazon's API for users, signed by the server's administrator.
 * @throws Error with the server's message
 */
async function askUsers(
  server: S3Server,
  action: string,
  parameters: Readonly<Record<string, Value | undefined>>,
): Promise<string> {
  const pairs = Object.entries(parameters).map(([name, value]): [string, string] => [name, textOf(value)]);
  const body = new URLSearchParams([["Action", action], ["Version", "2010-05-08"], ...pairs]).toString();
  const host = `127.0.0.1:${server.usersPort}`;
  const response = await fetch(`http://${host}/`, { method: "POST", headers: signed(server, host, body), body });
  const text = await response.text();
  if (!response.ok) throw new Error(`${action}: ${response.status} ${text}`);
  return text;
}

/** The Signature Version 4 headers for a form. */
function signed(server: S3Server, host: string, body: string): Record<string, string> {
  const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");
  const hmac = (key: string | Buffer, text: string): Buffer => createHmac("sha256", key).update(text).digest();
  const time = `${new Date().toISOString().slice(0, 19).replace(/[-:]/g, "")}Z`;
  const scope = [time.slice(0, 8), server.region, "iam", "aws4_request"];
  const names = "content-type;host;x-amz-date";
  const headers = { "content-type": "application/x-www-form-urlencoded", "x-amz-date": time };
  const canonical = [
    "POST",
    "/",
    "",
    `content-type:${headers["content-type"]}`,
    `host:${host}`,
    `x-amz-date:${time}`,
    "",
    names,
    sha256(body),
  ];
  const text = ["AWS4-HMAC-SHA256", time, scope.join("/"), sha256(canonical.join("\n"))].join("\n");
  const key = scope.reduce<string | Buffer>((secret, part) => hmac(secret, part), `AWS4${server.secretKey}`);
  const credential = `${server.accessKey}/${scope.join("/")}`;
  const signature = hmac(key, text).toString("hex");
  return {
    ...headers,
    authorization: `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${signature}`,
  };
}
