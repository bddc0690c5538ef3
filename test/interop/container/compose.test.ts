/** A project of the real Compose: what its commands do to the container, as its users run them. */
// claim: docs/hosts/containers.md: `up` with another image, `down` and `up` cost nothing; after `down --volumes` the
//   new cluster is refused, and recover brings every row back (nightly)
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type ContainerEngine, findCompose } from "../../../tools/parts/containers/engine";
import { IMAGE_DATA, importImage, NEXT_IMAGE } from "../../../tools/parts/containers/postgresImage";
import { NIGHTLY } from "../../../tools/parts/nightly";
import { run, waitFor } from "../../../tools/parts/process";
import { ContainerBed, engineWith } from "../../harness/real/containerBed";
import { loud } from "../../harness/real/interopParts";
import { requireOk } from "../../harness/real/testBed";

const TITLE = "a project of Compose";

describe.runIf(NIGHTLY)(TITLE, () => {
  let engine: ContainerEngine | null = null;
  let bed: ContainerBed;
  let program = "";
  let file = "";

  beforeAll(async () => {
    const compose = await findCompose();
    if (typeof compose !== "string") {
      loud(TITLE, compose.missing);
      return;
    }
    program = compose;
    engine = await engineWith("docker", TITLE);
    if (engine === null) return;
    bed = await ContainerBed.create(engine);
    mkdirSync(join(bed.folder, "shop"));
    file = join(bed.folder, "shop/compose.yaml");
    bed.configure({ compose: file, service: "database" }, { archive: "stream" });
    writeProject("postgres");
    await compose_("up", "--detach");
    await bed.ready();
    await bed.startAgent();
  });
  afterAll(async () => {
    await bed?.remove();
    await engine?.remove();
  });

  const writeProject = (image: string): void =>
    writeFileSync(
      file,
      `services:
  database:
    container_name: ${bed.container}
    image: ${image}
    pull_policy: never
    network_mode: none
    stop_signal: SIGINT
    volumes:
      - data:${IMAGE_DATA}
volumes:
  data: {}
`,
    );
  const compose_ = async (...args: string[]): Promise<string> => {
    const options = { cwd: join(bed.folder, "shop"), env: { DOCKER_HOST: engine?.socket ?? "" }, timeoutMs: 120_000 };
    const { stderr, stdout } = requireOk(`compose ${args.join(" ")}`, await run(program, args, options));
    return `${stdout}${stderr}`;
  };
  const add = (what: string): Promise<string> =>
    bed.sql(`INSERT INTO orders (body) SELECT '${what} ' || g FROM generate_series(1, 200) g`);
  const sums = (): Promise<string> =>
    bed.sql("SELECT count(*) || md5(string_agg(o::text, '|' ORDER BY id)) FROM orders o");

  test("another image, down and up", { timeout: 300_000 }, async (context) => {
    if (engine === null) return context.skip("a part is missing");
    await bed.sql("CREATE TABLE orders (id bigserial PRIMARY KEY, body text)");
    await bed.oursOk(["stanza-create"]);
    await bed.oursOk(["backup", "--type=full"]);
    await add("first");
    expect(await importImage(engine, NEXT_IMAGE)).toBeNull();
    writeProject(NEXT_IMAGE);
    await compose_("up", "--detach");
    await bed.ready();
    expect(await engine.runOk(["inspect", "--format={{.Config.Image}}", bed.container])).toContain(NEXT_IMAGE);
    await add("of the next image");
    await bed.oursOk(["check"]);
    await compose_("down");
    expect((await bed.ours(["check"])).stdout).toContain(`there is no container of service 'database' of '${file}'`);
    await compose_("up", "--detach");
    await bed.ready();
    await add("after down");
    await bed.oursOk(["check"]);
    await bed.oursOk(["backup", "--type=incr"]);
    expect(await bed.oursOk(["status"])).not.toMatch(/dropped|missing/);
  });

  test("down with its volumes, and what recover brings back", { timeout: 300_000 }, async (context) => {
    if (engine === null) return context.skip("a part is missing");
    await add("the last");
    await bed.oursOk(["check"]);
    const expected = await sums();
    await compose_("down", "--volumes");
    await compose_("up", "--detach");
    await bed.ready();
    // Neither archived over the old backups, nor kept until the disk is full.
    await waitFor("the refusal", 60_000, async () =>
      bed.agentLog().includes("Were the data or the volume removed") ? true : null,
    );
    expect(await bed.sql("SELECT count(*) FROM pg_replication_slots")).toBe("0");
    const checked = await bed.ours(["check"]);
    expect([checked.exitCode, checked.stdout]).toEqual([103, expect.stringMatching(/do not match repo1 stanza/)]);
    expect((await bed.ours(["backup"])).exitCode).not.toBe(0);
    const refused = await bed.ours(["recover", "--yes"]);
    expect([refused.exitCode, refused.stdout]).toEqual([58, expect.stringContaining("these are different clusters")]);
    await compose_("stop");
    const data = join(engine.folder, "data/volumes/shop_data/_data");
    requireOk("find", await run("find", [data, "-mindepth", "1", "-delete"]));
    await bed.oursOk(["recover", "--yes"]);
    await bed.ready();
    expect(await sums()).toBe(expected);
    await waitFor("a good check", 60_000, async () => ((await bed.ours(["check"])).exitCode === 0 ? true : null));
  });

  // claim: docs/hosts/containers.md: after an upgrade into a new cluster, stanza-upgrade and a full backup are enough,
  //   and the old backups stay (nightly)
  test("a new cluster that is meant", { timeout: 300_000 }, async (context) => {
    if (engine === null) return context.skip("a part is missing");
    await compose_("down", "--volumes");
    await compose_("up", "--detach");
    await bed.ready();
    await bed.oursOk(["stanza-upgrade"]);
    await bed.sql("CREATE TABLE orders (id bigserial PRIMARY KEY, body text)");
    await add("of the new cluster");
    await bed.oursOk(["backup", "--type=full"]);
    await bed.oursOk(["check"]);
    const info = await bed.oursOk(["info"]);
    expect(info.match(/full backup/g)?.length, info).toBeGreaterThan(2);
    expect(info).toContain("incr backup");
  });
});
