/**
 * Standbys created from a repository: a member of a real Patroni with StandbyHost's part of patroni.yml, reinitialized
 * after it lost its data, and a plain standby. Each catches up from the archive, because its primary no longer has the
 * WAL, and then streams.
 */
// claim: docs/hosts/standby.md: a standby from a repository catches up from the archive and streams: as a member of
//   Patroni, again after losing its data, and alone (Patroni 4.1, etcd and PostgreSQL 15 on one machine;
//   `patroniBootstrap` is rendered, not run)
// claim: README.md: a backup server over…
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "pg";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { patroniReplica, standbyCommand } from "../../../components/render/host/standby";
import { findPatroni } from "../../../tools/parts/debian/patroni";
import { findPostgres } from "../../../tools/parts/postgres/postgres";
import { runOk, start, type Started, waitFor } from "../../../tools/parts/process";
import { freePort } from "../../../tools/parts/servers/s3Server";
import { TestCluster } from "../../../tools/parts/postgres/testCluster";
import { giveTo } from "../../../tools/parts/users";
import { skipped } from "../../harness/real/interopParts";
import { TestBed } from "../../harness/real/testBed";

const { load } = require("js-yaml") as { load(text: string): unknown };
const ROWS = 5000;
const WAIT_MS = 120_000;

