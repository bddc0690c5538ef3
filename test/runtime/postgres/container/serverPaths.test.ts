import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readFileSync } from "../../../../runtime/local/nodeFiles";
import { containerPaths, insideOf, mountOf } from "../../../../runtime/postgres/container/serverPaths";
import type { ContainerMount } from "../../../../runtime/postgres/container/inspect";
import { NIGHTLY } from "../../../../tools/parts/nightly";
import * as fc from "../../../harness/properties";

const mounts: readonly ContainerMount[] = [
  { kind: "volume", source: "/var/lib/docker/volumes/pg/_data", destination: "/var/lib/postgresql/data" },
  { kind: "bind", source: "/srv/space", destination: "/var/lib/postgresql/data/space" },
  { kind: "tmpfs", source: "", destination: "/fast" },
];
const paths = containerPaths({ name: "db", mounts });

describe("a container's paths on this machine", () => {
  test("the longest mount has the path", () => {
    expect(paths.here("/var/lib/postgresql/data")).toBe("/var/lib/docker/volumes/pg/_data");
    expect(paths.here("/var/lib/postgresql/data/base/1")).toBe("/var/lib/docker/volumes/pg/_data/base/1");
    expect(paths.here("/var/lib/postgresql/data/space/x")).toBe("/srv/space/x");
    expect(mountOf({ mounts }, "/var/lib/postgresql/database")).toBeNull();
  });

  test("a whole root is a mount too", () => {
    const root = containerPaths({ name: "db", mounts: [{ kind: "bind", source: "/srv/all", destination: "/" }] });
    expect(root.here("/var/lib")).toBe("/srv/all/var/lib");
  });

  test("refuses what the container's end removes", () => {
    expect(() => paths.here("/opt/pg")).toThrow("'/opt/pg' of container 'db' is in no volume, and is lost with");
    expect(() => paths.here("/fast/pg")).toThrow("is in memory (tmpfs)");
  });
});

