/** What is wrong with a container, in words and before anything is written. */
// claim: docs/hosts/containers.md: a container that is gone, stopped, in memory, or on another one's data is named
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ContainerEngine, EngineName } from "../../../tools/parts/containers/engine";
import { atNight } from "../../../tools/parts/nightly";
import { IMAGE_DATA } from "../../../tools/parts/containers/postgresImage";
import { ContainerBed, engineWith } from "../../harness/real/containerBed";

describe.each(atNight<EngineName>("docker", "podman"))("a container of %s", (name) => {
  let engine: ContainerEngine | null = null;
  let bed: ContainerBed;

  beforeAll(async () => {
    engine = await engineWith(name, ["postgres-slim"], `faults of containers of ${name}`);
    if (engine === null) return;
    bed = await ContainerBed.create(engine);
    await bed.start({ archives: true, image: "postgres-slim" });
    await bed.oursOk(["stanza-create"]);
  });
  afterAll(async () => {
    await bed?.remove();
    await engine?.remove();
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
    const data = ["--env=PGDATA=/memory/pg", "--env=POSTGRES_INITDB_ARGS=--no-sync"];
    const run = ["run", "--detach", "--network=none"];
    await engine.runOk([...run, "--name=memory", "--tmpfs=/memory", ...data, "postgres-slim"]);
    await bed.ready("memory");
    const inMemory = await check({ name: "memory", dataDirectory: "/memory/pg" }, ["--pg1-path=/memory/pg"]);
    expect(inMemory.text).toContain("'/memory/pg' of container 'memory' is in memory (tmpfs)");
    await engine.runOk(["rm", "--force", "memory"]);

    await engine.runOk([
      ...run,
      "--name=twin",
      "--volume=shop-db-data:/twin",
      "--entrypoint=sleep",
      "postgres-slim",
      "600",
    ]);
    const twin = await check({ name: "shop-db" });
    expect(twin.code).toBe(38);
    expect(twin.text).toContain("containers 'shop-db' and 'twin' have the same data");
    await engine.runOk(["rm", "--force", "--time=0", "twin"]).catch(() => engine?.runOk(["rm", "--force", "twin"]));

    await engine.runOk(["stop", "shop-db"]);
    const stopped = await check({ name: "shop-db" });
    expect(stopped.code).toBe(56);
    expect(stopped.text).toContain(`Start it: ${name} start shop-db.`);
    // What needs no server works on.
    expect((await bed.ours(["info"])).exitCode).toBe(0);
    await engine.runOk(["start", "shop-db"]);
    await bed.ready();

    const anonymous = ["--name=anonymous", "--env=POSTGRES_INITDB_ARGS=--no-sync", "postgres-slim"];
    await engine.runOk([...run, ...anonymous]);
    await bed.ready("anonymous");
    expect((await check({ name: "anonymous" })).text).toContain("are in a volume without a name");
    expect(await bed.sql("SHOW data_directory", "anonymous")).toBe(IMAGE_DATA);
    await engine.runOk(["rm", "--force", "--volumes", "anonymous"]);
  });
});
