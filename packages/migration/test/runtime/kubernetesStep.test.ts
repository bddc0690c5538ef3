/**
 * A migration's changes in Kubernetes, over HTTPS. The test's server handles objects like the API server: merge
 * patches, the scale subresource and resource versions. The Kubernetes tests cover permissions and real pods.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { certificateCreate } from "../../../../components/dynamic/certificate";
import { boundReport, parseMigrationFile, parseRecord, selectorOf } from "../../runtime/migrationFile";
import { changeKubernetes } from "../../runtime/kubernetesStep";
import type { Invocation } from "../../runtime/runProgram";
import { ManualClock, TEST_TIME_MS, testContext } from "../../../../test/harness/context";

type Fields = { [field: string]: unknown };

const folder = mkdtempSync(join(tmpdir(), "pgbk-"));
const FILE = JSON.stringify({
  version: 1,
  record: "to-18-record",
  report: "to-18-report",
  workloads: [
    { kind: "Deployment", name: "web", namespace: "shop" },
    { kind: "StatefulSet", name: "queue" },
    { kind: "CronJob", name: "nightly" },
    { kind: "CronJob", name: "retired" },
  ],
  secrets: [{ name: "database", namespace: "shop", keys: { host: "0-host", extra: "0-extra" } }],
});

const objects = new Map<string, Fields>();
const calls: string[] = [];
/** Number of PATCH calls that the server answers with 409. */
let conflicts = 0;
/** Runs of CronJobs for each listing. The last entry repeats. */
let runs: Fields[][] = [];
/** Calls with this text fail as if the pod were killed. */
let dies = "";
let server: Server;

beforeAll(async () => {
  const request = {
    commonName: "api",
    dnsNames: ["localhost"],
    usage: "server",
    validDays: 2,
    renewDays: 1,
    rotation: "",
  } as const;
  const { outs: certificate } = await certificateCreate(request);
  server = createServer(
    { key: certificate?.privateKeyPem ?? "", cert: certificate?.certificatePem ?? "" },
    (incoming, response) => {
      let body = "";
      incoming.on("data", (chunk: Buffer) => (body += chunk.toString()));
      incoming.on("end", () => {
        const [status, answer] = serve(
          incoming.method ?? "",
          incoming.url ?? "",
          incoming.headers["content-type"] ?? "",
          body,
        );
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
      });
    },
  );
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  for (const [name, text] of Object.entries({
    token: "t",
    namespace: "db",
    "ca.crt": certificate?.certificatePem ?? "",
  }))
    writeFileSync(join(folder, name), text);
});
afterAll(() => {
  server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  calls.length = 0;
  [conflicts, dies, runs] = [0, "", []];
  objects.clear();
  const workload = (replicas: number): Fields => ({
    metadata: { generation: 1, resourceVersion: "1" },
    spec: { replicas, selector: { matchLabels: { app: "a" } } },
    status: { observedGeneration: 1 },
  });
  objects.set("/apis/apps/v1/namespaces/shop/deployments/web", workload(3));
  objects.set("/apis/apps/v1/namespaces/db/statefulsets/queue", workload(0));
  for (const [name, suspend] of Object.entries({ nightly: undefined, retired: true }))
    objects.set(`/apis/batch/v1/namespaces/db/cronjobs/${name}`, {
      metadata: { uid: `uid of ${name}`, resourceVersion: "1" },
      spec: { suspend },
    });
  objects.set("/api/v1/namespaces/db/secrets/to-18-record", { metadata: { resourceVersion: "1" } });
  objects.set("/api/v1/namespaces/db/configmaps/to-18-report-plan", { metadata: { resourceVersion: "1" } });
  objects.set("/api/v1/namespaces/shop/secrets/database", {
    metadata: { resourceVersion: "1" },
    data: { host: b64("old"), other: b64("stays") },
  });
});

const b64 = (text: string): string => Buffer.from(text).toString("base64");

function serve(method: string, url: string, type: string, body: string): [number, Fields] {
  const [path = ""] = url.split("?");
  calls.push(`${method} ${url}`);
  if (dies !== "" && `${method} ${url}`.includes(dies)) return [500, { message: "killed" }];
  if (path.endsWith("/jobs")) return [200, { items: runs.length > 1 ? runs.shift() : (runs[0] ?? []) }];
  if (path.endsWith("/pods")) return [200, { items: [{ status: { phase: "Succeeded" } }] }];
  const isScale = path.endsWith("/scale");
  const key = isScale ? path.slice(0, -"/scale".length) : path;
  const result = objects.get(key);
  if (result === undefined) return [404, { message: "not found" }];
  if (method === "GET") return [200, result];
  if (type !== "application/merge-patch+json") return [415, { message: type }];
  const patch = JSON.parse(body) as Fields;
  const metadata = result["metadata"] as Fields;
  const asked = (patch["metadata"] as Fields | undefined)?.["resourceVersion"];
  if (conflicts > 0 || (asked !== undefined && asked !== metadata["resourceVersion"])) {
    conflicts--;
    return [409, { message: "changed" }];
  }
  const merged = merge(result, {
    ...patch,
    metadata: { resourceVersion: String(Number(metadata["resourceVersion"]) + 1) },
  }) as Fields;
  objects.set(key, merged);
  return [200, merged];
}

