/**
 * Topologies, or a comparison of them, as one self-contained HTML page: no network, no script. Pure. Follows the
 * reader's light or dark mode; light on paper, without cut pictures.
 */
import { type DatabaseSummary, type TopologyDiff, weakenedOf } from "../../plan/diff";
import type { Change } from "../../plan/diff/change";
import type { LoggedFinding } from "../../plan/findings/loggedFindings";
import { costCell, headline, inOrder, markOf } from "./topologyMarkdown";
import { escapeText, renderDocument } from "../../../runtime/base/html";
import { type Band, PICTURE_STYLE, PICTURE_WIDTH, renderBand } from "./picture";

export interface PageParts {
  readonly bands: readonly Band[];
  readonly diff: TopologyDiff;
  readonly findings: readonly LoggedFinding[];
  /** False: shows one set, compares nothing. */
  readonly compares: boolean;
}

/** The complete document. */
export function renderPage(parts: PageParts): string {
  const { bands, compares, diff, findings } = parts;
  const weakened = weakenedOf(diff).length;
  const head = compares ? headline(diff) : `${bands.length} ${bands.length === 1 ? "database" : "databases"}`;
  const summaries = new Map(diff.databases.map((database) => [database.name, database]));
  const sections = bands.map((band, index) => section(band, index, summaries.get(band.name), compares));
  const main = `<h1>Backup topology</h1>
<p class="headline${weakened > 0 ? " weakened" : ""}">${weakened > 0 ? "▼ " : ""}${escapeText(head)}</p>
${bands.length === 0 ? "<p>It has no database of this package.</p>" : summaryTable(diff, compares)}
${sections.join("\n")}
${unusedList(diff)}${findingsList(findings)}
<footer><p>3-2-1 counts copies, places that do not fail together, and copies off-site. Costs are estimates from list prices. ${compares ? "▲ strengthened, ▼ weakened, ▽ weakened and acknowledged, • neutral, ? not known yet." : ""}</p></footer>`;
  return renderDocument({ title: `Backup topology: ${head}`, style: `${PICTURE_STYLE}${PAGE_STYLE}`, main });
}

function summaryTable({ changes, databases }: TopologyDiff, compares: boolean): string {
  const rows = databases.map((database, index) => {
    const own = changes.filter((change) => change.database === database.name);
    const marks = compares
      ? `<td>${escapeText(own.length === 0 ? "nothing changes" : headline({ databases: [], changes: own, unused: [] }))}</td>`
      : "";
    return `<tr><th scope="row"><a href="#database-${index + 1}">${escapeText(database.name)}</a></th><td>${copiesText(database)}</td><td>${escapeText(costCell(database))}</td>${marks}</tr>`;
  });
  const last = compares ? '<th scope="col">changes</th>' : "";
  return `<div class="wide"><table><caption>Databases</caption><thead><tr><th scope="col">database</th><th scope="col">3-2-1</th><th scope="col">a month</th>${last}</tr></thead><tbody>
${rows.join("\n")}
</tbody></table></div>`;
}

function copiesText({ copiesAfter, copiesBefore }: DatabaseSummary): string {
  if (copiesBefore === null) return escapeText(`new, ${copiesAfter ?? "?"}`);
  if (copiesAfter === null) return escapeText(`${copiesBefore} → removed`);
  return escapeText(copiesBefore === copiesAfter ? copiesAfter : `${copiesBefore} → ${copiesAfter}`);
}

function section(band: Band, index: number, summary: DatabaseSummary | undefined, compares: boolean): string {
  const numbers = summary === undefined ? "" : ` <small>${copiesText(summary)}</small>`;
  return `<section id="database-${index + 1}"><h2>${escapeText(band.name)}${numbers}</h2>
<div class="wide">${renderBand(band)}</div>
${compares ? changesTable(band) : ""}</section>`;
}

function changesTable({ changes, name }: Band): string {
  if (changes.length === 0) return "<p>Nothing changes.</p>";
  const rows = inOrder(changes).map(
    (change) =>
      `<tr class="${classOf(change)}"><td class="sign">${escapeText(markOf(change))}</td><td><code>${escapeText(change.path)}</code></td><td>${escapeText(change.before)}</td><td>${escapeText(change.after)}</td><td>${escapeText(change.text)}${
        change.acknowledged === undefined ? "" : `<br><em>Acknowledged: ${escapeText(change.acknowledged)}</em>`
      }</td></tr>`,
  );
  return `<div class="wide"><table><caption>Changes of ${escapeText(name)}</caption><thead><tr><th scope="col">mark</th><th scope="col">what</th><th scope="col">before</th><th scope="col">after</th><th scope="col">in words</th></tr></thead><tbody>
${rows.join("\n")}
</tbody></table></div>`;
}

function classOf({ acknowledged, effect, uncertain }: Change): string {
  if (uncertain) return "uncertain";
  return effect === "weakened" && acknowledged !== undefined ? "acknowledged" : effect;
}

function unusedList({ unused }: TopologyDiff): string {
  if (unused.length === 0) return "";
  const items = unused.map(
    ({ change, database }) => `<li>${escapeText(database)} <code>${escapeText(change)}</code></li>`,
  );
  return `<section><h2>Entries of acknowledgeWeaker that match no change</h2><ul>\n${items.join("\n")}\n</ul></section>\n`;
}

function findingsList(findings: readonly LoggedFinding[]): string {
  if (findings.length === 0) return "";
  const items = findings.map(
    ({ code, database, message, path }) =>
      `<li><strong>${escapeText(code)}</strong> ${escapeText(database)} <code>${escapeText(path)}</code>${message === undefined ? "" : `: ${escapeText(message)}`}</li>`,
  );
  return `<section><h2>Findings of the preview</h2><ul>\n${items.join("\n")}\n</ul></section>`;
}

const PAGE_STYLE = `body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI",Roboto,"Liberation Sans","DejaVu Sans",sans-serif}
main{max-width:${PICTURE_WIDTH + 20}px;margin:0 auto;padding:24px 20px}
h1{font-size:24px;margin:0}
h2{font-size:18px;margin:36px 0 10px;border-bottom:1px solid var(--line);padding-bottom:4px}
h2 small{font-weight:400;color:var(--dim);margin-left:10px}
a{color:inherit}
.headline{font-size:17px;margin:4px 0 20px}
.headline.weakened{color:var(--weak);font-weight:600}
.wide{overflow-x:auto}
.topology{display:block;max-width:100%;height:auto;min-width:760px}
table{border-collapse:collapse;width:100%;font-size:14px;margin:8px 0}
caption{text-align:left;color:var(--dim);padding:2px 0}
th,td{text-align:left;vertical-align:top;padding:5px 10px 5px 0;border-bottom:1px solid var(--line);overflow-wrap:break-word}
thead th{white-space:nowrap;color:var(--dim);font-weight:600}
td.sign{white-space:nowrap;font-weight:600}
td code{overflow-wrap:anywhere}
code{font:13px ui-monospace,"DejaVu Sans Mono","Liberation Mono",monospace}
tr.weakened .sign{color:var(--weak)}tr.strengthened .sign{color:var(--strong)}tr.uncertain .sign,tr.acknowledged .sign{color:var(--open)}
footer{color:var(--dim);font-size:13px;margin-top:36px}
@media print{main{padding:0;max-width:none}section,tr{break-inside:avoid}.wide{overflow:visible}.topology{min-width:0}}
`;
