/**
 * Faults and user errors through the command line: the exact message and exit code of each, and what must still work.
 */
// claim: README.md: `verify` detects gaps in…
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
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";
import type { PostgresBinaries } from "../../../tools/parts/postgres/postgres";
import { type RunResult, run } from "../../../tools/parts/process";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { giveTo, isRoot } from "../../../tools/parts/users";
import { InstanceMetadata } from "../../harness/doubles/awsKeyServices";
import { labelsOf, parseInfo } from "../../harness/compare/infoJson";
import { canMountTmpfs, findParts, s3Kind } from "../../harness/real/interopParts";
import { dropTemplates, fillBed, writeMore } from "../../harness/real/sampleData";
import { requireOk, TestBed } from "../../harness/real/testBed";

const FULL = ["backup", "--type=full"];
const HINT_PASSPHRASE =
  "HINT: Is this the right passphrase for this repository and stanza? Is the repository encrypted at all?";
const HINT_DAMAGED =
  "HINT: The file and its copy are damaged. Use another repository, or restore a good copy of either.";
const HINT_RESTORE_DAMAGED =
  "HINT: The repository has a damaged copy. Run verify; another repository may have a good one.";
const HINT_VERIFY = "HINT: heal copies missing WAL from another repository. Restore from a valid repository.";
const HINT_GET = "HINT: This is not the end of the archive. Make the repositories readable, then try again.";
/** Hints if both archive.info (or backup.info) and its copy are missing. */
const MISSING_HINTS = {
  archive: [
    "HINT: archive.info cannot be opened but is required to push/get WAL segments.",
    "HINT: is archive_command configured correctly in postgresql.conf?",
    "HINT: has a stanza-create been performed?",
    "HINT: use --no-archive-check to disable archive checks during backup if you have an alternate archiving scheme.",
  ],
  backup: [
    "HINT: backup.info cannot be opened and is required to perform a backup.",
    "HINT: has a stanza-create been performed?",
  ],
} as const;
type InfoKind = keyof typeof MISSING_HINTS;
/** Added to `[global]` of every bed. Retention is out of scope, and tests must not wait long for answers. */
const GLOBAL = {
  "repo1-retention-full": "9",
  "repo2-retention-full": "9",
  "io-timeout": "15",
  "archive-timeout": "20",
};

