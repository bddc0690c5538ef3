/**
 * Every driver under the same suite. The table below lists each driver's capabilities. A missing one is an entry, never
 * a gap.
 */
// claim: README.md: S3-compatible buckets (s3rver and versitygw; real providers only with `npm run test:live`)
// claim: docs/hosts/repositories.md: limitRate: time limits do not see the pauses
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { collect, streamOf } from "../../runtime/base/bytes";
import { systemClock } from "../../runtime/base/clock";
import { systemRandom } from "../../runtime/base/random";
import type { S3Config } from "../../runtime/config/types";
import { openServed, openStorage } from "../../runtime/storage/open";
import { ProcessStorage } from "../../runtime/storage/process/processStorage";
import { limitedStorage } from "../../runtime/storage/limitedStorage";
import { newRateState, RateLimit } from "../../runtime/storage/rateLimit";
import type { Storage } from "../../runtime/storage/storage";
import { NIGHTLY } from "../../tools/parts/nightly";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { findSshd, SftpServer } from "../../tools/parts/servers/sftpServer";
import { StorageProcesses } from "../harness/doubles/storageProcesses";
import { FaultyStorage } from "../harness/network/faults";
import { s3Kind, skipped } from "../harness/real/interopParts";
import { OPEN_DEPS, posixRepo, s3Repo, sftpRepo } from "../harness/repositories";
import { MemoryStorage } from "../harness/doubles/storages";
import { storageSuite } from "./storage.suite";

const MIB = 1024 * 1024;
/** A piece of 64 KiB takes longer at the rate than a server may be silent. */
const SLOW = { bytesPerSecond: 48 * 1024, ioTimeoutMs: 1000 };

function limitTest(open: () => Storage): void {
  test("pauses of an own limit are no silence of the server", async () => {
    const storage = open();
    const limited = limitedStorage(
      storage,
      new RateLimit(() => SLOW.bytesPerSecond, newRateState(), systemClock),
      OPEN_DEPS.signal,
    );
    const bytes = Buffer.alloc(128 * 1024, "content");
    const startMs = performance.now();
    await limited.putStream("limited/f", () => streamOf(bytes), { atomic: false });
    expect(Buffer.from(await collect(await limited.read("limited/f"), bytes.length))).toEqual(bytes);
    expect(performance.now() - startMs).toBeGreaterThan(4000);
    await storage.close();
  });
}

const OBJECT_STORE = { directories: false, symlinks: false };
const FILE_SYSTEM = { directories: true, symlinks: true };

const memory = new MemoryStorage();
storageSuite("memory", () => ({
  features: OBJECT_STORE,
  open: async () => memory,
  partSizeBytes: MIB,
  createsExclusively: true,
  replaces: true,
  manyCount: 1100,
}));

const tickets = new MemoryStorage({ createsExclusively: false });
storageSuite("memory without exclusive creation", () => ({
  features: OBJECT_STORE,
  open: async () => tickets,
  partSizeBytes: MIB,
  createsExclusively: false,
  manyCount: 10,
}));

const faultless = new MemoryStorage();
storageSuite("memory without planned faults", () => ({
  features: OBJECT_STORE,
  open: async () => new FaultyStorage(faultless),
  partSizeBytes: MIB,
  createsExclusively: true,
  manyCount: 100,
}));

describe.each(["posix", "cifs"] as const)("%s", (type) => {
  let root: string;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "posix-"));
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  storageSuite("driver", () => ({
    features: { ...FILE_SYSTEM, symlinks: type === "posix" },
    open: async () => openStorage(posixRepo(join(root, "repo"), { type }), OPEN_DEPS),
    partSizeBytes: MIB,
    createsExclusively: true,
    manyCount: 1100,
  }));
});

describe("a storage process", () => {
  let root: string;
  beforeAll(() => {
    root = mkdtempSync(join(tmpdir(), "process-"));
  });
  afterAll(() => rmSync(root, { recursive: true, force: true }));
  const served = () => ({ root: join(root, "repo"), syncDirectories: true, symlinks: true, hardLinks: true });
  const processes = new StorageProcesses((directory, signal) =>
    openServed(directory, { random: systemRandom, signal }),
  );
  storageSuite("driver", () => ({
    features: FILE_SYSTEM,
    open: async () =>
      new ProcessStorage(served(), { id: "1", path: root, type: "nfs4" }, { ...OPEN_DEPS, ...processes }),
    partSizeBytes: MIB,
    createsExclusively: true,
    manyCount: 1100,
  }));
  limitTest(() => {
    const slow = { ...OPEN_DEPS, ...processes, ioTimeoutMs: SLOW.ioTimeoutMs };
    return new ProcessStorage(served(), { id: "1", path: root, type: "nfs4" }, slow);
  });
});

