import { expect, test } from "vitest";
import { ERRORS, fail } from "../../../../runtime/base/errors";
import { reportCommand } from "../../../../runtime/commands/watch/report";
import type { ReportFile } from "../../../../runtime/operations/report/reportFields";
import { HeldClock, testContext } from "../../../harness/context";
import { reportedDatabase } from "../../operations/report/reported";
import { temporaryFolder } from "../../repository/support";
import { host } from "../support";

const clock = new HeldClock();
const NOW_S = Math.floor(clock.nowMs() / 1000);

async function report(
  files: Readonly<Record<string, string | Error>>,
  ...argv: readonly string[]
): Promise<{ readonly code: number; readonly text: string }> {
  const ctx = testContext({ clock });
  const base = host({ argv: ["report", ...argv, ...Object.keys(files)], repos: [], ctx, folder: temporaryFolder() });
  const readFile = async (path: string): Promise<Uint8Array | null> => {
    const content = files[path] ?? "";
    if (content instanceof Error) throw content;
    return content === "missing" ? null : Buffer.from(content);
  };
  const code = await reportCommand({ ...base, readFile });
  return { code, text: base.printed.join("") };
}

/** A document of a minute ago; its content is as old as the helper's. */
function written(stanza: string, over: object = {}): string {
  const database = { ...reportedDatabase({ stanza, atS: NOW_S - 60 }), ...over };
  return JSON.stringify({ version: 1, databases: [database] } satisfies ReportFile);
}

// claim: docs/report.md: one broken document hides nothing of the others, and the page exits with 104
test("a broken document is named, and hides nothing of the others", async () => {
  const broken = {
    "missing.json": "missing",
    "empty.json": "",
    "cut.json": written("orders").slice(0, 99),
    "version.json": JSON.stringify({ version: 2, databases: [] }),
    "shape.json": JSON.stringify({ version: 1, databases: [{ host: "db-9" }] }),
    "time.json": written("orders", { atS: 1e20 }),
    "folder.json": new Error("EISDIR: illegal operation on a directory, read"),
    "denied.json": fail("fileOpen", "unable to open file 'denied.json' for read: permission denied"),
  };
  const { code, text } = await report({ ...broken, "good.json": written("shop") });
  expect(code).toBe(ERRORS.command);
  expect(text).toContain("the backups are current, 8 documents need attention");
  expect(text).toContain("shop on db-1");
  for (const fact of [
    "missing document &#39;missing.json&#39;",
    "document &#39;empty.json&#39; is empty",
    "document &#39;cut.json&#39; is not valid JSON, or is cut short",
    "document &#39;version.json&#39;: field &#39;version&#39; is the number 2",
    "document &#39;shape.json&#39;: field &#39;databases[0].stanza&#39;",
    "document &#39;time.json&#39;: field &#39;databases[0].atS&#39; is 100000000000000000000",
    "folder.json: EISDIR",
    "unable to open file &#39;denied.json&#39;",
    "pgbackstop --stanza=NAME report --format=json &gt; cut.json",
  ])
    expect(text).toContain(fact);
});

test("a page of good documents exits with 0, and with 104 if one is too old or missing", async () => {
  const files = { "a.json": written("orders"), "b.json": written("shop") };
  const good = await report(files, "--expect=orders", "--expect=shop@db-1");
  expect([good.code, good.text.includes("the backups of all 2 databases are current")]).toEqual([0, true]);
  const old = await report(files, "--expect-within=59s");
  expect([old.code, old.text.includes("2 of 2 databases need attention")]).toEqual([ERRORS.command, true]);
  const missing = await report(files, "--expect=crm");
  expect([missing.code, missing.text.includes("no document describes crm")]).toEqual([ERRORS.command, true]);
  // The default is a day.
  const yesterday = await report({ "a.json": written("orders", { atS: NOW_S - 90_000 }) });
  expect([yesterday.code, yesterday.text.includes("expected is one every 24 hours")]).toEqual([ERRORS.command, true]);
});

test("joined documents keep what could not be read, for the page that is made of them", async () => {
  const nothing = JSON.stringify({ version: 1, databases: [] });
  const files = { "a.json": written("orders"), "b.json": "missing", "c.json": nothing };
  const { code, text } = await report(files, "--format=json");
  const file = JSON.parse(text) as ReportFile;
  expect([code, file.databases.length]).toEqual([ERRORS.command, 1]);
  expect(file.troubles?.map(({ message }) => message)).toEqual([
    "missing document 'b.json'",
    "c.json describes no database",
  ]);
  const page = await report({ "all.json": text });
  expect(page.text).toContain("missing document &#39;b.json&#39;");
  const whole = await report({ "a.json": written("orders") }, "--format=json");
  expect([whole.code, JSON.parse(whole.text)]).toEqual([0, JSON.parse(written("orders"))]);
});
