import { describe, expect, test } from "vitest";
import type { ContainerFacts, ContainerMount } from "../../../../runtime/postgres/container/inspect";
import type { Postmaster } from "../../../../runtime/postgres/runningServers";
import {
  checkData,
  keyWarning,
  otherServersOf,
  versionFault,
  writersOf,
} from "../../../../runtime/postgres/container/sharedData";

const DATA = "/var/lib/postgresql/data";
const volume = (source: string, more: Partial<ContainerMount> = {}): ContainerMount => ({
  kind: "volume",
  source,
  destination: DATA,
  volume: "shop",
  driver: "local",
  ...more,
});
const container = (name: string, mount: ContainerMount, more: Partial<ContainerFacts> = {}): ContainerFacts => ({
  id: name,
  name,
  image: "postgres:18",
  imageId: "sha256:18",
  state: "running",
  pid: 7,
  mounts: [mount],
  environment: { PGDATA: DATA },
  labels: {},
  ...more,
});

describe("where a container keeps its data", () => {
  const shop = container("shop", volume("/volumes/shop/_data"));

  test("a named volume of its own is well", () => {
    expect(checkData(shop, DATA, [])).toEqual([]);
  });

  test("a key that no backup has is named, and one in no volume too", () => {
    const key = { source: "/volumes/key/_data", destination: "/etc/postgresql-custom" };
    expect(keyWarning(container("shop", volume(key.source, key)))).toMatch(/pgsodium_root.key' .* elsewhere$/);
    expect(keyWarning(shop)).toContain("it is in no volume, and lost with the container");
  });

  test("an image of another version than the data is a reason not to start", () => {
    const newer = container("shop", volume("/v"), { environment: { PG_MAJOR: "18" } });
    expect(versionFault(newer, "18")).toBeNull();
    expect(versionFault(newer, "")).toBeNull();
    expect(versionFault(shop, "15")).toBeNull();
    expect(versionFault(newer, "15")?.join(" ")).toMatch(
      /postgres:18 has PostgreSQL 18, its data are of PostgreSQL 15/,
    );
  });

  test("names others that may write there, except those that have a directory above it", () => {
    const others = [
      container("editor", volume("/volumes/shop/_data/base")),
      container("reader", volume("/volumes/shop/_data", { readOnly: true })),
      container("panel", volume("/volumes")),
    ];
    expect(writersOf(shop, DATA, [shop, ...others])).toEqual(["editor"]);
  });

  test("refuses two servers on one directory", () => {
    expect(() => checkData(shop, DATA, ["container 'twin'"])).toThrow(
      "servers in container 'shop' and in container 'twin' have the same data, '/volumes/shop/_data'",
    );
  });

  test("the container's own server is no other one; others are named by container, or by process", () => {
    const [own, twin] = ["pid:[1]", "pid:[2]"];
    const containers = [{ name: "twin", namespace: twin }];
    const server = (pid: number, namespace: string): Postmaster => ({ pid, namespace });
    expect(otherServersOf(own, [server(1, own)], containers)).toEqual([]);
    expect(otherServersOf(own, [server(1, own), server(2, twin)], containers)).toEqual(["container 'twin'"]);
    // The container's own does not run yet, or two run in its namespace.
    expect(otherServersOf(own, [server(2, twin)], containers)).toEqual(["container 'twin'"]);
    expect(otherServersOf(own, [server(1, own), server(3, own)], containers)).toEqual(["process 3"]);
  });

  test("warns of a volume without a name, and of one from elsewhere", () => {
    const anonymous = container("shop", volume("/volumes/x/_data", { volume: "0f".repeat(32) }));
    expect(checkData(anonymous, DATA, [])).toEqual([
      expect.stringContaining("in a volume without a name (0f0f0f0f0f0f…)"),
    ]);
    const remote = container("shop", volume("/mnt/plugin", { driver: "rexray" }));
    expect(checkData(remote, DATA, [])).toEqual([expect.stringContaining("is one of driver 'rexray'")]);
  });
});
