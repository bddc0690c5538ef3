/** The attack drill with keys of different rights, on buckets with and without versions and locks (versitygw). */
// claim: docs/drills-attack.md: an attack drill writes a whole stanza of its own, attacks every file and restores it as
//   of before: a writer's attack is undone, a key that deletes versions fails it, locks and missing versions are told
//   apart, and nothing outside its directory changes, also with two at once or killed at any write (versitygw, which
//   has no lifecycle and no key rules of Backblaze)
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { accessPolicy } from "../../components/plan/storage/awsPolicies";
import { collect, utf8 } from "../../runtime/base/bytes";
import { systemClock } from "../../runtime/base/clock";
import { Secret } from "../../runtime/base/secret";
import type { RepoConfig } from "../../runtime/config/types";
import { loadUserNames } from "../../runtime/local/users";
import { attackDrill } from "../../runtime/operations/drill/attackDrill";
import type { DrillRecord } from "../../runtime/operations/drill/record";
import type { Repository } from "../../runtime/repository/repository";
import { openStorage } from "../../runtime/storage/open";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { testContext } from "../harness/context";
import { deps } from "../harness/doctor";
import { callS3 } from "../harness/network/s3Requests";
import { makeUser, policyOf } from "../harness/real/liveBucket";
import { s3Repo } from "../harness/repositories";
import { NIGHTLY } from "../../tools/parts/nightly";
import { hasVersitygw } from "../harness/real/interopParts";

const WRITER = ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"];
/** Backblaze's writers may list and read versions; Amazon's, as the components make them, may not. */
const VERSIONS = ["s3:ListBucketVersions", "s3:GetObjectVersion"];
const REAL = "backup/main/backup.info";

describe("an attack", async () => {
  if (!(await hasVersitygw("an attack"))) return;
  let server: S3Server;
  let userCount = 0;
  let seeds = 0;
  const folder = mkdtempSync(join(tmpdir(), "pgb-attack-"));
  beforeAll(async () => {
    server = await S3Server.create({ kind: "versitygw", versioning: true, users: true });
  });
  afterAll(async () => {
    await server?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  const setting = async (query: string, body: string): Promise<void> =>
    void (await callS3(server, { method: "PUT", bucket: server.bucket, query: { [query]: "" }, body }));
  async function keysOf(actions: readonly string[] | string): Promise<{ key: Secret; keySecret: Secret }> {
    const policy = typeof actions === "string" ? actions : policyOf(server, actions);
    const { accessKeyId, secretAccessKey } = await makeUser(server, `user${++userCount}`, policy);
    return { key: new Secret(accessKeyId), keySecret: new Secret(secretAccessKey) };
  }
  const open = (s3: Partial<NonNullable<RepoConfig["s3"]>> = {}): Repository => ({
    key: 2,
    name: "repo2",
    stanza: "main",
    storage: openStorage(s3Repo(server, { s3 }), deps),
    cipherType: "none",
    cipherPass: null,
    compress: { type: "none", level: 0 },
    bundle: null,
    block: null,
    hardLinks: false,
    latestLink: false,
  });
  /** Different seeds give different directories, as chance does. */
  const attack = async (repo: Repository, seed = ++seeds): Promise<DrillRecord> =>
    attackDrill(
      [repo],
      { users: loadUserNames(), self: { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 } },
      {
        stanza: "main",
        level: "thorough",
        maxMinutes: 5,
        repoIndex: 2,
        path: folder,
        beganMs: systemClock.monotonicMs(),
      },
      testContext({ clock: systemClock, seed }),
    );
  const verdicts = ({ checks }: DrillRecord): Record<string, string> =>
    Object.fromEntries(checks.map(({ name, verdict }) => [name.replace("attack:", ""), verdict]));
  const leftOf = async (repo: Repository): Promise<string[]> => {
    const left: string[] = [];
    for await (const { path } of repo.storage.list("", { recursive: true })) left.push(path);
    return left.sort();
  };

  test("on a bucket without versions fails: nothing undoes it", async () => {
    const repo = open();
    await repo.storage.put(REAL, utf8("real"));
    const record = await attack(repo);
    expect(record.failures.map(({ where }) => where)).toEqual(["attack:versions"]);
    expect(record.failures[0]?.message).toContain("the bucket keeps no versions");
    expect(await leftOf(repo)).toEqual([REAL]);
    await repo.storage.close();
    await setting("versioning", "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>");
  });

  test.runIf(NIGHTLY)("by a writer that may read versions is undone, and touches nothing else", async () => {
    const repo = open(await keysOf([...WRITER, ...VERSIONS]));
    const record = await attack(repo);
    expect([record.ok, record.failures, record.pick]).toEqual([true, [], "attack"]);
    expect(verdicts(record)).toEqual({
      delete: "ok",
      overwrite: "ok",
      empty: "ok",
      batch: "ok",
      "delete-version": "ok",
      "batch-version": "ok",
      bypass: "ok",
      retention: "ok",
      lifecycle: "skipped",
      versioning: "ok",
      "object-lock": "ok",
      past: "ok",
      restore: "ok",
    });
    expect(await leftOf(repo)).toEqual([REAL]);
    expect(Buffer.from(await collect(await repo.storage.read(REAL), 9)).toString()).toBe("real");
    await repo.storage.close();
  });

  test("by the writer that S3Repository makes is refused what cannot be undone; a reader must show the rest", async () => {
    const repo = open(
      await keysOf(accessPolicy("writer", { bucketArn: `arn:aws:s3:::${server.bucket}`, path: "/repo" })),
    );
    const record = await attack(repo);
    expect([record.ok, record.failures]).toEqual([true, []]);
    expect(verdicts(record)).toMatchObject({ "delete-version": "ok", "batch-version": "ok", past: "warning" });
    await repo.storage.close();
  });

  test("by a key that deletes versions succeeds, and the drill fails", async () => {
    const repo = open(await keysOf([...WRITER, ...VERSIONS, "s3:DeleteObjectVersion"]));
    const record = await attack(repo);
    expect(record.ok).toBe(false);
    expect(verdicts(record)).toMatchObject({
      "delete-version": "failed",
      "batch-version": "failed",
      bypass: "failed",
      past: "failed",
      restore: "failed",
    });
    expect(record.failures.at(-1)?.message).toContain("the stanza of before was not restored");
    expect(await leftOf(repo)).toEqual([REAL]);
    await repo.storage.close();
  });

  test("two at the same time do not meet, and leave alone what a third may still use", async () => {
    const keys = await keysOf([...WRITER, ...VERSIONS]);
    const repos = [open(keys), open(keys)] as const;
    await repos[0].storage.put("pgbackstop/main/attack/20200101-000000Z-00000000/kept", utf8("left"));
    const records = await Promise.all(repos.map((repo) => attack(repo)));
    expect(records.map(({ failures }) => failures)).toEqual([[], []]);
    expect(await leftOf(repos[0])).toEqual([REAL, "pgbackstop/main/attack/20200101-000000Z-00000000/kept"]);
    for (const { storage } of repos) await storage.close();
  });

  test("on locked files is refused even by a key that deletes versions", async () => {
    await setting(
      "object-lock",
      "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>",
    );
    const repo = open(await keysOf([...WRITER, ...VERSIONS, "s3:DeleteObjectVersion"]));
    const record = await attack(repo);
    expect([record.failures, verdicts(record)]).toEqual([
      [],
      expect.objectContaining({
        "delete-version": "ok",
        "batch-version": "ok",
        bypass: "ok",
        retention: "ok",
        past: "ok",
        restore: "ok",
      }),
    ]);
    await repo.storage.close();
  });
});
