import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { type ByteStream, utf8 } from "../../../runtime/base/bytes";
import { systemClock } from "../../../runtime/base/clock";
import { systemRandom } from "../../../runtime/base/random";
import { Secret } from "../../../runtime/base/secret";
import { limitRateOf } from "../../../runtime/config/hours/limitRate";
import type { AzureConfig, GcsConfig, RepoConfig, S3Config, SftpConfig } from "../../../runtime/config/types";
import { stanzaCreate } from "../../../runtime/operations/stanza/stanzaCreate";
import { openRepositories } from "../../../runtime/process/openRepositories";
import { loadArchiveInfo } from "../../../runtime/repository/infoStore";
import { newRateState } from "../../../runtime/storage/rateLimit";
import { ObjectStorage } from "../../../runtime/storage/objectStore/objectStorage";
import { PastStorage } from "../../../runtime/storage/objectStore/past";
import { openServed, openStorage } from "../../../runtime/storage/open";
import { PosixStorage } from "../../../runtime/storage/posix";
import type { StorageProcess } from "../../../runtime/storage/process/channel";
import { S3_QUIRKS } from "../../../runtime/storage/s3/quirks";
import { SftpStorage } from "../../../runtime/storage/sftp/driver";
import type { Storage } from "../../../runtime/storage/storage";
import { testContext } from "../../harness/context";
import { StorageProcesses } from "../../harness/doubles/storageProcesses";
import { MemoryStorage } from "../../harness/doubles/storages";
import { posixRepo } from "../../harness/repositories";
import { CONTROL, temporaryFolder } from "../repository/support";

const s3: S3Config = {
  bucket: "bkt",
  endpoint: "s3.example.com",
  region: "us-east-1",
  key: new Secret("k"),
  keySecret: new Secret("s"),
  uriStyle: "path",
  storagePort: 443,
  verifyTls: true,
  uploadChunkSizeBytes: 16 * 1024 * 1024,
  quirks: "auto",
};
const azure: AzureConfig = {
  account: "account",
  container: "backups",
  endpoint: "blob.core.windows.net",
  keyType: "shared",
  key: new Secret("a2V5"),
  uriStyle: "host",
  storagePort: 443,
  verifyTls: true,
  uploadChunkSizeBytes: 4 * 1024 * 1024,
};
const gcs: GcsConfig = {
  bucket: "backups",
  endpoint: "storage.googleapis.com",
  keyType: "service",
  key: new Secret("/key.json"),
  verifyTls: true,
  uploadChunkSizeBytes: 4 * 1024 * 1024,
};
const sftp: SftpConfig = {
  host: "backup.example.com",
  port: 22,
  user: "backup",
  hostKeyCheck: { type: "fingerprint", hashType: "sha256", fingerprint: "00" },
  privateKeyFile: "/key",
};
const open = (repo: Partial<RepoConfig>) =>
  openStorage(posixRepo("/srv/repo", repo), {
    ...testContext(),
    ioTimeoutMs: 1_000,
    readFile: (path) => {
      throw new Error(`reads ${path}`);
    },
  });

test("each type has its driver", () => {
  expect(open({})).toMatchObject({
    name: "/srv/repo",
    features: { directories: true, symlinks: true },
  });
  expect(open({ symlink: false }).features.symlinks).toBe(false);
  expect(open({ type: "cifs" }).features).toEqual({ directories: true, symlinks: false });
  expect(open({ type: "s3", s3 })).toMatchObject({
    name: "s3://bkt/srv/repo",
    features: { directories: false, symlinks: false },
  });
  expect(open({ type: "s3", s3, path: "/" }).name).toBe("s3://bkt");
  expect(open({ type: "azure", azure })).toMatchObject({
    name: "azure://backups/srv/repo",
    features: { directories: false, symlinks: false },
  });
  // The key's file is read with the first request.
  expect(open({ type: "gcs", gcs })).toMatchObject({
    name: "gs://backups/srv/repo",
    features: { directories: false, symlinks: false },
  });
});

