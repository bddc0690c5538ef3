import { connect, createServer, type Socket } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { serveMetrics } from "../../../runtime/agent/metricsServer";
import { loadTroubles } from "../../../runtime/commands/watch/status";
import { ReportAnswer } from "../../../runtime/operations/report/reportAnswer";
import type { ReportFile } from "../../../runtime/operations/report/reportFields";
import type { Repository } from "../../../runtime/repository/repository";
import { fail } from "../../../runtime/base/errors";
import { type HttpAnswer, serveHttp } from "../../../runtime/web/httpServer";
import { eventually, HeldClock, type TestContext, testContext } from "../../harness/context";
import { FaultyStorage } from "../../harness/network/faults";
import { makeStanza } from "../../harness/madeRepository";
import { MemoryStorage } from "../../harness/doubles/storages";
import { host } from "../commands/support";
import { repository, temporaryFolder } from "../repository/support";

const RANGE = ["000000010000000000000003", "000000010000000000000004"] as const;
const SIXTEEN_MIB = 16 * 1024 * 1024;

let clock: HeldClock;
let storage: FaultyStorage;
let repo: Repository;
let served: ReturnType<typeof serveMetrics> | null = null;
let ctx: TestContext<HeldClock>;
let judge: typeof loadTroubles;
beforeEach(async () => {
  clock = new HeldClock();
  judge = loadTroubles;
  ctx = testContext({ clock });
  storage = new FaultyStorage(new MemoryStorage());
  repo = repository(1, { storage });
  await makeStanza(repo, {
    versions: ["18"],
    backups: [{ label: "20261118-030000F", wal: RANGE }],
    wal: { "18-1": RANGE },
  });
});
afterEach(async () => {
  await served?.close();
  served = null;
});

async function serve(listen = "127.0.0.1:0", report: ReportAnswer | null = null): Promise<string> {
  const folder = temporaryFolder();
  const base = host({ argv: ["agent"], repos: [repo], ctx, folder });
  const own = {
    ...base,
    config: { ...base.config, spoolPath: `${folder}/spool` },
    loadControl: async () => ({ ...(await base.loadControl()), walSegmentSizeBytes: SIXTEEN_MIB }),
  };
  const workers = () => [{ repoIndex: 1, waitingCount: 7 }];
  served = serveMetrics(listen, own, { loadTroubles: judge, report, workers }, ctx);
  return originOf();
}
async function originOf(): Promise<string> {
  const find = (): string | undefined =>
    ctx.lines.flatMap(({ text }) => /served on (\S+)/.exec(text)?.[1] ?? []).at(-1);
  await eventually("it listens", () => find() !== undefined);
  return `http://${find()}`;
}
async function scrape(origin: string): Promise<string> {
  await eventually("metrics were gathered", async () => (await fetch(`${origin}/metrics`)).status === 200);
  const answer = await fetch(`${origin}/metrics`);
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  return answer.text();
}

