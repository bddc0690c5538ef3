/**
 * The agent of a container: archive_mode stays off, and the container is killed, removed and made again while the agent
 * goes on.
 */
// claim: docs/hosts/containers.md: the agent goes on when the container is killed, or removed and made again;
//   archive_mode stays off, and the image needs no Perl
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ContainerEngine, EngineName } from "../../../tools/parts/containers/engine";
import { atNight } from "../../../tools/parts/nightly";
import { waitFor } from "../../../tools/parts/process";
import { ContainerBed, engineWith } from "../../harness/real/containerBed";

describe.each(atNight<EngineName>("docker", "podman"))("the agent of a container of %s", (name) => {
  let engine: ContainerEngine | null = null;
  let bed: ContainerBed;

  beforeAll(async () => {
    engine = await engineWith(name, ["postgres-slim"], `the agent of containers of ${name}`);
    if (engine === null) return;
    bed = await ContainerBed.create(engine);
    bed.configure(undefined, { archive: "stream" });
    await bed.start({ image: "postgres-slim" });
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

  test("archives through a slot, whatever happens to the container", async (context) => {
    if (engine === null) return context.skip("a part is missing");
    await bed.oursOk(["stanza-create"]);
    await add("first");
    await bed.oursOk(["backup", "--type=full"]);
    await bed.oursOk(["check"]);

    await add("before a kill");
    await engine.runOk(["kill", "--signal=KILL", bed.container]);
    await engine.runOk(["start", bed.container]);
    await bed.ready();
    await add("after a kill");
    await bed.oursOk(["check"]);

    // As after `down` and `up` with a newer image: another container, with the same volume.
    await engine.runOk(["stop", bed.container]);
    await engine.runOk(["rm", bed.container]);
    await bed.start({ image: "postgres-slim" });
    await add("made again");
    await bed.oursOk(["check"]);
    expect(await bed.sql("SHOW archive_mode")).toBe("off");
    expect(await bed.sql("SELECT slot_name FROM pg_replication_slots")).toBe("pgbackstop_main");
  });

  test("recovers to the newest row, and archives the new timeline", async (context) => {
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
});