// claim: docs/hosts/containers.md: a link that a container has made leads root to no file of the host
describe("links that a container has made", () => {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), "pgb-paths-")));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const own = containerPaths({
    name: "db",
    mounts: [
      { kind: "bind", source: join(folder, "to"), destination: "/data" },
      { kind: "bind", source: join(folder, "wal"), destination: "/wal" },
    ],
  });
  mkdirSync(join(folder, "volume/18/main"), { recursive: true });
  mkdirSync(join(folder, "wal/18"), { recursive: true });
  mkdirSync(join(folder, "secret"));
  writeFileSync(join(folder, "secret/file"), "secret");
  symlinkSync("volume", join(folder, "to"));
  const link = (target: string, name: string): void => symlinkSync(target, join(folder, "volume/18", name));
  link("../../secret", "out");
  link(join(folder, "secret"), "far");
  link("/wal/18", "pg_wal");
  link("../../wal/18", "relative");
  link("pg_wal", "nested");
  link("nested", "twice");
  link("circle", "circle");

  test("above the mount they are the administrator's", () => {
    expect(own.here("/data/18/main/base/1")).toBe(join(folder, "volume/18/main/base/1"));
  });

  test.each(["pg_wal", "relative", "nested", "twice"])("%s leads to another mount of the container", (name) => {
    expect(own.here(`/data/18/${name}/0001`)).toBe(join(folder, "wal/18/0001"));
    expect(own.entry(`/data/18/${name}`)).toBe(join(folder, "volume/18", name));
  });

  test("no other one is followed", () => {
    expect(() => own.here("/data/18/out/file")).toThrow(
      "'/data/18/out' is a link that container 'db' has made to '/secret/file', which is in no volume",
    );
    expect(() => own.here("/data/18/far/file")).toThrow(`to '${folder}/secret/file', which is in no volume`);
    expect(() => own.here("/data/18/circle")).toThrow("has too many links in the container");
    expect(() => own.here("/data/../secret")).toThrow("'/secret' of container 'db' is in no volume");
  });

  test("a directory that becomes a link after the look leads nowhere", () => {
    const path = own.here("/data/18/pg_wal/0001");
    rmSync(join(folder, "wal/18"), { recursive: true });
    symlinkSync("../secret", join(folder, "wal/18"));
    writeFileSync(join(folder, "secret/0001"), "secret");
    expect(() => readFileSync(path)).toThrow(`leads to '${folder}/secret/0001' of this machine`);
  });

  /** Directories and links of two mounts, and what the container's own kernel would reach. */
  test("any links lead where the container sees them, and never out of its mounts", () => {
    const part = fc.constantFrom("a", "b", "c");
    const below = fc.array(fc.oneof({ weight: 4, arbitrary: part }, fc.constantFrom("..", ".", "wal")), {
      maxLength: 2,
    });
    const start = fc.constantFrom("/", "", "../", "../../", "../../../");
    const top = fc.constantFrom("data", "wal", "wal", "secret", ".");
    const target = fc.tuple(start, top, below).map(([from, first, rest]) => `${from}${[first, ...rest].join("/")}`);
    const path = fc.tuple(part, below).map(([first, rest]) => [first, ...rest].join("/"));
    const entry = fc.record({
      at: fc.constantFrom("data/a", "data/b", "data/c", "data/b/a", "wal/a", "wal/b", "wal/b/c"),
      target: fc.option(target, { nil: null, freq: 3 }),
    });
    let [followed, refused] = [0, 0];
    fc.assertWhole(
      fc.property(fc.array(entry, { minLength: 2, maxLength: 8 }), path, (entries, rest) => {
        const tree = realpathSync(mkdtempSync(join(folder, "tree-")));
        // The second tree has absolute links that begin at its top, so that this machine's kernel follows them there.
        for (const [name, prefix] of [
          ["own", ""],
          ["kernel", `${tree}/kernel`],
        ] as const) {
          for (const each of ["data", "wal", "secret"]) mkdirSync(join(tree, name, each), { recursive: true });
          for (const { at, target: to } of entries) {
            const made = join(tree, name, at);
            if (existsSync(join(made, "..")) && realpathSync(join(made, "..")) === join(made, "..")) {
              rmSync(made, { recursive: true, force: true });
              if (to === null) mkdirSync(made);
              else symlinkSync(to.startsWith("/") ? `${prefix}${to}` : to, made);
            }
          }
        }
        const drawn = containerPaths({
          name: "db",
          mounts: ["data", "wal"].map((each) => ({
            kind: "bind",
            source: join(tree, "own", each),
            destination: `/${each}`,
          })),
        });
        const asked = `/data/${rest}`;
        let reached: string | null = null;
        try {
          reached = drawn.here(asked);
        } catch {
          refused++;
        }
        const seen = existsSync(`${tree}/kernel${asked}`) ? realpathSync.native(`${tree}/kernel${asked}`) : null;
        if (reached !== null) {
          expect(reached).toMatch(new RegExp(`^${tree}/own/(data|wal)(/|$)`));
          if (existsSync(reached)) expect(realpathSync(reached)).toBe(reached);
        }
        if (seen?.startsWith(`${tree}/kernel/`) === true) {
          const inMount = /^\/(data|wal)(\/|$)/.test(seen.slice(`${tree}/kernel`.length));
          expect(reached).toBe(inMount ? `${tree}/own${seen.slice(`${tree}/kernel`.length)}` : null);
          if (inMount && reached !== `${tree}/own${asked}`) followed++;
        }
        rmSync(tree, { recursive: true });
      }),
      { numRuns: NIGHTLY ? 8000 : 1000 },
    );
    expect(followed).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(20);
  });
});

describe("a path inside of a process's root", () => {
  test("has none of this machine's links in it", () => {
    // This process's root is this machine's: links lead where they lead anyway, below /proc.
    const inside = insideOf(process.pid, "/proc/self/../1/comm");
    expect(inside).toBe(`/proc/${process.pid}/root/proc/1/comm`);
  });
});
