/**
 * A runbook as one self-contained HTML page: no network, no script. Meant for printing: on paper each step has a box to
 * tick, links show their target, and no scenario begins at the end of a page. Pure.
 */
import { valueText } from "../../plan/diff/change";
import { retentionText } from "../../plan/diff/repositories";
import type { DatabaseRunbook, RunbookScenario, RunbookStep } from "../../plan/runbook/runbookDocument";
import { escapeText, renderDocument } from "../../../runtime/base/html";
import { type LinkedDatabase, linkedDatabases } from "./links";
import { DRILLED_LEAD, measuredLead } from "./runbookMarkdown";
import { FIRST_STEPS, GLOSSARY, messagesOf, rolesOf, type RunbookPeople } from "./people";

/** The complete document. @param origin a sentence that names the stack's state */
export function renderRunbookPage(
  databases: readonly DatabaseRunbook[],
  people: RunbookPeople,
  origin: string,
): string {
  const linked = linkedDatabases(databases);
  const links = linked.map(({ link, title }) => `<a href="#${link}">${escapeText(title)}</a>`);
  const main = `<h1>Recovery runbook</h1>
<p>${escapeText(origin)} Commands are complete except for the words in angle brackets, which each database's section explains.</p>
<p class="paper">In a frame, indented lines continue the command above: type it as one line. A dotted line separates two commands.</p>
${databases.length > 1 ? `<p class="contents">${links.join(" · ")}</p>` : ""}
${peopleSection(people)}
${linked.map(databaseSection).join("\n")}`;
  return renderDocument({
    title: `Recovery runbook: ${databases.map(({ name }) => name).join(", ")}`,
    style: STYLE,
    main,
  });
}

function peopleSection(people: RunbookPeople): string {
  const rows = rolesOf(people).map(({ does, role, who }) => row(role, [does, who ?? ""], who === null ? "blank" : ""));
  const messages = messagesOf(people).map(([when, what]) => row(when, [what]));
  return `<section><h2>First</h2>
<ol class="steps">${FIRST_STEPS.map((text) => `<li>${escapeText(text)}</li>`).join("\n")}</ol></section>
<section><h2>Who</h2>
${table(["role", "does", "who"], rows)}
<p>One person may have several roles, but the one who types should not be the one who speaks.</p></section>
<section><h2>Messages</h2>
${table(["when", "what"], messages)}</section>
<section><h2>Terms</h2>
${table(
  ["word", "what it is"],
  GLOSSARY.map(([term, text]) => row(term, [text])),
)}</section>`;
}

function databaseSection({ database, link, linkOf, title: shown }: LinkedDatabase): string {
  const { decisions, keys, objectives, repositories, scenarios, state, what, where } = database;
  const titles = new Map(scenarios.map(({ id, title }, index) => [id, `${index + 1}. ${title}`]));
  const questions = decisions.map(({ answers, question }) => {
    const lines = answers.map(
      ({ answer, scenario }) =>
        `<li>${escapeText(answer)} → <a href="#${linkOf(scenario)}">${escapeText(titles.get(scenario) ?? scenario)}</a></li>`,
    );
    return `<li>${escapeText(question)}<ul>${lines.join("")}</ul></li>`;
  });
  const rows = repositories.map((repository) => {
    const { encrypted, failureDomain, location, offSite } = repository;
    const far = offSite === true ? "yes" : offSite === false ? "no" : "unknown";
    return row(repository.name, [
      valueText(location),
      valueText(failureDomain),
      far,
      encrypted ? "yes" : "no",
      retentionText(repository),
    ]);
  });
  return `<section class="database" id="${link}"><h2>${escapeText(shown)}</h2>
<p>${escapeText(what)}. State of this runbook: <code>${state}</code>.</p>
<h3>Where commands are run</h3>
${list(where)}
<h3>Which scenario?</h3>
<ol class="tree">${questions.join("\n")}</ol>
${placeholderSection(database)}
<h3>Copies, in the order to try</h3>
${table(["", "where", "lost together with", "off-site", "encrypted", "retention"], rows)}
${scenarios.map((scenario, index) => scenarioSection(linkOf(scenario.id), scenario, index + 1)).join("\n")}
<h3>Objectives</h3>
${list(objectives)}
${measuredSection(database)}
<h3>Keys and passphrases</h3>
${list(keys.length === 0 ? ["none are needed"] : keys)}
</section>`;
}

function measuredSection({ drilledBy, measured, measuredBy }: DatabaseRunbook): string {
  const rows = (measured ?? []).map(({ drill, repository, rpo, rto }) => row(repository, [drill, rto, rpo]));
  const drillText = drilledBy.length === 0 ? "" : `<p>${escapeText(DRILLED_LEAD)}</p>${commandBlock(drilledBy)}`;
  return `<h3>Measurements</h3>
${measured === null ? "" : table(["", "last drill", "open again after (RTO)", "lost (RPO)"], rows)}
<p>${escapeText(measuredLead(measured !== null, measuredBy))}</p>${measuredBy === null ? "" : commandBlock([measuredBy])}${drillText}`;
}

function placeholderSection({ placeholders }: DatabaseRunbook): string {
  if (placeholders.length === 0) return "";
  const lines = placeholders.map(({ text, name }) => `<li><code>${escapeText(name)}</code>: ${escapeText(text)}</li>`);
  return `<h3>Placeholders</h3>
<ul>${lines.join("\n")}</ul>`;
}

