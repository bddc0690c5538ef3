/**
 * The documents of `report` as one self-contained HTML page: no network, no script. It follows the reader's light or
 * dark mode, and is light on paper. Pure.
 */
import { escapeText, PAGE_COLOURS, renderDocument } from "../../base/html";
import { durationText, formatSize } from "../../base/units";
import { shellQuote } from "../restore/recovery";
import { copyText, drilledText, renderCopies } from "./copiesPicture";
import { isRestorable } from "../../recoverability/windows";
import { renderDrills } from "./drillPlot";
import { cutMiddle, DRAWING_STYLE, titleOf, whenAgo, whenText } from "./drawing";
import { type JudgedDatabase, type JudgedReport, needsAttention, newestOf, type RepoTrouble } from "./judgeReport";
import type { ReportedDatabase, ReportedDrill, ReportedRepo } from "./reportFields";
import { renderTimeAxis } from "./timeAxis";

/** Span of the growth that the page shows. */
const GROWTH_DAYS = 30;
const DAY_S = 86_400;
/** Limits that keep a page of 200 databases below 2 MB: the worst are shown in full. */
const ATTENTION_BYTES_MAX = 300_000;
const SECTIONS_BYTES_MAX = 900_000;
const SHORT_MESSAGE_LENGTH_MAX = 300;

interface Linked extends JudgedDatabase {
  readonly link: string;
  readonly nowS: number;
  /** True if its document has no other database. */
  readonly isAlone: boolean;
}

/** The complete document. */
export function renderReportPage(report: JudgedReport): string {
  const { databases, nowS } = report;
  const paths = databases.map(({ path }) => path);
  const linked = databases.map((judged, index): Linked => {
    const isAlone = paths.indexOf(judged.path) === paths.lastIndexOf(judged.path);
    return { ...judged, link: `database-${index + 1}`, nowS, isAlone };
  });
  const [head, proof] = [headline(report), proofLine(report)];
  const main = `<h1>Backups <small>${whenText(nowS)} UTC</small></h1>
<p class="headline${needsAttention(report) ? " weak" : ""}">${escapeText(head)}</p>
<p class="headline">${escapeText(proof)}</p>
${attention(report, linked)}${databases.length > 1 ? overview(linked) : ""}
${fitted(linked, SECTIONS_BYTES_MAX, databaseSection, shortSection).join("\n")}
<footer><p>Windows and gaps follow from the names and times of stored WAL; <code>pgbackstop verify</code> reads the content. All times are UTC, and ages count from ${whenText(nowS)}.</p></footer>`;
  const title = `Backups: ${head}; ${proof}`;
  return renderDocument({ title, style: `${PAGE_COLOURS}${DRAWING_STYLE}${STYLE}`, main });
}

/** The long form of each item for which there is room, else the short one. A single item always has room. */
function fitted<T>(
  items: readonly T[],
  bytesMax: number,
  long: (item: T) => string,
  short: (item: T) => string,
): string[] {
  let left = items.length === 1 ? Number.POSITIVE_INFINITY : bytesMax;
  return items.map((item) => {
    const text = long(item);
    const sizeBytes = Buffer.byteLength(text);
    if (sizeBytes > left) return short(item);
    left -= sizeBytes;
    return text;
  });
}

/** Says whether the backups are current. */
function headline({ databases, troubles }: JudgedReport): string {
  const count = databases.length;
  const wrong = databases.filter((each) => each.troubles.length > 0).length;
  const ofDatabases =
    count === 0
      ? "no database was looked at"
      : count === 1
        ? `the backups ${wrong === 0 ? "are current" : "need attention"}`
        : wrong === 0
          ? `the backups of all ${count} databases are current`
          : `${wrong} of ${count} databases ${needs(wrong)}`;
  const ofDocuments =
    troubles.length === 0 ? "" : `, ${counted(troubles.length, "document")} ${needs(troubles.length)}`;
  return `${ofDatabases}${ofDocuments}`;
}

/** Says which restore has proven what is stored. */
function proofLine({ databases, nowS }: JudgedReport): string {
  const proofs = databases.flatMap(({ database, proof }) => (proof === null ? [] : [{ database, proof }]));
  const [oldest] = proofs.toSorted((left, right) => left.proof.endedAtS - right.proof.endedAtS);
  if (oldest === undefined) return "never proven: no drill has restored them";
  const unproven = databases.length - proofs.length;
  if (unproven > 0) return `never proven by a restore: ${unproven} of ${databases.length} databases`;
  const proven = `repo${oldest.proof.repo} was ${drilledText(oldest.proof, nowS)}`;
  return databases.length === 1
    ? [`proven: ${proven}`, ...failedTexts(oldest.database, nowS)].join("; ")
    : `all proven; the oldest proof is of ${titleOf(oldest.database)}: ${proven}`;
}

/** Failure of the newest drill. */
function failedTexts({ drills }: ReportedDatabase, nowS: number): string[] {
  const last = drills.at(-1);
  return last === undefined || last.ok ? [] : [`drill ${last.id} failed ${whenAgo(last.endedAtS, nowS)}`];
}