test.each<[string, { readonly list: Storage["list"] }, Partial<RepoConfig>]>([
  ["a directory", PosixStorage.prototype, {}],
  ["CIFS", PosixStorage.prototype, { type: "cifs" }],
  ["SFTP", SftpStorage.prototype, { type: "sftp", sftp }],
  ["S3", ObjectStorage.prototype, { type: "s3", s3 }],
  ["Azure", ObjectStorage.prototype, { type: "azure", azure }],
  ["Google", ObjectStorage.prototype, { type: "gcs", gcs }],
  ["S3 as of a time", PastStorage.prototype, { type: "s3", s3, targetTimeMs: 1 }],
])("a listing of %s names each entry once", async (_name, driver, repo) => {
  const list = vi.spyOn(driver, "list").mockImplementation(async function* () {
    for (const path of ["d/a", "d/b", "d/a", "d/b", "d/b"]) yield { path, type: "file", sizeBytes: 1, modifiedAtMs: 0 };
  });
  onTestFinished(() => list.mockRestore());
  const paths: string[] = [];
  for await (const { path } of open(repo).list("d")) paths.push(path);
  expect(paths).toEqual(["d/a", "d/b"]);
});

test("the authority's file is read if it is configured, and a missing one costs its repository alone", async () => {
  expect(() => open({ type: "s3", s3: { ...s3, caFile: "/etc/ca.pem" } })).toThrow("reads /etc/ca.pem");
  const root = temporaryFolder();
  const broken = { key: 2, type: "s3", s3: { ...s3, caFile: join(root, "ca.pem") } } as const;
  const repos = openRepositories("main", [posixRepo(root), posixRepo(root, broken)], 1_000, testContext());
  expect(await repos[0]?.storage.stat("f")).toBeNull();
  await expect(repos[1]?.storage.stat("f")).rejects.toMatchObject({ message: expect.stringContaining("ca.pem") });
});

test("what a service can do is guessed from the host that is asked", () => {
  const at = (storageHost?: string) =>
    open({
      type: "s3",
      s3: { ...s3, endpoint: "s3.eu-central-1.amazonaws.com", ...(storageHost === undefined ? {} : { storageHost }) },
    });
  expect([at().create !== undefined, at("minio.lan").create !== undefined]).toEqual([true, false]);
});

test("Azure's key is required unless the machine has an identity, and its past is only read", async () => {
  const { key: _key, ...without } = azure;
  expect(() => open({ type: "azure", azure: without })).toThrow(
    expect.objectContaining({ kind: "optionRequired", message: "command requires option: repo1-azure-key" }),
  );
  expect(open({ type: "azure", azure: { ...without, keyType: "auto" } }).name).toBe("azure://backups/srv/repo");
  const past = open({ type: "azure", azure, targetTimeMs: 1 });
  await expect(past.put("f", new Uint8Array(1))).rejects.toMatchObject({ kind: "featureNotSupported" });
});

test("Google's key is required unless the machine has a service account, and its past is only read", async () => {
  const { key: _key, ...without } = gcs;
  expect(() => open({ type: "gcs", gcs: without })).toThrow(
    expect.objectContaining({ kind: "optionRequired", message: "command requires option: repo1-gcs-key" }),
  );
  expect(open({ type: "gcs", gcs: { ...without, keyType: "auto" } }).name).toBe("gs://backups/srv/repo");
  const past = open({ type: "gcs", gcs, targetTimeMs: 1 });
  expect([past.name, past.create, past.replace]).toEqual(["gs://backups/srv/repo", undefined, undefined]);
  await expect(past.put("f", new Uint8Array(1))).rejects.toMatchObject({ kind: "featureNotSupported" });
});

test("S3, Azure, Google and SFTP refuse a name that is no UTF-8 before they connect, and show its bytes", async () => {
  for (const repo of [
    { type: "s3", s3 } as const,
    { type: "azure", azure } as const,
    { type: "gcs", gcs } as const,
    { type: "sftp", sftp } as const,
  ]) {
    const storage = open(repo);
    const stored = (): Promise<void> => storage.put("caf\udce9", new Uint8Array(1));
    for (const work of [stored, () => storage.stat("caf\udce9")])
      await expect(work()).rejects.toMatchObject({
        kind: "featureNotSupported",
        message: expect.stringContaining("caf\\xe9' because names in"),
      });
  }
});

