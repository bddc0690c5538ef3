/** A runbook as Markdown: read in a forge, or on paper. Pure. */
import type { DatabaseRunbook, RunbookScenario, RunbookStep } from "../../plan/runbook";
import { valueText } from "../../plan/diff/change";
import { retentionText } from "../../plan/diff/repositories";
import { cell } from "../topology/markdown";

/** What belongs to people, not to a topology. */
export interface RunbookPeople {
  /** Role to who has it and how that one is reached: `Incident Lead` to `Ada, +49 …`. */
  readonly roles: Readonly<Record<string, string>>;
  /** How often those inside are told, in minutes. */
  readonly internalMinutes: number;
  /** How often those outside are told, in minutes. */
  readonly externalMinutes: number;
}

/** While nobody is named. */
export const DEFAULT_PEOPLE: RunbookPeople = { roles: {}, internalMinutes: 15, externalMinutes: 30 };

/** Roles of an incident: who decides, who types, who speaks. One person may have several; nobody has two at once if it can be helped. */
export const ROLES: Readonly<Record<string, string>> = {
  "Incident Lead": "decides which scenario it is, and when it is over",
  "Restore Operator": "runs the commands, and nothing else",
  "Comms Lead": "tells the others how it stands",
};

/** Ends with a newline. */
export function renderRunbook(databases: readonly DatabaseRunbook[], people: RunbookPeople): string {
  const parts = [
    "# Recovery runbook\n",
    "Made from the declared topology: after each `pulumi up` it is what is there. Words in angle brackets are yours to fill in.\n",
    peopleText(people),
    ...(databases.length > 1 ? [`Databases: ${databases.map(({ name }) => `[${cell(name)}](#${anchor(name)})`).join(", ")}\n`] : []),
    ...databases.map(databaseText),
  ];
  return parts.join("\n");
}

function peopleText({ externalMinutes, internalMinutes, roles }: RunbookPeople): string {
  const names = [...new Set([...Object.keys(ROLES), ...Object.keys(roles)])];
  const rows = names.map((name) => `| ${cell(name)} | ${cell(ROLES[name] ?? "")} | ${cell(roles[name] ?? "(nobody is named)")} |`);
  return [
    "## Who\n",
    `| role | does | who |\n| --- | --- | --- |\n${rows.join("\n")}\n`,
    `Until it is over, those inside are told how it stands every ${internalMinutes} minutes, those outside every ${externalMinutes} minutes.\n`,
  ].join("\n");
}

function databaseText(database: DatabaseRunbook): string {
  const { decisions, keys, name, objectives, repositories, scenarios, what } = database;
  const titles = new Map(scenarios.map(({ id, title }) => [id, title]));
  const tree = decisions.map(({ answers, question }) => {
    const lines = answers.map(
      ({ answer, scenario }) => `   - ${answer} → [${cell(titles.get(scenario) ?? scenario)}](#${anchor(`${name} ${scenario}`)})`,
    );
    return `1. ${question}\n${lines.join("\n")}`;
  });
  const rows = repositories.map((repository) => {
    const { encrypted, failureDomain, location, offSite } = repository;
    const cells = [repository.name, valueText(location), valueText(failureDomain), offSite === true ? "yes" : offSite === false ? "no" : "not told"];
    return `| ${[...cells, encrypted ? "yes" : "no", retentionText(repository)].map(cell).join(" | ")} |`;
  });
  return [
    `<a id="${anchor(name)}"></a>\n## ${cell(name)}\n`,
    `${cell(what)}.\n`,
    `### What is promised\n\n${bullets(objectives)}\n`,
    `### Where copies are, the first to try first\n\n| | where | lost together with | off-site | encrypted | retention |\n| --- | --- | --- | --- | --- | --- |\n${rows.join("\n")}\n`,
    `### Which one is it?\n\n${tree.join("\n")}\n`,
    ...scenarios.map((scenario) => scenarioText(name, scenario)),
    `### Keys and passphrases\n\n${bullets(keys.length === 0 ? ["none are needed"] : keys)}\n`,
  ].join("\n");
}

function scenarioText(name: string, { id, steps, title, when }: RunbookScenario): string {
  return `<a id="${anchor(`${name} ${id}`)}"></a>\n### ${cell(title)}\n\n${cell(when)}\n\n${steps.map(stepText).join("\n")}`;
}

function stepText({ commands, language = "sh", text }: RunbookStep): string {
  const lines = commands.map((line) => `   ${line}`).join("\n");
  return `1. ${cell(text)}\n${commands.length === 0 ? "" : `\n   \`\`\`${language}\n${lines}\n   \`\`\`\n`}`;
}

function bullets(lines: readonly string[]): string {
  return lines.map((line) => `- ${cell(line)}`).join("\n");
}

/** A word for links, the same in both formats. */
export function anchor(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-");
}