function scenarioSection(link: string, { steps, title, when }: RunbookScenario, number: number): string {
  return `<section class="scenario" id="${link}"><h3>${number}. ${escapeText(title)}</h3>
<p>${escapeText(when)}</p>
<ol class="steps">${steps.map(stepItem).join("\n")}</ol></section>`;
}

function stepItem({ commands, isOptional, isRepeated, language, text }: RunbookStep): string {
  const marks = [...(isOptional === true ? ["not always"] : []), ...(isRepeated === true ? ["repeat"] : [])];
  const mark = marks.length === 0 ? "" : `<em>${marks.join(", ")}:</em> `;
  return `<li>${mark}${escapeText(text)}${commands.length === 0 ? "" : commandBlock(commands, language)}</li>`;
}

/**
 * On paper the end of a wrapped line is invisible: arguments of a command stay whole, and continued lines are indented.
 */
function commandBlock(commands: readonly string[], language: RunbookStep["language"] = "sh"): string {
  if (language === "ts") return `<pre>${commands.map(escapeText).join("\n")}</pre>`;
  const lines = commands.map(
    (command) => `<code>${command.replace(/[^ ]+/g, (argument) => `<span>${escapeText(argument)}</span>`)}</code>`,
  );
  return `<pre class="sh">${lines.join("\n")}</pre>`;
}

function table(heads: readonly string[], rows: readonly string[]): string {
  return `<div class="wide"><table><thead><tr>${heads.map((head) => `<th scope="col">${escapeText(head)}</th>`).join("")}</tr></thead><tbody>
${rows.join("\n")}
</tbody></table></div>`;
}

function row(first: string, rest: readonly string[], lastClass = ""): string {
  const cells = rest.map(
    (text, index) =>
      `<td${lastClass !== "" && index === rest.length - 1 ? ` class="${lastClass}"` : ""}>${escapeText(text)}</td>`,
  );
  return `<tr><th scope="row">${escapeText(first)}</th>${cells.join("")}</tr>`;
}

function list(lines: readonly string[]): string {
  return `<ul>${lines.map((line) => `<li>${escapeText(line)}</li>`).join("\n")}</ul>`;
}

const STYLE = `:root{color-scheme:light dark;--ground:#fff;--ink:#1b1f24;--dim:#57606a;--line:#d0d7de;--code:#f3f5f7}
@media (prefers-color-scheme:dark){:root{--ground:#14181d;--ink:#e6e9ec;--dim:#9aa4ae;--line:#39424c;--code:#1f262d}}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI",Roboto,"Liberation Sans","DejaVu Sans",sans-serif}
main{max-width:860px;margin:0 auto;padding:24px 20px}
h1{font-size:26px;margin:0 0 8px}
h2{font-size:20px;margin:36px 0 10px;border-bottom:2px solid var(--line);padding-bottom:4px}
h3{font-size:16px;margin:26px 0 6px}
a{color:inherit}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;margin:8px 0}
th,td{text-align:left;vertical-align:top;padding:5px 10px 5px 0;border-bottom:1px solid var(--line);overflow-wrap:anywhere}
thead th{color:var(--dim);font-weight:600;overflow-wrap:normal}
tbody th{white-space:nowrap}
td.blank{min-width:180px}
ol.tree>li,ol.steps>li{margin:8px 0}
ol.steps{padding-left:26px}
pre{background:var(--code);border:1px solid var(--line);border-radius:4px;padding:8px 10px;margin:6px 0;white-space:pre-wrap;overflow-wrap:anywhere;font:13px/1.45 ui-monospace,"DejaVu Sans Mono","Liberation Mono",monospace}
code{font:13px ui-monospace,"DejaVu Sans Mono","Liberation Mono",monospace}
pre.sh{display:flex;flex-direction:column;gap:4px}
pre.sh code{font:inherit;padding-left:4ch;text-indent:-4ch}
pre.sh span{display:inline-block;max-width:100%;text-indent:0}
.paper{display:none}
@page{margin:12mm 14mm 15mm;@bottom-right{content:counter(page) " / " counter(pages);font:9pt sans-serif;color:#333}}
@media print{:root{--ground:#fff;--ink:#000;--dim:#333;--line:#999;--code:#fff}
main{padding:0;max-width:none}body{font-size:10pt;line-height:1.35}.paper{display:block}
h1{font-size:18pt}h2{font-size:14pt;margin-top:20px}h3{font-size:12pt;margin-top:16px}table{font-size:9.5pt}p{margin:6px 0}
ol.tree>li,ol.steps>li{margin:5px 0}pre{font-size:9pt;line-height:1.3;padding:4px 8px;margin:4px 0}pre.sh code+code{border-top:1px dotted var(--line);padding-top:3px}
.database{break-before:page}.scenario,tr,pre,li{break-inside:avoid}h2,h3{break-after:avoid}p{orphans:3;widows:3}
ol.steps{counter-reset:step;padding-left:46px}
ol.steps>li{list-style:none;counter-increment:step}ol.steps>li::before{content:"☐ " counter(step) ".";display:inline-block;width:44px;margin-left:-44px}}
`;