describe("bad input", async () => {
  const parts = await findParts("bad input", 18, "2.60");
  if (parts === null) return;
  const { binaries } = parts;
  let server: S3Server;
  let bed: TestBed;
  let segment: string;

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await makeBed(binaries, server);
    await bed.oursOk(["stanza-create"]);
    await fillBed(bed, NIGHTLY ? 20_000 : 2000);
    await dropTemplates(bed);
    await bed.oursOk(FULL);
    await writeMore(bed);
    segment = await bed.archiveAll();
  });
  afterAll(async () => {
    await bed?.remove();
    await server?.remove();
  });

  describe("of repositories", () => {
    /** Runs `backup --repo=2` with a changed configuration and returns its error. */
    const backup2 = async (name: string, global: Record<string, string>): Promise<string> => {
      const result = await bed.ours([...FULL, "--repo=2"], { config: bed.variant(name, { global }) });
      return errorOf(result);
    };

    /**
     * One text for each of the two info files. Both are read at once, and either can fail first. A repository that does
     * not answer (049) is not asked for the copy.
     */
    const eitherInfo = (
      code: string,
      line: (kind: InfoKind, file: string) => string,
      hints: (kind: InfoKind) => readonly string[],
    ): string[] =>
      (["archive", "backup"] as const).map((kind) =>
        [
          `[${code}]: ${infoFailure(kind, line(kind, `${kind}/main/${kind}.info`), code === "049" ? null : line(kind, `${kind}/main/${kind}.info.copy`))}`,
          ...hints(kind),
        ].join("\n"),
      );

    test("a wrong passphrase", async () => {
      const config = bed.variant("passphrase", { global: { "repo2-cipher-pass": "not the right one" } });
      const line = "CryptoError: unable to flush: wrong passphrase, or the content is damaged or cut short";
      const reason = (kind: InfoKind): string => infoFailure(kind, line, line);
      const verified = await bed.ours(["verify", "--repo=2"], { config });
      expect(outcomeOf(verified)).toEqual([95, `[095]: ${reason("archive")}\n${HINT_PASSPHRASE}`]);
      const { result, dataPath } = await bed.restoreAside({ by: null, repo: 2, config });
      expect(outcomeOf(result)).toEqual([
        103,
        `[103]: unable to find a valid repository\nrepo2: [CryptoError] ${reason("backup")}`,
      ]);
      expect(readdirSync(dataPath)).toEqual([]);
      const got = await bed.ours(["archive-get", "--repo=2", segment, join(bed.folder, "side", "got")], { config });
      const doubt = `[095]: unable to determine whether ${segment} is in the archive\nrepo2: [CryptoError] ${reason("archive")}\n${HINT_PASSPHRASE}\n${HINT_GET}`;
      expect(outcomeOf(got)).toEqual([95, doubt]);
      const reported = await bed.ours(["info", "--output=json"], { config });
      // One repository satisfies this bed's policy.
      expect(reported.exitCode).toBe(0);
      expect(parseInfo(reported.stdout).repo.map((repo) => repo.status.code)).toEqual([0, 99]);
      // The other repository still gets its backup.
      const half = await bed.ours(FULL, { config });
      expect(half.exitCode).toBe(104);
      expect(
        ["archive", "backup"].map((kind) => `[095]: repo2: ${reason(kind as InfoKind)}\n${HINT_PASSPHRASE}`),
      ).toContain(errorOf(half));
      expect(half.stdout).toMatch(/repo1: new backup label = /);
    });

    // claim: docs/internals/contracts.md: what two environments have…
    test("a missing passphrase: only that repository is unusable", async () => {
      const config = bed.variant("no-passphrase", { global: { "repo2-cipher-pass": null } });
      const because =
        "it is needed when repo2-cipher-type is aes-256-cbc; write it in a configuration file or set PGBACKREST_REPO2_CIPHER_PASS.";
      const alone = await bed.ours(["info", "--repo=2"], { config });
      expect(outcomeOf(alone)).toEqual([
        37,
        `[037]: info command requires option: repo2-cipher-pass\nHINT: ${because}`,
      ]);
      const both = await bed.ours(["info", "--output=json"], { config });
      expect(parseInfo(both.stdout).repo.map((repo) => repo.status.code)).toEqual([0, 99]);
    });

    test("a wrong access key, a wrong secret, a wrong bucket", async () => {
      const refusal =
        (printed: string) =>
        (_kind: InfoKind, file: string): string =>
          `AccessError: unable to get 's3://pgbackstop/repo/${file}': [403] ${printed}`;
      const key = await backup2("key", { "repo2-s3-key": "AKIA0000000000000000" });
      const unknownKey = refusal(
        "InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records.",
      );
      const keyHint = "HINT: The service does not know this access key: check repo2-s3-key and repo2-s3-endpoint.";
      expect(eitherInfo("105", unknownKey, () => [keyHint])).toContain(key);
      if (server.kind === "versitygw") {
        // s3rver accepts any secret.
        const secret = await backup2("secret", { "repo2-s3-key-secret": "0000000000000000000000000000000000000000" });
        const printed =
          "The request signature we calculated does not match the signature you provided. Check your key and signing method.";
        const secretHint =
          "HINT: The secret does not match the access key: check repo2-s3-key-secret, then repo2-s3-region.";
        expect(eitherInfo("105", refusal(`SignatureDoesNotMatch: ${printed}`), () => [secretHint])).toContain(secret);
      }
      const bucket = await backup2("bucket", { "repo2-s3-bucket": "no-such-bucket" });
      const noBucket = (_kind: InfoKind, file: string): string =>
        `PathMissingError: unable to get 's3://no-such-bucket/repo/${file}': bucket 'no-such-bucket' does not exist at localhost`;
      const bucketHint = "HINT: Check repo2-s3-bucket, repo2-s3-endpoint and repo2-s3-region, or create the bucket.";
      expect(eitherInfo("073", noBucket, () => [bucketHint])).toContain(bucket);
    });

    test.runIf(NIGHTLY)("an instance that provides keys, and one that provides none", async () => {
      const keys = {
        key: server.accessKey,
        secret: server.secretKey,
        token: "a session token",
        expiresAtMs: Date.now() + 3_600_000,
      };
      const metadata = new InstanceMetadata(keys, "writer");
      await metadata.listen();
      const config = bed.variant("instance", {
        global: { "repo2-s3-key-type": "auto", "repo2-s3-key": null, "repo2-s3-key-secret": null },
      });
      const { host, origin } = new URL(metadata.origin);
      const env = { AWS_EC2_METADATA_SERVICE_ENDPOINT: origin };
      const good = parseInfo((await bed.oursOk(["info", "--output=json"], { config, env })).stdout);
      // The keys are valid. versitygw does not support session tokens, and its error shows that the token arrived.
      const [first, second] = good.repo.map((repo) => repo.status);
      expect(first?.code).toBe(0);
      if (server.kind === "versitygw")
        expect(second?.message).toContain("[400] InvalidToken: The provided token is malformed or otherwise invalid.");
      else expect(second?.code).toBe(0);
      await metadata.stop();
      const half = await bed.ours(FULL, { config, env });
      const line = `HostConnectError: unable to get temporary credentials of this instance's role: no answer from '${host}' in 3 tries: connect ECONNREFUSED ${host}`;
      const hint =
        "HINT: Does this host run on EC2? Elsewhere use another repo2-s3-key-type; in a container the hop limit of the metadata service must be 2.";
      expect(half.exitCode).toBe(104);
      expect(
        eitherInfo(
          "049",
          () => line,
          () => [hint],
        ).map((text) => text.replace("[049]: ", "[049]: repo2: ")),
      ).toContain(errorOf(half));
      expect(half.stdout).toMatch(/repo1: new backup label = /);
    });

    test.runIf(NIGHTLY)("an expired certificate, an unknown authority, and an unreachable server", async () => {
      const expired = await S3Server.create({ kind: server.kind, expiredCertificate: true });
      try {
        const caFile = join(bed.folder, "expired-ca.crt");
        copyFileSync(expired.caFile, caFile);
        chmodSync(caFile, 0o644);
        const port = String(expired.port);
        const text = await backup2("expired", { "repo2-storage-port": port, "repo2-storage-ca-file": caFile });
        const refusal = (at: number | string, fact: string) => (): string =>
          `HostConnectError: unable to connect to 'localhost:${at}': ${fact}`;
        const renew = "HINT: Renew the certificate of the service.";
        expect(eitherInfo("049", refusal(port, "its certificate has expired"), () => [renew])).toContain(text);
        const unknown = await backup2("unknown-ca", { "repo2-storage-ca-file": caFile });
        const trust = "HINT: Put the certificate of the private authority into the file of repo2-storage-ca-file.";
        const fact = "its certificate is from an authority that is not trusted here";
        expect(eitherInfo("049", refusal(server.port, fact), () => [trust])).toContain(unknown);
        await expired.stop();
        const away = await backup2("away", { "repo2-storage-port": port, "io-timeout": "3" });
        const gone = refusal(port, `[ECONNREFUSED] connect ECONNREFUSED 127.0.0.1:${port} (after N attempts)`);
        const route = "HINT: Check repo2-s3-endpoint (and repo2-storage-host, -port if set), and the network.";
        expect(eitherInfo("049", gone, () => [route])).toContain(
          away.replaceAll(/\(after \d attempts\)/g, "(after N attempts)"),
        );
      } finally {
        await expired.remove();
      }
    });

    test.runIf(NIGHTLY && isRoot())("a path that this user may not write", async () => {
      const closed = join(bed.folder, "closed");
      mkdirSync(closed, { mode: 0o700 });
      const config = bed.variant("closed", { global: { "repo1-path": join(closed, "repo") } });
      const created = await bed.ours(["stanza-create"], { config });
      const { uid, gid } = bed.cluster.user;
      const denied = `[13] Permission denied: '${closed}' has mode 0700, user 0, group 0; this process is user ${uid}, group ${gid}`;
      const right = "HINT: Give the user of this process the right to do this, or run as the user who has it.";
      const location = join(closed, "repo", "archive", "main", "archive.info");
      expect(outcomeOf(created)).toEqual([
        104,
        `[104]: stanza-create command encountered error(s):\nrepo1: [FileInfoError] unable to get info for path/file '${location}': ${denied}\n${right}`,
      ]);
      const half = await bed.ours(FULL, { config });
      expect(half.exitCode).toBe(104);
      const unreadable = (_kind: InfoKind, file: string): string =>
        `FileOpenError: unable to open file '${join(closed, "repo", file)}' for read: ${denied}`;
      expect(
        eitherInfo("041", unreadable, () => [right]).map((text) => text.replace("[041]: ", "[041]: repo1: ")),
      ).toContain(errorOf(half));
      expect(half.stdout).toMatch(/repo2: new backup label = /);
    });

    test("a repository without the stanza", async () => {
      const empty = join(bed.folder, "side", "empty");
      mkdirSync(empty);
      giveTo(empty, bed.cluster.user);
      const config = bed.variant("empty", { global: { "repo1-path": empty } });
      const result = await bed.ours([...FULL, "--repo=1"], { config });
      expect(result.exitCode).toBe(55);
      const missing = (_kind: InfoKind, file: string): string =>
        `FileMissingError: unable to open missing file '${join(empty, file)}' for read`;
      expect(eitherInfo("055", missing, (kind) => MISSING_HINTS[kind])).toContain(errorOf(result));
    });
  });

  describe("of the cluster", () => {
    test.runIf(NIGHTLY)("another cluster's system identifier", async () => {
      const other = await TestCluster.create({
        binaries,
        settings: { archive_mode: "on", archive_command: "true # pgbackrest" },
      });
      try {
        await other.start();
        const config = bed.variant("other", {
          stanza: { "pg1-path": other.dataPath, "pg1-socket-path": other.socketPath },
        });
        const mine = await bed.cluster.value("SELECT system_identifier FROM pg_control_system()");
        const its = await other.value("SELECT system_identifier FROM pg_control_system()");
        const line = (key: number): string =>
          `PostgreSQL version 18, system-id ${its} do not match repo${key} stanza version 18, system-id ${mine}`;
        const stanzaHints =
          "HINT: are you archiving to the correct stanza?\nHINT: has a stanza-upgrade been forgotten?";
        const each = (text: (key: number) => string): string =>
          [1, 2].map((key) => `repo${key}: ${text(key)}`).join("\n");
        const invalid = "[103]: unable to find a valid repository";
        const mismatch = `${invalid}\n${each((key) => `[ArchiveMismatchError] ${line(key)}`)}\n${stanzaHints}`;
        const exists = (key: number): string =>
          `[FileInvalidError] backup and archive info files exist but do not match the database\n${line(key)}`;
        const created = await bed.ours(["stanza-create"], { config });
        const upgrade =
          "HINT: is this the correct stanza?\nHINT: did an error occur during stanza-upgrade?\n" +
          "HINT: were the data removed, and made again? Stop the server, empty the data directory, and run recover.";
        expect(outcomeOf(created)).toEqual([103, `${invalid}\n${each(exists)}\n${upgrade}`]);
        expect(outcomeOf(await bed.ours(FULL, { config }))).toEqual([103, mismatch]);
        expect(outcomeOf(await bed.ours(["check"], { config }))).toEqual([103, mismatch]);
        const pushed = await bed.ours(["archive-push", join(other.dataPath, "pg_wal", "000000010000000000000001")], {
          config,
        });
        expect(outcomeOf(pushed)).toEqual([103, mismatch]);
        const alone = await bed.ours([...FULL, "--repo=1"], { config });
        expect(outcomeOf(alone)).toEqual([44, `[044]: ${line(1)}\n${stanzaHints}`]);
        const got = await bed.ours(["archive-get", segment, join(bed.folder, "side", "got")], { config });
        const noId = `[ArchiveMismatchError] unable to retrieve the archive id for database version '18' and system-id '${its}'`;
        const hints = `HINT: is this the correct stanza?\n${HINT_GET}`;
        expect(outcomeOf(got)).toEqual([
          44,
          `[044]: unable to determine whether ${segment} is in the archive\n${each(() => noId)}\n${hints}`,
        ]);
      } finally {
        await other.remove();
      }
    });

    test("a WAL segment that is already archived with other content", async () => {
      const folder = join(bed.folder, "side", "duplicate");
      mkdirSync(folder);
      const bytes = readFileSync(bed.walFile(segment));
      bytes[bytes.length - 100] = (bytes[bytes.length - 100] ?? 0) ^ 1;
      writeFileSync(join(folder, segment), bytes);
      for (const path of [folder, join(folder, segment)]) giveTo(path, bed.cluster.user);
      const before = archived(bed, segment);
      const result = await bed.ours(["archive-push", join(folder, segment)]);
      expect(result.exitCode).toBe(45);
      const duplicate = (key: number): string =>
        `[045]: WAL file '${segment}' already exists in the repo${key} archive with a different checksum`;
      expect(
        [1, 2].map((key) => `${duplicate(key)}\nHINT: are multiple primaries archiving to this stanza?`),
      ).toContain(errorOf(result));
      expect(archived(bed, segment)).toEqual(before);
      // The conflict is named until the stored file was compared with PostgreSQL's own.
      expect((await bed.ours(["check"])).stdout).toMatch(/the archive's \S+ differs from this server's/);
      await bed.oursOk(["heal"]);
    });

    test("archive_mode off, another program's archive_command, and PostgreSQL down", async () => {
      await bed.cluster.restart({ archive_mode: "off" });
      const off = await bed.ours(FULL);
      expect([off.exitCode, errorOf(off)]).toEqual([
        87,
        "[087]: archive_mode must be enabled\nHINT: set archive_mode = on in postgresql.conf and restart PostgreSQL.",
      ]);
      await bed.cluster.restart({ archive_command: "true" });
      const foreign = await bed.ours(FULL);
      expect(outcomeOf(foreign)).toEqual([
        68,
        [
          "[068]: archive_command 'true' must contain pgbackrest",
          "HINT: Stock pgBackRest requires it too: keep it anywhere in the command, for example in a path or a comment.",
          "HINT: If another program archives, set archiveCommandContains in the settings file to a part of its command; an empty text allows any command.",
        ].join("\n"),
      ]);
      await bed.cluster.stop("immediate");
      const down = await bed.ours(FULL);
      const { socketPath } = bed.cluster;
      expect(outcomeOf(down)).toEqual([
        56,
        [
          `[056]: unable to connect to host '${socketPath}' port 5432 database 'postgres' user 'postgres': connect ENOENT ${socketPath}/.s.PGSQL.5432`,
          "HINT: is PostgreSQL running on this host, and do pg1-socket-path and pg1-port point at it?",
          "HINT: may this user connect (pg_hba.conf, pg1-user)?",
        ].join("\n"),
      ]);
      await bed.cluster.start();
      await bed.oursOk(["check"]);
    });
  });

  describe("of the user", () => {
    test("an option that does not exist: an error on the command line, a warning in a file", async () => {
      const unknown = await bed.ours([...FULL, "--prcess-max=2"]);
      expect([unknown.exitCode, errorOf(unknown)]).toEqual([
        31,
        "[031]: invalid option '--prcess-max'\nHINT: did you mean --process-max?",
      ]);
      const inFile = await bed.ours(["info"], {
        config: bed.variant("unknown", { global: { "repo1-pth": "/somewhere" } }),
      });
      expect(inFile.exitCode).toBe(0);
      expect(inFile.stdout).toContain("WARN: configuration file contains invalid option 'repo1-pth'");
      const config = bed.variant("wrong", { global: { "process-max": "many" } });
      const file = join(config, "pgbackrest.conf");
      const lineNo = readFileSync(file, "utf8").split("\n").indexOf("process-max=many") + 1;
      expect(outcomeOf(await bed.ours(["info"], { config }))).toEqual([
        32,
        [
          "[032]: 'many' is not valid for 'process-max' option",
          "HINT: allowed range is 1 to 999 inclusive",
          `HINT: the value comes from section [global] of ${file} (line ${lineNo}).`,
        ].join("\n"),
      ]);
    });

    test("a restore over a running server, and into a directory that is not empty", async () => {
      const running = await bed.ours(["restore"]);
      const pidFile = join(bed.cluster.dataPath, "postmaster.pid");
      const onlyIf =
        "HINT: presence of 'postmaster.pid' indicates PostgreSQL is running; remove it only if PostgreSQL is not running.";
      const exists = `[038]: unable to restore while PostgreSQL is running: '${pidFile}' exists (pid ${bed.cluster.pid})`;
      expect(outcomeOf(running)).toEqual([38, `${exists}\n${onlyIf}`]);
      expect(bed.cluster.isRunning()).toBe(true);

      const location = join(bed.folder, "side", "not-empty");
      mkdirSync(location, { mode: 0o700 });
      writeFileSync(join(location, "precious"), "keep me");
      for (const path of [location, join(location, "precious")]) giveTo(path, bed.cluster.user);
      const full = await bed.ours(["restore", `--pg1-path=${location}`, `--tablespace-map=space=${location}-space`]);
      const contains = `[040]: unable to restore to path '${location}' because it contains files`;
      expect(outcomeOf(full)).toEqual([40, `${contains}\nHINT: try using --delta if this is what you intended.`]);
      expect(readdirSync(location)).toEqual(["precious"]);
    });

    test("a backup that does not exist", async () => {
      const { result } = await bed.restoreAside({ by: null, args: ["--set=20200101-000000F"] });
      const info = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
      // Newest first within each repository.
      const others = [1, 2].flatMap((key) =>
        labelsOf(info)
          .filter(({ repo }) => repo === key)
          .reverse(),
      );
      const lines = others.map(({ repo, label }) => `repo${repo}: ${label}: is not 20200101-000000F`);
      const hint = "HINT: Run info to list the backups of every repository.";
      expect(outcomeOf(result)).toEqual([
        75,
        ["[075]: backup set 20200101-000000F is not valid", ...lines, hint].join("\n"),
      ]);
    });
  });

  test("none of these messages contains a secret", () => {
    expect(bed.findLeaks()).toEqual([]);
  });
});

