/** A runbook as Markdown, for a forge or paper. Pure. */
import type { DatabaseRunbook, RunbookScenario, RunbookStep } from "../../plan/runbook/runbookDocument";
import { valueText } from "../../plan/diff/change";
import { retentionText } from "../../plan/diff/repositories";
import { cell } from "../topology/topologyMarkdown";
import { type LinkedDatabase, linkedDatabases } from "./links";
import { FIRST_STEPS, GLOSSARY, messagesOf, rolesOf, type RunbookPeople } from "./people";

/** @param origin a sentence that names the stack's state. Ends with a newline. */
export function renderRunbook(databases: readonly DatabaseRunbook[], people: RunbookPeople, origin: string): string {
  const linked = linkedDatabases(databases);
  const parts = [
    "# Recovery runbook\n",
    `${cell(origin)} Commands are complete except for the words in angle brackets, which each database's section explains.\n`,
    peopleText(people),
    ...(databases.length > 1
      ? [`Databases: ${linked.map(({ link, title }) => `[${cell(title)}](#${link})`).join(", ")}\n`]
      : []),
    ...linked.map(databaseText),
  ];
  return parts.join("\n");
}

function peopleText(people: RunbookPeople): string {
  const rows = rolesOf(people).map(
    ({ does, role, who }) => `| ${cell(role)} | ${cell(does)} | ${cell(who ?? "(nobody is named)")} |`,
  );
  const messages = messagesOf(people).map(([when, what]) => `| ${when} | ${what} |`);
  return [
    `## First\n\n${FIRST_STEPS.map((text) => `1. ${text}`).join("\n")}\n`,
    `## Who\n\n| role | does | who |\n| --- | --- | --- |\n${rows.join("\n")}\n`,
    "One person may have several roles, but the one who types should not be the one who speaks.\n",
    `## Messages\n\n| when | what |\n| --- | --- |\n${messages.join("\n")}\n`,
    `## Terms\n\n${GLOSSARY.map(([term, text]) => `- **${term}**: ${text}`).join("\n")}\n`,
  ].join("\n");
}

function databaseText({ database, link, linkOf, title: shown }: LinkedDatabase): string {
  const { decisions, keys, objectives, repositories, scenarios, state, what, where } = database;
  const titles = new Map(scenarios.map(({ id, title }, index) => [id, `${index + 1}. ${title}`]));
  const tree = decisions.map(({ answers, question }) => {
    const lines = answers.map(
      ({ answer, scenario }) => `   - ${answer} → [${cell(titles.get(scenario) ?? scenario)}](#${linkOf(scenario)})`,
    );
    return `1. ${question}\n${lines.join("\n")}`;
  });
  const rows = repositories.map((repository) => {
    const { encrypted, failureDomain, location, offSite } = repository;
    const cells = [
      repository.name,
      valueText(location),
      valueText(failureDomain),
      offSite === true ? "yes" : offSite === false ? "no" : "unknown",
    ];
    return `| ${[...cells, encrypted ? "yes" : "no", retentionText(repository)].map(cell).join(" | ")} |`;
  });
  return [
    `<a id="${link}"></a>\n## ${cell(shown)}\n`,
    `${cell(what)}. State of this runbook: \`${state}\`.\n`,
    `### Where commands are run\n\n${bullets(where)}\n`,
    `### Which scenario?\n\n${tree.join("\n")}\n`,
    ...placeholderTexts(database),
    `### Copies, in the order to try\n\n| | where | lost together with | off-site | encrypted | retention |\n| --- | --- | --- | --- | --- | --- |\n${rows.join("\n")}\n`,
    ...scenarios.map((scenario, index) => scenarioText(linkOf(scenario.id), scenario, index + 1)),
    `### Objectives\n\n${bullets(objectives)}\n`,
    measuredText(database),
    `### Keys and passphrases\n\n${bullets(keys.length === 0 ? ["none are needed"] : keys)}\n`,
  ].join("\n");
}

/** Always with its time: an old measurement says nothing about today. */
function measuredText({ drilledBy, measured, measuredBy }: DatabaseRunbook): string {
  const rows = (measured ?? []).map(
    ({ drill, repository, rpo, rto }) => `| ${[repository, drill, rto, rpo].map(cell).join(" | ")} |`,
  );
  const table = `| | last drill | open again after (RTO) | lost (RPO) |\n| --- | --- | --- | --- |\n${rows.join("\n")}\n`;
  const today = measuredBy === null ? "" : `\n\n\`\`\`sh\n${measuredBy}\n\`\`\``;
  const drillText = drilledBy.length === 0 ? "" : `\n\n${DRILLED_LEAD}\n\n\`\`\`sh\n${drilledBy.join("\n")}\n\`\`\``;
  return `### Measurements\n\n${measured === null ? "" : `${table}\n`}${measuredLead(measured !== null, measuredBy)}${today}${drillText}\n`;
}

export const DRILLED_LEAD = "To measure again, alongside production and without touching it:";

/** Where to find today's figures. */
export function measuredLead(isGiven: boolean, measuredBy: string | null): string {
  if (measuredBy === null)
    return isGiven
      ? "This package cannot measure with this engine: these figures come from elsewhere."
      : "Nothing was measured: this package has no drills for this engine. Time a restore by hand, and write it here.";
  return isGiven
    ? "As of those times. The newest figures:"
    : "No figures were given. The last drill of each repository, with its RTO and RPO:";
}

function placeholderTexts({ placeholders }: DatabaseRunbook): string[] {
  if (placeholders.length === 0) return [];
  return [`### Placeholders\n\n${placeholders.map(({ text, name }) => `- \`${name}\`: ${cell(text)}`).join("\n")}\n`];
}

function scenarioText(link: string, { steps, title, when }: RunbookScenario, number: number): string {
  return `<a id="${link}"></a>\n### ${number}. ${cell(title)}\n\n${cell(when)}\n\n${steps.map(stepText).join("\n")}`;
}

function stepText({ commands, isOptional, isRepeated, language = "sh", text }: RunbookStep): string {
  const lines = commands.map((line) => `   ${line}`).join("\n");
  const marks = [...(isOptional === true ? ["not always"] : []), ...(isRepeated === true ? ["repeat"] : [])];
  const mark = marks.length === 0 ? "" : `*${marks.join(", ")}:* `;
  return `1. ${mark}${cell(text)}\n${commands.length === 0 ? "" : `\n   \`\`\`${language}\n${lines}\n   \`\`\`\n`}`;
}

function bullets(lines: readonly string[]): string {
  return lines.map((line) => `- ${cell(line)}`).join("\n");
}
