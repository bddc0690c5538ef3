/**
 * Every command over each object store while one request in some is spoiled: never answered, answered byte by byte, or
 * refused. Shifted by one from run to run, each request is a spoiled one once.
 */
// claim: docs/hosts/repositories.md: a silent, slow or refused attempt ends no command
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../runtime/base/clock";
import { openMissingWal } from "../../runtime/local/missingWal";
import { archiveGet } from "../../runtime/operations/archiveGet/archiveGet";
import { archivePush } from "../../runtime/operations/archivePush/archivePush";
import { backup } from "../../runtime/operations/backup/backup";
import { expireRepository } from "../../runtime/operations/expire/expire";
import { heal } from "../../runtime/operations/heal/heal";
import { restore } from "../../runtime/operations/restore/restore";
import { annotate } from "../../runtime/operations/shared/annotate";
import { inlinePool } from "../../runtime/operations/shared/jobs";
import { openLocalWal } from "../../runtime/operations/shared/localWal";
import { stanzaCreate } from "../../runtime/operations/stanza/stanzaCreate";
import { verify } from "../../runtime/operations/verify/verify";
import { listReady } from "../../runtime/postgres/archiveStatus";
import type { Repository } from "../../runtime/repository/repository";
import { NIGHTLY } from "../../tools/parts/nightly";
import { testContext } from "../harness/context";
import { type DoubleAnswer, S3Double } from "../harness/doubles/s3Double";
import { testLease } from "../harness/leases";
import { OPTIONS } from "../runtime/operations/backup/support";
import { CLUSTER, CONTROL, repository, WAL_SIZE_BYTES } from "../runtime/repository/support";
import { type Service, SERVICES } from "../runtime/storage/objectStore/services";
import { ModelCluster, snapshotOf } from "./modelCluster";

/** Long enough for a busy machine: a quarter passes before a silent request is repeated. */
const IO_TIMEOUT_MS = 15_000;
const PART = 256 * 1024;
/** Distance between two spoiled requests. */
const STRIDE = 20;
const USERS = { userName: () => "postgres", groupName: () => "postgres", findUid: () => null, findGid: () => null };
const SPOILS: Readonly<Record<string, (honest: () => DoubleAnswer) => DoubleAnswer>> = {
  "never answered": () => ({ status: 200, silentAfterBytes: -1 }),
  "carried out and never answered": (honest) => ({ ...honest(), silentAfterBytes: -1 }),
  "answered byte by byte": (honest) => ({ ...honest(), trickleMs: 20 }),
  refused: () => ({ status: 403 }),
};

class Commands {
  readonly #ctx = testContext({ clock: systemClock });
  readonly #folder = mkdtempSync(join(tmpdir(), "pgb-spoiled-"));
  readonly #cluster = new ModelCluster(this.#folder, systemClock);
  readonly #missingWal = openMissingWal(join(this.#folder, "spool"), "demo");
  readonly #double: S3Double;
  readonly #repo: Repository;
  /** Has what `heal` copies. */
  readonly #other = repository(2);

  private constructor(service: Service, double: S3Double) {
    this.#double = double;
    const { random, signal } = this.#ctx;
    const deps = { clock: systemClock, random, signal, ioTimeoutMs: IO_TIMEOUT_MS, isKeyProven: true };
    this.#repo = repository(1, { storage: service.open(double, PART, deps), compress: { type: "gz", level: 1 } });
  }

