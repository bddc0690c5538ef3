import { expect, it } from "vitest";
import type { ServerFacts } from "../../../../runtime/operations/recover/hostFacts";
import {
  type RecoverTools,
  type Served,
  startServer,
  stopServer,
} from "../../../../runtime/operations/recover/recover";
import { HeldClock, testContext } from "../../../harness/context";

const BETWEEN_STARTS: ServerFacts = { pid: 0, unit: null, isRestarting: true };

/** A container that ends whenever it is started, and that its engine starts again until it is stopped. */
function loopingContainer(begun: ServerFacts | null) {
  const calls: string[] = [];
  let server = begun;
  const control = { stop: ["docker", "stop", "db"], start: ["docker", "start", "db"], asAccount: false };
  const served: Served = { control: { ...control, find: async () => server }, dataDirectory: "/nowhere" };
  const tools: Omit<RecoverTools, "archiveGet"> = {
    program: async (argv) => {
      calls.push(argv.join(" "));
      server = argv[1] === "stop" ? null : BETWEEN_STARTS;
      return { exitCode: 0, stdout: "", stderr: "" };
    },
    self: (_, signal) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(new Error("aborted")))),
    asAccount: (work) => work(),
  };
  return { calls, served, tools };
}

it("stops a container that its engine starts again and again", async () => {
  const { calls, served, tools } = loopingContainer(BETWEEN_STARTS);
  await stopServer(served, tools, testContext());
  expect(calls).toEqual(["docker stop db"]);
  await stopServer(served, tools, testContext());
  expect(calls).toHaveLength(1);
});

it("does not wait for a server that ends at each start", async () => {
  const { calls, served, tools } = loopingContainer(null);
  const ctx = testContext({ clock: new HeldClock() });
  await expect(ctx.clock.until(startServer(served, tools, ctx))).rejects.toThrow("it was started and has ended");
  expect(calls).toEqual(["docker start db"]);
});
