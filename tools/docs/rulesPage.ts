/** docs/reference/rules.md, from the table of rules: code, severity, situation, reason and remedy. */
import type { Rule } from "../../components/plan/findings/ruleRow";
import { RULES } from "../../components/plan/findings/ruleTable";
import { document, table } from "./markdown";

const SEVERITIES = ["error", "warning", "note"] as const;

export function renderRules(): string {
  const rows = Object.entries<Rule>(RULES);
  const count = (severity: string): number => rows.filter(([, rule]) => rule.severity === severity).length;
  return document(
    "# Rules",
    "",
    "What a preview and the policy pack say about backups.",
    "",
    "- An error stops the preview; all errors are shown at once.",
    "- A warning or a note goes to the log of the component. Silence one by its code with a reason, which the topology shows:",
    '  `silence: { PB009: "the second disk comes in May" }`.',
    "- A value that the preview does not know is judged by the update, as soon as it is known.",
    "- An update without a preview (`pulumi up --skip-preview`, and `up` of the Automation API) refuses the first component",
    "  that shares an archive, a directory or files with an earlier one (PB195, PB198, PB203), before anything of it is created.",
    "  A second archiver or plugin (PB196, PB197) leaves at most the component itself, without objects.",
    "  If such an update creates the bucket or the machine in question, components that share them are refused once it exists.",
    "- Plans of this package's components and, by `pgbackstop/policy`, stacks without them are judged by the same codes.",
    "",
    `There are ${rows.length} codes: ${SEVERITIES.map((severity) => `${count(severity)} ${severity}s`).join(", ")}. [lessons.md](../internals/lessons.md) lists published mistakes and the codes that name them.`,
    "`npm run docs` makes this page from `components/plan/findings`.",
    "",
    table(
      ["code", "severity", "what", "why", "remedy"],
      rows.map(([code, { severity, what, why, remedy }]) => [code, severity, what, why, remedy]),
    ),
  );
}