/** Differences between servers. The driver is the same. */
const SERVERS = {
  // s3rver recognises a bucket only by a name before `.s3.amazonaws.com`.
  s3rver: { manyCount: 1100, hostStyleEndpoint: "s3.amazonaws.com" },
  versitygw: { manyCount: 2300, hostStyleEndpoint: "localhost" },
} as const;

describe("s3", async () => {
  const best = await s3Kind();
  describe.each(NIGHTLY ? [...new Set(["s3rver" as const, best])] : [best])("on %s", onServer);
});

function onServer(kind: keyof typeof SERVERS): void {
  const { manyCount, hostStyleEndpoint } = SERVERS[kind];
  let server: S3Server;
  const opened: Storage[] = [];
  beforeAll(async () => {
    server = await S3Server.create({ kind });
  });
  afterAll(async () => {
    for (const storage of opened) await storage.close();
    await server.remove();
  });
  const open = async (s3: Partial<S3Config>, path: string): Promise<Storage> => {
    const storage = openStorage(s3Repo(server, { path, s3 }), OPEN_DEPS);
    opened.push(storage);
    return storage;
  };
  storageSuite("path style below a prefix", () => ({
    features: OBJECT_STORE,
    open: () => open({}, "/some/prefix"),
    partSizeBytes: 5 * MIB,
    createsExclusively: false,
    manyCount,
  }));
  // With Amazon's quirks the driver sends conditional writes. With versitygw's own quirks it does not, because two
  // concurrent creators may both succeed there.
  if (kind === "versitygw") {
    storageSuite("conditional writes", () => ({
      features: OBJECT_STORE,
      open: () => open({ quirks: "aws" }, "/conditional"),
      partSizeBytes: 5 * MIB,
      createsExclusively: true,
      replaces: true,
      looksThenWrites: true,
      manyCount: 10,
    }));
  }
  limitTest(() => openStorage(s3Repo(server, { path: "/limited" }), { ...OPEN_DEPS, ioTimeoutMs: SLOW.ioTimeoutMs }));
  storageSuite("host style at the root", () => ({
    features: OBJECT_STORE,
    // Not every machine resolves names below localhost, so the connection goes to localhost. The Host header and the
    // signature name the bucket.
    open: () => open({ uriStyle: "host", endpoint: hostStyleEndpoint, storageHost: server.host }, "/"),
    partSizeBytes: 5 * MIB,
    createsExclusively: false,
    manyCount: 100,
  }));
}

/** OpenSSH extensions that other servers lack. Without them the driver uses another method. */
const EXTENSIONS = [
  { name: "with every extension", without: [] },
  {
    name: "without posix-rename, fsync, statvfs and hardlink",
    without: ["posix-rename", "fsync", "statvfs", "limits", "hardlink"],
  },
];

describe.each(EXTENSIONS)("sftp on OpenSSH $name", async ({ without }) => {
  const sshd = await findSshd();
  if ("missing" in sshd) return void skipped("storages at OpenSSH", sshd.missing);
  let server: SftpServer;
  const opened: Storage[] = [];
  beforeAll(async () => {
    server = await SftpServer.create(without.length === 0 ? {} : { without });
  });
  afterAll(async () => {
    for (const storage of opened) await storage.close();
    await server.remove();
  });
  storageSuite("driver", () => ({
    features: { ...FILE_SYSTEM, symlinks: false },
    open: async () => {
      const storage = openStorage(sftpRepo(server, `${server.folder}/some/repo`), OPEN_DEPS);
      opened.push(storage);
      return storage;
    },
    partSizeBytes: 2 * MIB,
    createsExclusively: true,
    manyCount: 700,
  }));
  limitTest(() =>
    openStorage(sftpRepo(server, `${server.folder}/limited`), { ...OPEN_DEPS, ioTimeoutMs: SLOW.ioTimeoutMs }),
  );
});
