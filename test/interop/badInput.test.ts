/** What goes wrong in a user's life, through the command line: each with its exact message and exit code, and with what must still work. */
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PostgresBinaries } from "../../tools/parts/postgres";
import { type RunResult, run } from "../../tools/parts/process";
import { S3Server } from "../../tools/parts/s3Server";
import { TestCluster } from "../../tools/parts/testCluster";
import { giveTo, isRoot } from "../../tools/parts/users";
import { labelsOf, parseInfo } from "../harness/infoJson";
import { findParts, loud, s3Kind } from "../harness/interopParts";
import { fillBed, writeMore } from "../harness/sampleData";
import { requireOk, TestBed } from "../harness/testBed";

const FULL = ["backup", "--type=full"];
/** Added to `[global]` of every bed: retention is no topic here, and answers shall not be waited for. */
const GLOBAL = { "repo1-retention-full": "9", "repo2-retention-full": "9", "io-timeout": "15", "archive-timeout": "20" };

describe("bad input", async () => {
  const parts = await findParts("bad input", 18, "2.60");
  if (parts === null) {
    test.skip("a part is missing", () => undefined);
    return;
  }
  const { binaries } = parts;
  let server: S3Server;
  let bed: TestBed;
  let segment: string;

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await makeBed(binaries, server);
    await bed.oursOk(["stanza-create"]);
    await fillBed(bed);
    await bed.oursOk(FULL);
    await writeMore(bed);
    segment = await bed.archiveAll();
  });
  afterAll(async () => {
    await bed?.remove();
    await server?.remove();
  });

  describe("of repositories", () => {
    /** Runs `backup --repo=2` with a changed configuration. */
    const backup2 = async (name: string, global: Record<string, string>): Promise<string> => {
      const result = await bed.ours([...FULL, "--repo=2"], { config: bed.variant(name, { global }) });
      return errorOf(result);
    };

    test("a wrong passphrase", async () => {
      const config = bed.variant("passphrase", { global: { "repo2-cipher-pass": "not the right one" } });
      const reason = (kind: string): string =>
        [
          `unable to load info file '${kind}/main/${kind}.info' or '${kind}/main/${kind}.info.copy':`,
          "CryptoError: unable to flush: wrong passphrase, or the content is damaged or cut short",
          "CryptoError: unable to flush: wrong passphrase, or the content is damaged or cut short",
        ].join("\n");
      const hint = "HINT: Is the passphrase the one of this repository and stanza, and is or was the repository encrypted?";
      const verified = await bed.ours(["verify", "--repo=2"], { config });
      expect(errorOf(verified)).toContain(`[095]: ${reason("archive")}\n${hint}`);
      expect(verified.exitCode).toBe(95);
      const { result, dataPath } = await bed.restoreAside({ by: null, repo: 2, config });
      expect(errorOf(result)).toBe(`[103]: unable to find a valid repository\nrepo2: [CryptoError] ${reason("backup")}`);
      expect(result.exitCode).toBe(103);
      expect(readdirSync(dataPath)).toEqual([]);
      const got = await bed.ours(["archive-get", "--repo=2", segment, join(bed.folder, "side", "got")], { config });
      expect(errorOf(got)).toContain(`[103]: unable to tell whether ${segment} is in the archive\nrepo2: [CryptoError] ${reason("archive")}`);
      expect(got.exitCode).toBe(103);
      const told = await bed.ours(["info", "--output=json"], { config });
      expect(told.exitCode).toBe(104);
      expect(parseInfo(told.stdout).repo.map((repo) => repo.status.code)).toEqual([0, 99]);
      // The other repository gets its backup all the same.
      const half = await bed.ours(FULL, { config });
      expect(half.exitCode).toBe(104);
      expect(errorOf(half)).toMatch(/^\[104\]: backup command encountered error\(s\):\nrepo2: \[CryptoError\] unable to load info file/);
      expect(half.stdout).toMatch(/repo1: new backup label = /);
    });

    test("a passphrase that is missing", async () => {
      const result = await bed.ours(["info"], { config: bed.variant("no-passphrase", { global: { "repo2-cipher-pass": null } }) });
      expect(result.exitCode).toBe(37);
      expect(errorOf(result)).toMatch(/^\[037\]: info command requires option: repo2-cipher-pass\n/);
    });

    test("a wrong access key, a wrong secret, a wrong bucket", async () => {
      const key = await backup2("key", { "repo2-s3-key": "AKIA0000000000000000" });
      expect(key).toMatch(/^\[105\]: unable to load info file '\w+\/main\/\w+.info' or /);
      expect(key).toMatch(/^AccessError: unable to get 's3:\/\/pgbackstop\/repo\/\w+\/main\/\w+.info': \[403\] InvalidAccessKeyId: /m);
      expect(key).toContain("HINT: The service does not know this access key: check repo2-s3-key and repo2-s3-endpoint.");
      const secret = await backup2("secret", { "repo2-s3-key-secret": "0000000000000000000000000000000000000000" });
      expect(secret).toMatch(/^AccessError: unable to get 's3:\/\/pgbackstop\/repo\/\w+\/main\/\w+.info': \[403\] SignatureDoesNotMatch: /m);
      expect(secret).toContain("HINT: The secret does not belong to the access key: check repo2-s3-key-secret, then repo2-s3-region.");
      const bucket = await backup2("bucket", { "repo2-s3-bucket": "no-such-bucket" });
      expect(bucket).toMatch(/^\[073\]: unable to load info file/);
      expect(bucket).toMatch(
        /^PathMissingError: unable to get 's3:\/\/no-such-bucket\/repo\/\w+\/main\/\w+.info': bucket 'no-such-bucket' does not exist at localhost$/m,
      );
      expect(bucket).toContain("HINT: Check repo2-s3-bucket, repo2-s3-endpoint and repo2-s3-region, or create the bucket.");
    });

    test("an expired certificate, one of an unknown authority, and a server that is not there", async () => {
      const expired = await S3Server.create({ kind: server.kind, expiredCertificate: true });
      try {
        const caFile = join(bed.folder, "expired-ca.crt");
        copyFileSync(expired.caFile, caFile);
        chmodSync(caFile, 0o644);
        const port = String(expired.port);
        const text = await backup2("expired", { "repo2-storage-port": port, "repo2-storage-ca-file": caFile });
        expect(text).toMatch(/^\[049\]: /);
        expect(text).toContain(`HostConnectError: unable to connect to 'localhost:${port}': its certificate has expired`);
        expect(text).toContain("HINT: Renew the certificate of the service.");
        const unknown = await backup2("unknown-ca", { "repo2-storage-ca-file": caFile });
        expect(unknown).toContain(
          `HostConnectError: unable to connect to 'localhost:${server.port}': its certificate is of an authority that is not trusted here`,
        );
        expect(unknown).toContain("HINT: Put the certificate of the private authority into the file of repo2-storage-ca-file.");
        await expired.stop();
        const away = await backup2("away", { "repo2-storage-port": port, "io-timeout": "3" });
        expect(away).toMatch(/^\[049\]: /);
        expect(away).toContain(`unable to connect to 'localhost:${port}': [ECONNREFUSED]`);
      } finally {
        await expired.remove();
      }
    });

    test.skipIf(!isRoot())("a path that this user may not write", async () => {
      const closed = join(bed.folder, "closed");
      mkdirSync(closed, { mode: 0o700 });
      const config = bed.variant("closed", { global: { "repo1-path": join(closed, "repo") } });
      const created = await bed.ours(["stanza-create"], { config });
      expect(created.exitCode).toBe(104);
      expect(errorOf(created)).toContain("repo1: [");
      expect(errorOf(created)).toContain("[13] Permission denied");
      expect(errorOf(created)).toContain(`'${closed}' has mode 0700, user 0, group 0; this process is user ${bed.cluster.user.uid}`);
      const half = await bed.ours(FULL, { config });
      expect(half.exitCode).toBe(104);
      expect(errorOf(half)).toMatch(/^\[104\]: backup command encountered error\(s\):\nrepo1: \[FileOpenError\] unable to load info file/);
      expect(half.stdout).toMatch(/repo2: new backup label = /);
    });

    test("a repository without the stanza", async () => {
      const empty = join(bed.folder, "side", "empty");
      mkdirSync(empty);
      giveTo(empty, bed.cluster.user);
      const config = bed.variant("empty", { global: { "repo1-path": empty } });
      const result = await bed.ours([...FULL, "--repo=1"], { config });
      expect(result.exitCode).toBe(55);
      expect(errorOf(result)).toContain(`FileMissingError: unable to open missing file '${empty}/archive/main/archive.info' for read`);
      expect(errorOf(result)).toContain("HINT: has a stanza-create been performed?");
    });
  });

  describe("of the cluster", () => {
    test("another cluster's system identifier", async () => {
      const other = await TestCluster.create({ binaries, settings: { archive_mode: "on", archive_command: "true # pgbackrest" } });
      try {
        await other.start();
        const config = bed.variant("other", { stanza: { "pg1-path": other.dataPath, "pg1-socket-path": other.socketPath } });
        const mine = await bed.cluster.value("SELECT system_identifier FROM pg_control_system()");
        const its = await other.value("SELECT system_identifier FROM pg_control_system()");
        const line = (key: number): string => `PostgreSQL version 18, system-id ${its} do not match repo${key} stanza version 18, system-id ${mine}`;
        const mismatch = `[103]: unable to find a valid repository\nrepo1: [ArchiveMismatchError] ${line(1)}\nrepo2: [ArchiveMismatchError] ${line(2)}\n`;
        const created = errorOf(await bed.ours(["stanza-create"], { config }));
        expect(created).toContain(`repo1: [FileInvalidError] backup and archive info files exist but do not match the database\n${line(1)}`);
        expect(errorOf(await bed.ours(FULL, { config }))).toContain(mismatch);
        expect(errorOf(await bed.ours(["check"], { config }))).toContain(mismatch);
        const pushed = await bed.ours(["archive-push", join(other.dataPath, "pg_wal", "000000010000000000000001")], { config });
        expect(errorOf(pushed)).toContain(mismatch);
        expect(pushed.exitCode).toBe(103);
        const alone = await bed.ours([...FULL, "--repo=1"], { config });
        expect(alone.exitCode).toBe(44);
        const got = await bed.ours(["archive-get", segment, join(bed.folder, "side", "got")], { config });
        expect(got.exitCode).toBe(103);
        expect(errorOf(got)).toContain(
          `repo1: [ArchiveMismatchError] unable to retrieve the archive id for database version '18' and system-id '${its}'`,
        );
      } finally {
        await other.remove();
      }
    });

    test("a WAL segment that is archived already with other content", async () => {
      const folder = join(bed.folder, "side", "duplicate");
      mkdirSync(folder);
      const bytes = readFileSync(bed.walFile(segment));
      bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1;
      writeFileSync(join(folder, segment), bytes);
      for (const path of [folder, join(folder, segment)]) giveTo(path, bed.cluster.user);
      const before = archived(bed, segment);
      const result = await bed.ours(["archive-push", join(folder, segment)]);
      expect(result.exitCode).toBe(45);
      expect(errorOf(result)).toMatch(
        new RegExp(
          `^\\[045\\]: WAL file '${segment}' already exists in the repo[12] archive with a different checksum\nHINT: are multiple primaries`,
        ),
      );
      expect(archived(bed, segment)).toEqual(before);
    });

    test("archive_mode off, an archive_command of somebody else, and PostgreSQL down", async () => {
      await bed.cluster.restart({ archive_mode: "off" });
      const off = await bed.ours(FULL);
      expect([off.exitCode, errorOf(off)]).toEqual([
        87,
        "[087]: archive_mode must be enabled\nHINT: set archive_mode = on in postgresql.conf and restart PostgreSQL.",
      ]);
      await bed.cluster.restart({ archive_command: "true" });
      const foreign = await bed.ours(FULL);
      expect(foreign.exitCode).toBe(68);
      expect(errorOf(foreign)).toMatch(/^\[068\]: archive_command 'true' must contain pgbackrest\n/);
      await bed.cluster.stop("immediate");
      const down = await bed.ours(FULL);
      expect(down.exitCode).toBe(56);
      const { socketPath } = bed.cluster;
      expect(errorOf(down)).toMatch(
        new RegExp(
          `^\\[056\\]: unable to connect to host '${socketPath}' port 5432 database 'postgres' user 'postgres': connect E\\w+ ${socketPath}`,
        ),
      );
      await bed.cluster.start();
      await bed.oursOk(["check"]);
    });
  });

  describe("of the user", () => {
    test("an option that does not exist: an error on the command line, a warning in a file", async () => {
      const unknown = await bed.ours([...FULL, "--prcess-max=2"]);
      expect([unknown.exitCode, errorOf(unknown)]).toEqual([31, "[031]: invalid option '--prcess-max'\nHINT: did you mean --process-max?"]);
      const inFile = await bed.ours(["info"], { config: bed.variant("unknown", { global: { "repo1-pth": "/somewhere" } }) });
      expect(inFile.exitCode).toBe(0);
      expect(inFile.stdout).toContain("WARN: configuration file contains invalid option 'repo1-pth'");
      const wrong = await bed.ours(["info"], { config: bed.variant("wrong", { global: { "process-max": "many" } }) });
      expect(wrong.exitCode).toBe(32);
      expect(errorOf(wrong)).toMatch(/^\[032\]: 'many' is not valid for 'process-max' option\nHINT: allowed range is 1 to 999/);
    });

    test("a restore over a running server, and into a directory that is not empty", async () => {
      const running = await bed.ours(["restore"]);
      expect(running.exitCode).toBe(38);
      const pidFile = join(bed.cluster.dataPath, "postmaster.pid");
      expect(errorOf(running)).toContain(`[038]: unable to restore while PostgreSQL is running: '${pidFile}' exists (pid ${bed.cluster.pid})`);
      expect(bed.cluster.isRunning()).toBe(true);

      const place = join(bed.folder, "side", "not-empty");
      mkdirSync(place, { mode: 0o700 });
      writeFileSync(join(place, "precious"), "keep me");
      for (const path of [place, join(place, "precious")]) giveTo(path, bed.cluster.user);
      const full = await bed.ours(["restore", `--pg1-path=${place}`, `--tablespace-map=space=${place}-space`]);
      expect(full.exitCode).toBe(40);
      expect(errorOf(full)).toMatch(new RegExp(`^\\[040\\]: unable to restore to path '${place}' because it contains files`));
      expect(readdirSync(place)).toEqual(["precious"]);
    });

    test("a backup that does not exist", async () => {
      const { result } = await bed.restoreAside({ by: null, args: ["--set=20200101-000000F"] });
      expect(result.exitCode).toBe(75);
      expect(errorOf(result)).toMatch(/^\[075\]: backup set 20200101-000000F is not valid/);
    });
  });

  test("nothing of all this told a secret", () => {
    expect(bed.findLeaks()).toEqual([]);
  });
});

