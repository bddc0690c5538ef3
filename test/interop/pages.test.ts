/**
 * The pages of a comparison and of a report in a real browser without a network: light or dark by the reader's mode,
 * and usable with a keyboard and a screen reader. Skipped loudly without a browser.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { source as axe } from "axe-core";
import { afterAll, describe, expect, test } from "vitest";
import { diffTopologies } from "../../components/plan/diff";
import { renderPage } from "../../components/render/topology/topologyPage";
import { bandsOf, renderPicture } from "../../components/render/topology/picture";
import { judgeReport, NOTHING_EXPECTED } from "../../runtime/operations/report/judgeReport";
import { renderReportPage } from "../../runtime/operations/report/reportPage";
import { NIGHTLY } from "../../tools/parts/nightly";
import { findOnPath, run } from "../../tools/parts/process";
import { BUCKET, NAS } from "../components/plans";
import { topology } from "../components/topologies";
import { NOW_S, reportedDatabase, reportedRepo } from "../runtime/operations/report/reported";

const folder = mkdtempSync(join(tmpdir(), "pgb-page-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the page in a browser", async () => {
  const browser = await findOnPath("chromium");
  if (browser === null) {
    process.stderr.write("the page in a browser: needs chromium on PATH (apt-get install chromium), skipped\n");
    test.skip("there is no chromium", () => undefined);
    return;
  }

  const browse = async (name: string, isDark: boolean, widthPx: number, more: readonly string[]): Promise<string> => {
    const options = [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      `--user-data-dir=${join(folder, "profile")}`,
      `--window-size=${widthPx},900`,
    ];
    const mode = `--blink-settings=preferredColorScheme=${isDark ? 0 : 1}`;
    const offline = ["--host-resolver-rules=MAP * ~NOTFOUND", ...more, `file://${join(folder, name)}`];
    const { exitCode, stderr, stdout } = await run(browser, [...options, mode, ...offline], { timeoutMs: 60_000 });
    expect(exitCode, stderr).toBe(0);
    return stdout;
  };

  const shoot = async (name: string, isDark: boolean): Promise<Buffer> => {
    const out = join(folder, "shot.png");
    await browse(name, isDark, 1180, [`--screenshot=${out}`]);
    return readFileSync(out);
  };

  // claim: docs/topology.md: the page works without a network, in light and dark mode
  test("follows the reader's light or dark mode, and so does the standalone picture", async () => {
    const sets = [
      new Map([["ledger", topology()]]),
      new Map([["ledger", topology({ repositories: { repo1: { ...NAS, keepDays: 3 }, repo2: BUCKET } })]]),
    ] as const;
    const diff = diffTopologies(...sets);
    const bands = bandsOf(...sets, diff.changes);
    writeFileSync(join(folder, "page.html"), renderPage({ bands, diff, findings: [], compares: true }));
    writeFileSync(join(folder, "picture.svg"), renderPicture(bands));
    for (const name of ["page.html", "picture.svg"]) {
      const [light, dark] = [await shoot(name, false), await shoot(name, true)];
      expect([name, firstPixel(light), firstPixel(dark)]).toEqual([name, "ffffff", "0d1117"]);
      // An empty page of this size has barely a tenth of the bytes.
      expect(light.length).toBeGreaterThan(15_000);
    }
  });

  // claim: docs/report.md: light and dark mode, a phone, a keyboard and screen readers (axe-core in Chromium)
  test("a report has no fault for a keyboard or a screen reader, in both modes and at three widths", async () => {
    const troubles = [{ error: "FileMissingError", message: "WAL is missing", hints: ["pgbackstop heal"] }];
    const gaps = [{ from: "a", to: "b", fromS: 1_794_000_000, toS: 1_794_100_000 }];
    const repos = [reportedRepo(), reportedRepo({ key: 2, encrypted: false, gaps, troubles })];
    const databases = Array.from({ length: NIGHTLY ? 50 : 8 }, (_, index) =>
      reportedDatabase({ stanza: `orders-${index}`, repos }),
    );
    const page = renderReportPage(
      judgeReport([{ path: null, file: { version: 1, databases } }], NOW_S, NOTHING_EXPECTED),
    );
    writeFileSync(join(folder, "report.html"), page);
    const [light, dark] = [await shoot("report.html", false), await shoot("report.html", true)];
    expect([firstPixel(light), firstPixel(dark)]).toEqual(["ffffff", "0d1117"]);
    // The page itself runs no script: its policy would refuse axe-core.
    const open = page.replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/, "");
    const report = `axe.run().then(({ violations }) => document.title = "axe " + JSON.stringify(violations.map(({ id, nodes }) => [id, nodes[0].html])))`;
    writeFileSync(
      join(folder, "axe.html"),
      open.replace("</body>", () => `<script>${axe}</script><script>${report}</script></body>`),
    );
    for (const [isDark, widthPx] of [
      [false, 500],
      [true, 1180],
      ...(NIGHTLY
        ? ([
            [false, 1180],
            [false, 768],
          ] as const)
        : []),
    ] as const) {
      const text = await browse("axe.html", isDark, widthPx, ["--virtual-time-budget=60000", "--dump-dom"]);
      expect(/<title>(axe .*?)<\/title>/.exec(text)?.[1]).toBe("axe []");
    }
  });
});

/** The first pixel of a PNG with 8 bits per channel. No line filter changes that pixel. */
function firstPixel(png: Buffer): string {
  const parts: Buffer[] = [];
  for (let offset = 8; offset < png.length; offset += 12 + png.readUInt32BE(offset)) {
    if (png.toString("latin1", offset + 4, offset + 8) === "IDAT")
      parts.push(png.subarray(offset + 8, offset + 8 + png.readUInt32BE(offset)));
  }
  return inflateSync(Buffer.concat(parts)).subarray(1, 4).toString("hex");
}
