/**
 * `RepositoryHost` on the real engine: a Debian 12 keeps a repository for the PostgreSQL of a Debian 13 and serves it
 * over its own sshd. README's program declares that PostgreSQL; its other repository is a bucket. The tests try with
 * the account's key what the account can and cannot do. `StandbyHost` builds a standby from this repository with the
 * reader's key, as a second cluster on that Debian 13.
 */
// claim: docs/hosts/repository-host.md: a backup host: its account has no shell, no ports and only its directory; a
//   second update writes nothing; a configuration that sshd rejects is never installed; a destroy keeps the backups
//   (Debian 12 for a database on Debian 13)
// claim: README.md: a backup server over SFTP, standbys from a repository, a NixOS module
import type { Stack } from "@pulumi/pulumi/automation";
import { Client, type SFTPWrapper } from "ssh2";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BackupNow } from "../../components/actions/backupNow";
import { CipherPassphrase } from "../../components/credentials/cipherPassphrase";
import { RepositoryHost } from "../../components/databases/repositoryHost";
import { StandbyHost } from "../../components/databases/standbyHost";
import { waitFor } from "../../tools/parts/process";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { failureOf, stateTexts } from "../harness/compare/engineTexts";
import { connectionTo, ownCluster, showServer, startHostServer } from "../harness/hosts/declaredHost";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { type HostNetwork, startHostNetwork } from "../harness/hosts/network";
import { engineHostParts } from "../harness/hosts/parts";
import { runReadme } from "../harness/hosts/readmeProgram";
import { agentPid, expectRecovery, recover, waitForRecovery } from "../harness/hosts/recovery";
import { hasCommandProvider } from "../harness/real/interopParts";
import { fuseMissing } from "../harness/real/openedBackup";
import { runOverSsh } from "../harness/hosts/ssh";
import { NIGHTLY } from "../../tools/parts/nightly";

const DATA = "/var/lib/postgresql/17/main";
const KEPT = "/srv/pgbackstop/orders/repository";
const ACCOUNT = "pgbackstop-orders";
const STANDBY_DATA = "/var/lib/postgresql/17/standby";
const STANDBY_PORT = 5433;
const STREAM_MS = 240_000;
const STANDBY_LOG = "/var/log/postgresql/postgresql-17-standby.log";
/** A path where sops-nix, agenix or an administrator might put the key. */
const KEY_ON_HOST = "/etc/keys/vault";
const BROUGHT_KEY = "/etc/pgbackstop/credentials/repo1-sftp.key";
const PASSFILE = "/var/lib/postgresql/standby.pgpass";
/** Separate from those of the other server on the same machine. */
const STANDBY_DIRECTORIES = {
  config: "/etc/pgbackstop-standby",
  lib: "/usr/local/lib/pgbackstop-standby",
  bin: "/opt/pgbackstop-standby",
  lock: "/tmp/pgbackrest-standby",
  spool: "/var/spool/pgbackrest-standby",
  log: "/var/log/pgbackrest-standby",
};