describe("damaged repositories", async () => {
  const parts = await findParts("damaged repositories", 18, "2.60");
  if (parts === null) {
    test.skip("a part is missing", () => undefined);
    return;
  }
  let server: S3Server;
  let bed: TestBed;
  let label: string;
  let segment: string;

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await makeBed(parts.binaries, server);
    await bed.oursOk(["stanza-create"]);
    await fillBed(bed);
    label = newLabel(await bed.oursOk(FULL));
    await writeMore(bed);
    segment = await bed.archiveAll();
  });
  afterAll(async () => {
    await bed?.remove();
    await server?.remove();
  });

  /** Path of the largest data file of the backup in repo1, relative to the repository. */
  const largest = (): string => {
    const root = join("backup", bed.stanza, label, "pg_data", "base");
    const files = readdirSync(join(bed.repoPath(1), root), { recursive: true }).map((name) => join(root, String(name)));
    const sized = files.map((path) => ({ path, size: statSync(join(bed.repoPath(1), path)).size })).filter((file) => file.path.endsWith(".gz"));
    return sized.sort((left, right) => right.size - left.size)[0]?.path ?? "";
  };
  const damages: readonly { readonly how: string; damage(path: string): void }[] = [
    { how: "cut short", damage: (path) => truncateSync(path, Math.floor(statSync(path).size / 2)) },
    { how: "with a flipped bit", damage: (path) => flipBit(path) },
  ];

  for (const { how, damage } of damages) {
    test(`a data file ${how}: verify tells, the other repository stands in, alone it fails and nothing can be started`, async () => {
      const path = largest();
      await damaged(bed, path, damage, async () => {
        const verified = await bed.ours(["verify", "--output=text"]);
        expect(verified.exitCode).toBe(26);
        expect(errorOf(verified)).toMatch(/^\[026\]: verify found errors in repo1\n/);
        expect(verified.stdout).toMatch(new RegExp(`WARN: repo1: invalid (checksum|size|result) '?${path}`));
        expect(verified.stdout).toMatch(new RegExp(`backup: ${label}, status: invalid`));

        expect(await bed.restoreAndCompare({ by: null })).toEqual([]);
        expect(bed.printed.join("\n")).toMatch(/WARN: repo1: \[\w+Error\]/);

        const { result, dataPath } = await bed.restoreAside({ by: null, repo: 1 });
        expect(result.exitCode).toBe(26);
        expect(errorOf(result)).toMatch(/^\[026\]: /);
        expect(existsSync(join(dataPath, "global", "pg_control"))).toBe(false);
        const started = await run(join(bed.cluster.binaries.folder, "postgres"), ["-D", dataPath], { user: bed.cluster.user, timeoutMs: 20_000 });
        expect(started.exitCode).not.toBe(0);
      });
    });

    test(`a WAL segment ${how}: verify tells, archive-get takes the other repository's copy or fails, never "not found"`, async () => {
      const [file = ""] = archived(bed, segment);
      const path = join("archive", bed.stanza, "18-1", segment.slice(0, 16), file);
      await damaged(bed, path, damage, async () => {
        const verified = await bed.ours(["verify", "--output=text", "--repo=1"]);
        expect(verified.exitCode).toBe(26);
        expect(verified.stdout).toContain(segment);
        const target = join(bed.folder, "side", "segment");
        await bed.oursOk(["archive-get", segment, target]);
        expect(readFileSync(target).equals(readFileSync(bed.walFile(segment)))).toBe(true);
        truncateSync(target, 0);
        const alone = await bed.ours(["archive-get", "--repo=1", segment, target]);
        expect(alone.exitCode).toBeGreaterThan(1);
        expect(alone.exitCode).toBeLessThanOrEqual(125);
        expect(statSync(target).size).toBe(0);
      });
    });

    test(`backup.info ${how}: its copy serves; both: the other repository does`, async () => {
      const main = join("backup", bed.stanza, "backup.info");
      await damaged(bed, main, damage, async () => {
        const whole = labelsOf(parseInfo((await bed.oursOk(["info", "--output=json"])).stdout));
        expect(whole).toEqual(expect.arrayContaining([1, 2].map((repo) => ({ repo, label }))));
        await damaged(bed, `${main}.copy`, damage, async () => {
          const info = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
          expect(info.repo.map((repo) => repo.status.code)).toEqual([99, 0]);
          const verified = await bed.ours(["verify", "--repo=1", "--output=text"]);
          expect([26, 29]).toContain(verified.exitCode);
          expect(errorOf(verified)).toContain(`unable to load info file '${main}' or '${main}.copy':`);
          const { result } = await bed.restoreAside({ by: null, args: [`--set=${label}`] });
          expect(requireOk("restore", result).stdout).toContain(`repo2: restore backup set ${label}`);
        });
      });
    });
  }

  test("a damaged manifest: its copy serves; both: verify tells and the other repository is restored", async () => {
    const main = join("backup", bed.stanza, label, "backup.manifest");
    await damaged(bed, main, flipBit, async () => {
      expect((await bed.restoreAside({ by: null, repo: 1, args: [`--set=${label}`] })).result.exitCode).toBe(0);
      await damaged(bed, `${main}.copy`, flipBit, async () => {
        const verified = await bed.ours(["verify", "--repo=1", "--output=text"]);
        expect(verified.exitCode).toBe(26);
        expect(verified.stdout).toContain(`backup: ${label}, status: manifest missing`);
        const { result } = await bed.restoreAside({ by: null, args: [`--set=${label}`] });
        expect(requireOk("restore", result).stdout).toContain(`repo2: restore backup set ${label}`);
      });
    });
  });
});