test("wrong settings are named", () => {
  expect(() => open({ key: 2, type: "s3", s3: { ...s3, quirks: "nonsense" } })).toThrow(
    expect.objectContaining({
      kind: "optionInvalidValue",
      message: "'nonsense' is not allowed for 's3Quirks' of repo2",
      hints: [`Allowed are: auto, ${S3_QUIRKS.map((row) => row.id).join(", ")}.`],
    }),
  );
  expect(() => open({ key: 2, type: "s3", s3: { ...s3, uploadChunkSizeBytes: 1024 * 1024 } })).toThrow(
    expect.objectContaining({
      kind: "optionInvalidValue",
      message: "'1048576' is out of range for 'repo2-storage-upload-chunk-size' option",
      hints: ["another S3-compatible service takes parts of 5242880 to 5368709120 bytes."],
    }),
  );
  expect(() => open({ key: 2, type: "s3" })).toThrow(
    expect.objectContaining({ kind: "optionRequired", message: "command requires option: repo2-s3-bucket" }),
  );
});

test("a directory is served by a process of its own from the time that a file server is mounted there", async () => {
  let table = "27 1 254:0 / / rw - ext4 /dev/vda rw";
  let nextMs = 0;
  const controller = new AbortController();
  const double = new StorageProcesses((served, signal) => openServed(served, { random: systemRandom, signal }));
  const storage = openStorage(posixRepo("/nowhere/repo"), {
    ...testContext(),
    clock: { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + nextMs },
    signal: controller.signal,
    ioTimeoutMs: 10_000,
    readFile: () => new Uint8Array(),
    processes: { ...double, mounts: { readTable: () => table, readLink: () => null } },
  });
  expect([await storage.stat("f"), double.startedCount, storage.openWriter === undefined]).toEqual([null, 0, false]);
  table += "\n30 27 0:40 / /nowhere rw - nfs4 nas:/x rw";
  nextMs = 6000;
  expect([await storage.stat("f"), double.startedCount, storage.openWriter === undefined]).toEqual([null, 1, true]);
  await storage.close();
});

test("a remount leaves no storage process behind, and ends none that still works", async () => {
  const mountOf = (id: number): string =>
    `27 1 254:0 / / rw - ext4 /dev/vda rw\n${id} 27 0:40 / /nowhere rw - nfs4 nas:/x rw`;
  let table = mountOf(30);
  const context = testContext();
  const double = new StorageProcesses(() => new MemoryStorage());
  const channels: StorageProcess["channel"][] = [];
  const start = (): StorageProcess => {
    const started = double.start();
    channels.push(started.channel);
    return started;
  };
  const { findStuck, version } = double;
  const storage = openStorage(posixRepo("/nowhere/repo"), {
    ...context,
    ioTimeoutMs: 10_000,
    readFile: () => new Uint8Array(),
    processes: { start, findStuck, version, mounts: { readTable: () => table, readLink: () => null } },
  });
  const remount = async (id: number): Promise<boolean[]> => {
    table = mountOf(id);
    context.clock.advance(6000);
    await storage.stat("f");
    return channels.map((channel) => channel.destroyed);
  };
  let openGate = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    openGate = resolve;
  });
  const source = async function* (): ByteStream {
    yield utf8("half");
    await gate;
  };
  const writing = storage.putStream("f", source);
  await vi.waitFor(() => expect(channels).toHaveLength(1));
  expect(await remount(31)).toEqual([false, false]);
  openGate();
  await writing;
  expect(await remount(32)).toEqual([true, true, false]);
  await storage.close();
  expect(channels.map((channel) => channel.destroyed)).toEqual([true, true, true]);
});

