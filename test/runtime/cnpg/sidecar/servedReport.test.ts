import { createServer } from "node:net";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { serveReport } from "../../../../runtime/cnpg/sidecar/servedReport";
import { eventually, type TestContext, testContext } from "../../../harness/context";
import { host } from "../../commands/support";
import { temporaryFolder } from "../../repository/support";

const PASSWORD = "0123456789abcdef";
const FILE = "/pgbackstop/report/password";
let ctx: TestContext;
let ending: AbortController;
let serving: Promise<void>;
beforeEach(() => {
  ctx = testContext();
  ending = new AbortController();
});
afterEach(async () => {
  ending.abort();
  await serving;
});

/** @param text what the password file holds; null without a file */
function serve(text: string | null, monitoring: object = { reportPasswordFile: FILE }, port = 0): void {
  const base = host({ argv: ["cnpg-instance"], repos: [], ctx, folder: temporaryFolder() });
  const proc = {
    config: { ...base.config, monitoring: { ...base.config.monitoring, ...monitoring } },
    readFile: async (path: string) => (path === FILE && text !== null ? Buffer.from(text) : null),
  };
  const make = async () => ({ version: 1, databases: [] }) as const;
  serving = serveReport(proc, make, ctx, ending.signal, { address: "127.0.0.1", port });
}

const warnings = (): string[] => ctx.lines.flatMap(({ level, text }) => (level === "warn" ? [text] : []));

async function origin(): Promise<string> {
  const find = (): string | undefined => ctx.lines.flatMap(({ text }) => /served on (\S+)/.exec(text)?.[1] ?? []).at(0);
  await eventually("it listens", () => find() !== undefined);
  return `http://${find()}`;
}

// claim: docs/report.md: a sidecar serves the page to those with the password of a Secret, and archives without one too
test("is for those with the password of the file, until the sidecar ends", async () => {
  serve(`${PASSWORD}\n`);
  const at = await origin();
  const statusOf = async (path: string, password = PASSWORD, method = "GET"): Promise<number> =>
    (await fetch(`${at}${path}`, { method, headers: { authorization: `Bearer ${password}` } })).status;
  expect([await statusOf("/report"), await statusOf("/report.json")]).toEqual([200, 200]);
  expect([await statusOf("/report", ""), await statusOf("/report.json", `${PASSWORD}0`)]).toEqual([401, 401]);
  expect([await statusOf("/metrics"), await statusOf("/"), await statusOf("/report", PASSWORD, "POST")]).toEqual([
    404, 404, 404,
  ]);
  ending.abort();
  await serving;
  await expect(fetch(`${at}/report`)).rejects.toThrow();
  expect(JSON.stringify(ctx.lines)).not.toContain(PASSWORD);
});

test("without a password nothing listens, and the log says why", async () => {
  serve(PASSWORD, {});
  await serving;
  expect(ctx.lines).toEqual([]);
  serve(null);
  await serving;
  expect(warnings().at(-1)).toContain("the Secret or its key is missing");
  serve("short");
  await serving;
  expect(warnings().at(-1)).toContain("fewer than 16 characters");
  expect(warnings().join()).not.toContain("short");
});

test("a port in use ends nothing, and is tried again", async () => {
  const other = createServer().listen(0, "127.0.0.1");
  onTestFinished(() => void other.close());
  await new Promise((resolve) => other.once("listening", resolve));
  const { port } = other.address() as { readonly port: number };
  serve(PASSWORD, { reportPasswordFile: FILE }, port);
  await eventually("it has tried again", () => ctx.clock.sleeps.length > 1);
  expect(warnings()).toEqual([
    expect.stringMatching(/^unable to serve \/report on 127\.0\.0\.1:\d+, it is tried again/),
  ]);
});
