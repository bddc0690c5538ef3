import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { containerPaths, insideOf, mountOf } from "../../../../runtime/postgres/container/serverPaths";
import type { ContainerMount } from "../../../../runtime/postgres/container/inspect";

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
describe("root goes through no link of a container", () => {
  const folder = mkdtempSync(join(tmpdir(), "pgb-paths-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const own = containerPaths({
    name: "db",
    mounts: [{ kind: "bind", source: join(folder, "to"), destination: "/data" }],
  });
  mkdirSync(join(folder, "volume/18/main"), { recursive: true });
  mkdirSync(join(folder, "secret"));
  symlinkSync("volume", join(folder, "to"));
  symlinkSync("../../secret", join(folder, "volume/18/link"));

  test("above the mount they are the administrator's", () => {
    expect(own.here("/data/18/main/base/1")).toBe(join(folder, "volume/18/main/base/1"));
  });

  test("below it they are refused, and so are steps upward", () => {
    expect(() => own.here("/data/18/link/file")).toThrow("is a link that container 'db' has made");
    expect(() => own.here("/data/../secret")).toThrow("is in no volume");
  });
});

describe("a path inside of a process's root", () => {
  test("has none of this machine's links in it", async () => {
    // This process's root is this machine's: links lead where they lead anyway, below /proc.
    const inside = await insideOf(process.pid, "/proc/self/../1/comm");
    expect(inside).toBe(`/proc/${process.pid}/root/proc/1/comm`);
  });
});