describe("a full disk", async () => {
  const title = "a full disk under repo1";
  const parts = await findParts(title, 18, "2.60");
  const mounts =
    isRoot() && (await run("/bin/sh", ["-c", "d=$(mktemp -d) && mount -t tmpfs -o size=1m tmpfs $d && umount $d && rmdir $d"])).exitCode === 0;
  if (!mounts) loud(title, "needs root and the right to mount a tmpfs");
  test.skipIf(parts === null || !mounts)("repo2 gets its backup, the exit code is 104, and what was begun in repo1 is no backup", async (context) => {
    if (parts === null) return;
    const server = await S3Server.create({ kind: await s3Kind() });
    context.onTestFinished(() => server.remove());
    const bed = await makeBed(parts.binaries, server);
    context.onTestFinished(() => bed.remove());
    const path = bed.repoPath(1);
    requireOk("mount", await run("mount", ["-t", "tmpfs", "-o", "size=5m,mode=0750", "tmpfs", path]));
    context.onTestFinished(async () => void (await run("umount", [path])));
    giveTo(path, bed.cluster.user);
    await bed.oursOk(["stanza-create"]);
    await bed.cluster.sql("CREATE TABLE noise AS SELECT md5(g::text) || md5((g * 3)::text) AS text FROM generate_series(1, 60000) g");
    const half = await bed.ours([...FULL, "--archive-timeout=20"]);
    expect(half.exitCode).toBe(104);
    expect(errorOf(half)).toMatch(
      /^\[104\]: backup command encountered error\(s\):\nrepo1: \[\w+Error\] unable to \w+ .*: \[28\] No space left on device\n/,
    );
    expect(errorOf(half)).toMatch(/HINT: The file system of '.*repo1.*' is full: free or add space\./);
    const label = newLabel(half);
    const info = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
    expect(labelsOf(info)).toEqual([{ repo: 2, label }]);
  });
});

