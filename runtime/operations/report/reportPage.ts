/**
 * The document of `report` as one self-contained HTML page: no network, no script. It follows the reader's light or
 * dark mode, and is light on paper. Pure.
 */
import { escapeText, PAGE_COLOURS, renderDocument } from "../../base/html";
import { durationText, formatSize } from "../../base/units";
import { shellQuote } from "../restore/recovery";
import { isRestorable } from "./coverage";
import { renderDrills } from "./drillPlot";
import { DRAWING_STYLE, whenAgo, whenText } from "./drawing";
import { renderCopies } from "./copiesPicture";
import type { ReportedDatabase, ReportedRepo, ReportedTrouble, ReportFile } from "./reportFields";
import { renderTimeAxis } from "./timeAxis";

/** Span of the growth that the page shows. */
const GROWTH_DAYS = 30;
const DAY_S = 86_400;

interface Linked {
  readonly database: ReportedDatabase;
  readonly link: string;
  readonly nowS: number;
}

/** The complete document. @param nowS from which ages count: a document may be old */
export function renderReportPage({ databases }: Pick<ReportFile, "databases">, nowS: number): string {
  const linked = databases.map((database, index): Linked => ({ database, link: `database-${index + 1}`, nowS }));
  const head = headline(databases);
  const main = `<h1>Backups</h1>
<p class="headline${troubled(databases).length > 0 ? " weak" : ""}">${escapeText(head)}</p>
${attention(linked)}${databases.length > 1 ? overview(linked) : ""}
${linked.map(databaseSection).join("\n")}
<footer><p>Windows and gaps follow from the names and times of stored WAL; <code>pgbackstop verify</code> reads the content. All times are UTC, and ages count from ${whenText(nowS)}.</p></footer>`;
  return renderDocument({ title: `Backups: ${head}`, style: `${PAGE_COLOURS}${DRAWING_STYLE}${STYLE}`, main });
}

function headline(databases: readonly ReportedDatabase[]): string {
  const count = databases.length;
  const wrong = troubled(databases).length;
  if (wrong === 0) return count === 1 ? "all is well" : `all is well with ${count} databases`;
  if (count === 1) return "needs attention";
  return `${wrong} of ${count} databases ${wrong === 1 ? "needs" : "need"} attention`;
}

function troubled(databases: readonly ReportedDatabase[]): ReportedDatabase[] {
  return databases.filter((database) => troublesIn(database).length > 0);
}

function troublesIn({
  repos,
  troubles,
}: ReportedDatabase): { readonly where: string; readonly trouble: ReportedTrouble }[] {
  return [
    ...troubles.map((trouble) => ({ where: "", trouble })),
    ...repos.flatMap(({ key, troubles: own }) => own.map((trouble) => ({ where: `repo${key}`, trouble }))),
  ];
}

function titleOf({ host, stanza }: ReportedDatabase): string {
  return `${stanza} on ${host}`;
}

/** What to read first. */
function attention(linked: readonly Linked[]): string {
  const items = linked.flatMap(({ database, link }) =>
    troublesIn(database).map(
      ({ trouble, where }) =>
        `<li><a href="#${link}">${escapeText(titleOf(database))}</a>${where === "" ? "" : ` <strong>${where}</strong>`}: ${escapeText(trouble.message)}${trouble.hints.map((hint) => `<p class="hint">${escapeText(hint)}</p>`).join("")}</li>`,
    ),
  );
  if (items.length === 0) return "";
  return `<section aria-labelledby="attention"><h2 id="attention">What needs attention</h2>
<ul class="attention">${items.join("\n")}</ul></section>
`;
}

function overview(linked: readonly Linked[]): string {
  const rows = linked.map(({ database, link, nowS }) => {
    const whenOf = (timeS: number | undefined): string => (timeS === undefined ? "none" : whenAgo(timeS, nowS));
    const wrong = troublesIn(database).length;
    const cells = [
      wrong === 0 ? "✓ well" : `▼ ${wrong} to look at`,
      whenOf(newestFullS(database)),
      whenOf(newestMomentS(database)),
      drillText(database, nowS),
      formatSize(sum(database.repos.map(storedBytes))),
    ];
    return `<tr${wrong === 0 ? "" : ' class="weak"'}><th scope="row"><a href="#${link}">${escapeText(titleOf(database))}</a></th>${cells.map((cell) => `<td>${escapeText(cell)}</td>`).join("")}</tr>`;
  });
  return `<section aria-labelledby="databases"><h2 id="databases">Databases</h2>
${scrolled(
  "Table of databases",
  table(
    "",
    ["database", "state", "newest full backup", "newest moment that a restore reaches", "last drill", "stored"],
    rows,
  ),
)}</section>`;
}

function newestFullS({ repos }: ReportedDatabase): number | undefined {
  return newestOf(
    repos.flatMap(({ backups }) => backups.flatMap((each) => (each.type === "full" ? [each.stoppedAtS] : []))),
  );
}

