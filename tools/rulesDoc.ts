/** The text of docs/rules.md, from the tables of findings: each code, how bad it is, what it is about, why, and the way out. */
import { type Rule, RULES } from "../components/plan/findings/ruleTable";

const SEVERITIES = ["error", "warning", "note"] as const;

export function renderRulesDoc(): string {
  const rows = Object.entries<Rule>(RULES);
  const count = (severity: string): number => rows.filter(([, rule]) => rule.severity === severity).length;
  return lines(
    "# Rules",
    "",
    "What a preview and the policy pack say about backups. An error stops the preview, all of them at once; a warning or a note is written to the log of",
    'the component and can be silenced by its code with a reason, which the topology shows: `silence: { PB009: "the second disk comes in May" }`. What',
    "is not known at preview is judged as soon as it is. The same codes are used for plans of this package's components and, by `pgbackstop/policy`, for",
    "stacks without them. This page is made from `components/plan/findings/ruleTable.ts` by `tools/rulesDoc.ts`; a test compares them.",
    "",
    `There are ${rows.length} codes: ${SEVERITIES.map((severity) => `${count(severity)} ${severity}s`).join(", ")}. Published mistakes and the codes that name them are listed in [lessons.md](lessons.md).`,
    "",
    "| code | severity | what | why | way out |",
    "| --- | --- | --- | --- | --- |",
    ...rows.map(([code, rule]) => rowText(code, rule)),
  );
}

function rowText(code: string, { severity, wayOut, what, why }: Rule): string {
  const cells = [code, severity, what, why, wayOut];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function lines(...texts: readonly string[]): string {
  return `${texts.join("\n")}\n`;
}
