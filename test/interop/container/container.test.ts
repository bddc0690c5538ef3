/**
 * PostgreSQL in a container of Docker and of Podman, whose image and command line know nothing of backups: this
 * machine's root backs it up and restores it.
 */
// claim: docs/hosts/containers.md: backups of a container have its paths and accounts, and every row comes back: by
//   ours in a directory and in its volume, by stock in another container
// claim: docs/hosts/containers.md: a user namespace of the container changes nothing (nightly, Podman)
// claim: docs/hosts/containers.md: drills and extract-table start a server of the container's image, without a network,
//   and leave nothing
import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { unitCapabilities } from "../../../components/render/units/containerRights";
import type { ContainerEngine, EngineName } from "../../../tools/parts/containers/engine";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";
import { IMAGE, IMAGE_DATA } from "../../../tools/parts/containers/postgresImage";
import { run, type RunResult, waitFor } from "../../../tools/parts/process";
import { stockOrSkip } from "../../harness/real/parts";
import { requireOk } from "../../harness/real/testBed";
import { ContainerBed, engineWith } from "../../harness/real/containerBed";

describe.each(atNight<EngineName>("podman", "docker"))("in a container of %s", (name) => {
  let engine: ContainerEngine | null = null;
  let bed: ContainerBed;

  beforeAll(async () => {
    engine = await engineWith(name, `containers of ${name}`);
    if (engine === null) return;
    bed = await ContainerBed.create(engine, { isMapped: NIGHTLY && name === "podman" });
    bed.configure(undefined, { archive: "stream" });
    // pg_wal is a link to another mount.
    const linked = [`--volume=${bed.folder}/pg-wal:/pg-wal`, "--env=POSTGRES_INITDB_ARGS=--waldir=/pg-wal/main"];
    await bed.start({ archives: true, args: linked });
    await bed.startAgent();
    await bed.sql(`
      CREATE TABLE orders (id bigserial PRIMARY KEY, body text);
      INSERT INTO orders (body) SELECT md5(g::text) FROM generate_series(1, 20000) g`);
    await bed.sql("CREATE TABLESPACE space LOCATION '/space'");
    await bed.sql("CREATE TABLE parcels TABLESPACE space AS SELECT id, md5(body) AS code FROM orders");
  });
  afterAll(async () => {
    await bed?.remove();
    await engine?.remove();
  });

  const sums = async (container?: string): Promise<string> =>
    bed.sql(
      "SELECT (SELECT count(*) || md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o), (SELECT count(*) || md5(string_agg(p::text, '|' ORDER BY id)) FROM parcels p)",
      container,
    );

  const drillPath = (): string[] => [`--drill-path=${join(bed.folder, "drill")}`];

  /** Options of a restore into new directories, whose server fetches WAL from the folder `wal`. */
  const restoreArgs = (side: string): string[] => {
    const folder = join(bed.folder, "side", side);
    for (const path of ["data", "space"]) mkdirSync(join(folder, path), { mode: 0o700, recursive: true });
    return [
      `--pg1-path=${join(folder, "data")}`,
      `--tablespace-map=space=${join(folder, "space")}`,
      "--recovery-option=restore_command=cp /wal/%f %p",
      "--archive-mode=off",
    ];
  };
  /** The rows that another container of the image finds in these directories. */
  const sumsAside = async (side: string): Promise<string> => {
    const folder = join(bed.folder, "side", side);
    const volumes = [`${folder}/data:${IMAGE_DATA}`, `${folder}/space:${folder}/space`, `${bed.folder}/wal:/wal`];
    await run("chown", ["-R", `${bed.ownerId}:${bed.ownerId}`, folder]);
    const args = [...bed.idArgs, ...volumes.map((volume) => `--volume=${volume}`)];
    await engine?.runOk(["run", "--detach", "--network=none", `--name=${side}`, ...args, IMAGE]);
    await bed.ready(side);
    const rows = await sums(side);
    // On a busy machine Podman cannot unmount its memory at first.
    await waitFor(`the end of ${side}`, 60_000, async () =>
      (await engine?.run(["rm", "--force", side]))?.exitCode === 0 ? true : null,
    );
    return rows;
  };

  test("backs up, checks and shows it, and restores every row into a directory", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    await bed.oursOk(["stanza-create"]);
    await bed.oursOk(["check"]);
    await bed.oursOk(["backup", "--type=full"]);
    await bed.sql("INSERT INTO orders (body) SELECT 'later ' || g FROM generate_series(1, 500) g");
    await bed.oursOk(["backup", "--type=incr"]);
    await bed.sql("INSERT INTO orders (body) SELECT 'last ' || g FROM generate_series(1, 500) g");
    const expected = await sums();
    await bed.oursOk(["check"]);
    const [stanza] = JSON.parse(await bed.oursOk(["info", "--output=json"])) as {
      readonly backup: readonly { readonly type: string; readonly error: boolean }[];
    }[];
    expect(stanza?.backup.map(({ error, type }) => [type, error])).toEqual([
      ["full", false],
      ["full", false],
      ["incr", false],
      ["incr", false],
    ]);

    // The manifest has the container's paths and accounts.
    const manifest = readFileSync(join(bed.folder, "repo1/backup/main/latest/backup.manifest"), "utf8");
    expect(manifest).toMatch(new RegExp(`^pg_data=\\{"path":"${IMAGE_DATA}","type":"path"\\}$`, "m"));
    expect(manifest).toMatch(/^user="postgres"$/m);
    expect(manifest.includes(engine.folder)).toBe(false);

    const ours = restoreArgs("ours");
    await bed.oursOk(["restore", ...ours]);
    expect(await sumsAside("ours")).toBe(expected);
    const stock = await stockOrSkip(context, "2.60");
    const config = [`--config-path=${join(bed.folder, "config")}`, "--stanza=main", "--repo=2"];
    requireOk("stock's restore", await stock.run([...config, ...restoreArgs("stock"), "restore"], { cwd: bed.folder }));
    expect(await sumsAside("stock")).toBe(expected);
  });

  // By day `test/hosts/containerHost.test.ts` drills and recovers.
  test.runIf(NIGHTLY)("drills with the programs of the image, and leaves nothing", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    const record = JSON.parse(
      await bed.oursOk(["drill", "--level=thorough", "--repo=1", ...drillPath(), "--output=json"]),
    ) as {
      readonly checks: readonly { readonly name: string; readonly verdict: string; readonly text: string }[];
      readonly failures: readonly unknown[];
    };
    expect(record.failures).toEqual([]);
    expect(record.checks.map(({ name: check, verdict }) => `${check}: ${verdict}`)).toEqual([
      "recovery: ok",
      "collations: ok",
      "production: ok",
      "amcheck: ok",
      "dump: ok",
      "control: ok",
      "checksums: skipped",
    ]);
    expect(record.checks[0]?.text).toContain("the end of the archive");
    expect(readdirSync(join(bed.folder, "drill")), "the directory of drills").toEqual([]);
    expect((await engine.runOk(["ps", "--all", "--format={{.Names}}"])).trim()).toBe(bed.container);

    // A unit's capabilities suffice, and each is needed.
    if (name === "podman") return;
    const all = unitCapabilities(name, true);
    const drill = (capabilities: readonly string[]): Promise<RunResult> =>
      bed.oursAsUnit(["drill", "--level=quick", "--repo=1", ...drillPath()], capabilities);
    expect(await drill(all)).toMatchObject({ exitCode: 0 });
    for (const one of all) {
      const { exitCode, stdout } = await drill(all.filter((each) => each !== one));
      expect(exitCode !== 0 || stdout.includes("production did not answer"), one).toBe(true);
    }
  });

  test("dumps with the container's own programs, and a drill loads the dump", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    const started = "SELECT min(backend_start) FROM pg_stat_activity";
    const before = await bed.sql(started);
    await bed.oursOk(["dump"]);
    // The server takes an orphan's end for a crash, and restarts.
    expect(await bed.sql(started)).toBe(before);
    const args = ["drill", "--level=quick", "--repo=1", "--dump=latest", ...drillPath(), "--output=json"];
    const { checks, failures } = JSON.parse(await bed.oursOk(args)) as {
      readonly checks: readonly { readonly name: string; readonly verdict: string; readonly text: string }[];
      readonly failures: readonly unknown[];
    };
    expect(failures).toEqual([]);
    expect(checks).toContainEqual(
      expect.objectContaining({
        name: "pg_restore",
        verdict: "ok",
        text: expect.stringContaining("databases loaded: 1"),
      }),
    );
  });

  test("a dump that is killed leaves no pg_dump in the container", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    const { container } = bed;
    const isOne = async (where: string): Promise<true | null> =>
      (await bed.sql(`SELECT count(*) FROM pg_stat_activity WHERE ${where}`)) === "1" ? true : null;
    const commands = async (): Promise<string> =>
      (await engine?.runOk(["exec", container, "sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null"])) ?? "";
    const started = "SELECT min(backend_start) FROM pg_stat_activity";
    const before = await bed.sql(started);
    const lock = bed.psql("BEGIN; LOCK TABLE orders; SELECT pg_sleep(600)");
    await waitFor("the lock", 30_000, () => isOne("wait_event = 'PgSleep'"));
    const dump = await bed.begin(["dump"]);
    await waitFor("a waiting dump", 60_000, () => isOne("application_name = 'pg_dump' AND wait_event_type = 'Lock'"));
    expect(await commands()).toContain("pg_dump");
    await dump.stop("SIGKILL");
    await waitFor("the end of pg_dump", 30_000, async () => ((await commands()).includes("pg_dump") ? null : true));
    await bed.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    await lock;
    expect(await bed.sql(started)).toBe(before);
    await bed.oursOk(["dump"]);
  });

  // claim: docs/hosts/containers.md: recover and a drill refuse an image without a shell, before the server is stopped
  test("an image without a shell is refused before anything changes, and not taken for another version", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    // Without a shell: the image, and a container of it with the same data.
    await engine.runOk(["run", "--name=stripped", "--network=none", "--entrypoint=/bin/rm", IMAGE, "/usr/bin/sh"]);
    const file = join(bed.folder, "noshell.tar");
    await engine.runOk(["export", `--output=${file}`, "stripped"]);
    await engine.import(file, "noshell", []);
    await engine.runOk(["rm", "stripped"]);
    await engine.runOk(["stop", bed.container]);
    const volumes = [
      `${bed.container}-data:${IMAGE_DATA}`,
      `${bed.folder}/space:/space`,
      `${bed.folder}/pg-wal:/pg-wal`,
    ];
    const args = [...bed.idArgs, ...volumes.map((volume) => `--volume=${volume}`), "noshell", "postgres"];
    await engine.runOk(["create", "--name=noshell", "--network=none", ...args]);
    const before = readdirSync(bed.data(".."));
    bed.configure({ name: "noshell" }, { archive: "stream" });
    for (const verb of [
      ["recover", "--dry-run"],
      ["recover", "--yes"],
      ["drill", "--repo=1", ...drillPath()],
    ]) {
      const { exitCode, stderr, stdout } = await bed.ours(verb);
      expect([verb[0], exitCode !== 0, `${stdout}${stderr}`]).toEqual([
        verb[0],
        true,
        expect.stringMatching(/image \S*noshell\S* has no shell: there is no \/bin\/sh/),
      ]);
    }
    expect(readdirSync(bed.data(".."))).toEqual(before);
    await engine.runOk(["rm", "noshell"]);
    bed.configure(undefined, { archive: "stream" });
    await engine.runOk(["start", bed.container]);
    await bed.ready();
    expect(await bed.oursOk(["recover", "--dry-run"])).toContain("wait until it is open on a new timeline");
  });

  test("brings a dropped table back, as find says", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    const expected = await sums();
    await bed.sql("DROP TABLE parcels; SELECT pg_switch_wal()");
    await bed.oursOk(["check"]);
    const listed = await bed.oursOk(["find", "--kind=drop", "--database=postgres"]);
    const [, xid = ""] = /--type=xid --target=(\d+)/.exec(listed) ?? [];
    expect(listed).toContain("parcels");
    const target = ["--type=xid", `--target=${xid}`, "--target-exclusive"];
    await bed.oursOk([
      "extract-table",
      "--database=postgres",
      "--table=public.parcels",
      "--as=past",
      ...drillPath(),
      ...target,
    ]);
    await bed.sql("ALTER TABLE past.parcels SET SCHEMA public; DROP SCHEMA past");
    expect(await sums()).toBe(expected);
    expect(readdirSync(join(bed.folder, "drill")), "the directory of drills").toEqual([]);
  });

  test.runIf(NIGHTLY)("restores it into its own volume, with the WAL that it needs", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    const expected = await sums();
    const lsn = await bed.sql("SELECT pg_current_wal_lsn()");
    await bed.sql("SELECT pg_create_restore_point('kept'); SELECT pg_switch_wal()");
    await bed.sql("DELETE FROM orders; DROP TABLE parcels");
    await bed.oursOk(["check"]);
    // Whatever runs there could make links while root writes.
    expect((await bed.ours(["restore", "--delta"])).stdout).toContain("while the container of PostgreSQL runs");
    await engine.runOk(["stop", bed.container]);
    const target = ["--type=name", "--target=kept", "--target-action=promote"];
    await bed.oursOk(["restore", "--delta", "--link-all", ...target]);
    expect(await engine.run(["start", bed.container])).toMatchObject({ exitCode: 0 });
    await bed.ready();
    expect(await sums()).toBe(expected);
    expect(await bed.sql("SELECT timeline_id FROM pg_control_checkpoint()")).toBe("2");
    expect(await bed.sql(`SELECT pg_current_wal_lsn() > '${lsn}'`)).toBe("t");
    await bed.oursOk(["check"]);
    await bed.oursOk(["backup", "--type=full"]);
  });

  // claim: docs/hosts/containers.md: recover to a time and its undo keep all data, without a program in the container
  test.runIf(NIGHTLY)("recovers to a time, and undoes it", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    await bed.sql("INSERT INTO orders (body) SELECT 'good ' || g FROM generate_series(1, 300) g");
    const good = await sums();
    const time = await bed.sql("SELECT pg_sleep(1); SELECT now(); SELECT pg_sleep(1)");
    await bed.sql("DELETE FROM orders WHERE id % 2 = 0");
    const harmed = await sums();
    const target = ["--type=time", `--target=${time}`, "--target-action=promote"];
    const planned = await bed.oursOk(["recover", ...target, "--dry-run"]);
    expect(planned).toContain(`stop it: ${name} stop -t 3600 shop-db`);
    await bed.oursOk(["recover", ...target, "--yes"]);
    expect(await sums()).toBe(good);
    expect(await bed.sql("SELECT timeline_id FROM pg_control_checkpoint()")).toBe("3");
    await bed.oursOk(["recover", "--undo", "--yes"]);
    expect(await sums()).toBe(harmed);
    expect(await bed.sql("SELECT timeline_id FROM pg_control_checkpoint()")).toBe("4");
    await bed.oursOk(["check"]);
  });
});