// claim: docs/troubleshooting.md: with `requireMount` nothing is written while nothing is mounted
test("a directory with requireMount is unusable until something is mounted there", async () => {
  const root = temporaryFolder();
  let table = "27 1 254:0 / / rw - ext4 /dev/vda rw";
  let readTable = (): string => table;
  const ctx = testContext();
  const double = new StorageProcesses((served, signal) => openServed(served, { random: systemRandom, signal }));
  const [repo] = openRepositories("demo", [posixRepo(root, { requireMount: true })], 1000, ctx, {
    processes: { ...double, mounts: { readTable: () => readTable(), readLink: () => null } },
  });
  if (repo === undefined) throw new Error("one repository is configured");
  const missing = {
    kind: "pathMissing",
    retryable: true,
    message: `nothing is mounted at or above '${root}'`,
    hints: [expect.stringMatching(/^Mount it\./)],
  };
  await expect(repo.storage.put("f", new Uint8Array(1))).rejects.toMatchObject(missing);
  await expect(loadArchiveInfo(repo)).rejects.toMatchObject({ ...missing, message: expect.any(String) });
  expect(await stanzaCreate([repo], CONTROL, ctx)).toMatchObject([{ ok: false, error: { kind: "pathMissing" } }]);
  expect(readdirSync(root)).toEqual([]);
  table += `\n30 27 8:1 / ${root} rw - ext4 /dev/sda1 rw`;
  ctx.clock.advance(6000);
  expect(await stanzaCreate([repo], CONTROL, ctx)).toMatchObject([{ ok: true }]);

  // A process that has just looked writes nothing to a bare mount point, and counts no write that the mount lost.
  const mounted = table;
  const bare = "27 1 254:0 / / rw - ext4 /dev/vda rw";
  table = bare;
  await expect(repo.storage.put("late", new Uint8Array(1))).rejects.toMatchObject(missing);
  expect(readdirSync(root)).not.toContain("late");
  let looks = 0;
  readTable = () => (looks++ === 0 ? mounted : bare);
  await expect(repo.storage.put("lost", new Uint8Array(1))).rejects.toMatchObject(missing);
  expect(looks).toBeGreaterThan(1);
});

test.each([true, false])("a limit reaches what is there now, not at the opening (mounted: %s)", async (isMounted) => {
  const root = temporaryFolder();
  const none = "27 1 254:0 / / rw - ext4 /dev/vda rw";
  const mounted = `${none}\n30 27 8:1 / ${root} rw - ext4 /dev/sda1 rw`;
  let table = isMounted ? mounted : none;
  const ctx = testContext();
  const { start, version } = new StorageProcesses((served) => openServed(served, ctx));
  const limitRate = limitRateOf("64KiB");
  const [repo] = openRepositories("demo", [posixRepo(root, { requireMount: true, limitRate })], 1000, ctx, {
    processes: { start, version, mounts: { readTable: () => table, readLink: () => null } },
    rates: { 1: newRateState() },
    clock: ctx.clock,
  });
  const create = async (name: string): Promise<boolean | undefined> =>
    repo?.storage.create?.(name, new Uint8Array(64 * 1024));
  const mount = (isThere: boolean): void => {
    table = isThere ? mounted : none;
    ctx.clock.advance(6000);
  };
  mount(true);
  const startMs = ctx.clock.nowMs();
  expect([await create("a"), await create("a")]).toEqual([true, false]);
  expect(ctx.clock.nowMs() - startMs).toBeGreaterThan(1000);
  mount(false);
  await expect(create("b")).rejects.toMatchObject({ kind: "pathMissing" });
  expect(readdirSync(root)).toEqual(["a"]);
});

test("a repository with a limit is opened under it, in a server beside it, and without its state not at all", async () => {
  const limitRate = limitRateOf({ "06:00-07:00": "64KiB" });
  const bytes = new Uint8Array(64 * 1024);
  const spentMs = async (startedAtMs: number, opening: object, underLimit = false): Promise<number> => {
    const ctx = testContext({ startedAtMs });
    const [repo] = openRepositories("demo", [posixRepo(temporaryFolder(), { limitRate })], 1000, ctx, {
      ...opening,
      clock: ctx.clock,
    });
    await (underLimit ? repo?.limitedStorage : repo?.storage)?.put("f", bytes);
    return ctx.clock.nowMs() - startedAtMs;
  };
  const [limited, free] = [Date.UTC(2026, 10, 20, 6, 30), Date.UTC(2026, 10, 20, 7, 30)];
  const rates = { 1: newRateState() };
  // The first quarter of a second is free.
  expect(await spentMs(limited, { rates })).toBeCloseTo(750, 0);
  expect(await spentMs(free, { rates: { 1: newRateState() } })).toBe(0);
  expect(await spentMs(limited, {})).toBe(0);
  expect(await spentMs(limited, { rates: { 1: newRateState() }, serves: true })).toBe(0);
  expect(await spentMs(limited, { rates: { 1: newRateState() }, serves: true }, true)).toBeCloseTo(750, 0);
});
