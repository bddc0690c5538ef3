/** What a runbook says, as data: the shapes that its scenarios are written in. */
import type { RepositoryNode } from "../topology/topology";
import type { MeasuredRow } from "./measured";

export interface RunbookStep {
  readonly text: string;
  /** One line each, for a shell; of a program where `language` says so. */
  readonly commands: readonly string[];
  /** @default "sh" */
  readonly language?: "sh" | "ts";
  /** Only in the case that the text names. */
  readonly isOptional?: boolean;
  /** Until the commands succeed. */
  readonly isRepeated?: boolean;
}

export interface RunbookScenario {
  /** `latest`, `time`, `repository-2`: stable, for links. */
  readonly id: string;
  readonly title: string;
  /** How one knows that it is this one. */
  readonly when: string;
  readonly steps: readonly RunbookStep[];
}

/** One question, and where its answers lead. */
export interface RunbookQuestion {
  readonly question: string;
  readonly answers: readonly { readonly answer: string; readonly scenario: string }[];
}

export interface Placeholder {
  /** `<TIME>` */
  readonly word: string;
  readonly text: string;
}

export interface DatabaseRunbook {
  readonly name: string;
  /** `PostgreSQL on a host, data in /var/lib/postgresql/17/main, stanza main`. */
  readonly what: string;
  /** Of the topology that it is made of, and of what is made of it: where it is another one, so is the runbook. */
  readonly state: string;
  /** On which machine, and as whom, the commands are run. */
  readonly where: readonly string[];
  /** What is promised, and what the configuration can keep. */
  readonly objectives: readonly string[];
  /** What drills have shown, each with its time; null when nobody told. */
  readonly measured: readonly MeasuredRow[] | null;
  /** Tells the figures of today; null where nothing of ours runs. */
  readonly measuredBy: string | null;
  /** One for each declared drill: makes it at once. */
  readonly drilledBy: readonly string[];
  /** In the order in which a restore should try them. */
  readonly repositories: readonly RepositoryNode[];
  readonly decisions: readonly RunbookQuestion[];
  readonly scenarios: readonly RunbookScenario[];
  /** Words in the commands that are to be replaced. */
  readonly placeholders: readonly Placeholder[];
  /** Where each key and each passphrase is; never what it is. */
  readonly keys: readonly string[];
}
