/**
 * The page of a comparison in a real browser without a network: light or dark by the reader's mode. Skipped loudly
 * without a browser.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { diffTopologies } from "../../components/plan/diff";
import { renderPage } from "../../components/render/topology/topologyPage";
import { bandsOf, renderPicture } from "../../components/render/topology/picture";
import { findOnPath, run } from "../../tools/parts/process";
import { BUCKET, NAS } from "../components/plans";
import { topology } from "../components/topologies";

const folder = mkdtempSync(join(tmpdir(), "pgb-page-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("the page in a browser", async () => {
  const browser = await findOnPath("chromium");
  if (browser === null) {
    process.stderr.write("the page in a browser: needs chromium on PATH (apt-get install chromium), skipped\n");
    test.skip("there is no chromium", () => undefined);
    return;
  }

  const shoot = async (name: string, isDark: boolean): Promise<Buffer> => {
    const out = join(folder, "shot.png");
    const options = [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      `--user-data-dir=${join(folder, "profile")}`,
      "--window-size=1180,900",
    ];
    const mode = `--blink-settings=preferredColorScheme=${isDark ? 0 : 1}`;
    const offline = ["--host-resolver-rules=MAP * ~NOTFOUND", `--screenshot=${out}`, `file://${join(folder, name)}`];
    const { exitCode, stderr } = await run(browser, [...options, mode, ...offline], { timeoutMs: 60_000 });
    expect(exitCode, stderr).toBe(0);
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