describe("damaged repositories", async () => {
  const parts = await findParts("damaged repositories", 18, "2.60");
  if (parts === null) return;
  let server: S3Server;
  let bed: TestBed;
  let label: string;
  let segment: string;

  beforeAll(async () => {
    server = await S3Server.create({ kind: await s3Kind() });
    bed = await makeBed(parts.binaries, server);
    await bed.oursOk(["stanza-create"]);
    await fillBed(bed, NIGHTLY ? 20_000 : 2000);
    await dropTemplates(bed);
    label = newLabel(await bed.oursOk(FULL));
    await writeMore(bed);
    segment = await bed.archiveAll();
  });
  afterAll(async () => {
    await bed?.remove();
    await server?.remove();
  });

  /** The largest data file of the backup in repo1, relative to the repository. */
  const largest = (): string => {
    const root = join("backup", bed.stanza, label, "pg_data", "base");
    const files = readdirSync(join(bed.repoPath(1), root), { recursive: true }).map((name) => join(root, String(name)));
    const sized = files
      .map((path) => ({ path, size: statSync(join(bed.repoPath(1), path)).size }))
      .filter((file) => file.path.endsWith(".gz"));
    return sized.sort((left, right) => right.size - left.size)[0]?.path ?? "";
  };
  const damages: readonly { readonly how: string; readonly reason: string; damage(path: string): void }[] = atNight(
    {
      how: "cut short",
      reason: "unexpected end of file",
      damage: (path) => truncateSync(path, Math.floor(statSync(path).size / 2)),
    },
    { how: "with a flipped bit", reason: "incorrect data check", damage: (path) => flipBit(path) },
  );

  for (const { how, reason, damage } of damages) {
    test(`a data file ${how}: verify reports it, restore uses the other repository, and fails without it, leaving nothing that starts`, async () => {
      const path = largest();
      await damaged(bed, path, damage, async () => {
        const verified = await bed.ours(["verify", "--output=text"]);
        expect(outcomeOf(verified)).toEqual([26, `[026]: verify found errors in repo1\n${HINT_VERIFY}`]);
        const reported = verified.stdout.replaceAll(/[0-9a-f]{40}/g, "SHA1");
        expect(reported).toContain(`WARN: repo1: invalid checksum '${path}': actual SHA1, expected SHA1\n`);
        expect(reported).toContain(`backup: ${label}, status: invalid`);

        expect(await bed.restoreAndCompare({ by: null })).toEqual([]);
        expect(bed.printed.join("\n")).toMatch(/WARN: repo1: \[\w+Error\]/);

        const { result, dataPath } = await bed.restoreAside({ by: null, repo: 1 });
        const target = join(dataPath, path.slice(path.indexOf("pg_data/") + "pg_data/".length).replace(/\.gz$/, ""));
        const error = `[026]: error restoring '${target}': gz content is damaged or cut short: ${reason}\n${HINT_RESTORE_DAMAGED}`;
        expect(outcomeOf(result)).toEqual([26, error]);
        expect(existsSync(join(dataPath, "global", "pg_control"))).toBe(false);
        const started = await run(join(bed.cluster.binaries.folder, "postgres"), ["-D", dataPath], {
          user: bed.cluster.user,
          timeoutMs: 120_000,
        });
        expect(started.exitCode).not.toBe(0);
      });
    });

    test(`a WAL segment ${how}: verify reports it, archive-get takes the other repository's copy or fails, never "not found"`, async () => {
      const [file = ""] = archived(bed, segment);
      const path = join("archive", bed.stanza, "18-1", segment.slice(0, 16), file);
      await damaged(bed, path, damage, async () => {
        const verified = await bed.ours(["verify", "--output=text", "--repo=1"]);
        expect(outcomeOf(verified)).toEqual([26, `[026]: verify found errors in repo1\n${HINT_VERIFY}`]);
        expect(verified.stdout).toContain(
          `WARN: repo1: invalid result ${path}: [FormatError] gz content is damaged or cut short: ${reason}\n`,
        );
        const target = join(bed.folder, "side", "segment");
        await bed.oursOk(["archive-get", segment, target]);
        expect(readFileSync(target).equals(readFileSync(bed.walFile(segment)))).toBe(true);
        truncateSync(target, 0);
        const alone = await bed.ours(["archive-get", "--repo=1", segment, target]);
        const because = `repo1: [FormatError] gz content is damaged or cut short: ${reason} (${file})`;
        expect(outcomeOf(alone)).toEqual([
          29,
          `[029]: unable to get ${segment}: no repository has a readable copy\n${because}`,
        ]);
        expect(statSync(target).size).toBe(0);
      });
    });

    test(`backup.info ${how}: its copy is used, or the other repository if both are damaged`, async () => {
      const main = join("backup", bed.stanza, "backup.info");
      await damaged(bed, main, damage, async () => {
        const whole = labelsOf(parseInfo((await bed.oursOk(["info", "--output=json"])).stdout));
        expect(whole).toEqual(expect.arrayContaining([1, 2].map((repo) => ({ repo, label }))));
        await damaged(bed, `${main}.copy`, damage, async () => {
          const info = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
          expect(info.repo.map((repo) => repo.status.code)).toEqual([99, 0]);
          const verified = await bed.ours(["verify", "--repo=1", "--output=text"]);
          const cut = (name: string): string =>
            `FormatError: '${name}' line 6: expected 'key=value' with a JSON value in section 'backup:current'`;
          const flipped = (name: string): string =>
            `ChecksumError: '${name}': invalid checksum, actual 'SHA1' but expected 'SHA1'`;
          const expected =
            how === "cut short"
              ? [
                  29,
                  `[029]: ${infoFailure("backup", cut(main), cut(`${main}.copy`))}\nHINT: is or was the repo encrypted?\n${HINT_DAMAGED}`,
                ]
              : [26, `[026]: ${infoFailure("backup", flipped(main), flipped(`${main}.copy`))}\n${HINT_DAMAGED}`];
          const [exitCode, text] = outcomeOf(verified);
          expect([exitCode, text.replaceAll(/'[0-9a-f]{40}'/g, "'SHA1'")]).toEqual(expected);
          const { result } = await bed.restoreAside({ by: null, args: [`--set=${label}`] });
          expect(requireOk("restore", result).stdout).toContain(`repo2: restore backup set ${label}`);
        });
      });
    });
  }

  test("a damaged manifest: its copy is used; if both are damaged, verify reports it and restore uses the other repository", async () => {
    const main = join("backup", bed.stanza, label, "backup.manifest");
    await damaged(bed, main, flipBit, async () => {
      expect((await bed.restoreAside({ by: null, repo: 1, args: [`--set=${label}`] })).result.exitCode).toBe(0);
      await damaged(bed, `${main}.copy`, flipBit, async () => {
        const verified = await bed.ours(["verify", "--repo=1", "--output=text"]);
        expect(outcomeOf(verified)).toEqual([26, `[026]: verify found errors in repo1\n${HINT_VERIFY}`]);
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
  const mounts = await canMountTmpfs(title);
  test.runIf(NIGHTLY && parts !== null && mounts)(
    "repo2 gets its backup, the exit code is 104, and the unfinished files in repo1 are no backup",
    async (context) => {
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
      await bed.cluster.sql(
        "CREATE TABLE noise AS SELECT md5(g::text) || md5((g * 3)::text) AS text FROM generate_series(1, 60000) g",
      );
      const half = await bed.ours([...FULL, "--archive-timeout=20"]);
      expect(half.exitCode).toBe(104);
      const label = newLabel(half);
      // Thread order decides which file no longer fits.
      const data = join(path, "backup", "main", label, "pg_data");
      const file = /'([^']*)': \[28\]/.exec(errorOf(half))?.[1] ?? "";
      expect(file.startsWith(`${data}/`)).toBe(true);
      const full = `[104]: backup command encountered error(s):\nrepo1: [FileWriteError] unable to write '${file}': [28] No space left on device`;
      expect(errorOf(half)).toBe(`${full}\nHINT: The file system of '${dirname(file)}' is full: free or add space.`);
      const info = parseInfo((await bed.oursOk(["info", "--output=json"])).stdout);
      expect(labelsOf(info)).toEqual([{ repo: 2, label }]);
    },
  );
});

async function makeBed(binaries: PostgresBinaries, server: S3Server): Promise<TestBed> {
  const bed = await TestBed.create({
    binaries,
    repos: [{ compressType: "gz" }, { s3: server, compressType: "zst", encrypted: true }],
    // With `any`, a failing archive in one repository does not stop the other repository's backups.
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

/** The error if neither an info file nor its copy can be read, with the reason for each; null: it is not asked for. */
function infoFailure(kind: InfoKind, main: string, copy: string | null): string {
  const path = `${kind}/main/${kind}.info`;
  return copy === null
    ? `unable to load info file '${path}':\n${main}`
    : `unable to load info file '${path}' or '${path}.copy':\n${main}\n${copy}`;
}

function outcomeOf(result: RunResult): [number, string] {
  return [result.exitCode, errorOf(result)];
}

/**
 * The one error of a run, without time, level, indentation, and the pointer to the guide, which troubleshooting.test.ts
 * checks.
 */
function errorOf(result: RunResult): string {
  const lines = result.stdout.split("\n");
  const first = lines.findIndex((line) => line.includes(" ERROR: "));
  if (first < 0) return `no error, exit code ${result.exitCode}`;
  const rest = lines.slice(first + 1);
  const end = rest.findIndex((line) => !line.startsWith("     "));
  const text = (lines[first] ?? "").replace(/^.* ERROR: /, "");
  const more = rest.slice(0, end < 0 ? rest.length : end).map((line) => line.trim());
  return [text, ...more.filter((line) => !line.startsWith("HINT: see troubleshooting: "))].join("\n");
}

/** Files of a segment in repo1. */
function archived(bed: TestBed, segment: string): string[] {
  return readdirSync(join(bed.repoPath(1), "archive", bed.stanza, "18-1", segment.slice(0, 16))).filter((name) =>
    name.startsWith(segment),
  );
}

/** Damages a file of repo1 while `work` runs, then puts it back. */
async function damaged(
  bed: TestBed,
  path: string,
  damage: (path: string) => void,
  work: () => Promise<void>,
): Promise<void> {
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
