/**
 * One update takes a Debian 12 or 13 with only systemd and sshd to a first backup in both repositories. PostgreSQL
 * comes from Debian's archive through a caching proxy, and Node.js over the connection. Further tests let the host
 * download Node.js from a test server, because nodejs.org and apt.postgresql.org cannot be reached here.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Stack } from "@pulumi/pulumi/automation";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { PostgresHostArgs } from "../../components/databases/hostArgs";
import { PostgresHost } from "../../components/databases/postgresHost";
import type { Connection } from "../../components/host/connection";
import { bringNode } from "../../components/host/node/node";
import { chooseNode, type NodeInput, type NodeSettings } from "../../components/host/node/nodeChoice";
import { bringPackages } from "../../components/host/postgresInstall";
import { connectOverSsh } from "../../components/host/ssh/sshConnection";
import { readState } from "../../components/host/state";
import type { S3Server } from "../../tools/parts/servers/s3Server";
import { openStack, type ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { failureOf } from "../harness/compare/engineTexts";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import {
  connectionTo,
  expectSoundUnits,
  showServer,
  startHostServer,
  twoDirectories,
} from "../harness/hosts/declaredHost";
import { type DebianHost, startDebianHost } from "../harness/hosts/debianHost";
import { engineHostParts } from "../harness/hosts/parts";
import { runReadme } from "../harness/hosts/readmeProgram";
import { expectRecovery } from "../harness/hosts/recovery";
import { type PackageProxy, startPackageProxy } from "../harness/hosts/packages";
import { NIGHTLY } from "../../tools/parts/nightly";

const DATA = "/var/lib/postgresql/17/main";
const LIB = "/usr/local/lib/pgbackstop";
const NAS = "/mnt/nas";
/** What the NAS has while it is not mounted there. */
const SERVED = "/srv/nas";

/** Of a host that has only Debian. */
const brought = (version: number): Partial<PostgresHostArgs> => ({
  node: { upload: process.execPath },
  postgres: { version, install: true },
});

/** A program with one host and its repositories in directories of root. `over` replaces arguments of the host. */
function openBare(
  programFolder: ProgramFolder,
  host: DebianHost,
  version: number,
  over: Partial<PostgresHostArgs> = {},
): Promise<Stack> {
  return openStack(programFolder, "bare", async () => {
    const db = new PostgresHost("db", {
      connection: connectionTo(host),
      dataDirectory: `/srv/pg/${version}`,
      repositories: twoDirectories(),
      ...brought(version),
      ...over,
    });
    return { firstBackup: db.firstBackup, destinations: db.destinations, pendingRestart: db.pendingRestart };
  });
}

const psql = (host: DebianHost, sql: string): Promise<string> =>
  host.runOk(["runuser", "-u", "postgres", "--", "psql", "-Atc", sql]);

/** Lists every file that an update may have written, except packages, clusters and repositories. */
const traces = (host: DebianHost): Promise<string> =>
  host.runOk([
    "sh",
    "-c",
    `find /etc/pgbackstop ${LIB} /etc/systemd/system/pgbackstop* -exec stat -c '%n %i %y %a %U' {} + 2>/dev/null | sort`,
  ]);

async function checkFirstUpdate(
  stack: Stack,
  host: DebianHost,
  version: number,
  title: string,
  dataDirectory = `/srv/pg/${version}`,
): Promise<void> {
  const { outputs, stdout } = await stack.up();
  expect(stdout).toContain(`installing PostgreSQL ${version} from ${title}`);
  expect(outputs).toMatchObject({ firstBackup: { value: "taken" }, pendingRestart: { value: false } });
  expect(String(outputs["destinations"]?.value).match(/"label":"\d{8}-\d{6}F"/g)).toHaveLength(2);
  expect(await psql(host, "show server_version")).toMatch(new RegExp(`^${version}\\.`));
  expect(await psql(host, "show data_checksums")).toBe("on\n");
  expect(await psql(host, "show data_directory")).toBe(`${dataDirectory}\n`);
  expect(
    await host.runOk(["sh", "-c", "ls /etc/apt/sources.list.d /etc/postgresql-common/createcluster.d /etc/pgbackstop"]),
  ).not.toMatch(/pgdg|unfinished|pgbackstop\.conf/);
  const before = await traces(host);
  const { summary } = await stack.up({ refresh: true });
  expect(Object.keys(summary.resourceChanges ?? {})).toEqual(["same"]);
  expect(await traces(host)).toBe(before);
}

