/**
 * The agent of a container: archive_mode stays off, and the container is killed, removed and made again while the agent
 * goes on. Then what is wrong with a container, in words and before anything is written.
 */
// claim: docs/hosts/containers.md: the agent goes on when the container is killed, or removed and made again;
//   archive_mode stays off, and the image needs no Perl
// claim: docs/hosts/containers.md: where local connections are not trusted, the superuser's password is the container's
// claim: docs/hosts/containers.md: a container that is gone, stopped, in memory, or on another one's data is named
// claim: docs/hosts/containers.md: units run as root with two capabilities; Podman's have a third, and write its paths
import { mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { unitCapabilities } from "../../../components/render/units/containerRights";
import type { ContainerEngine, EngineName } from "../../../tools/parts/containers/engine";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";
import { IMAGE, IMAGE_DATA, importImage, NEXT_IMAGE } from "../../../tools/parts/containers/postgresImage";
import { run, waitFor } from "../../../tools/parts/process";
import { ContainerBed, engineWith } from "../../harness/real/containerBed";
import { requireOk } from "../../harness/real/testBed";

/** Holds the cluster twice, and its WAL. */
const TIGHT_MIB = 480;

describe.each(atNight<EngineName>("docker", "podman"))("the agent of a container of %s", (name) => {
  let engine: ContainerEngine | null = null;
  let bed: ContainerBed;
  let tight = "";
  /** Volume or directory of the server's data. */
  let data = "shop-db-data";

  beforeAll(async () => {
    engine = await engineWith(name, `the agent of containers of ${name}`);
    if (engine === null) return;
    bed = await ContainerBed.create(engine);
    tight = join(bed.folder, "tight");
    bed.configure(undefined, { archive: "stream" });
    await bed.start();
    await bed.startAgent();
    await bed.sql("CREATE TABLE orders (id bigserial PRIMARY KEY, body text)");
  });
  afterAll(async () => {
    await bed?.remove();
    await engine?.remove();
  });

  const add = (what: string): Promise<string> =>
    bed.sql(`INSERT INTO orders (body) SELECT '${what} ' || g FROM generate_series(1, 200) g`);
  const sums = (): Promise<string> =>
    bed.sql("SELECT count(*) || md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o");

  // By day `test/hosts/containerHost.test.ts` shows both on a booted host.
  test.runIf(NIGHTLY)("archives through a slot, whatever happens to the container", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    await bed.oursOk(["stanza-create"]);
    await add("first");
    // As the units of a host: the agent has these rights too.
    for (const args of [["backup", "--type=full"], ["check"], ["metrics"], ["heal"]])
      requireOk(args.join(" "), await bed.oursAsUnit(args));
    // Without any of them it fails.
    const all = unitCapabilities(name);
    for (const one of all)
      expect(
        (
          await bed.oursAsUnit(
            ["check"],
            all.filter((each) => each !== one),
          )
        ).exitCode,
        one,
      ).not.toBe(0);

    await add("before a kill");
    await engine.runOk(["kill", "--signal=KILL", bed.container]);
    await engine.runOk(["start", bed.container]);
    await bed.ready();
    await add("after a kill");
    await bed.oursOk(["check"]);

    // As after `down` and `up` with a newer image: another container, with the same volume.
    await engine.runOk(["stop", bed.container]);
    await engine.runOk(["rm", bed.container]);
    await bed.start();
    await add("made again");
    await bed.oursOk(["check"]);
    expect(await bed.sql("SHOW archive_mode")).toBe("off");
    expect(await bed.sql("SELECT slot_name FROM pg_replication_slots")).toBe("pgbackstop_main");
  });

  /** Leaves so much space in the directory of {@link tight}; null gives everything back. */
  const leave = async (freeMib: number | null): Promise<void> => {
    const ballast = join(tight, "ballast");
    rmSync(ballast, { force: true });
    if (freeMib === null) return;
    await waitFor("a full volume", 30_000, async () => {
      const { bavail, bsize } = statfsSync(tight);
      const sizeBytes = Math.max(1, bavail * bsize - freeMib * 1024 * 1024);
      const { exitCode } = await run("fallocate", ["-l", String(sizeBytes), ballast]);
      if (exitCode !== 0) rmSync(ballast, { force: true });
      // A server that writes there has taken some of it in the meantime.
      return exitCode === 0 ? true : null;
    });
  };

  // claim: docs/hosts/containers.md: a container of a newer image, on another volume, has its archive and its backups
  test.runIf(NIGHTLY)("archives another image's server, whose data have moved", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    await add("of the old image");
    expect(await importImage(engine, NEXT_IMAGE)).toBeNull();
    await engine.runOk(["stop", bed.container]);
    await engine.runOk(["rm", bed.container]);
    mkdirSync(tight);
    requireOk("mount", await run("mount", ["-t", "tmpfs", "-o", `size=${TIGHT_MIB}m`, "tight", tight]));
    // The old volume stays, as it does after a copy: its segments must not be taken for the server's.
    requireOk("cp", await run("cp", ["-a", bed.data(), join(tight, "data")]));
    data = join(tight, "data");
    await bed.start({ data, image: NEXT_IMAGE });
    await add("on another volume");
    await bed.oursOk(["check"]);
    await bed.oursOk(["backup", "--type=incr"]);
    expect(bed.agentLog()).not.toContain("were removed by the server before they were archived");
    expect(await bed.oursOk(["status"])).not.toMatch(/dropped|missing/);
    expect(await bed.oursOk(["info"])).toContain("incr backup");
  });

  // claim: docs/hosts/containers.md: a full volume costs no archived row
  test.runIf(NIGHTLY)("a full volume stops the server alone, and recover says what it needs", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    await add("before the disk is full");
    await leave(1);
    const fill = await bed.psql(
      "CREATE TABLE filler AS SELECT repeat(md5(g::text), 30) FROM generate_series(1, 200000) g",
    );
    expect(fill.stderr).toContain("No space left on device");
    await bed.oursOk(["backup", "--type=incr"]);
    // Without space for WAL PostgreSQL gives up.
    await bed.psql("SELECT pg_logical_emit_message(false, '', repeat('x', 1000000)) FROM generate_series(1, 600)");
    await waitFor("the end of the server", 60_000, async () =>
      (await bed.ours(["check"])).stdout.includes(`${name} logs --tail=20 shop-db`) ? true : null,
    );
    expect(await bed.logs()).toContain("No space left on device");
    await leave(null);
    await engine.runOk(["start", bed.container]);
    await bed.ready();
    await add("after the disk was full");
    const expected = await sums();
    await bed.oursOk(["check"]);
    expect(await bed.oursOk(["status"])).not.toMatch(/dropped|missing/);

    // Refused before anything is stopped.
    await leave(20);
    const refused = await bed.ours(["recover", "--yes"]);
    expect(`${refused.stdout}${refused.stderr}`).toMatch(/free/);
    expect(await sums()).toBe(expected);
    await leave(null);
    // The space goes while it restores.
    const recovering = bed.ours(["recover", "--yes"]);
    await waitFor("the old data aside", 60_000, async () =>
      readdirSync(tight).some((each) => each.startsWith("data.before-recover-")) ? true : null,
    );
    await leave(0);
    const broken = await recovering;
    expect(broken.exitCode, broken.stdout).not.toBe(0);
    expect(broken.stdout).toMatch(/no space left on device[\s\S]*Run recover again to continue, or recover --undo/i);
    await leave(null);
    await bed.oursOk(["recover", "--yes"]);
    expect(await sums()).toBe(expected);
    await waitFor("the new timeline's slot", 60_000, async () =>
      (await bed.sql("SELECT count(*) FROM pg_replication_slots WHERE active")) === "1" ? true : null,
    );
    await bed.oursOk(["check"]);
    for (const old of readdirSync(tight).filter((each) => each.includes(".before-recover-")))
      rmSync(join(tight, old), { recursive: true });
  });

  test.runIf(NIGHTLY)("recovers to the newest row, and archives the new timeline", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    await add("the newest");
    const expected = await sums();
    await bed.oursOk(["recover", "--yes"]);
    expect(await sums()).toBe(expected);
    await add("after the recovery");
    await waitFor("the new timeline's slot", 60_000, async () =>
      (await bed.sql("SELECT count(*) FROM pg_replication_slots WHERE active")) === "1" ? true : null,
    );
    await bed.oursOk(["check"]);
    await bed.oursOk(["backup", "--type=full"]);
  });

  /** Output and exit code of a check with another container. */
  const check = async (container: object, args: readonly string[] = []): Promise<{ code: number; text: string }> => {
    bed.configure(container);
    const { exitCode, stderr, stdout } = await bed.ours([...args, "check", "--no-archive-check"]);
    return { code: exitCode, text: `${stdout}${stderr}` };
  };

  test("faults have a sentence and a way out", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    const gone = await check({ name: "no-such" });
    expect(gone.code).toBe(56);
    expect(gone.text).toContain("there is no container 'no-such'");
    // What the repositories hold is shown all the same.
    for (const verb of ["status", "metrics", "info"]) {
      const { exitCode, stdout } = await bed.ours([verb]);
      expect(exitCode).not.toBe(56);
      expect(stdout).toMatch(/repo1|repo_key="1"|stanza: main/);
    }
    expect((await check({ compose: "/srv/compose.yaml", service: "db" })).text).toContain(
      "there is no container of service 'db' of '/srv/compose.yaml'",
    );
    const other = await check({ name: "shop-db", engine: name === "docker" ? "podman" : "docker" });
    expect(other.text).toContain("there is no container 'shop-db'");
    expect((await check({ name: "shop-db", service: "db" })).text).toContain(
      "must have either 'name', or 'compose' and 'service'",
    );
    // The server uses another directory than the configuration says.
    const elsewhere = await check({ name: "shop-db", dataDirectory: "/space/pg" }, ["--pg1-path=/space/pg"]);
    expect(elsewhere.code).not.toBe(0);
    expect(elsewhere.text).toMatch(/pg_control|does not match/);
  });

  test("data in memory, in no volume, or of two servers", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    const memory = ["--env=PGDATA=/memory/pg", "--env=POSTGRES_INITDB_ARGS=--no-sync"];
    const detached = ["run", "--detach", "--network=none"];
    // It makes its cluster beside the others.
    const anonymous = ["--name=anonymous", "--env=POSTGRES_INITDB_ARGS=--no-sync", IMAGE];
    await engine.runOk([...detached, ...anonymous]);
    await engine.runOk([...detached, "--name=memory", "--tmpfs=/memory", ...memory, IMAGE]);
    await bed.ready("memory");
    const inMemory = await check({ name: "memory", dataDirectory: "/memory/pg" }, ["--pg1-path=/memory/pg"]);
    expect(inMemory.text).toContain("'/memory/pg' of container 'memory' is in memory (tmpfs)");
    await engine.runOk(["rm", "--force", "memory"]);

    // A container that mounts the data is no server of them, whatever its image: read-only, or elsewhere.
    const helper = ["--name=helper", `--volume=${data}:/copy`, `--volume=${data}:${IMAGE_DATA}:ro`, "--workdir=/copy"];
    await engine.runOk([...detached, ...helper, "--entrypoint=sleep", IMAGE, "600"]);
    expect((await check({ name: "shop-db" })).text).not.toContain("have the same data");
    await engine.runOk(["rm", "--force", "helper"]);

    // As the double of a second server, which would destroy the data.
    const server = "cp /bin/sleep /tmp/postgres && exec /tmp/postgres 600";
    const twinArgs = ["--name=twin", `--volume=${data}:/twin`, "--workdir=/twin", "--entrypoint=sh"];
    await engine.runOk([...detached, ...twinArgs, IMAGE, "-c", server]);
    const twin = await waitFor("the twin", 60_000, async () => {
      const answer = await check({ name: "shop-db" });
      return answer.code === 38 ? answer : null;
    });
    expect(twin.text).toContain("servers in container 'shop-db' and in container 'twin' have the same data");
    await engine.runOk(["rm", "--force", "--time=0", "twin"]).catch(() => engine?.runOk(["rm", "--force", "twin"]));

    await engine.runOk(["stop", "shop-db"]);
    const stopped = await check({ name: "shop-db" });
    expect(stopped.code).toBe(56);
    expect(stopped.text).toContain(`Start it: ${name} start shop-db.`);
    // What needs no server works on.
    expect((await bed.ours(["info"])).exitCode).toBe(0);
    await engine.runOk(["start", "shop-db"]);
    await bed.ready();

    // Some images trust no local connection: the superuser's password is the container's.
    writeFileSync(join(bed.folder, "wal/password"), "it's p@ss\n");
    const local = "--env=POSTGRES_INITDB_ARGS=--no-sync --auth-local=scram-sha-256 --pwfile=/wal/password";
    const guarded = ["--name=guarded", `--volume=${bed.folder}/wal:/wal`, `--volume=guarded:${IMAGE_DATA}`, local];
    for (const secret of atNight("POSTGRES_PASSWORD_FILE=/wal/password", "POSTGRES_PASSWORD=it's p@ss")) {
      await engine.runOk([...detached, ...guarded, `--env=${secret}`, IMAGE]);
      const answer = await waitFor("the guarded server", 90_000, async () => {
        const { code, text } = await check({ name: "guarded" });
        return code === 56 && /does not run|ENOENT|starting up|ECONNREFUSED/.test(text) ? null : text;
      });
      expect(answer).toMatch(/archive\.info|do not match/);
      await engine.runOk(["rm", "--force", "--volumes", "guarded"]);
    }

    await bed.ready("anonymous");
    expect((await check({ name: "anonymous" })).text).toContain("are in a volume without a name");
    expect(await bed.sql("SHOW data_directory", "anonymous")).toBe(IMAGE_DATA);
    await engine.runOk(["rm", "--force", "--volumes", "anonymous"]);
  });
});
