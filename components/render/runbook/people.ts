/** The part of a runbook about people: roles, the first minutes, and notifications. Pure. */

export interface RunbookPeople {
  /** Role to its holder and contact: `Incident Lead` to `Ada, +49 …`. */
  readonly roles: Readonly<Record<string, string>>;
  /** Interval of internal messages, in minutes. */
  readonly internalMinutes: number;
  /** Interval of external messages, in minutes. */
  readonly externalMinutes: number;
}

/** Without named people. */
export const DEFAULT_PEOPLE: RunbookPeople = { roles: {}, internalMinutes: 15, externalMinutes: 30 };

const ROLES: Readonly<Record<string, string>> = {
  "Incident Lead": "chooses the scenario, and declares the end",
  "Restore Operator": "only runs the commands",
  "Comms Lead": "keeps others informed",
};

/** The first actions, in this order. */
export const FIRST_STEPS: readonly string[] = [
  "One person says aloud: I am Incident Lead. Write down the time.",
  "Delete, restart or tidy up nothing before the scenario is chosen: you may need what is left.",
  "The Restore Operator writes down each command with its time, or records the terminal.",
  "Choose the scenario below by the database's questions, starting with the first. Follow its steps in order.",
  "If a command fails, stop and read its last lines: those that begin with HINT say what to do. Do not continue before it has succeeded.",
];

/** Terms for first-time readers, with their meaning. */
export const GLOSSARY: readonly (readonly [term: string, text: string])[] = [
  ["repository", "a location of backups and WAL, such as repo1 or repo2; each alone is enough for a restore"],
  ["WAL", "PostgreSQL's log of all changes, archived file by file: it brings a backup forward to any point in time"],
  ["stanza", "the database's name in its repositories"],
  ["program, declare", "the source of the Pulumi stack; pulumi up shows and then applies what it declares"],
  [
    "status, check, verify",
    "status shows the state; check writes a WAL segment and waits for it in each repository; verify reads everything that is stored. All of them are harmless",
  ],
  ["RPO, RTO", "how many seconds of commits may be lost; how long it may take until the database is open again"],
];

/** Role, its task, its holder; null if absent. */
export function rolesOf({
  roles,
}: RunbookPeople): { readonly role: string; readonly does: string; readonly who: string | null }[] {
  const names = [...new Set([...Object.keys(ROLES), ...Object.keys(roles)])];
  return names.map((role) => ({ role, does: ROLES[role] ?? "", who: roles[role] ?? null }));
}

/** Time and content of messages. */
export function messagesOf({
  externalMinutes,
  internalMinutes,
}: RunbookPeople): readonly (readonly [when: string, what: string])[] {
  return [
    [
      "at once, internal and external",
      "what does not work, since when, who is Incident Lead, and when the next message comes",
    ],
    [
      `every ${internalMinutes} minutes, internal`,
      "the scenario, the current step, the remaining steps, and what is not known",
    ],
    [
      `every ${externalMinutes} minutes, external`,
      "what works and what does not, and when the next message comes; do not guess the end",
    ],
    [
      "when it is over",
      "how long it was down, which commits are lost (all after the restored point in time), and when the report comes",
    ],
  ];
}
