/** What `doctor` reports about keys with different rights on a versioned bucket. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Secret } from "../../runtime/base/secret";
import type { RepoConfig } from "../../runtime/config/types";
import { openStorage } from "../../runtime/storage/open";
import type { Storage } from "../../runtime/storage/storage";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { deps, doctor, GOOD, verdicts } from "../harness/doctor";
import { liveAws } from "../harness/real/liveBucket";
import { s3Repo } from "../harness/repositories";
import { callS3 } from "../harness/network/s3Requests";
import { hasVersitygw } from "../harness/real/interopParts";

const KIB = 1024;

describe("a bucket", async () => {
  if (!(await hasVersitygw("a bucket"))) return;
  let server: S3Server;
  beforeAll(async () => {
    server = await S3Server.create({ kind: "versitygw", versioning: true, users: true });
    const body =
      '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>';
    await callS3(server, { method: "PUT", bucket: server.bucket, query: { versioning: "" }, body });
  });
  afterAll(async () => server?.remove());

  const open = (keys: Partial<NonNullable<RepoConfig["s3"]>> = {}): Storage =>
    openStorage(s3Repo(server, { s3: keys }), deps);
  const largeSizeBytes = 5 * KIB * KIB + KIB;

  async function keysOf(name: string, actions: readonly string[]): Promise<{ key: Secret; keySecret: Secret }> {
    const aws = liveAws(server);
    const resources = [`arn:aws:s3:::${server.bucket}`, `arn:aws:s3:::${server.bucket}/*`];
    const policy = JSON.stringify({
      Version: "2012-10-17",
      Statement: [{ Effect: "Allow", Action: actions, Resource: resources }],
    });
    await aws["aws:iam/user:User"]?.create?.({ name });
    await aws["aws:iam/userPolicy:UserPolicy"]?.create?.({ name: "rights", user: name, policy });
    const made = (await aws["aws:iam/accessKey:AccessKey"]?.create?.({ user: name })) as {
      id: string;
      outputs: { secret: string };
    };
    return { key: new Secret(made.id), keySecret: new Secret(made.outputs.secret) };
  }

  test("reports that an administrator's key can do too much: it deletes versions", async () => {
    const storage = open();
    const result = await doctor(storage, largeSizeBytes);
    const more = ["ok tls", "ok clock", "ok pages", "ok abort-upload", "ok create", "warn versions"];
    expect(verdicts(result)).toEqual([...GOOD.map((name) => `ok ${name}`), ...more]);
    expect(result.facts.at(-1)?.text).toContain("this key can delete versions");
    expect(result.error).toBeNull();
    for await (const left of storage.list("", { recursive: true })) throw new Error(left.path);
    await storage.close();
  });

  // claim: README.md: `doctor` reports what a…
  test("a writer's key writes, replaces and removes, and cannot delete versions", async () => {
    const actions = ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"];
    const storage = open(await keysOf("writer", actions));
    const result = await doctor(storage, largeSizeBytes);
    expect(result.facts.filter((fact) => fact.verdict !== "ok")).toEqual([]);
    expect(result.facts.at(-1)?.text).toBe("versions are kept, and this key has no right to delete them");
    await storage.close();
  });

  test("a reader's key lists and cannot write", async () => {
    const storage = open(await keysOf("reader", ["s3:ListBucket", "s3:GetObject"]));
    const result = await doctor(storage, largeSizeBytes);
    expect(verdicts(result)).toEqual([
      "ok list",
      "fail write",
      "ok missing",
      "ok tls",
      "ok clock",
      "fail pages",
      "fail abort-upload",
      "fail create",
      "fail versions",
    ]);
    expect(result.error?.exitCode).toBe(105);
    await storage.close();
  });
});
