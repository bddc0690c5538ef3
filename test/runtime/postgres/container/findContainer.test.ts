import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import type { ProgramEnd } from "../../../../runtime/local/program";
import { parseInspect } from "../../../../runtime/postgres/container/inspect";
import { findContainer, listRunning } from "../../../../runtime/postgres/container/findContainer";

const docker = readFileSync(join(__dirname, "docker.json"), "utf8");
const ok = (stdout: string): ProgramEnd => ({ exitCode: 0, stdout, stderr: "" });
const no = (stderr: string): ProgramEnd => ({ exitCode: 1, stdout: "[]\n", stderr });
const NONE = { docker: no("Error: No such container: shop-db"), podman: no('Error: no such container "shop-db"') };

/** An engine that answers each command with the same. */
const answering =
  (answers: Partial<Record<string, ProgramEnd>>, calls: string[] = []) =>
  async (argv: readonly string[]): Promise<ProgramEnd> => {
    calls.push(argv.join(" "));
    const answer = answers[argv[0] ?? ""];
    if (answer === undefined) throw fail("execute", `unable to start '${argv[0]}': spawn ${argv[0]} ENOENT`);
    if (argv[1] === "ps" && answer.stdout.startsWith("["))
      return ok(
        parseInspect(answer.stdout)
          .map(({ id }) => id)
          .join("\n"),
      );
    return answer;
  };

describe("finding a container", () => {
  test("asks both engines, and takes the one that has it", async () => {
    const calls: string[] = [];
    const run = answering({ docker: ok(docker), podman: NONE.podman }, calls);
    expect(await findContainer({ name: "shop-db" }, run)).toMatchObject({ engine: "docker", name: "shop-db" });
    expect(calls).toEqual(["docker container inspect shop-db", "podman container inspect shop-db"]);
    expect(await findContainer({ name: "shop-db" }, answering({ podman: ok(docker) }))).toMatchObject({
      engine: "podman",
    });
  });

  test("asks one engine if it is named", async () => {
    const calls: string[] = [];
    await findContainer({ name: "shop-db", engine: "docker" }, answering({ docker: ok(docker) }, calls));
    expect(calls).toEqual(["docker container inspect shop-db"]);
  });

  test("says that no container matches, and what each engine says", async () => {
    await expect(findContainer({ name: "shop-db" }, answering(NONE))).rejects.toMatchObject({
      kind: "dbConnect",
      message: "there is no container 'shop-db'",
      hints: [expect.stringContaining("docker ps --all")],
    });
    const down = answering({ docker: no("Cannot connect to the Docker daemon at unix:///x. Is it running?\nmore") });
    await expect(findContainer({ name: "shop-db" }, down)).rejects.toMatchObject({
      message:
        "there is no container 'shop-db'\n" +
        "docker: Cannot connect to the Docker daemon at unix:///x. Is it running?\n" +
        "podman: unable to start 'podman': spawn podman ENOENT",
      hints: [expect.stringContaining("Install docker or podman")],
    });
  });

  test("asks for the other engine if one is configured", async () => {
    await expect(findContainer({ name: "shop-db", engine: "docker" }, answering(NONE))).rejects.toMatchObject({
      hints: [expect.stringContaining("does podman run it")],
    });
  });

  test("takes no container whose id begins with the name", async () => {
    const run = answering({ docker: ok(docker) });
    await expect(findContainer({ name: "18af", engine: "docker" }, run)).rejects.toThrow(
      "there is no container '18af'",
    );
  });

  test("refuses to choose between two", async () => {
    const run = answering({ docker: ok(docker), podman: ok(docker) });
    await expect(findContainer({ name: "shop-db" }, run)).rejects.toMatchObject({
      message: "container 'shop-db' is not unique: shop-db (docker), shop-db (podman)",
    });
  });

  test("a service needs containers of that Compose file", async () => {
    const run = answering({ docker: ok(docker), podman: ok("") });
    await expect(findContainer({ compose: "/srv/compose.yaml", service: "database" }, run)).rejects.toMatchObject({
      message:
        "there is no container of service 'database' of '/srv/compose.yaml'\nPostgreSQL is in 'shop-db' (docker)",
    });
  });
});

describe("the containers that run", () => {
  const inspected = (...states: readonly (readonly [string, string])[]): ProgramEnd =>
    ok(JSON.stringify(states.map(([name, Status]) => ({ Id: name, Name: `/${name}`, State: { Status } }))));
  const engine =
    (ids: string, inspects: readonly ProgramEnd[], calls: string[] = []) =>
    async (argv: readonly string[]): Promise<ProgramEnd> => {
      calls.push(argv.join(" "));
      if (argv[1] === "ps") return ok(ids.replaceAll(" ", "\n"));
      return inspects[calls.filter((call) => call.includes("inspect")).length - 1] ?? no("too often");
    };

  test("are also paused ones and ones between two starts", async () => {
    const calls: string[] = [];
    const run = engine(
      "a b c d e",
      [inspected(["a", "running"], ["b", "paused"], ["c", "restarting"], ["d", "exited"], ["e", "created"])],
      calls,
    );
    expect((await listRunning("podman", run)).map(({ name }) => name)).toEqual(["a", "b", "c"]);
    expect(calls).toEqual(["podman ps --all --no-trunc --quiet", "podman container inspect a b c d e"]);
  });

  test("are listed again when one was removed, and never taken for none", async () => {
    const gone = no("Error: No such container: b");
    expect(await listRunning("docker", engine("a", [gone, inspected(["a", "running"])]))).toHaveLength(1);
    const broken = engine("a b", Array(10).fill(no("permission denied")));
    await expect(listRunning("docker", broken)).rejects.toMatchObject({
      kind: "execute",
      message: "docker: permission denied",
    });
  });

  test("are asked for in parts, because an answer has a limit, also where jobs come and go", async () => {
    const all = new Set(Array.from({ length: 3000 }, (_, number) => `c${number}`));
    let jobs = 0;
    const run = async ([, verb, , ...ids]: readonly string[]): Promise<ProgramEnd> => {
      // The job of the last listing is gone, and another one runs.
      if (verb === "ps") return ok([...all, `job${++jobs}`].join("\n"));
      expect(ids.length).toBeLessThanOrEqual(100);
      const there = ids.filter((id) => all.has(id) || (jobs > 5 && id === `job${jobs}`));
      const { stdout } = inspected(...there.map((id) => [id, "running"] as const));
      return there.length === ids.length ? ok(stdout) : { ...no("Error: No such container"), stdout };
    };
    expect(await listRunning("docker", run)).toHaveLength(3001);
  });
});