describe.runIf(NIGHTLY)("a bare Debian 12", async () => {
  const parts = await engineHostParts("a bare Debian 12", ["bookworm-bare"]);
  if (parts === null) return;
  // claim: docs/hosts/updates.md: a bare host gets PostgreSQL, Node.js and two backups by one update, the next one does
  //   nothing, and PostgreSQL survives a destroy (Debian 12 and 13 with Debian's own packages; apt.postgresql.org,
  //   nodejs.org and Ubuntu cannot be reached here, and a download is from a server of the test's)
  test("has backups in both repositories after one update, and the next one has nothing to do", async () => {
    const programFolder = await makeProgramFolder();
    const host = await startDebianHost(parts, { suite: "bookworm-bare", name: "bare12", node: false });
    const packages = await startPackageProxy();
    try {
      await packages.allow(host);
      await checkFirstUpdate(await openBare(programFolder, host, 15), host, 15, "Debian GNU/Linux 12 (bookworm)");
      await expectRecovery(host);
    } finally {
      packages.stop();
      await host.stop();
      removeProgramFolder(programFolder);
    }
  });
});

describe.runIf(NIGHTLY)("a bare Debian 12 with engine pgbackrest", async () => {
  const parts = await engineHostParts("a bare Debian 12 with engine pgbackrest", ["bookworm-bare"]);
  if (parts === null) return;
  test("gets PostgreSQL and stock pgBackRest from Debian, and gets a lost one back", async () => {
    const programFolder = await makeProgramFolder();
    const host = await startDebianHost(parts, { suite: "bookworm-bare", name: "bareStock", node: false });
    const packages = await startPackageProxy();
    try {
      await packages.allow(host);
      const stack = await openBare(programFolder, host, 15, { engine: "pgbackrest" });
      const { outputs, stdout } = await stack.up();
      expect(stdout).toContain("installing PostgreSQL 15 and pgBackRest from Debian GNU/Linux 12 (bookworm)");
      expect(outputs).toMatchObject({ firstBackup: { value: "taken" } });
      const info = await host.runOk(["runuser", "-u", "postgres", "--", "pgbackrest", "--stanza=main", "info"]);
      expect(info.match(/full backup: \d{8}-\d{6}F/g)).toHaveLength(2);
      expect(Object.keys((await stack.up()).summary.resourceChanges ?? {})).toEqual(["same"]);
      // The cluster stays as it is.
      const system = await psql(host, "select system_identifier from pg_control_system()");
      await host.runOk(["dpkg", "--remove", "pgbackrest"]);
      const again = await openBare(programFolder, host, 15, { engine: "pgbackrest", processMax: 3 });
      expect((await again.up()).stdout).toContain("installing pgBackRest from Debian GNU/Linux 12 (bookworm)");
      expect(await psql(host, "select system_identifier from pg_control_system()")).toBe(system);
      expect(await host.runOk(["pgbackrest", "version"])).toMatch(/^pgBackRest 2\./);
    } finally {
      packages.stop();
      await host.stop();
      removeProgramFolder(programFolder);
    }
  });
});