function newestMomentS({ repos }: ReportedDatabase): number | undefined {
  return newestOf(repos.flatMap(({ windows }) => windows.map(({ toS }) => toS)));
}

function newestOf(times: readonly number[]): number | undefined {
  return times.length === 0 ? undefined : times.reduce((newest, time) => Math.max(newest, time));
}

function drillText({ drills, rtoSeconds: promised }: ReportedDatabase, nowS: number): string {
  const last = drills.at(-1);
  if (last === undefined) return "none";
  const verdict = last.ok ? "passed" : "failed";
  const restored = last.rtoSeconds === undefined ? "" : `, open after ${durationText(Math.ceil(last.rtoSeconds))}`;
  const rto = last.opened === true ? ", opened instead of restored" : restored;
  const limit = promised === undefined || last.rtoSeconds === undefined ? "" : ` of ${durationText(promised)}`;
  return `${verdict} ${whenAgo(last.endedAtS, nowS)}${rto}${limit}`;
}

function storedBytes({ backups, walBytes }: ReportedRepo): number {
  return walBytes + sum(backups.map((backup) => backup.storedBytes));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function databaseSection({ database, link, nowS }: Linked): string {
  const { repos } = database;
  return `<section aria-labelledby="${link}"><h2 id="${link}">${escapeText(titleOf(database))} <small>looked at ${whenAgo(database.atS, nowS)}</small></h2>
${scrolled(`Copies of ${titleOf(database)}`, renderCopies(database, nowS))}
<h3>What can be restored</h3>
${scrolled(`Time axis of ${titleOf(database)}`, renderTimeAxis(database, nowS))}
${repos.map((repo) => `${windowList(repo)}${dumpsLine(repo)}`).join("\n")}
<h3>Drills</h3>
${renderDrills(database, titleOf(database), nowS)}
<h3>Sizes</h3>
${sizes(database, nowS)}
${repos.map((repo) => backupTable(repo, titleOf(database))).join("\n")}
<h3>Next steps</h3>
${commands(database)}</section>`;
}

function windowList({ gaps, key, windows }: ReportedRepo): string {
  const spans = windows.map(({ fromS, toS }) =>
    fromS === toS
      ? `the end of a backup, ${whenText(fromS)}`
      : `any moment from ${whenText(fromS)} to ${whenText(toS)}`,
  );
  const holes = gaps.map(
    ({ from, to }) => `<li class="weak">WAL is missing: ${escapeText(from === to ? from : `${from} to ${to}`)}</li>`,
  );
  const items = [...spans.map((span) => `<li>${escapeText(span)}</li>`), ...holes];
  return `<p>repo${key} can restore${items.length === 0 ? " nothing." : `:</p><ul>${items.join("")}</ul><p class="end">`}</p>`;
}

function dumpsLine({ dumps, key }: ReportedRepo): string {
  if (dumps === undefined) return "";
  const { complete, newest } = dumps;
  const last =
    newest === undefined ? "" : `, the newest of ${whenText(newest.stoppedAtS)}: ${newest.databases.join(", ")}`;
  return `<p>${escapeText(`repo${key} has ${complete} complete logical dump${complete === 1 ? "" : "s"}${last}.`)}</p>`;
}

function sizes(database: ReportedDatabase, nowS: number): string {
  const { repos } = database;
  const prices = repos.flatMap(({ cost }) => cost ?? []);
  const isPriced = prices.length > 0;
  const rows = repos.map((repo) => {
    const newest = repo.backups.at(-1);
    const recent = repo.backups.filter(({ stoppedAtS }) => stoppedAtS > nowS - GROWTH_DAYS * DAY_S);
    const cells = [
      newest === undefined ? "" : formatSize(newest.databaseBytes),
      `${repo.backups.length}`,
      formatSize(sum(repo.backups.map((backup) => backup.storedBytes))),
      formatSize(repo.walBytes),
      formatSize(sum(recent.map((backup) => backup.storedBytes))),
      ...(isPriced ? [repo.cost === undefined ? "" : `$${repo.cost.usdPerMonth.toFixed(2)}`] : []),
    ];
    return `<tr><th scope="row">repo${repo.key}</th>${cells.map((cell) => `<td>${escapeText(cell)}</td>`).join("")}</tr>`;
  });
  const heads = [
    "repository",
    "database",
    "backups",
    "stored backups",
    "stored WAL",
    `backups of the last ${GROWTH_DAYS} days`,
    ...(isPriced ? ["storage a month"] : []),
  ];
  const note = isPriced
    ? `<p>The costs are those of storage at list prices of ${escapeText([...new Set(prices.map(({ asOf }) => asOf))].join(", "))}, in US dollars without tax. Calls, downloads and earlier versions of objects are extra.</p>`
    : "";
  return `${scrolled(`Sizes of ${titleOf(database)}`, table("", heads, rows))}${note}`;
}

function backupTable({ backups, key, windows }: ReportedRepo, title: string): string {
  if (backups.length === 0) return "";
  const rows = backups.toReversed().map((backup) => {
    const { damaged, databaseBytes, label, startedAtS, stoppedAtS, storedBytes: added, type } = backup;
    const isUsable = isRestorable(backup, windows);
    const notes = [
      ...(damaged === true ? ["has damaged pages"] : []),
      ...(isUsable ? [] : ["its WAL is missing, or of an earlier cluster"]),
    ];
    const cells = [
      type,
      whenText(stoppedAtS),
      durationText(Math.max(0, stoppedAtS - startedAtS)),
      formatSize(databaseBytes),
      formatSize(added),
      notes.join("; "),
    ];
    return `<tr${notes.length === 0 ? "" : ' class="weak"'}><th scope="row"><code>${escapeText(label)}</code></th>${cells.map((cell) => `<td>${escapeText(cell)}</td>`).join("")}</tr>`;
  });
  const heads = ["backup", "type", "ended", "took", "database", "added", ""];
  return `<details><summary>Backups in repo${key} (${backups.length})</summary>
${scrolled(`Backups in repo${key} of ${title}`, table("", heads, rows))}</details>`;
}

/**
 * Complete as they stand. Without a target recovery ends with the stored WAL: a window's last moment is when its last
 * segment was stored, and PostgreSQL refuses a time after which nothing was committed.
 */
function commands({ repos, stanza }: ReportedDatabase): string {
  const program = `pgbackstop --stanza=${shellQuote(stanza)}`;
  const usable = repos.filter(({ windows }) => windows.length > 0);
  const best = usable.toSorted((left, right) => endOf(right) - endOf(left))[0];
  const lines: readonly (readonly [string, string])[] = [
    ["What does it look like now?", `${program} status`],
    ["Is every file as it was stored?", `${program} verify`],
    ...(best === undefined
      ? []
      : ([
          ["Does a restore work, and how long does it take?", `${program} drill --repo=${best.key}`],
          [
            "Look at the database at the end of its stored WAL (at an earlier time: --type=time --target)",
            `${program} open --repo=${best.key} --at=/mnt/past`,
          ],
          [
            "Recover the server to the end of its stored WAL (to an earlier time: --type=time --target)",
            `${program} recover --repo=${best.key}`,
          ],
        ] as const)),
  ];
  return `<dl>${lines.map(([what, command]) => `<dt>${escapeText(what)}</dt><dd><code>${escapeText(command)}</code></dd>`).join("\n")}</dl>`;
}

function endOf({ windows }: ReportedRepo): number {
  return windows.at(-1)?.toS ?? 0;
}

function table(caption: string, heads: readonly string[], rows: readonly string[]): string {
  const title = caption === "" ? "" : `<caption>${escapeText(caption)}</caption>`;
  return `<table>${title}<thead><tr>${heads.map((head) => (head === "" ? "<td></td>" : `<th scope="col">${escapeText(head)}</th>`)).join("")}</tr></thead><tbody>
${rows.join("\n")}
</tbody></table>`;
}

/** Readers without a mouse scroll what has the focus. */
function scrolled(name: string, content: string): string {
  return `<div class="wide" role="region" aria-label="${escapeText(name)}" tabindex="0">${content}</div>`;
}

const STYLE = `body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI",Roboto,"Liberation Sans","DejaVu Sans",sans-serif}
main{max-width:920px;margin:0 auto;padding:24px 20px}
h1{font-size:24px;margin:0}
h2{font-size:18px;margin:36px 0 10px;border-bottom:1px solid var(--line);padding-bottom:4px}
h2 small{font-weight:400;font-size:13px;color:var(--dim);margin-left:10px}
h3{font-size:15px;margin:22px 0 6px}
a{color:inherit}
.headline{font-size:17px;margin:4px 0 20px}
.weak,.headline.weak{color:var(--weak)}
.headline.weak{font-weight:600}
ul{padding-left:20px;margin:4px 0}
.attention li{margin:8px 0;overflow-wrap:anywhere}
.hint{margin:2px 0 0;color:var(--dim)}
.end{margin:0}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;margin:8px 0}
th,td{text-align:left;vertical-align:top;padding:5px 10px 5px 0;border-bottom:1px solid var(--line)}
thead th{color:var(--dim);font-weight:600}
tr.weak td,tr.weak th{color:var(--weak)}
code{font:13px ui-monospace,"DejaVu Sans Mono","Liberation Mono",monospace;overflow-wrap:anywhere}
dt{margin-top:8px}
dd{margin:2px 0 0;padding:6px 10px;background:var(--box);border:1px solid var(--line);border-radius:4px}
summary{cursor:pointer;margin:8px 0}
footer{color:var(--dim);font-size:13px;margin-top:36px}
@media print{main{padding:0;max-width:none}section>h2,h3{break-after:avoid}tr,li,dd,svg{break-inside:avoid}.wide{overflow:visible}details::details-content{content-visibility:visible;height:auto}}
`;
