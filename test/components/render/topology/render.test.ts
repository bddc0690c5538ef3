/** A comparison as Markdown, page and picture: marks, costs, limits, and hostile values. */
import { expect, test } from "vitest";
import { diffTopologies, type TopologyDiff } from "../../../../components/plan/diff";
import type { Topology } from "../../../../components/plan/topology/topology";
import { cell, MARKDOWN_CHARACTERS_MAX, renderMarkdown } from "../../../../components/render/topology/topologyMarkdown";
import { renderPage } from "../../../../components/render/topology/topologyPage";
import { bandsOf, renderPicture } from "../../../../components/render/topology/picture";
import { renderShown } from "../../../../components/render/topology/show";
import { BUCKET, NAS, R2 } from "../../plans";
import { topology } from "../../topologies";

const SIZING = { databaseGiB: 100, walGiBPerDay: 2 };
const BEFORE = topology({ sizing: SIZING });
const AFTER = topology({
  sizing: SIZING,
  repositories: { repo1: { ...NAS, keepDays: 3 }, repo2: BUCKET, repo3: R2 },
  archiveTimeoutSeconds: 600,
  acknowledgeWeaker: { "repositories.repo1.keepDays=3": "the NAS is full" },
});
const HOSTILE = "</title><script>alert(1)</script> | [x](https://evil.example) @everyone `code` \u202eabc\u0000";

interface Drawn {
  readonly diff: TopologyDiff;
  readonly page: string;
  readonly picture: string;
}
function draw(before: Topology, after: Topology): Drawn {
  const sets = [new Map([["ledger", before]]), new Map([["ledger", after]])] as const;
  const diff = diffTopologies(...sets);
  const bands = bandsOf(...sets, diff.changes);
  return { diff, page: renderPage({ bands, diff, findings: [], compares: true }), picture: renderPicture(bands) };
}

test("the Markdown begins with the most important changes", () => {
  expect(
    renderMarkdown(draw(BEFORE, AFTER).diff, [
      { database: "ledger", code: "PB042", path: "drills", message: "no drill" },
    ]),
  ).toMatchInlineSnapshot(`
    "<!-- pgbackstop topology diff -->
    ### ▼ Backup topology: 1 weakened, 1 weakened and acknowledged, 4 strengthened

    | database | copies-places-off-site | estimated cost a month |
    | --- | --- | --- |
    | ledger | 3-2-1 → **4-3-2** | $1.42 → $10.18 |

    | | database | what | before | after | in words |
    | --- | --- | --- | --- | --- | --- |
    | ▼ weakened | ledger | worstCaseRpoSeconds | 130 | 670 | losing the host loses at most 670 s of commits |
    | ▽ weakened, acknowledged | ledger | repositories.repo1.keepDays | 7 | 3 | repo1 keeps 3 days, kept 7 days before (meant: the NAS is full) |
    | ▲ strengthened | ledger | copies.copies | 3 | 4 | copies of the data, the database itself included: 4 (4-3-2), not 3 (3-2-1) |
    | ▲ strengthened | ledger | copies.providers | 2 | 3 | places that do not fail together: 3 (4-3-2), not 2 (3-2-1) |
    | ▲ strengthened | ledger | copies.offSite | 1 | 2 | copies off-site: 2 (4-3-2), not 1 (3-2-1) |
    | ▲ strengthened | ledger | repositories.repo3 | none | s3://orders-backups/orders at Cloudflare R2 | repo3 (s3://orders-backups/orders at Cloudflare R2) is new |

    <details><summary>If this is intended, acknowledge it in the arguments of the database</summary>

    \`\`\`ts
    // ledger
    acknowledgeWeaker: {
      "worstCaseRpoSeconds=670": "why",
    },
    \`\`\`

    </details>

    <details><summary>1 finding of the preview</summary>

    - ledger: PB042 drills: no drill

    </details>
    "
  `);
});

test("an empty comparison is one line", () => {
  expect(renderMarkdown(draw(BEFORE, BEFORE).diff, [])).toBe(
    "<!-- pgbackstop topology diff -->\n### Backup topology: nothing changes\n\n1 database is unchanged.\n",
  );
});