describe("the agent's metrics", () => {
  test("show what was gathered, and the current queues", async () => {
    const text = await scrape(await serve());
    expect(text).toContain('pgbackstop_repo_up{stanza="demo",repo_key="1"} 1\n');
    expect(text).toContain('pgbackstop_repo_wal_waiting_files{stanza="demo",repo_key="1"} 7\n');
    expect(text).toContain('pgbackrest_stanza_status{stanza="demo"} 0\n');
    expect(text).toContain('pgbackstop_status_ok{stanza="demo"} ');
  });

  test("show everything else if nobody can judge as status does", async () => {
    judge = () => Promise.reject(fail("access", "no pg_wal for you"));
    expect(await scrape(await serve())).not.toContain("pgbackstop_status_ok{");
    expect(ctx.lines.map(({ text }) => text).join("\n")).toContain("unable to judge as status does: no pg_wal for you");
  });

  // claim: docs/monitoring.md: the agent serves figures of the last minute, and a scrape reads no repository
  test("a scrape reads no repository, and a minute later they are read again", async () => {
    const origin = await serve();
    await scrape(origin);
    storage.breakDown(fail("access", "refused"));
    expect(await scrape(origin)).toContain('pgbackstop_repo_up{stanza="demo",repo_key="1"} 1\n');
    await clock.advance(60_000);
    await eventually("the repository is down", async () =>
      (await scrape(origin)).includes('pgbackstop_repo_up{stanza="demo",repo_key="1"} 0\n'),
    );
  });

  test("healthz answers, other paths and methods are refused", async () => {
    const origin = await serve();
    expect(await (await fetch(`${origin}/healthz`)).text()).toBe("ok\n");
    expect((await fetch(`${origin}/`)).status).toBe(404);
    expect((await fetch(`${origin}/metrics`, { method: "POST", body: "x" })).status).toBe(405);
    expect(await (await fetch(`${origin}/metrics`, { method: "HEAD" })).text()).toBe("");
  });

  // claim: docs/monitoring.md: the agent serves figures…
  test("takes no more than sixteen connections at a time", async () => {
    const origin = await serve();
    const sockets = Array.from({ length: 20 }, () =>
      connect(Number(new URL(origin).port), "127.0.0.1").on("error", () => {}),
    );
    try {
      await eventually(
        "the surplus is closed",
        () => sockets.filter((socket) => socket.destroyed || socket.readableEnded).length === 4,
      );
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  });

  test("a client that does not read its answer loses its place to another one", async () => {
    const stopping = new AbortController();
    const answer = async (): Promise<HttpAnswer> => ({ status: 200, text: "x".repeat(16 * 1024 * 1024) });
    const page = { what: "/metrics", hint: "", answerTimeoutMs: 500 };
    const serving = serveHttp({ address: "127.0.0.1", port: 0 }, answer, page, ctx, stopping.signal);
    const origin = await originOf();
    const sockets = Array.from({ length: 16 }, () =>
      connect(Number(new URL(origin).port), "127.0.0.1", function (this: Socket) {
        this.pause().write("GET /metrics HTTP/1.1\r\nhost: here\r\n\r\n");
      }).on("error", () => {}),
    );
    try {
      await eventually("another one is answered", () =>
        fetch(origin)
          .then(async (answered) => (await answered.text()).length > 0)
          .catch(() => false),
      );
    } finally {
      for (const socket of sockets) socket.destroy();
      stopping.abort();
      await serving;
    }
  });

  // claim: docs/monitoring.md: a port that another process has costs the agent only its metrics, until the port is free
  test("a port in use ends nothing, and is taken when it is free", async () => {
    const other = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => other.once("listening", resolve));
    const { port } = other.address() as { readonly port: number };
    const serving = serve(`127.0.0.1:${port}`);
    const warnings = (): string[] => ctx.lines.flatMap(({ level, text }) => (level === "warn" ? [text] : []));
    await eventually("it warns", () => warnings().length > 0);
    await clock.advance(60_000);
    await new Promise((resolve) => other.close(resolve));
    await eventually("it has tried again and listens", async () => {
      await clock.advance(60_000);
      return ctx.lines.some(({ text }) => text === `/metrics is served on 127.0.0.1:${port}`);
    });
    expect((await fetch(`${await serving}/healthz`)).status).toBe(200);
    expect(warnings()).toEqual([
      expect.stringMatching(
        /^unable to serve \/metrics on 127\.0\.0\.1:\d+, it is tried again each minute: .*EADDRINUSE/,
      ),
    ]);
  });

  test("an invalid address is refused", async () => {
    await expect(serve("9854")).rejects.toMatchObject({ kind: "optionInvalidValue" });
    await expect(serve("127.0.0.1:99999")).rejects.toMatchObject({ kind: "optionInvalidValue" });
  });
});

describe("the agent's report", () => {
  const PASSWORD = "0123456789abcdef";
  const basic = (password: string): RequestInit => ({
    headers: { authorization: `Basic ${Buffer.from(`anybody:${password}`).toString("base64")}` },
  });
  let madeCount = 0;
  let make: () => Promise<ReportFile>;
  beforeEach(() => {
    madeCount = 0;
    make = async () => {
      madeCount++;
      return { version: 1, databases: [] };
    };
  });
  const serveReport = (listen?: string): Promise<string> =>
    serve(listen, new ReportAnswer(() => make(), PASSWORD, clock));

  // claim: docs/report.md: the agent serves the page to those with the password, on loopback only, at most a minute old
  test("is for those with the password, whichever way they send it", async () => {
    const origin = await serveReport();
    for (const wrong of [{}, basic(""), basic("0123456789abcdeF"), { headers: { authorization: "Bearer" } }]) {
      const refused = await fetch(`${origin}/report`, wrong);
      expect([refused.status, refused.headers.get("www-authenticate")?.startsWith("Basic ")]).toEqual([401, true]);
    }
    expect(madeCount).toBe(0);
    const page = await fetch(`${origin}/report`, basic(PASSWORD));
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(await page.text()).toContain("no database was looked at");
    const document = await fetch(`${origin}/report.json`, { headers: { authorization: `Bearer ${PASSWORD}` } });
    expect(await document.json()).toEqual({ version: 1, databases: [] });
    expect((await fetch(`${origin}/report`, { ...basic(PASSWORD), method: "POST" })).status).toBe(405);
  });

  test("is made once a minute, and again after a failure", async () => {
    const origin = await serveReport();
    await Promise.all([1, 2, 3].map(() => fetch(`${origin}/report`, basic(PASSWORD))));
    expect(madeCount).toBe(1);
    await clock.advance(60_000);
    const { make: works } = { make };
    make = () => Promise.reject(fail("fileRead", "secret detail"));
    const failed = await fetch(`${origin}/report`, basic(PASSWORD));
    expect([failed.status, (await failed.text()).includes("secret")]).toEqual([503, false]);
    make = works;
    expect((await fetch(`${origin}/report`, basic(PASSWORD))).status).toBe(200);
    expect(madeCount).toBe(2);
  });

  test("is refused on a network, and with a password that somebody could guess", async () => {
    await expect(serveReport("0.0.0.0:0")).rejects.toMatchObject({ kind: "optionInvalid" });
    expect(() => new ReportAnswer(make, "short", clock)).toThrow("fewer than 16 characters");
    expect((await fetch(`${await serve()}/report`)).status).toBe(404);
  });
});