async function makeBed(binaries: PostgresBinaries, server: S3Server): Promise<TestBed> {
  const bed = await TestBed.create({
    binaries,
    repos: [{ compressType: "gz" }, { s3: server, compressType: "zst", encrypted: true }],
    // An archive that fails shall not stop PostgreSQL from telling that to nobody: `any` lets the backups of one repository go on.
    acknowledge: "any",
    settings: { wal_keep_size: "512MB" },
    global: GLOBAL,
  });
  await bed.cluster.start();
  return bed;
}

function newLabel(result: RunResult): string {
  return /new backup label = (\S+)/.exec(result.stdout)?.[1] ?? "";
}

/** The one error of a run, without time, level and indentation. */
function errorOf(result: RunResult): string {
  const lines = result.stdout.split("\n");
  const first = lines.findIndex((line) => line.includes(" ERROR: "));
  if (first < 0) return `no error, exit code ${result.exitCode}`;
  const rest = lines.slice(first + 1);
  const end = rest.findIndex((line) => !line.startsWith("     "));
  const text = (lines[first] ?? "").replace(/^.* ERROR: /, "");
  return [text, ...rest.slice(0, end < 0 ? rest.length : end).map((line) => line.trim())].join("\n");
}

/** Files of a segment in repo1. */
function archived(bed: TestBed, segment: string): string[] {
  return readdirSync(join(bed.repoPath(1), "archive", bed.stanza, "18-1", segment.slice(0, 16))).filter((name) => name.startsWith(segment));
}

/** Damages a file of repo1 while `work` runs, then puts it back. */
async function damaged(bed: TestBed, path: string, damage: (path: string) => void, work: () => Promise<void>): Promise<void> {
  const full = join(bed.repoPath(1), path);
  const bytes = readFileSync(full);
  damage(full);
  try {
    await work();
  } finally {
    writeFileSync(full, bytes);
  }
}

function flipBit(path: string): void {
  const position = Math.floor(statSync(path).size / 2);
  const byte = readFileSync(path)[position] ?? 0;
  const file = openSync(path, "r+");
  writeSync(file, Uint8Array.of(byte ^ 4), 0, 1, position);
  closeSync(file);
}