  /** Runs all; returns the number of requests. */
  static async run(
    service: Service,
    spoil: (index: number, honest: () => DoubleAnswer) => DoubleAnswer,
  ): Promise<number> {
    const double = await S3Double.start();
    double.answering((request, index) => spoil(index, () => service.answer(request)));
    const commands = new Commands(service, double);
    try {
      await commands.#all();
      return double.requests.length;
    } finally {
      await commands.#repo.storage.close();
      await double.stop();
      rmSync(commands.#folder, { recursive: true, force: true });
    }
  }

  async #all(): Promise<void> {
    const { dataDirectory } = this.#cluster;
    await this.#named("stanza-create", () => stanzaCreate([this.#repo, this.#other], CONTROL, this.#ctx));
    for (const seed of [1, 2, 3]) this.#cluster.write(seed);
    await this.#named("full backup", () => this.#backup("full"));
    this.#cluster.write(4);
    const label = await this.#named("incremental backup", () => this.#backup("incr"));
    const expected = snapshotOf(dataDirectory);
    await this.#named("annotate", () => annotate(this.#repo, label, { note: "x" }, testLease(), this.#ctx));
    await this.#named("heal", () => this.#heal());
    await this.#named("verify", async () => {
      const verdict = await verify(this.#repo, this.#pool(), WAL_SIZE_BYTES, this.#ctx);
      expect({ ok: verdict.ok, problems: verdict.problems }).toEqual({ ok: true, problems: [] });
    });
    await this.#named("restore", async () => {
      const target = join(this.#folder, "restored");
      mkdirSync(target, { mode: 0o700 });
      await this.#restore(target);
      expect(Object.fromEntries(snapshotOf(target))).toEqual(Object.fromEntries(expected));
    });
    await this.#named("archive-get", async () => {
      const [walName = ""] = this.#cluster.wal.keys();
      const options = { walName, destination: join(this.#folder, "fetched"), cluster: CLUSTER };
      expect(await archiveGet([this.#repo], options, this.#ctx)).toBe(true);
    });
    await this.#named("full backup", () => this.#backup("full"));
    await this.#named("expire", () => {
      const retention = { full: 1, fullType: "count", archiveType: "full" } as const;
      const options = { oldest: false, refusePageErrors: true, dryRun: false };
      return expireRepository(this.#repo, retention, options, testLease(), this.#ctx);
    });
  }

  async #named<T>(command: string, work: () => Promise<T>): Promise<T> {
    const from = this.#double.requests.length;
    try {
      return await work();
    } catch (error) {
      throw new Error(`${command}, from request ${from} on: ${String(error)}`, { cause: error });
    }
  }

  #pool() {
    return inlinePool(new Map([[1, this.#repo]]), this.#ctx, 2);
  }

  async #backup(type: "full" | "incr"): Promise<string> {
    const deps = {
      lease: async () => testLease(),
      servers: [
        {
          key: 1,
          dataDirectory: this.#cluster.dataDirectory,
          connect: async () => this.#cluster.session(() => this.#push([this.#repo, this.#other]), this.#ctx),
        },
      ],
      pool: this.#pool(),
      users: USERS,
      onProgress: () => {},
    };
    const options = { ...OPTIONS, type, archiveCheck: true, archiveTimeoutMs: 60_000, checksumPage: false };
    const [result] = (await backup([this.#repo], deps, options, this.#ctx)).results;
    if (result?.ok !== true) throw result?.error ?? new Error("no result");
    return result.value.manifest.label;
  }

  async #push(repos: readonly Repository[]): Promise<void> {
    for (const walName of await listReady(this.#cluster.walDirectory, 100)) {
      const options = {
        walDirectory: this.#cluster.walDirectory,
        walName,
        cluster: CLUSTER,
        headerCheck: true,
        acknowledge: { mode: "all", repoIndexes: [] } as const,
        graceMs: 60_000,
        timeoutMs: 60_000,
      };
      const { accepted } = await archivePush(repos, this.#missingWal, options, this.#ctx);
      expect(accepted, `push of ${walName}`).toBe(true);
      rmSync(join(this.#cluster.walDirectory, "archive_status", `${walName}.ready`));
    }
  }

  async #heal(): Promise<void> {
    this.#cluster.finishSegment();
    const [walName = ""] = await listReady(this.#cluster.walDirectory, 1);
    await this.#push([this.#other]);
    this.#missingWal.add(1, walName, CLUSTER);
    const local = openLocalWal(this.#cluster.walDirectory, CLUSTER, true);
    const options = { missingWal: this.#missingWal, cluster: CLUSTER, local };
    for (const result of await heal([this.#repo, this.#other], options, this.#ctx)) if (!result.ok) throw result.error;
    expect(this.#missingWal.list(1)).toEqual([]);
  }

  async #restore(dataDirectory: string): Promise<void> {
    const options = {
      dataDirectory,
      tablespaceMap: {},
      tablespaceMapAll: undefined,
      linkMap: {},
      linkAll: false,
      set: undefined,
      server: null,
      delta: false,
      force: false,
      databaseInclude: [],
      databaseExclude: [],
      checksumPageError: true,
      recovery: {
        type: "default",
        target: undefined,
        targetAction: "pause",
        targetExclusive: false,
        targetTimeline: undefined,
        archiveMode: "off",
        restoreCommand: "false",
        options: {},
      },
      spoolPath: join(this.#folder, "spool"),
      self: { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 },
    } as const;
    await restore([this.#repo], { pool: this.#pool(), users: USERS }, options, this.#ctx);
  }
}

describe.concurrent.each(NIGHTLY ? Object.entries(SERVICES) : Object.entries(SERVICES).slice(0, 1))(
  "%s",
  (_name, newService) => {
    test.each(Object.entries(SPOILS))(
      "every command succeeds, whichever requests are %s",
      { timeout: 600_000 },
      async (_spoil, spoil) => {
        const count = await Commands.run(newService(), (_, honest) => honest());
        expect(count).toBeGreaterThan(100);
        const step = NIGHTLY ? 1 : 10;
        const offsets = Array.from({ length: STRIDE / step }, (_, index) => index * step);
        await Promise.all(
          offsets.map((offset) =>
            Commands.run(newService(), (index, honest) => (index % STRIDE === offset ? spoil(honest) : honest())),
          ),
        );
      },
    );
  },
);