describe("a bare host", async () => {
  const parts = await engineHostParts("a bare host", ["trixie-bare"]);
  if (parts === null) return;
  let host: DebianHost;
  let packages: PackageProxy;
  let programFolder: ProgramFolder;
  let bucketServer: S3Server;
  let connection: Connection;
  const printed: string[] = [];
  const report = (line: string): void => void printed.push(line);
  beforeAll(async () => {
    host = await startDebianHost(parts, { suite: "trixie-bare", name: "bare", node: false });
    packages = await startPackageProxy();
    await packages.allow(host);
    bucketServer = await startHostServer();
    await showServer(host, bucketServer);
    // README's NAS: a file system of its own.
    await host.runOk([
      "sh",
      "-c",
      `mkdir -p ${SERVED} ${NAS}; mount -t tmpfs nas ${SERVED}; mount --bind ${SERVED} ${NAS}`,
    ]);
    programFolder = await makeProgramFolder();
    const route = { ...host.ssh, user: "deploy", sudo: true, hostKeys: host.hostKeys, knownHostsFiles: [] };
    connection = await connectOverSsh({
      ...route,
      privateKey: host.keys.deploy,
      passphrase: undefined,
      agent: undefined,
      jump: undefined,
    });
  });
  afterAll(async () => {
    await connection?.close();
    packages?.stop();
    await host?.stop();
    await bucketServer?.remove();
    removeProgramFolder(programFolder);
  });

  const open = (over: Partial<PostgresHostArgs> = {}): Promise<Stack> =>
    openStack(programFolder, "bare", async () => {
      const db = runReadme({
        host,
        folder: programFolder.folder,
        version: 17,
        server: bucketServer,
        over: () => ({ ...brought(17), ...over }),
      });
      return { firstBackup: db.firstBackup, destinations: db.destinations, pendingRestart: db.pendingRestart };
    });

  describe("gets Node.js", () => {
    const folder = mkdtempSync(join(tmpdir(), "pgb-node-"));
    let server: Server;
    let address: string;
    const served = new Map<string, Buffer>();
    beforeAll(async () => {
      server = createServer((request, response) => {
        const body = served.get(request.url ?? "");
        response.writeHead(body === undefined ? 404 : 200, { "content-length": body?.length ?? 0 }).end(body);
      });
      await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as AddressInfo;
      address = `http://${await host.network.expose(port)}:${port}`;
      await host.runOk(["mkdir", "-p", LIB]);
    });
    afterAll(() => {
      server?.close();
      rmSync(folder, { recursive: true, force: true });
    });

    /** Packs a program that claims to be Node.js, in the layout of nodejs.org. */
    const pack = (version: string): Buffer => {
      const name = `node-${version}-linux-x64`;
      mkdirSync(join(folder, name, "bin"), { recursive: true });
      writeFileSync(join(folder, name, "bin/node"), `#!/bin/sh\necho ${version}\n`, { mode: 0o755 });
      execFileSync("tar", ["-czf", join(folder, `${name}.tar.gz`), "-C", folder, name]);
      return readFileSync(join(folder, `${name}.tar.gz`));
    };
    const sumOf = (bytes: Buffer): string => createHash("sha256").update(bytes).digest("hex");
    const chosen = (node: NodeSettings["node"]): NodeInput => {
      const { findings, input } = chooseNode({ node }, LIB);
      if (input === undefined) throw new Error(findings.map(({ message }) => message).join(", "));
      return input;
    };
    const bring = (input: NodeInput): Promise<string[]> =>
      bringNode(connection, input, "x86_64", connection.login, report);
    const left = (): Promise<string> => host.runOk(["ls", "-A", LIB]);

    // claim: docs/hosts/updates.md: Node.js arrives completely or not at all, is the intended release, and is restored
    //   after a manual change
    test("with its own programs, and only the intended release", async () => {
      const tarball = pack("v24.16.0");
      served.set("/node.tar.gz", tarball);
      const url = `${address}/node.tar.gz`;
      const good = chosen({ url, sha256: sumOf(tarball) });
      await expect(bring(chosen({ url, sha256: "0".repeat(64) }))).rejects.toThrow(
        /(hash|Hash|SHA-256)[\s\S]*send one over the connection/,
      );
      await expect(bring(chosen({ url: `${address}/none`, sha256: "0".repeat(64) }))).rejects.toThrow(
        /404[\s\S]*node: \{ upload/,
      );
      expect(await left()).toBe("");
      expect(await bring(good)).toEqual([good.path]);
      expect(await host.runOk([good.path, "--version"])).toBe("v24.16.0\n");
      expect(await host.runOk(["stat", "-c", "%a %U", good.path])).toBe("755 root\n");
      await host.runOk(["rm", good.path]);
    });

    test("as a link to a suitable existing one; otherwise from nodejs.org, which the message names if it is unreachable", async () => {
      const { input } = chooseNode({}, LIB);
      if (input === undefined) throw new Error("nothing is brought");
      await expect(bring(input)).rejects.toThrow(
        /download Node\.js from https:\/\/nodejs\.org\/dist\/v24[\s\S]*node: \{ upload/,
      );
      await expect(bringNode(connection, input, "riscv64", connection.login, report)).rejects.toThrow(
        "there is no Node.js to download for riscv64",
      );
      await host.runOk([
        "sh",
        "-c",
        "printf '#!/bin/sh\\necho v18.19.0\\n' > /usr/local/bin/node; chmod 755 /usr/local/bin/node",
      ]);
      await host.runOk(["sh", "-c", "printf '#!/bin/sh\\necho v22.15.1\\n' > /usr/bin/node; chmod 755 /usr/bin/node"]);
      expect(await bring(input)).toEqual([`${LIB}/node`]);
      expect(await host.runOk(["readlink", `${LIB}/node`])).toBe("/usr/bin/node\n");
      await host.runOk(["rm", "/usr/bin/node", "/usr/local/bin/node", `${LIB}/node`]);
    });

    // claim: docs/hosts/updates.md: Node.js arrives completely or…
    test("over the connection, completely or not at all, for its own architecture", async () => {
      const input = chosen({ upload: process.execPath });
      await expect(bringNode(connection, input, "aarch64", connection.login, report)).rejects.toThrow(
        "is a Node.js for x86_64, but 127.0.0.1 is aarch64",
      );
      const [path, upload] = [`${LIB}/node-cut`, input.upload];
      if (upload === undefined) throw new Error("nothing is sent");
      await expect(
        bring({ path, look: [], file: path, upload: { ...upload, sha256: "1".repeat(64) } }),
      ).rejects.toThrow("has another SHA-256 than 1111");
      expect(await left()).toBe("");
    });
  });

  // claim: docs/hosts/updates.md: obstacles are reported…
  test("with an unknown distribution is shown the known ones, and nothing is installed", async () => {
    const facts = await readState(connection, {
      user: "postgres",
      paths: [],
      mounts: [],
      units: [],
      dataDirectory: DATA,
      ask: {},
    });
    const stranger = {
      ...facts,
      osRelease: 'ID=fedora\nVERSION_ID=42\nPRETTY_NAME="Fedora Linux 42 (Server Edition)"\n',
    };
    const wanted = { version: 17, install: true, port: 5432 };
    await expect(bringPackages(connection, wanted, { user: "postgres" }, stranger, report)).rejects.toThrow(
      "pgbackstop does not install PostgreSQL on Fedora Linux 42 (Server Edition) (127.0.0.1): Debian 12 and 13 and Ubuntu 22.04 and 24.04 are supported",
    );
    expect((await host.run(["id", "postgres"])).exitCode).toBe(1);
  });

  test("has backups in both repositories after one update, and the next one has nothing to do", async () => {
    await host.runOk(["rmdir", LIB]);
    await checkFirstUpdate(await open(), host, 17, "Debian GNU/Linux 13 (trixie)", DATA);
  });

  // claim: docs/hosts/updates.md: `recover` can rename the data directory of a…
  // claim: docs/hosts/recover.md: `recover`, its undo and…
  test("is recovered, as README's program declares it", async () => {
    await expectRecovery(host);
  });

  // claim: docs/agent.md: a unit that stays…
  test("writes to a NAS that was mounted again, and nothing below its mount point in the meantime", async () => {
    const archived = (): Promise<string> => host.runOk(["sh", "-c", `find ${NAS} -type f | sort`]);
    const before = await archived();
    await host.runOk(["umount", NAS]);
    await psql(host, "CREATE TABLE meanwhile AS SELECT 1; SELECT pg_switch_wal()");
    expect((await host.run(["sudo", "pgbackstop", "check"])).exitCode).not.toBe(0);
    expect(await archived()).toBe("");
    await host.runOk(["mount", "--bind", SERVED, NAS]);
    await host.runOk(["sudo", "pgbackstop", "check"]);
    expect((await archived()).length).toBeGreaterThan(before.length);
  });

  test("has units that systemd rates as well protected", async () => {
    expect((await expectSoundUnits(host)).length).toBeGreaterThan(2);
  });

  // claim: docs/hosts/updates.md: obstacles are reported…
  test("rejects a major version other than its own", async () => {
    const stack = await open({ postgres: { version: 18, install: true } });
    await expect(stack.up()).rejects.toThrow(
      `${DATA} on 127.0.0.1 holds a cluster of PostgreSQL 17, but 18 is declared: set postgres.version to 17`,
    );
  });

  // claim: docs/hosts/updates.md: Node.js arrives completely or…
  test("with a modified Node.js gets the right one back", async () => {
    const path = (await host.runOk(["sh", "-c", `echo ${LIB}/node-*`])).trim();
    // Replaces the file instead of changing it: the agent is running the old one.
    await host.runOk([
      "sh",
      "-c",
      `printf '#!/bin/sh\\necho v24.16.0\\n' > ${path}.new && chmod 755 ${path}.new && mv ${path}.new ${path}`,
    ]);
    const stack = await open();
    const { stdout } = await stack.refresh();
    expect(stdout).toContain("changed by hand: Node.js: ");
    await stack.up();
    expect(await host.runOk([path, "-p", "1 + 1"])).toBe("2\n");
  });

  // claim: docs/hosts/updates.md: no unit hides a directory that a tablespace or a link may lead to
  test("backs up a tablespace below /home by its timer's unit, and archives a pg_wal that is a link there", async () => {
    await host.runOk(["install", "-d", "-o", "postgres", "-m", "0700", "/home/space", "/home/wal"]);
    // After the last update, which knows nothing of it.
    await psql(host, "create tablespace space location '/home/space'");
    await psql(host, "create table stored tablespace space as select generate_series(1, 1000) as id");
    await host.runOk(["systemctl", "start", "pgbackstop-main-full.service"]);
    // By hand and in an update it runs under the same restrictions.
    await host.runOk(["pgbackstop", "backup", "--type=incr"]);
    await host.runOk(["pgbackstop", "check"]);

    await host.runOk(["systemctl", "stop", "postgresql@17-main"]);
    await host.runOk([
      "sh",
      "-c",
      `cp -a ${DATA}/pg_wal/. /home/wal && rm -r ${DATA}/pg_wal && ln -s /home/wal ${DATA}/pg_wal`,
    ]);
    await host.runOk(["systemctl", "start", "postgresql@17-main"]);
    await host.runOk(["systemctl", "restart", "pgbackstop-main-agent.service"]);
    await host.runOk(["pgbackstop", "check"]);
    await host.runOk(["systemctl", "start", "pgbackstop-main-full.service"]);

    await host.runOk(["systemctl", "stop", "postgresql@17-main"]);
    await host.runOk(["sh", "-c", `rm ${DATA}/pg_wal && cp -a /home/wal ${DATA}/pg_wal`]);
    await host.runOk(["systemctl", "start", "postgresql@17-main"]);
    await psql(host, "drop table stored");
    await psql(host, "drop tablespace space");
    await host.runOk(["systemctl", "start", "pgbackstop-main-full.service"]);
  });

  // claim: docs/hosts/updates.md: a rebuilt host gets no empty cluster, and the printed command recovers the lost one
  test("rebuilt under its name gets no cluster, and the printed command recovers its rows", async () => {
    await psql(host, "create table kept as select generate_series(1, 1000) as id");
    const systemId = await psql(host, "select system_identifier from pg_control_system()");
    await psql(host, "select pg_switch_wal()");
    // PostgreSQL archives what it has before it ends.
    await host.runOk(["systemctl", "stop", "postgresql@17-main"]);
    await host.runOk([
      "sh",
      "-c",
      "systemctl disable --now $(cd /etc/systemd/system && ls -d pgbackstop*.socket pgbackstop*.timer)",
    ]);
    await host.runOk([
      "sh",
      "-c",
      "systemctl stop 'pgbackstop*.service'; rm -rf /etc/systemd/system/pgbackstop*; systemctl daemon-reload",
    ]);
    await host.runOk(["pg_dropcluster", "17", "main"]);
    await host.runOk(["rm", "-rf", "/etc/pgbackstop", LIB, "/var/lib/postgresql/17", "/usr/local/bin/pgbackstop"]);
    await host.runOk(["sh", "-c", "tr -d - < /proc/sys/kernel/random/uuid > /etc/machine-id"]);

    const failure = await failureOf((await open()).up({ refresh: true }));
    expect(failure).toContain(
      `${DATA} on 127.0.0.1 has no cluster, but stanza main is that of a cluster of PostgreSQL 17`,
    );
    expect(
      await host.runOk([
        "sh",
        "-c",
        "pg_lsclusters -h; ls -d /var/lib/postgresql/17 /etc/postgresql/17/main 2>/dev/null || :",
      ]),
    ).toBe("");
    const command = /^\s*(test ! -e .* recover)\s*$/m.exec(failure)?.[1] ?? "";
    await host.runOk(["sh", "-c", `${command} --yes`]);
    expect(await psql(host, "select count(*), sum(id) from kept")).toBe("1000|500500\n");
    expect(await psql(host, "select system_identifier from pg_control_system()")).toBe(systemId);
    expect((await (await open()).up()).outputs).toMatchObject({ pendingRestart: { value: false } });
    expect(await host.runOk(["pg_lsclusters", "-h"])).toMatch(
      /^17\s+main\s+5432\s+online\s+postgres\s+\/var\/lib\/postgresql\/17\/main/,
    );
  });

  // claim: docs/hosts/updates.md: a bare host gets…
  test("keeps its PostgreSQL and the repositories when it is destroyed, and continues after a reboot", async () => {
    const backups = (): Promise<string> => host.runOk(["ls", `${NAS}/pgbackrest/backup/main`]);
    const before = await backups();
    expect(before).toMatch(/^\d{8}-\d{6}F$/m);
    await (await open()).destroy();
    expect(await traces(host)).toBe("");
    expect(await backups()).toBe(before);
    await host.reboot();
    expect(await psql(host, "show archive_mode")).toBe("off\n");
  });
});