describe("a standby from a repository", async () => {
  const patroni = await findPatroni();
  const postgres = await findPostgres(15);
  const title = "a member of Patroni out of a repository";
  if ("missing" in patroni) return void skipped(title, patroni.missing);
  if ("missing" in postgres) return void skipped(title, postgres.missing);
  const { binaries } = postgres;
  let bed: TestBed;
  let leader: Member;
  let plain: TestCluster | undefined;
  const processes: Started[] = [];

  interface Member {
    readonly name: string;
    readonly port: number;
    readonly rest: string;
    readonly log: string;
    readonly process: Started;
  }

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries,
      repos: [{ compressType: "zst", encrypted: true }],
      settings: { max_wal_size: "80MB" },
    });
    await bed.startWithStanza();
    await bed.cluster.sql("CREATE TABLE readings (id bigserial PRIMARY KEY, body text)");
    await bed.oursOk(["backup", "--type=full"]);
    await bed.cluster.stop();
    const [client, peer] = [`http://127.0.0.1:${await freePort()}`, `http://127.0.0.1:${await freePort()}`];
    const settings = {
      "listen-client-urls": client,
      "advertise-client-urls": client,
      "listen-peer-urls": peer,
      "initial-advertise-peer-urls": peer,
    };
    const args = Object.entries({
      ...settings,
      "initial-cluster": `default=${peer}`,
      "data-dir": join(bed.folder, "etcd"),
    });
    processes.push(
      await start(
        patroni.etcd,
        args.map(([name, value]) => `--${name}=${value}`),
        options("etcd.log"),
      ),
    );
    await waitFor("etcd", WAIT_MS, async () =>
      (await fetch(`${client}/health`).catch(() => null))?.ok === true ? true : null,
    );
    etcd = client.slice("http://".length);
    leader = await startMember("a", bed.cluster.dataPath, {});
    await waitFor("the leader", WAIT_MS, () => answers(leader, "primary"));
    // Patroni holds the leader key before it promotes the server.
    await waitFor("its promotion", WAIT_MS, async () =>
      (await ask(leader.port, "SELECT pg_is_in_recovery() AS waits"))[0]?.["waits"] === false ? true : null,
    );
    await ask(
      leader.port,
      `INSERT INTO readings (body) SELECT repeat(md5(g::text), 20) FROM generate_series(1, ${ROWS}) g`,
    );
    for (let round = 0; round < 8; round += 1)
      await ask(leader.port, "SELECT pg_switch_wal()", "INSERT INTO readings (body) VALUES ('more')");
    // A checkpoint does not remove unarchived segments.
    const switched = await ask(leader.port, "SELECT pg_walfile_name(pg_switch_wal()) AS name");
    await waitFor("the archive", WAIT_MS, async () => {
      const [reported] = await ask(leader.port, "SELECT coalesce(last_archived_wal, '') AS name FROM pg_stat_archiver");
      return String(reported?.["name"]) >= String(switched[0]?.["name"]) ? true : null;
    });
    await ask(leader.port, "CHECKPOINT", "SELECT pg_switch_wal()", "CHECKPOINT");
  }, WAIT_MS * 5);
  afterAll(async () => {
    await plain?.remove();
    for (const process of processes.reverse()) await process.stop("SIGTERM");
    await bed?.remove();
  });

  let etcd = "";
  const options = (log: string) => ({ user: bed.cluster.user, cwd: bed.folder, logFile: join(bed.folder, log) });

  const startMember = async (name: string, dataPath: string, own: object): Promise<Member> => {
    const [port, restPort] = [await freePort(), await freePort()];
    const superuser = { username: bed.cluster.superuser };
    const server = {
      listen: `127.0.0.1:${port}`,
      connect_address: `127.0.0.1:${port}`,
      data_dir: dataPath,
      bin_dir: binaries.folder,
      pgpass: join(bed.folder, `pgpass-${name}`),
      authentication: { superuser, replication: superuser, rewind: superuser },
      parameters: { unix_socket_directories: bed.cluster.socketPath },
      ...own,
    };
    const config = {
      scope: "readings",
      name,
      restapi: { listen: `127.0.0.1:${restPort}`, connect_address: `127.0.0.1:${restPort}` },
      etcd3: { host: etcd },
      bootstrap: {
        dcs: {
          ttl: 60,
          loop_wait: 1,
          retry_timeout: 10,
          postgresql: { use_slots: false, parameters: { wal_keep_size: "0" } },
        },
      },
      postgresql: server,
    };
    const file = join(bed.folder, `patroni-${name}.yml`);
    // JSON is valid YAML.
    writeFileSync(file, JSON.stringify(config));
    giveTo(file, bed.cluster.user);
    const [program = "", ...args] = patroni.command;
    const process = await start(program, [...args, file], { ...options(`patroni-${name}.log`), stopSignal: "SIGTERM" });
    processes.push(process);
    return { name, port, rest: `http://127.0.0.1:${restPort}`, log: join(bed.folder, `patroni-${name}.log`), process };
  };
  const answers = async ({ log, process, rest }: Member, role: string): Promise<true | null> => {
    if (!process.isRunning()) throw new Error(`Patroni ended:\n${readFileSync(log, "utf8").slice(-3000)}`);
    return (await fetch(`${rest}/${role}`).catch(() => null))?.status === 200 ? true : null;
  };
  /** Argv of a host with its data at `dataPath`, as StandbyHost writes it. */
  const argvFor = (name: string, dataPath: string): string[] => {
    mkdirSync(dataPath, { mode: 0o700 });
    giveTo(dataPath, bed.cluster.user);
    const config = bed.variant(name, { stanza: { "pg1-path": dataPath } });
    return [bed.runtime.node, ...bed.oursCommand([], config)];
  };
  const streaming = async (count: number): Promise<true | null> => {
    const rows = await ask(
      leader.port,
      "SELECT count(*)::int AS count FROM pg_stat_replication WHERE state = 'streaming'",
    );
    return rows[0]?.["count"] === count ? true : null;
  };
  const countOf = async (port: number): Promise<unknown> =>
    (await ask(port, "SELECT count(*)::int AS count FROM readings"))[0]?.["count"];

  test("joins Patroni with StandbyHost's part of patroni.yml, and streams after the archive's end", async () => {
    const missingThere = await ask(
      leader.port,
      "SELECT min(name) AS name FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'",
    );
    expect(String(missingThere[0]?.["name"]) > "000000010000000000000004").toBe(true);
    const dataPath = join(bed.folder, "data-b");
    const { postgresql } = load(patroniReplica(argvFor("b", dataPath))) as {
      postgresql: { create_replica_methods: string[] };
    };
    // Patroni must not fall back to another method.
    const member = await startMember("b", dataPath, { ...postgresql, create_replica_methods: ["pgbackstop"] });
    await waitFor("the replica", WAIT_MS, () => answers(member, "replica"));
    await waitFor("streaming", WAIT_MS, () => streaming(1));
    expect(readFileSync(member.log, "utf8")).toContain("replica has been created using pgbackstop");
    // The standby replays WAL a moment after it receives it.
    const rows = await countOf(leader.port);
    expect(rows).toBeGreaterThan(ROWS);
    await waitFor("every row", WAIT_MS, async () => ((await countOf(member.port)) === rows ? true : null));

    const answer = await fetch(`${member.rest}/reinitialize`, { method: "POST", body: '{"force": true}' });
    expect(answer.status).toBe(200);
    await waitFor("it again", WAIT_MS, async () =>
      readFileSync(member.log, "utf8").split("created using pgbackstop").length > 2 ? true : null,
    );
    await waitFor("the replica", WAIT_MS, () => answers(member, "replica"));
    await waitFor("streaming", WAIT_MS, () => streaming(1));
  });

  test("starts as a plain standby by one command, and streams", async () => {
    const dataPath = join(bed.folder, "data-c");
    const primary = {
      host: "127.0.0.1",
      port: leader.port,
      user: bed.cluster.superuser,
      passfile: undefined,
      sslmode: undefined,
      slot: undefined,
    };
    await runOk("sh", ["-c", standbyCommand(argvFor("c", dataPath), primary)], {
      user: bed.cluster.user,
      cwd: bed.folder,
    });
    rmSync(join(dataPath, "patroni.dynamic.json"), { force: true });
    plain = TestCluster.adopt({ binaries, dataPath });
    await plain.start();
    await waitFor("streaming", WAIT_MS, () => streaming(2));
    await plain.waitForValue("SELECT count(*)::text FROM readings", String(await countOf(leader.port)), WAIT_MS);
    expect(await plain.value("SELECT pg_is_in_recovery()::text")).toBe("true");
  });
});

async function ask(port: number, ...queries: string[]): Promise<Record<string, unknown>[]> {
  const client = new Client({ host: "127.0.0.1", port, user: "postgres", database: "postgres" });
  await client.connect();
  try {
    let rows: Record<string, unknown>[] = [];
    for (const query of queries) rows = (await client.query(query)).rows as Record<string, unknown>[];
    return rows;
  } finally {
    await client.end();
  }
}