test("the page and the picture mark by sign and word, are self-contained and follow the reader's mode", () => {
  const { page, picture } = draw(BEFORE, AFTER);
  for (const text of [page, picture]) {
    expect(text).toContain("▽ weakened, acknowledged");
    expect(text).toContain("▲ new");
    expect(text).toContain("prefers-color-scheme:dark");
    expect(text).toContain('role="img"');
    expect(text).not.toMatch(/<script|<link|<img|@import|url\((?!#)|https?:\/\/(?!www\.w3\.org\/2000\/svg)/);
  }
  expect(page).toContain("Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"");
  expect(page).toContain("keeps 3 days (kept 7 days)");
  expect(page).toMatch(/\$[\d.]+ → \$[\d.]+/);
});

test("a partly unknown object is neither removed nor new", () => {
  const sets = [new Map([["ledger", BEFORE]]), new Map([["ledger", null]])] as const;
  const picture = renderPicture(bandsOf(...sets, diffTopologies(...sets).changes));
  expect(picture).toContain("? not known yet");
  expect(picture).not.toMatch(/removed<|▲/);
});

test("the picture shows a repository under another key once, and neither as removed nor as new", () => {
  const drills = { monthly: { cron: "0 5 1 * *", from: "repo2" } };
  const pictureOf = (repositories: Record<string, typeof NAS>): string => {
    const [before, after] = [topology(), topology({ repositories, drills })].map((one) => new Map([["ledger", one]]));
    const sets = [before ?? new Map(), after ?? new Map()] as const;
    return renderPicture(bandsOf(...sets, diffTopologies(...sets).changes));
  };
  const swapped = pictureOf({ repo1: BUCKET, repo2: NAS });
  expect(swapped).toContain("• changed");
  expect(swapped).not.toMatch(/▼|▲/);
  const gone = pictureOf({ repo1: BUCKET });
  expect(gone).toContain("former repo1");
  expect(gone.match(/▼ removed/g)).toHaveLength(1);
});

test("values stay text, whatever they contain", () => {
  const [node] = AFTER.databases;
  const hostile = {
    ...AFTER,
    databases: [{ ...node, dataDirectory: HOSTILE, engineVersion: HOSTILE }],
    repositories: AFTER.repositories.map((repository) => ({
      ...repository,
      location: HOSTILE,
      failureDomain: HOSTILE,
    })),
  } as Topology;
  const { diff, page, picture } = draw(BEFORE, hostile);
  const markdown = renderMarkdown(diff, [{ database: HOSTILE, code: "PB031", path: "x", message: HOSTILE }]);
  // Skip the fence: everything in it is code, and no value can close it.
  const open = markdown.replace(/^```ts\n.*^```$/ms, "");
  for (const text of [page, picture, open, renderShown(new Map([["ledger", hostile]]))]) {
    expect(text).not.toContain("<script");
    // oxlint-disable-next-line no-control-regex
    expect(text).not.toMatch(/[\u0000-\u0008\u202e]/);
  }
  const table = markdown.split("\n").filter((line) => /^\| [▼▲▽•?] /.test(line));
  expect(table.length).toBeGreaterThan(3);
  for (const line of table) expect(line.replaceAll("\\|", "").split("|")).toHaveLength(8);
  expect(open).not.toMatch(/@everyone|[^\\]\]\(|https?:\/\//);
});

test("no scheme of a name becomes a link in Markdown", () => {
  for (const link of ["https://a.example", "ftp://a.example", "irc://a.example", "sftp://u@a.example", "www.a.example"])
    expect(cell(link)).not.toContain(link);
  expect(cell("ftp://a.example")).toBe("ftp:\u200b//a.example");
  expect(cell("s3://bucket/path")).toBe("s3://bucket/path");
});

test("a comment stays below the forges' limit, and says what is left out", () => {
  const many = (stanza: string): Map<string, Topology> =>
    new Map(
      Array.from({ length: 900 }, (_, index) => [
        `database-${index}`,
        topology({ stanza: `${stanza}-${"x".repeat(60)}` }, `database-${index}`),
      ]),
    );
  const text = renderMarkdown(diffTopologies(many("a"), many("b")), []);
  expect(text.length).toBeLessThanOrEqual(MARKDOWN_CHARACTERS_MAX + 200);
  expect(text).toMatch(/[0-9]+ more changes do not fit here/);
});