function needs(count: number): string {
  return count === 1 ? "needs attention" : "need attention";
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? "" : "s"}`;
}

/** What to read first. */
function attention({ troubles }: JudgedReport, linked: readonly Linked[]): string {
  const items = [
    ...troubles.map((trouble) => troubleItem({ repo: null, trouble })),
    ...fitted(
      linked.filter((each) => each.troubles.length > 0),
      ATTENTION_BYTES_MAX,
      (each) => `<li>${linkTo(each)}, ${seenText(each)}<ul>${each.troubles.map(troubleItem).join("\n")}</ul></li>`,
      (each) => {
        const first = cutMiddle(each.troubles[0]?.trouble.message ?? "", SHORT_MESSAGE_LENGTH_MAX);
        const more = each.troubles.length > 1 ? `; and ${each.troubles.length - 1} more` : "";
        return `<li>${linkTo(each)}, ${seenText(each)}: ${escapeText(`${first}${more}`)}</li>`;
      },
    ),
  ];
  if (items.length === 0) return "";
  return `<section aria-labelledby="attention"><h2 id="attention">What needs attention</h2>
<ul class="attention">${items.join("\n")}</ul></section>
`;
}

function troubleItem({ repo, trouble: { hints, message } }: RepoTrouble): string {
  const where = repo === null ? "" : `<strong>repo${repo}</strong> `;
  return `<li>${where}${escapeText(message)}${hints.map((hint) => `<p class="hint">${escapeText(hint)}</p>`).join("")}</li>`;
}

function linkTo({ database, link }: Linked): string {
  const { host, stanza } = database;
  const [shown, whole] = [titleOf(database), `${stanza} on ${host}`];
  const hint = shown === whole ? "" : ` title="${escapeText(whole)}"`;
  return `<a href="#${link}"${hint}>${escapeText(shown)}</a>`;
}

/** Ages in its troubles are of that time. */
function seenText({ database: { atS }, nowS }: Linked): string {
  return `looked at ${whenAgo(atS, nowS)}`;
}

function overview(linked: readonly Linked[]): string {
  const rows = linked.map((each) => {
    const { database, isCurrent, nowS, proof, troubles } = each;
    const whenOf = (timeS: number | undefined): string => (timeS === undefined ? "none" : whenAgo(timeS, nowS));
    const proven = proof === null ? "never" : drillText(proof, database, nowS);
    const cells = [
      troubles.length > 0 ? `▼ ${troubles.length} to look at` : isCurrent ? "✓ well" : "",
      whenOf(database.atS),
      whenOf(newestFullS(database)),
      whenOf(newestMomentS(database)),
      [proven, ...failedTexts(database, nowS)].join("; "),
      formatSize(sum(database.repos.map(storedBytes))),
    ];
    return `<tr${troubles.length === 0 ? "" : ' class="weak"'}><th scope="row">${linkTo(each)}</th>${cells.map((cell) => `<td>${escapeText(cell)}</td>`).join("")}</tr>`;
  });
  const heads = [
    "database",
    "state",
    "looked at",
    "newest full backup",
    "newest moment that a restore reaches",
    "proven by a restore",
    "stored",
  ];
  return `<section aria-labelledby="databases"><h2 id="databases">Databases</h2>
${scrolled("Table of databases", table("", heads, rows))}</section>`;
}

function newestFullS({ repos }: ReportedDatabase): number | undefined {
  return newestOf(
    repos.flatMap(({ backups }) => backups.flatMap((each) => (each.type === "full" ? [each.stoppedAtS] : []))),
  );
}

function newestMomentS({ repos }: ReportedDatabase): number | undefined {
  return newestOf(repos.flatMap(({ windows }) => windows.map(({ toS }) => toS)));
}

function drillText(
  { endedAtS, opened, rtoSeconds }: ReportedDrill,
  { rtoSeconds: promised }: ReportedDatabase,
  nowS: number,
): string {
  const limit = promised === undefined ? "" : ` of ${durationText(promised)}`;
  const restored = rtoSeconds === undefined ? "" : `, open after ${durationText(Math.ceil(rtoSeconds))}${limit}`;
  return `${whenAgo(endedAtS, nowS)}${opened === true ? ", opened instead of restored" : restored}`;
}

function storedBytes({ backups, walBytes }: ReportedRepo): number {
  return walBytes + sum(backups.map((backup) => backup.storedBytes));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function sectionHead({ database, link, nowS, path }: Linked): string {
  const { atS, host, stanza } = database;
  const from = path === null ? "" : `, from ${path}`;
  return `<section aria-labelledby="${link}"><h2 id="${link}">${escapeText(`${stanza} on ${host}`)} <small>${escapeText(`looked at ${whenAgo(atS, nowS)}${from}`)}</small></h2>`;
}

function shortSection(linked: Linked): string {
  const { database, isAlone, nowS, path } = linked;
  const copies = database.repos.map((repo) => `<li>${escapeText(copyText(repo, linked, nowS))}</li>`);
  const page =
    isAlone && path !== null
      ? `<code>${escapeText(`pgbackstop report ${shellQuote(path)}`)}</code> has all of it`
      : "a page of fewer databases has it";
  return `${sectionHead(linked)}
<ul>${copies.join("")}</ul>
<p>This page has no room for more: ${page}.</p></section>`;
}

function databaseSection(linked: Linked): string {
  const { database, nowS } = linked;
  const { repos } = database;
  return `${sectionHead(linked)}
${scrolled(`Copies of ${titleOf(database)}`, renderCopies(linked, nowS))}
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
h1 small{font-weight:400;font-size:13px;color:var(--dim)}
h2{font-size:18px;margin:36px 0 10px;border-bottom:1px solid var(--line);padding-bottom:4px;overflow-wrap:anywhere}
h2 small{font-weight:400;font-size:13px;color:var(--dim);margin-left:10px}
h3{font-size:15px;margin:22px 0 6px}
a{color:inherit}
.headline{font-size:17px;margin:4px 0}
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
