/** Recorded output of Docker 20.10 and Podman 4.3, with shorter paths. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import {
  isAnonymous,
  isOfService,
  parseInspect,
  passwordOf,
  superuserOf,
} from "../../../../runtime/postgres/container/inspect";

const recorded = (name: string): string => readFileSync(join(__dirname, `${name}.json`), "utf8");
const VOLUMES = { docker: "/var/lib/docker/volumes", podman: "/var/lib/containers/storage/volumes" } as const;

describe("what an engine says of a container", () => {
  test.each(["docker", "podman"] as const)("by %s", (engine) => {
    const [facts] = parseInspect(recorded(engine));
    if (facts === undefined) throw new Error("there is a container");
    expect(facts).toMatchObject({ name: "shop-db", pid: expect.any(Number) });
    expect(facts.image).toMatch(/postgres/);
    expect(facts.imageId).toMatch(/^(sha256:)?[0-9a-f]{64}$/);
    expect(facts.id).toMatch(/^[0-9a-f]{64}$/);
    expect(superuserOf(facts)).toBe("postgres");
    const mounts = [...facts.mounts].sort((left, right) => (left.destination < right.destination ? -1 : 1));
    expect(mounts).toEqual([
      { kind: "bind", source: "/srv/shop/space", destination: "/space" },
      {
        kind: "volume",
        source: `${VOLUMES[engine]}/shop-db-data/_data`,
        destination: "/var/lib/postgresql/data",
        volume: "shop-db-data",
        driver: "local",
      },
      { kind: "bind", source: "/srv/shop/wal", destination: "/wal" },
    ]);
  });

  test("a stopped container has no process, and memory is a mount without a source", () => {
    const [facts] = parseInspect(
      JSON.stringify([
        {
          Id: "f".repeat(64),
          Name: "/db",
          State: { Running: false, Pid: 0 },
          Config: { Image: "postgres:18", Env: ["PGDATA=/data/", "POSTGRES_USER=me", "A=b=c"], Labels: null },
          HostConfig: { Tmpfs: { "/data": "rw" } },
          Mounts: null,
        },
      ]),
    );
    expect(facts).toMatchObject({
      name: "db",
      pid: null,
      mounts: [{ kind: "tmpfs", source: "", destination: "/data" }],
      environment: { PGDATA: "/data/", POSTGRES_USER: "me", A: "b=c" },
      labels: {},
    });
    expect(superuserOf({ environment: { POSTGRES_USER: "me" } })).toBe("me");
    const file = { POSTGRES_PASSWORD_FILE: "/run/secrets/db" };
    expect([{}, { POSTGRES_PASSWORD: "a" }, file].map((environment) => passwordOf({ environment }))).toEqual([
      null,
      { text: "a" },
      { file: "/run/secrets/db" },
    ]);
  });

  test.each(["", "Error: no such container", "{}", "[1]"])("refuses %j", (text) => {
    expect(() => parseInspect(text)).toThrow("is no list of containers");
  });

  // Docker 20.10 and 29, Podman 4.3: what each says of the same container.
  test.each([
    ["running", { Status: "running", Running: true, Pid: 7 }, 7],
    ["down", { Status: "exited", Running: false, Pid: 0 }, null],
    ["down", { Status: "created", Running: false, Pid: 0 }, null],
    ["down", { Status: "configured", Running: false, Pid: 0 }, null],
    ["down", { Status: "dead", Running: false, Dead: true, Pid: 0 }, null],
    ["restarting", { Status: "restarting", Running: true, Restarting: true, Pid: 0 }, null],
    ["paused", { Status: "paused", Running: true, Paused: true, Pid: 7 }, 7],
    ["paused", { Status: "paused", Running: false, Paused: true, Pid: 7 }, 7],
    ["running", { Status: "stopping", Running: false, Pid: 7 }, 7],
    ["running", { Status: "removing", Running: false, Pid: 0 }, null],
  ])("is %s: %j", (state, State, pid) => {
    expect(parseInspect(JSON.stringify([{ Id: "f", Name: "/db", State }]))).toMatchObject([{ state, pid }]);
  });

  test("a volume without a name of its own", () => {
    expect(isAnonymous({ volume: "0f".repeat(32) })).toBe(true);
    expect(isAnonymous({ volume: "shop-db-data" })).toBe(false);
    expect(isAnonymous({})).toBe(false);
  });

  test("a service of a Compose file", () => {
    const labels = {
      "com.docker.compose.service": "database",
      "com.docker.compose.project.working_dir": "/srv/immich",
      "com.docker.compose.project.config_files": "/srv/immich/compose.yaml,/srv/immich/override.yaml",
    };
    expect(isOfService({ labels }, "/srv/immich/compose.yaml", "database")).toBe(true);
    expect(isOfService({ labels }, "/srv/immich/override.yaml", "database")).toBe(true);
    expect(isOfService({ labels }, "/srv/other/compose.yaml", "database")).toBe(false);
    expect(isOfService({ labels }, "/srv/immich/compose.yaml", "redis")).toBe(false);
    const relative = { ...labels, "com.docker.compose.project.config_files": "compose.yaml" };
    expect(isOfService({ labels: relative }, "/srv/immich/compose.yaml", "database")).toBe(true);
    const oneOff = { ...labels, "com.docker.compose.oneoff": "True" };
    expect(isOfService({ labels: oneOff }, "/srv/immich/compose.yaml", "database")).toBe(false);
  });
});
