/** Notices of a scheduled Job over HTTP to a real server: their order, the exit code, and no effect on the Job. */
import { writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { systemClock } from "../../../../runtime/base/clock";
import { fail } from "../../../../runtime/base/errors";
import { type JobEnd, notifyOfJob } from "../../../../runtime/cnpg/kubernetes/jobNotice";
import type { CommandProcess } from "../../../../runtime/process/commandProcess";
import { testContext } from "../../../harness/context";
import { startWebServer, type WebServer } from "../../../harness/doubles/messageServers";
import { host } from "../../commands/support";
import { record } from "../../operations/drill/support";
import { temporaryFolder } from "../../repository/support";

const JOB = {
  JOB_NAME: "orders-drill-weekly-29",
  JOB_NAMESPACE: "shop",
  JOB_UID: "0f8b2f5e-7d1c-4b7e-9a55-0123456789ab",
};
let folder: string;
let web: WebServer;
let ctx: ReturnType<typeof realTime>;
const realTime = () => testContext({ clock: systemClock });
beforeEach(async () => {
  folder = temporaryFolder();
  web = await startWebServer();
  ctx = realTime();
  writeFileSync(
    join(folder, "notify.json"),
    JSON.stringify({
      targets: [
        { type: "webhook", url: `${web.origin}/hook/geheim` },
        { type: "healthchecks", url: `${web.origin}/ping` },
      ],
    }),
  );
});
afterEach(() => web.close());

const run = (work: () => Promise<JobEnd>, file = "notify.json"): Promise<number> => {
  const argv = [`--notify-file=${join(folder, file)}`, "--unit=orders-drill-weekly", "cnpg-drill"];
  const base: CommandProcess = {
    ...host({ argv, repos: [], ctx, folder }),
    machine: { hostName: "a-pod-of-one-run", environment: JOB, showUnit: async () => null },
    readFile: (path) => readFile(path).catch(() => null),
  };
  return notifyOfJob(base, "orders", ctx, work);
};
const hooks = (): Record<string, unknown>[] =>
  web.requests.flatMap(({ body, path }) =>
    path.startsWith("/hook") ? [JSON.parse(body) as Record<string, unknown>] : [],
  );
const pings = (): string[] => web.requests.flatMap(({ path }) => (path.startsWith("/ping") ? [path] : []));

test("a drill that passed: its start, its end and its result, with the Job and not the pod", async () => {
  const made = record("20261121-051347Z-1a2b3c4d", {});
  expect(await run(async () => ({ code: 0, record: made }))).toBe(0);
  const [first, ...others] = hooks();
  expect(first).toMatchObject({
    event: "start",
    ok: true,
    unit: "orders-drill-weekly",
    host: "shop/orders",
    stanza: "demo",
  });
  expect(others.map(({ event, ok }) => `${String(event)} ${String(ok)}`).sort()).toEqual([
    "drill true",
    "success true",
  ]);
  const rid = `rid=${JOB.JOB_UID}`;
  expect(pings()).toEqual([`/ping/start?${rid}`, `/ping?${rid}`]);
});

test("a drill that failed reports the reason, by codes, and how to read its log", async () => {
  const failures = [{ where: "amcheck", error: "ChecksumError", code: 26, message: "secret words of a table" }];
  expect(
    await run(async () => ({ code: 26, record: record("20261121-051347Z-1a2b3c4d", { ok: false, failures }) })),
  ).toBe(26);
  const failure = hooks().find(({ event }) => event === "failure");
  expect(failure?.["lines"]).toEqual([
    "stanza: demo",
    "result: exit-code, status 26 (ChecksumError)",
    "log: kubectl logs -n shop job/orders-drill-weekly-29",
  ]);
  const drill = hooks().find(({ event }) => event === "drill");
  expect(drill).toMatchObject({ ok: false });
  expect(drill?.["lines"]).toContain("failed: amcheck, ChecksumError (26)");
  expect(JSON.stringify(hooks())).not.toContain("secret words");
  expect(pings().at(-1)).toBe(`/ping/fail?rid=${JOB.JOB_UID}`);
});

test("an error is reported and thrown again", async () => {
  const thrown = fail("lockAcquire", "another drill of this name may still run");
  await expect(run(() => Promise.reject(thrown))).rejects.toBe(thrown);
  expect(hooks().map(({ event }) => event)).toEqual(["start", "failure"]);
});

// claim: docs/notifications.md: scheduled Jobs of clusters…
test("an unreachable target, and a missing or invalid Secret, make nothing fail", async () => {
  web.planned.push(...Array.from({ length: 8 }, () => ({ status: 403 })));
  expect(await run(async () => ({ code: 0 }))).toBe(0);
  expect(JSON.stringify(ctx.lines)).not.toContain("geheim");
  expect(await run(async () => ({ code: 0 }), "absent.json")).toBe(0);
  writeFileSync(join(folder, "wrong.json"), "{ geheim");
  expect(await run(async () => ({ code: 50 }), "wrong.json")).toBe(50);
  expect(ctx.lines.filter((line) => JSON.stringify(line).includes("no notification of this Job"))).toHaveLength(2);
  expect(JSON.stringify(ctx.lines)).not.toContain("geheim");
});

test("a terminated Job sends no notice", async () => {
  expect(
    await run(async () => {
      ctx.abort();
      return { code: 63 };
    }),
  ).toBe(63);
  expect(hooks().map(({ event }) => event)).not.toContain("failure");
});
