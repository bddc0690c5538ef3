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
  "Incident Lead": "decides which scenario it is, and when it is over",
  "Restore Operator": "runs the commands, and nothing else",
  "Comms Lead": "tells the others how it stands",
};

/** The first actions, in this order. */
export const FIRST_STEPS: readonly string[] = [
  "One person says aloud: I am Incident Lead. The time is written down.",
  "Nobody deletes, restarts or tidies up anything until the scenario is chosen: what is left may be needed.",
  "The Restore Operator writes down each command with its time, or records the terminal.",
  "Choose the scenario below with the questions of the database, from the first one on. Do its steps in their order.",
  "If a command fails, stop and read its last lines: those that begin with HINT say what to do. Do not go on with the next step before it has succeeded.",
];

/** Terms for first-time readers, with their meaning. */
export const GLOSSARY: readonly (readonly [word: string, text: string])[] = [
  ["repository", "a place with backups and WAL of a database, repo1 or repo2; each can restore by itself"],
  ["WAL", "PostgreSQL's log of all changes, in files that are archived one by one: it brings a backup forward to any moment"],
  ["stanza", "the name of the database in its repositories"],
  ["program, declare", "the source of the Pulumi stack; what is declared there becomes true with pulumi up, which shows first what it will do"],
  [
    "status, check, verify",
    "status tells how it stands; check writes one piece of WAL and waits for it everywhere; verify reads all that is stored. None of them harms anything",
  ],
  ["RPO, RTO", "how much may be lost, in time; how long it may take until the database is open again"],
];

/** Role, its task, its holder; null without one. */
export function rolesOf({ roles }: RunbookPeople): { readonly role: string; readonly does: string; readonly who: string | null }[] {
  const names = [...new Set([...Object.keys(ROLES), ...Object.keys(roles)])];
  return names.map((role) => ({ role, does: ROLES[role] ?? "", who: roles[role] ?? null }));
}

/** Time and content of messages. */
export function messagesOf({ externalMinutes, internalMinutes }: RunbookPeople): readonly (readonly [when: string, what: string])[] {
  return [
    ["at once, inside and outside", "what does not work, since when, who is Incident Lead, and when the next message comes"],
    [`every ${internalMinutes} minutes, inside`, "the scenario, the step that runs, what is still to come, and what is not known"],
    [`every ${externalMinutes} minutes, outside`, "what works and what does not, and when the next message comes; no guess of the end"],
    ["when it is over", "from when to when it was down, which commits are lost (from the moment of the restore on), and when the report comes"],
  ];
}