describe("a backup host", async () => {
  const parts = await engineHostParts("RepositoryHost", ["trixie", "bookworm-bare"]);
  if (parts === null) return;
  const hasProvider = await hasCommandProvider("the backup by an update to a RepositoryHost");
  let network: HostNetwork;
  let db: DebianHost;
  let vault: DebianHost;
  let server: S3Server;
  let programFolder: ProgramFolder;
  let keys: Record<string, string> = {};
  let restoreCommand = "";
  let isKeyOnHost = false;
  const printed: string[] = [];
  beforeAll(async () => {
    network = await startHostNetwork("repository-host");
    vault = await startDebianHost(parts, { suite: "bookworm-bare", name: "vault", network, node: false });
    db = await startDebianHost(parts, { suite: "trixie", name: "db", network, fuse: fuseMissing() === null });
    server = await startHostServer();
    await showServer(db, server);
    // README's program restarts no server.
    await ownCluster(db, 17, `echo "archive_mode = 'on'" >> ${DATA}/postgresql.auto.conf`);
    // As on a host that its administrator has closed to all but some.
    const lists = `AllowUsers root deploy\nAllowUsers ${ACCOUNT} ${ACCOUNT}-?\n`;
    await vault.runOk(["sh", "-c", "cat > /etc/ssh/sshd_config.d/10-lists.conf; systemctl restart ssh"], {
      input: lists,
    });
    programFolder = await makeProgramFolder();
  });
  afterAll(async () => {
    await db?.stop();
    await vault?.stop();
    await network?.stop();
    await server?.remove();
    removeProgramFolder(programFolder);
  });

  const open = (trigger = "", immutableDays = 7, standby = false): Promise<Stack> =>
    openStack(programFolder, "vault", async () => {
      const cipher = new CipherPassphrase("key", {}, { protect: false }).ref;
      const host = new RepositoryHost("vault", {
        connection: connectionTo(vault),
        clients: { orders: { cipher, reader: true, ...(immutableDays === 0 ? {} : { immutableDays }) } },
        address: vault.address,
        port: 22,
        offSite: true,
      });
      const at = host.targets["orders"];
      if (at?.sftp === undefined) throw new Error("there is no target");
      const { privateKey: _brought, ...sftp } = at.sftp;
      const far = isKeyOnHost ? { at: { ...at, sftp }, secretFiles: { privateKey: KEY_ON_HOST } } : { at };
      const database = runReadme({
        host: db,
        folder: programFolder.folder,
        version: 17,
        server,
        // In the place of the NAS: none is on the host.
        over: ({ repositories }) => ({ repositories: { ...repositories, repo1: { ...far, keepDays: 30 } } }),
      });
      const reader = host.readerTargets["orders"];
      if (reader === undefined) throw new Error("there is no target that only reads");
      const follower = standby
        ? new StandbyHost("standby", {
            connection: connectionTo(db),
            dataDirectory: STANDBY_DATA,
            repositories: { repo2: { at: reader, keepDays: 30 } },
            primary: { host: "127.0.0.1", user: "replicator", passfile: PASSFILE, slot: "standby" },
            directories: STANDBY_DIRECTORIES,
            // A destroy removes this Node.js, although the standby's restore_command uses it.
            node: { upload: process.execPath },
          })
        : null;
      const now =
        trigger === "" || !hasProvider
          ? null
          : new BackupNow("now", { host: database.access, type: "incr", triggers: [trigger] });
      return {
        destinations: database.destinations,
        restoreCommand: database.restoreCommand,
        hostKey: host.hostKey,
        writer: at.sftp.privateKey ?? "",
        reader: reader.sftp?.privateKey ?? "",
        ...(follower === null
          ? {}
          : { standbyCommand: follower.restoreCommand, standbyDestinations: follower.destinations }),
        ...(now === null ? {} : { label: now.label }),
      };
    });
  const up = async (stack: Stack): Promise<{ outputs: Record<string, string>; changes: object; text: string }> => {
    const { outputs, stdout, summary } = await stack.up();
    printed.push(stdout);
    const values = Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, String(value)]));
    return { outputs: values, changes: summary.resourceChanges ?? {}, text: stdout };
  };
  const state = (): Promise<string> =>
    vault.runOk([
      "sh",
      "-c",
      "find /etc/ssh /etc/systemd/system /usr/local /etc/passwd /etc/shadow -type f -exec stat -c '%n %i %Y %a %U' {} + | sort",
    ]);
  const sql = (query: string, port = 5432): Promise<string> =>
    db.runOk(["runuser", "-u", "postgres", "--", "psql", "-p", String(port), "-AtXc", query]);
  /** Everything that a StandbyHost may write, and everything that it may change in the cluster. */
  const standbyState = (): Promise<string> => {
    const locations = [
      ...Object.values(STANDBY_DIRECTORIES),
      "/etc/systemd/system",
      "/etc/postgresql",
      `${STANDBY_DATA}/postgresql.auto.conf`,
    ];
    return db.runOk(["sh", "-c", `find ${locations.join(" ")} -exec stat -c '%n %i %Y %a %U' {} + 2>/dev/null | sort`]);
  };
  const isStreaming = (): Promise<true | null> =>
    sql("SELECT state FROM pg_stat_replication WHERE usename = 'replicator'").then((output) =>
      output === "streaming\n" ? true : null,
    );
  const signIn = <T>(work: (client: Client) => Promise<T>, reader = false): Promise<T> =>
    connected(vault, reader ? `${ACCOUNT}-r` : ACCOUNT, keys[reader ? "reader" : "writer"] ?? "", work);
  /** @returns `done`, or the error of the account's SFTP request */
  const tryRequest = (
    request: (sftp: SFTPWrapper, answer: (error?: Error | null) => void) => void,
    reader = false,
  ): Promise<string> =>
    signIn(
      (client) =>
        new Promise((resolve, reject) =>
          client.sftp((error, sftp) => {
            if (error !== undefined) return reject(error);
            request(sftp, (refused) => resolve(refused?.message ?? "done"));
          }),
        ),
      reader,
    );

  test("gets an account, and a database's first backup, by one update; the databases recognise it by its host key", async () => {
    const { outputs } = await up(await open());
    expect(String(outputs["destinations"]).match(/"label":"\d{8}-\d{6}F"/g)).toHaveLength(2);
    expect(vault.hostKeys).toContain(outputs["hostKey"]);
    expect(outputs["hostKey"]).toMatch(/^ecdsa-/);
    keys = { writer: outputs["writer"] ?? "", reader: outputs["reader"] ?? "" };
    restoreCommand = outputs["restoreCommand"] ?? "";
    expect(await vault.runOk(["ls", `${KEPT}/backup/main`])).toMatch(/\d{8}-\d{6}F/);
  });

  // claim: docs/hosts/repository-host.md: a backup host: its…
  test("is unchanged by a second update", async () => {
    const before = await state();
    expect(Object.keys((await up(await open())).changes)).toEqual(["same"]);
    expect(await state()).toBe(before);
  });

  // claim: docs/hosts/repository-host.md: a backup host: its…
  test("gives its account no shell, no terminal, no ports, and nothing outside its directory", async () => {
    expect(await signIn((client) => runIn(client, "id"))).not.toContain("uid=");
    expect(await signIn((client) => refusal((done) => client.shell((error) => done(error))))).toMatch(
      /PTY|request|Unable/i,
    );
    expect(
      await signIn((client) =>
        refusal((done) => client.forwardOut("127.0.0.1", 0, "127.0.0.1", 22, (error) => done(error))),
      ),
    ).toMatch(/Prohibited|failed|open/i);
    expect(
      await signIn((client) => refusal((done) => client.forwardIn("127.0.0.1", 2222, (error) => done(error)))),
    ).toMatch(/Unable/i);
    expect(
      await tryRequest((sftp, done) =>
        sftp.readdir("/../..", (error, list) => done(error ?? new Error(list.map((each) => each.filename).join()))),
      ),
    ).toBe("repository");
    expect(await tryRequest((sftp, done) => sftp.stat("/etc/passwd", (error) => done(error)))).toContain(
      "No such file",
    );
    expect(await tryRequest((sftp, done) => sftp.mkdir("/mine", done))).toContain("Permission denied");
    expect(await tryRequest((sftp, done) => sftp.symlink("/../../etc/passwd", "/repository/link", done))).toBe("done");
    expect(await tryRequest((sftp, done) => sftp.readFile("/repository/link", (error) => done(error)))).toContain(
      "No such file",
    );
    expect(await tryRequest((sftp, done) => sftp.unlink("/repository/link", done))).toBe("done");
  });

  test("lets its reader read and change nothing", async () => {
    const read = (sftp: SFTPWrapper, done: (error?: Error | null) => void): void =>
      sftp.readFile("/repository/backup/main/backup.info", (error) => done(error));
    expect(await tryRequest(read, true)).toBe("done");
    expect(
      await tryRequest((sftp, done) => sftp.writeFile("/repository/new", "x", (error) => done(error)), true),
    ).toContain("Permission denied");
    expect(await tryRequest((sftp, done) => sftp.unlink("/repository/backup/main/backup.info", done), true)).toContain(
      "Permission denied",
    );
  });

  // claim: docs/hosts/repository-host.md: `immutableDays`: files are protected from the account's own key, and released
  //   again (nobody waits until the days have passed)
  test("protects stored files from the account's own key for the given days, and accepts new backups meanwhile", async () => {
    const label = (await vault.runOk(["sh", "-c", `ls ${KEPT}/backup/main | grep 'F$'`])).trim();
    const manifest = `/repository/backup/main/${label}/backup.manifest`;
    await vault.runOk(["systemctl", "start", "pgbackstop-seal-orders.service"]);
    expect(await tryRequest((sftp, done) => sftp.unlink(manifest, done))).toContain("Permission denied");
    expect(await tryRequest((sftp, done) => sftp.writeFile(manifest, "junk", (error) => done(error)))).toContain(
      "Permission denied",
    );
    expect(
      await tryRequest((sftp, done) => sftp.ext_openssh_rename("/repository/backup/main/backup.info", manifest, done)),
    ).toContain("Permission denied");
    expect(
      await tryRequest((sftp, done) => sftp.rename(`/repository/backup/main/${label}`, "/repository/elsewhere", done)),
    ).toContain("Permission denied");
    expect(await tryRequest((sftp, done) => sftp.chmod(manifest, 0o777, done))).toContain("Permission denied");
    await sql("CREATE TABLE kept AS SELECT 'in the vault' AS words");
    // From here on the host's own copy of the key signs in. The update removes the copy that it installed.
    await db.runOk(["install", "-D", "-m", "0600", BROUGHT_KEY, KEY_ON_HOST]);
    isKeyOnHost = true;
    const { outputs } = await up(await open("v1"));
    expect((await db.run(["cat", BROUGHT_KEY])).exitCode).toBe(1);
    if (hasProvider) expect(await vault.runOk(["ls", `${KEPT}/backup/main`])).toContain(outputs["label"]);
    expect(await vault.runOk(["stat", "-c", "%U", `${KEPT}/backup/main/${label}/backup.manifest`])).toBe("root\n");
    expect(await vault.runOk(["systemd-analyze", "security", "--no-pager", "pgbackstop-seal-orders.service"])).toMatch(
      /Overall exposure level.*: [01]\.\d/,
    );
  });

  // claim: docs/hosts/recover.md: `recover`, its undo and a restore by hand beside an agent that stays, where all
  //   repositories are remote
  // claim: docs/hosts/repository-host.md: a database is restored from such a host
  test("serves a database's recovery, its undo and a restore by hand, all through the agent that ran before", async () => {
    const before = await agentPid(db);
    await expectRecovery(db);
    // A clean shutdown archives all WAL.
    await db.runOk(["sh", "-c", `systemctl stop postgresql@17-main; mv ${DATA} ${DATA}.by-hand`]);
    // Root passes the keys to the command.
    await db.runOk(["sh", "-c", restoreCommand.replace(/ restore$/, " --repo=1 restore")]);
    await db.runOk(["systemctl", "start", "postgresql@17-main"]);
    await waitForRecovery(sql);
    expect(await sql("SELECT words FROM kept")).toBe("in the vault\n");
    await db.runOk(["sudo", "pgbackstop", "check"]);
    expect(await agentPid(db)).toBe(before);
  });

  // claim: docs/hosts/instant.md: an instant recovery beside an agent that stays, where all repositories are remote
  test.runIf(NIGHTLY && fuseMissing() === null)("serves an instant recovery through the same agent", async () => {
    const before = await agentPid(db);
    expect(await recover(db, "--instant")).toContain(" is open, on timeline ");
    expect((await db.run(["findmnt", DATA])).stdout).toBe("");
    expect(await sql("SELECT words FROM kept")).toBe("in the vault\n");
    expect(await agentPid(db)).toBe(before);
  });

  // claim: docs/hosts/recover.md: a recovery continues after a reboot
  test.runIf(NIGHTLY)("serves a recovery that a reboot interrupts", async () => {
    await sql("CREATE TABLE large AS SELECT i, md5(random()::text) FROM generate_series(1, 2000000) i");
    await db.runOk(["sudo", "pgbackstop", "backup", "--type=full"], { timeoutMs: 300_000 });
    // Without the network the restore waits for its repositories until the host goes down.
    const renamed = `ls -d ${DATA}.before-recover-* 2>/dev/null | wc -l`;
    const script = `before=$(${renamed}); setsid sudo pgbackstop recover --yes </dev/null >/root/recover.log 2>&1 &
      for each in $(seq 3000); do [ "$(${renamed})" = "$before" ] || exec ip link set host0 down; sleep 0.02; done; cat /root/recover.log; exit 1`;
    await db.runOk(["sh", "-c", script], { timeoutMs: 120_000 });
    await db.powerOff();
    // Half a data directory starts no server.
    await expect(db.powerOn()).rejects.toThrow("postgresql@17-main.service loaded failed");
    expect(await db.runOk(["sudo", "pgbackstop", "recover", "--dry-run"])).toContain("Its next step: restore.");
    expect(await recover(db)).toContain(" is open, on timeline ");
    expect(await sql("SELECT count(*) FROM large")).toBe("2000000\n");
    expect(await recover(db, "--undo")).toContain(" is open with the old data, on timeline ");
    expect(await sql("SELECT count(*) FROM large")).toBe("2000000\n");
    await sql("DROP TABLE large");
  });

  // claim: docs/hosts/recover.md: data on a mount of their own are refused before the server stops, with a way out
  test.runIf(NIGHTLY)("serves a restore over data on a mount of their own, which no recovery can rename", async () => {
    const restart = (work: string): Promise<string> =>
      db.runOk(["sh", "-c", `systemctl stop postgresql@17-main && ${work} && systemctl start postgresql@17-main`]);
    await restart(`mount --bind ${DATA} ${DATA}`);
    await waitForRecovery(sql);
    const started = await sql("SELECT pg_postmaster_start_time()");
    const refused = await db.run(["sudo", "pgbackstop", "recover", "--yes"]);
    expect(refused.exitCode).toBe(74);
    expect(refused.stdout).toContain(`'${DATA}' is a mount point`);
    expect(refused.stdout).toContain("pgbackstop restore --delta");
    expect(await sql("SELECT pg_postmaster_start_time()")).toBe(started);
    await restart("sudo pgbackstop restore --delta");
    await waitForRecovery(sql);
    expect(await sql("SELECT words FROM kept")).toBe("in the vault\n");
    await restart(`umount ${DATA}`);
    await waitForRecovery(sql);
    await db.runOk(["sudo", "pgbackstop", "check"]);
  });

  // claim: docs/hosts/standby.md: `StandbyHost` brings configuration and program by one update, a second one writes
  //   nothing; its command makes a standby that catches up with a reader's key over SFTP, and streams; the standby
  //   survives a destroy (a second cluster of the primary's own Debian 13)
  test.runIf(NIGHTLY)(
    "serves a standby: configuration and program by one update, its command, and then it streams",
    async () => {
      await sql("CREATE ROLE replicator LOGIN REPLICATION PASSWORD 'follows'");
      await sql("SELECT pg_create_physical_replication_slot('standby')");
      await db.runOk([
        "sh",
        "-c",
        `umask 077; echo '127.0.0.1:5432:replication:replicator:follows' > ${PASSFILE}; chown postgres: ${PASSFILE}`,
      ]);
      // Debian creates the second server, as an administrator would. Its data must come from the repository.
      await db.runOk(["pg_createcluster", "17", "standby", "--port", String(STANDBY_PORT)]);
      await db.runOk(["sh", "-c", `rm -rf ${STANDBY_DATA}/*`]);

      const { outputs } = await up(await open("v1", 7, true));
      expect(outputs["standbyDestinations"]).toMatch(/"label":"\d{8}-\d{6}F"/);
      const before = await standbyState();
      expect(before).toContain(`${STANDBY_DIRECTORIES.lib}/runtime.cjs`);
      expect(Object.keys((await up(await open("v1", 7, true))).changes)).toEqual(["same"]);
      expect(await standbyState()).toBe(before);
      expect(await db.runOk(["ls", "-A", STANDBY_DATA])).toBe("");

      // WAL that the archive has and the primary no longer has.
      await sql("INSERT INTO kept SELECT 'after the backup'");
      for (let round = 0; round < 2; round += 1)
        await db.runOk([
          "runuser",
          "-u",
          "postgres",
          "--",
          "psql",
          "-qc",
          "SELECT pg_switch_wal()",
          "-c",
          "CHECKPOINT",
        ]);
      await db.runOk(["runuser", "-u", "postgres", "--", "sh", "-c", outputs["standbyCommand"] ?? ""]);
      await db.runOk(["systemctl", "start", "postgresql@17-standby"]);
      await waitFor("streaming", STREAM_MS, isStreaming);
      // A standby may stream before it is consistent, but it accepts no connections until then.
      await waitFor("connections", STREAM_MS, async () =>
        (await sql("SELECT pg_is_in_recovery()", STANDBY_PORT).catch(() => "")) === "t\n" ? true : null,
      );
      const restored = [
        ...(await db.runOk(["cat", STANDBY_LOG])).matchAll(/restored log file "([0-9A-F]{24})" from archive/g),
      ].map((match) => match[1]);
      const held = await sql("SELECT name FROM pg_ls_waldir()");
      expect(restored.filter((name) => name !== undefined && !held.includes(name)).length).toBeGreaterThan(0);
      expect(await sql("SELECT active FROM pg_replication_slots WHERE slot_name = 'standby'")).toBe("t\n");
      await sql("INSERT INTO kept SELECT 'over the stream'");
      await waitFor("the row", STREAM_MS, async () =>
        (await sql("SELECT words FROM kept", STANDBY_PORT)) === "in the vault\nafter the backup\nover the stream\n"
          ? true
          : null,
      );
    },
  );

  // claim: docs/hosts/standby.md: `StandbyHost` brings configuration and…
  test.runIf(NIGHTLY)("is not needed by a running standby: it continues when its component is destroyed", async () => {
    const begun = await db.runOk(["head", "-n1", `${STANDBY_DATA}/postmaster.pid`]);
    const { changes, text } = await up(await open("v1"));
    expect(Object.keys(changes).sort()).toEqual(["delete", "same"]);
    expect(text).toContain("removed restore_command");
    expect((await db.run(["ls", STANDBY_DIRECTORIES.config, STANDBY_DIRECTORIES.lib])).stdout).toBe("");
    // Without the stream, PostgreSQL would run a restore_command whose program is gone, and shut the standby down.
    await db.runOk(["systemctl", "restart", "postgresql@17-main"]);
    await waitFor("streaming", STREAM_MS, isStreaming);
    await sql("INSERT INTO kept SELECT 'by itself'");
    await waitFor("the row", STREAM_MS, async () =>
      (await sql("SELECT words FROM kept", STANDBY_PORT)).endsWith("by itself\n") ? true : null,
    );
    expect(await db.runOk(["head", "-n1", `${STANDBY_DATA}/postmaster.pid`])).toBe(begun);
  });

  // claim: docs/hosts/repository-host.md: `immutableDays`: files are protected…
  test("releases the protected files when no days are configured any more", async () => {
    const { text } = await up(await open("v1", 0));
    expect(text).toContain("returning protected files to pgbackstop-orders");
    expect(await vault.runOk(["find", KEPT, "-user", "root"])).toBe("");
  });

  // claim: docs/hosts/repository-host.md: a backup host: its…
  test.runIf(NIGHTLY)("is repaired after a manual change, and refuses a configuration that sshd rejects", async () => {
    const config = "/etc/ssh/sshd_config.d/60-pgbackstop.conf";
    await vault.runOk(["sed", "-i", "s/DisableForwarding yes/DisableForwarding no/", config]);
    const stack = await open("v1");
    const { stdout } = await stack.refresh();
    expect(stdout).toContain(`changed by hand: ${config}`);
    await vault.runOk(["sh", "-c", "echo Nonsense yes > /etc/ssh/sshd_config.d/99-other.conf"]);
    expect(await failureOf(stack.up(), printed)).toMatch(/Nonsense/);
    expect(await runOverSsh(vault, "root", "true")).toMatchObject({ exitCode: 0 });
    await vault.runOk(["rm", "/etc/ssh/sshd_config.d/99-other.conf"]);
    await up(stack);
    expect(await vault.runOk(["cat", config])).not.toContain("DisableForwarding no");
  });

  // claim: docs/hosts/updates.md: a component with another name or stack keeps…
  test("keeps its keys when its component is renamed: without an alias that is refused", async () => {
    const renamed = await openStack(programFolder, "vault", async () => {
      const cipher = new CipherPassphrase("key", {}, { protect: false }).ref;
      const { hostKey } = new RepositoryHost("renamed", {
        connection: connectionTo(vault),
        clients: { orders: { cipher, reader: true } },
        address: vault.address,
      });
      return { hostKey };
    });
    const keyFile = ["cat", `/etc/ssh/pgbackstop/${ACCOUNT}`];
    const before = await vault.runOk(keyFile);
    for (const refuse of [() => renamed.preview(), () => renamed.up()])
      expect(await failureOf(refuse(), printed)).toContain('add the option { aliases: [{ name: "vault" }] }');
    expect(await vault.runOk(keyFile)).toBe(before);
    expect(await vault.runOk(["ls", "/etc/ssh/sshd_config.d"])).toContain("60-pgbackstop.conf");
    expect(await vault.runOk(["ls", "/etc/ssh/pgbackstop"])).toBe(`${ACCOUNT}\n${ACCOUNT}-r\n`);
    // A second one with other clients would replace both files.
    const other = await openStack(programFolder, "other", async () => {
      const clients = { ledger: {} };
      const { hostKey } = new RepositoryHost("other", {
        connection: connectionTo(vault),
        clients,
        address: vault.address,
      });
      return { hostKey };
    });
    expect(await failureOf(other.up(), printed)).toMatch(
      /RepositoryHost::other \(accounts pgbackstop-ledger, .*would replace files of .*RepositoryHost::vault/,
    );
    await other.destroy();
    expect(await vault.runOk(["cat", "/etc/ssh/sshd_config.d/60-pgbackstop.conf"])).toContain(ACCOUNT);
  });

  // claim: docs/hosts/repository-host.md: a backup host: its…
  test("keeps every backup when it is destroyed, and admits only its administrator", async () => {
    await (await open("v1")).destroy();
    expect(await vault.runOk(["ls", `${KEPT}/backup/main`])).toMatch(/\d{8}-\d{6}F/);
    expect(
      (
        await vault.run([
          "sh",
          "-c",
          "ls /etc/ssh /etc/ssh/sshd_config.d /etc/ssh/pgbackstop /etc/systemd/system | grep pgbackstop",
        ])
      ).stdout,
    ).not.toMatch(/60-pgbackstop|owners|pgbackstop-orders|seal/);
    await expect(signIn(async () => "in")).rejects.toThrow("authentication");
    expect(await runOverSsh(vault, "deploy", "sudo -n id -un")).toMatchObject({ stdout: "root\n" });
    const marker = (keys["writer"] ?? "").split("\n")[2] ?? "";
    expect(marker.length).toBeGreaterThan(30);
    expect([...printed, ...stateTexts(programFolder.folder)].filter((text) => text.includes(marker))).toEqual([]);
  });
});

function connected<T>(
  host: DebianHost,
  username: string,
  privateKey: string,
  work: (client: Client) => Promise<T>,
): Promise<T> {
  const known = host.hostKeys.map((key) => key.split(" ")[1]);
  return new Promise((resolve, reject) => {
    const client = new Client();
    client.on("error", reject);
    client.once("ready", () => {
      work(client)
        .then(resolve, reject)
        .finally(() => client.end());
    });
    client.connect({
      ...host.ssh,
      username,
      privateKey,
      hostVerifier: (key: Buffer) => known.includes(key.toString("base64")),
    });
  });
}

function refusal(ask: (done: (error: Error | undefined) => void) => void): Promise<string> {
  return new Promise((resolve) => ask((error) => resolve(error?.message ?? "it was allowed")));
}

/** The output of a command within one second. An SFTP server would wait for requests. */
function runIn(client: Client, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    client.exec(command, (error, channel) => {
      if (error !== undefined) return resolve(error.message);
      let printed = "";
      channel.on("data", (bytes: Buffer) => void (printed += bytes.toString("latin1")));
      channel.on("close", () => resolve(printed));
      channel.on("error", reject);
      setTimeout(() => channel.end(), 1000);
    });
  });
}
