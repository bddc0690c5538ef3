/** A runbook as data. */
import type { DatabaseNode, RepositoryNode } from "../topology/topology";
import type { MeasuredRow } from "./measured";

export interface RunbookStep {
  readonly text: string;
  /** One line each, for a shell or for a program by `language`. */
  readonly commands: readonly string[];
  /** @default "sh" */
  readonly language?: "sh" | "ts";
  /** Applies only in the case that the text names. */
  readonly isOptional?: boolean;
  /** Repeat until the commands succeed. */
  readonly isRepeated?: boolean;
}

export interface RunbookScenario {
  /** `latest`, `time`, `repository-2`: stable, for links. */
  readonly id: string;
  readonly title: string;
  /** How to recognize it. */
  readonly when: string;
  readonly steps: readonly RunbookStep[];
}

/** One question, and the scenario of each answer. */
export interface RunbookQuestion {
  readonly question: string;
  readonly answers: readonly { readonly answer: string; readonly scenario: string }[];
}

export interface Placeholder {
  /** `<TIME>` */
  readonly name: string;
  readonly text: string;
}

export interface DatabaseRunbook {
  readonly name: string;
  readonly kind: DatabaseNode["kind"];
  /** `PostgreSQL on a host, data in /var/lib/postgresql/17/main, stanza main`. */
  readonly what: string;
  /** Hash of the topology and of the texts made from it: if it differs, the runbook is stale. */
  readonly state: string;
  /** Machine and account for the commands. */
  readonly where: readonly string[];
  /** Objectives, and what the configuration achieves. */
  readonly objectives: readonly string[];
  /** Results of drills, each with its time; null if none were given. */
  readonly measured: readonly MeasuredRow[] | null;
  /** Command that prints current figures; null without our runtime. */
  readonly measuredBy: string | null;
  /** Commands that run each declared drill immediately. */
  readonly drilledBy: readonly string[];
  /** In the order in which a restore should try them. */
  readonly repositories: readonly RepositoryNode[];
  readonly decisions: readonly RunbookQuestion[];
  readonly scenarios: readonly RunbookScenario[];
  /** Placeholders in the commands. */
  readonly placeholders: readonly Placeholder[];
  /** Location of each key and passphrase; never its value. */
  readonly keys: readonly string[];
}