/** RFC 7386. */
function merge(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result: Fields = { ...(typeof target === "object" && target !== null ? target : {}) };
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) delete result[name];
    else result[name] = merge(result[name], value);
  }
  return result;
}

async function run(
  params: readonly string[],
  files: Readonly<Record<string, string>> = {},
  context = testContext(),
): Promise<number> {
  const { port } = server.address() as AddressInfo;
  const given: Record<string, string> = {
    "/steps.json": FILE,
    "/pgbackstop/values/0-host": "new",
    "/pgbackstop/values/0-extra": "more",
    ...files,
  };
  const proc: Invocation = {
    args: [
      "--kubernetes-host=localhost",
      `--kubernetes-port=${port}`,
      `--kubernetes-account-path=${folder}`,
      "--migration-file=/steps.json",
      ...params,
    ],
    context: () => context,
    user: "postgres",
    readFile: async (path) => (given[path] === undefined ? null : Buffer.from(given[path])),
    shell: () => Promise.reject(new Error("not here")),
    print: () => undefined,
    printError: () => undefined,
  };
  return changeKubernetes(proc);
}

const replicas = (): unknown[] =>
  [...objects].flatMap(([path, object]) => (path.includes("/apps/") ? [(object["spec"] as Fields)["replicas"]] : []));
const database = (): Record<string, string> =>
  Object.fromEntries(
    Object.entries(objects.get("/api/v1/namespaces/shop/secrets/database")?.["data"] ?? {}).map(([key, value]) => [
      key,
      Buffer.from(String(value), "base64").toString(),
    ]),
  );

describe("workloads", () => {
  test("are scaled to 0 by the right to scale alone, and back to their former scale", async () => {
    expect(await run(["stop"])).toBe(0);
    expect(replicas()).toEqual([0, 0]);
    expect(
      calls
        .filter((call) => call.startsWith("PATCH") && call.includes("/apps/"))
        .every((call) => call.endsWith("/scale")),
    ).toBe(true);
    expect(await run(["start"])).toBe(0);
    expect(replicas()).toEqual([3, 0]);
  });

  // claim: packages/migration/docs/program.md: replicas and old values are recorded before a change, and restored even
  //   after a kill (simulated: an HTTPS server that keeps objects as the API server does)
  test("a stop that is killed anywhere and run again remembers the first state", async () => {
    for (const location of [
      "PATCH /apis/apps/v1/namespaces/shop/deployments/web/scale",
      "GET /apis/apps/v1/namespaces/db/statefulsets",
      "GET /api/v1/namespaces/shop/pods",
    ]) {
      dies = location;
      await expect(run(["stop"])).rejects.toThrow(/killed/);
      dies = "";
    }
    await run(["stop"]);
    await run(["stop"]);
    await run(["resume"]);
    expect(replicas()).toEqual([3, 0]);
  });

  test("are never stopped while they use the target; resume reverts that", async () => {
    await run(["stop"]);
    await run(["start"]);
    await run(["stop"]);
    expect(replicas()).toEqual([3, 0]);
    await run(["resume"]);
    await run(["stop"]);
    expect(replicas()).toEqual([0, 0]);
  });

  test("one that was not stopped is not started", async () => {
    await run(["start"]);
    expect(calls.some((call) => call.endsWith("/scale"))).toBe(false);
  });
});

