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
import type { AttackedStorage } from "../../runtime/storage/storage";
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
const REAL = "backup/main/20261101-020000F/kept";
const DAY_MS = 24 * 60 * 60 * 1000;

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
  const keyOf = ({ name }: Pick<Repository["storage"], "name">, path: string): string =>
    `${name.replace(`s3://${server.bucket}/`, "")}/${path}`;
  const versionsOf = async (key: string): Promise<string[]> => {
    const query = { versions: "", prefix: key };
    const { text } = await callS3(server, { method: "GET", bucket: server.bucket, query });
    return [...text.matchAll(/<VersionId>([^<]+)<\/VersionId>/g)].map(([, id = ""]) => id);
  };
  /** Locks each scratch file before the attack, like a service that stamps a bucket's rule on versions. */
  const lockEach = ({ storage }: Repository): void => {
    const open = storage.openAttacked?.bind(storage);
    const openAttacked = (scratch: string): AttackedStorage => {
      const attacked = open?.(scratch);
      if (attacked === undefined) throw new Error("the storage cannot be attacked");
      const attack = attacked.attack.bind(attacked);
      return Object.assign(attacked, {
        attack: async () => {
          const body = `<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>${new Date(systemClock.nowMs() + DAY_MS).toISOString()}</RetainUntilDate></Retention>`;
          for await (const { path } of attacked.list("", { recursive: true }))
            await callS3(server, {
              method: "PUT",
              bucket: server.bucket,
              key: keyOf(attacked, path),
              query: { retention: "" },
              body,
            });
          return attack();
        },
      });
    };
    Object.assign(storage, { openAttacked });
  };
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
      protection: "ok",
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
    expect(verdicts(record)).toMatchObject({
      "delete-version": "ok",
      "batch-version": "ok",
      protection: "ok",
      past: "warning",
    });
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

  const LOCK_RULE =
    "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode><Days>1</Days></DefaultRetention></Rule></ObjectLockConfiguration>";

  test("that only the bucket's rule refuses fails the drill: with the rule every version goes", async () => {
    await setting("object-lock", LOCK_RULE);
    const repo = open(await keysOf([...WRITER, ...VERSIONS, "s3:DeleteObjectVersion"]));
    const record = await attack(repo);
    expect(record.failures.map(({ where }) => where)).toEqual(["attack:protection"]);
    expect(verdicts(record)).toMatchObject({ "delete-version": "ok", bypass: "ok", past: "ok", restore: "ok" });
    const facts = (await repo.storage.probe?.("pgbackstop-doctor-1")) ?? [];
    expect(facts.at(-1)).toMatchObject({ name: "versions", verdict: "warn" });
    lockEach(repo);
    const locked = await attack(repo);
    expect([locked.failures, verdicts(locked)]).toEqual([
      [],
      expect.objectContaining({ retention: "ok", protection: "ok" }),
    ]);
    expect(locked.lockedForS).toBeGreaterThan(86_000);
    // The loss that the drill foretells: the rule ends, and nothing of the version refuses any more.
    const path = `${REAL}-overwritten`;
    for (const text of ["good", "bad"]) await repo.storage.put(path, utf8(text));
    const key = keyOf(repo.storage, path);
    const before = await versionsOf(key);
    expect(before.length).toBeGreaterThan(1);
    await setting("object-lock", LOCK_RULE.replace(/<Rule>.*<\/Rule>/, ""));
    for (const versionId of before)
      await callS3(server, { method: "DELETE", bucket: server.bucket, key, query: { versionId } });
    expect(await versionsOf(key)).toEqual([]);
    await repo.storage.close();
  });
});
