/** The driver of Google Cloud Storage under the suite of storages, on fake-gcs-server. */
// claim: docs/gcs.md: buckets of Google Cloud Storage (fake-gcs-server; no real account)
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { collect, streamOf, utf8 } from "../../runtime/base/bytes";
import { systemClock } from "../../runtime/base/clock";
import { openStorage } from "../../runtime/storage/open";
import type { Storage } from "../../runtime/storage/storage";
import { findFakeGcs, GcsServer } from "../../tools/parts/servers/gcsServer";
import { skipped } from "../harness/real/interopParts";
import { gcsRepo, OPEN_DEPS } from "../harness/repositories";
import { storageSuite } from "./storage.suite";

const MIB = 1024 * 1024;

describe("Google Cloud Storage", () => {
  if (findFakeGcs() === null)
    return void skipped("storages at Google", "fake-gcs-server is not built: npm test -- --all builds it");
  let server: GcsServer;
  let versioned: GcsServer;
  const opened: Storage[] = [];
  beforeAll(async () => {
    server = await GcsServer.create();
    versioned = await GcsServer.create({ versioning: true });
  });
  afterAll(async () => {
    for (const storage of opened) await storage.close();
    await server?.remove();
    await versioned?.remove();
  });
  const open = (at: GcsServer, path: string, targetTimeMs?: number): Storage => {
    const repo = gcsRepo(at, path);
    const storage = openStorage(targetTimeMs === undefined ? repo : { ...repo, targetTimeMs }, OPEN_DEPS);
    opened.push(storage);
    return storage;
  };

  storageSuite("with a token", () => ({
    features: { directories: false, symlinks: false },
    open: async () => open(server, "/some/prefix"),
    partSizeBytes: 4 * MIB,
    createsExclusively: true,
    replaces: true,
    manyCount: 1100,
  }));

  // claim: docs/gcs.md: `doctor` tests the certificate, the clock, listings and conditional writes
  test("a probe finds a service that keeps its promises, and whether it keeps versions", async () => {
    const factsOf = async (at: GcsServer): Promise<string[]> =>
      ((await open(at, "/probe").probe?.("scratch")) ?? []).map(({ name, verdict }) => `${name} ${verdict}`);
    expect(await factsOf(server)).toEqual(["tls ok", "clock ok", "pages ok", "create ok", "versions warn"]);
    expect((await factsOf(versioned)).slice(0, -1)).toEqual(["tls ok", "clock ok", "pages ok", "create ok"]);
  });

  test("an upload in parts is whole, also at the root", async () => {
    const bytes = Buffer.from(Array.from({ length: 9 * MIB + 1 }, (_, index) => index % 251));
    const storage = open(server, "/");
    await storage.putStream("parts/f", () => streamOf(bytes));
    expect(bytes.equals(await collect(await storage.read("parts/f"), 10 * MIB))).toBe(true);
    expect(await storage.stat("parts/f")).toMatchObject({ sizeBytes: bytes.length });
  });

  // claim: docs/gcs.md: `repo-target-time` reads a bucket with Object Versioning as it was
  test("the past of a bucket with versions is read", async () => {
    const now = open(versioned, "/repo");
    for (const name of ["kept", "replaced", "deleted"]) await now.put(`d/${name}`, utf8(name));
    const targetTimeMs = Date.now();
    // Times count in whole seconds.
    await systemClock.sleep(2100, OPEN_DEPS.signal);
    await now.put("d/replaced", utf8("by another"));
    await now.put("d/later", utf8("later"));
    await now.remove("d/deleted");
    const past = open(versioned, "/repo", targetTimeMs);
    const texts: Record<string, string> = {};
    for await (const { path } of past.list("d"))
      texts[path] = Buffer.from(await collect(await past.read(path), 100)).toString();
    expect(texts).toEqual({ "d/kept": "kept", "d/replaced": "replaced", "d/deleted": "deleted" });
    await expect(past.put("d/kept", utf8("x"))).rejects.toMatchObject({ kind: "featureNotSupported" });
  });

  // claim: docs/drills-attack.md: Google: no soft delete keeps deleted versions (fails) (fake-gcs-server, which has no
  //   soft delete, and deletes the live object whatever generation is asked for)
  test.each([
    ["versions bring everything back", true, "ok", "all 4 files are readable as they were before"],
    ["nothing comes back, and it says so", false, "fail", "switch on soft delete of the bucket"],
  ])("after an attack %s", async (_name, isVersioned, verdict, text) => {
    const storage = open(isVersioned ? versioned : server, "/attacked");
    await storage.put("real", utf8("real"));
    const attacked = storage.openAttacked?.("pgbackstop/main/attack/1");
    for (const name of ["a", "b", "c", "d"]) await attacked?.put(name, utf8(name));
    const { facts = [] } = (await attacked?.attack()) ?? {};
    expect(facts.map(({ name }) => name)).toEqual([
      "delete",
      "overwrite",
      "empty",
      "delete-version",
      "settings",
      "policy",
      "past",
    ]);
    expect(facts.at(-1)).toMatchObject({ verdict, text: expect.stringContaining(text) });
    await attacked?.close();
    expect(Buffer.from(await collect(await storage.read("real"), 9)).toString()).toBe("real");
  });

  test("a bucket that is missing is no empty one", async () => {
    const repo = gcsRepo(server, "/repo", { bucket: "another-bucket" });
    const storage = openStorage(repo, OPEN_DEPS);
    opened.push(storage);
    for (const work of [
      () => storage.stat("f"),
      () => storage.read("f"),
      () => storage.put("f", utf8("x")),
      () => storage.remove("f"),
    ])
      await expect(work()).rejects.toMatchObject({
        kind: "pathMissing",
        hints: [expect.stringContaining("gcs-bucket")],
      });
  });
});