describe("CronJobs", () => {
  const suspended = (): unknown[] =>
    ["nightly", "retired"].map(
      (name) =>
        (objects.get(`/apis/batch/v1/namespaces/db/cronjobs/${name}`)?.["spec"] as Fields | undefined)?.["suspend"],
    );
  const runOf = (of: string, ended: boolean): Fields => ({
    metadata: { ownerReferences: [{ uid: `uid of ${of}` }] },
    status: ended ? { conditions: [{ type: "Complete", status: "True" }] } : { active: 1 },
  });

  // claim: packages/migration/docs/program.md: CronJobs are suspended, running Jobs finish first, and the CronJobs
  //   resume as before (a real CronJob)
  test("are suspended, and resumed as before", async () => {
    await run(["stop"]);
    expect(suspended()).toEqual([true, true]);
    await run(["stop"]);
    await run(["start"]);
    expect(suspended()).toEqual([false, true]);
  });

  // claim: packages/migration/docs/program.md: CronJobs are suspended, running…
  test("are awaited until their runs have ended, including a new one; other runs are ignored", async () => {
    const other = runOf("another one", false);
    runs = [[other], [runOf("nightly", false), other], [runOf("nightly", true), other]];
    await run(["stop"]);
    // The first listing shows no run, the second one does. Then three listings without a run must follow, per CronJob.
    expect(calls.filter((call) => call.includes("/batch/v1/namespaces/db/jobs"))).toHaveLength(2 + 3 + 3);
    runs = [[runOf("nightly", false)]];
    // Each look is a connection: a look a minute, not every two seconds.
    const clock = new ManualClock(TEST_TIME_MS);
    const sleep = clock.sleep.bind(clock);
    clock.sleep = (_durationMs, signal) => sleep(60_000, signal);
    await expect(run(["stop"], {}, testContext({ clock }))).rejects.toThrow(
      /CronJob nightly still has 1 runs after 30 minutes/,
    );
  });
});

describe("Secrets", () => {
  test("get new values, keep their other keys, and get their former values back, including absent keys", async () => {
    await run(["repoint"]);
    expect(database()).toEqual({ host: "new", extra: "more", other: "stays" });
    await run(["repoint"]);
    await run(["restore"]);
    expect(database()).toEqual({ host: "old", other: "stays" });
    await run(["restore"]);
    expect(database()).toEqual({ host: "old", other: "stays" });
  });

  // claim: packages/migration/docs/program.md: replicas and old values…
  test("the old value is recorded before the new one is written", async () => {
    dies = "PATCH /api/v1/namespaces/shop/secrets/database";
    await expect(run(["repoint"])).rejects.toThrow(/killed/);
    const record = objects.get("/api/v1/namespaces/db/secrets/to-18-record")?.["data"] as Record<string, string>;
    expect(JSON.parse(Buffer.from(record["record"] ?? "", "base64").toString())).toMatchObject({
      secrets: { "shop/database/host": b64("old") },
    });
    expect(database()).toEqual({ host: "old", other: "stays" });
  });

  test("a foreign change in between is kept", async () => {
    conflicts = 3;
    await run(["repoint"]);
    expect(database()).toMatchObject({ host: "new", other: "stays" });
    conflicts = 1000;
    await expect(run(["repoint"])).rejects.toThrow(/keeps changing it/);
  });
});

describe("reports", () => {
  const report = (code: string, text: string): Record<string, string> => ({
    "/pgbackstop/run/report.json": text,
    "/pgbackstop/run/code": `${code}\n`,
  });

  test("reach the stack, with the exit code of the step", async () => {
    expect(await run(["report", "plan"], report("81", '{"refusals":[]}'))).toBe(0);
    expect(objects.get("/api/v1/namespaces/db/configmaps/to-18-report-plan")?.["data"]).toEqual({
      report: '{"refusals":[]}',
    });
    expect(await run(["report", "plan"], report("56", ""))).toBe(56);
    expect(await run(["report", "plan"], report("81", ""))).toBe(81);
  });

  test("are cut to the size of a ConfigMap, and say so", () => {
    const long = JSON.stringify({
      version: 1,
      ok: false,
      differences: Array.from({ length: 9000 }, (_, index) => ({ name: `t${index}`, text: "x".repeat(400) })),
    });
    const cut = boundReport(long, 900_000);
    expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(900_000);
    expect(JSON.parse(cut)).toMatchObject({ version: 1, ok: false, truncated: true });
    expect(boundReport('{"a":1}', 900_000)).toBe('{"a":1}');
  });
});

test("a foreign record changes nothing", async () => {
  await expect(run(["everything"])).rejects.toThrow(/one step: stop, start/);
  await expect(run(["stop", "now"])).rejects.toThrow(/one step/);
  expect(() => parseRecord('{"replicas":{"a":-1},"secrets":{}}')).toThrow(/number of replicas/);
  expect(() => parseRecord("[]")).toThrow();
  expect(() =>
    parseMigrationFile(Buffer.from('{"record":"a","report":"b","workloads":[{"kind":"DaemonSet","name":"c"}]}')),
  ).toThrow(/cannot be stopped/);
  expect(selectorOf({ spec: { selector: { matchLabels: { a: "b" }, matchExpressions: [{}] } } })).toBeNull();
});
