/** The runbook of a stack: what to do when data are lost, made of the topologies of its databases. */
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../internal/children";
import { type DatabaseRunbook, runbookOf } from "../plan/runbook";
import { parseStackFile } from "../plan/stackFiles";
import { DEFAULT_PEOPLE, renderRunbook, type RunbookPeople } from "../render/runbook/markdown";
import { renderRunbookPage } from "../render/runbook/page";

export interface RunbookArgs {
  /**
   * Output `topology` of each database.
   * @example [ledger.topology, orders.topology]
   */
  topologies: pulumi.Input<string>[];
  /**
   * Role to who has it, and how that one is reached. Incident Lead, Restore Operator and Comms Lead are there without a name; others may follow.
   * @example { "Incident Lead": "Ada, +49 30 1234" }
   */
  roles?: { [role: string]: string };
  /**
   * How often those inside are told how it stands.
   * @default 15
   */
  internalMinutes?: number;
  /**
   * How often those outside are told how it stands.
   * @default 30
   */
  externalMinutes?: number;
}

/**
 * A recovery runbook that is never stale: a decision tree, the commands of each scenario for each host and cluster as they are declared, who does
 * what, and where keys and passphrases are. Holds no secret. Write it where it is found while the database is down: a wiki, a bucket, paper.
 *
 * ```ts
 * const runbook = new Runbook("recovery", { topologies: [ledger.topology], roles: { "Incident Lead": "Ada, +49 30 1234" } });
 * export const page = runbook.html;
 * ```
 */
export class Runbook extends pulumi.ComponentResource {
  /** For a forge or a wiki. */
  public readonly markdown: pulumi.Output<string>;
  /** One page that needs nothing else; made to be printed. */
  public readonly html: pulumi.Output<string>;

  constructor(name: string, args: RunbookArgs, opts?: pulumi.ComponentResourceOptions) {
    const people = peopleOf(name, args);
    super(typeToken("Runbook"), name, {}, opts);
    const books = pulumi.all(args.topologies).apply((texts) => texts.flatMap(booksOf));
    this.markdown = books.apply((found) => renderRunbook(found, people));
    this.html = books.apply((found) => renderRunbookPage(found, people));
    this.registerOutputs({ markdown: this.markdown, html: this.html });
  }
}

function peopleOf(name: string, { externalMinutes, internalMinutes, roles, topologies }: RunbookArgs): RunbookPeople {
  const wrong = (propertyPath: string, reason: string): never => {
    throw new pulumi.InputPropertyError({ propertyPath, reason: `Runbook ${name}: ${reason}` });
  };
  if (topologies.length === 0) wrong("topologies", "a runbook of no database: give the output topology of each");
  const people = {
    roles: roles ?? DEFAULT_PEOPLE.roles,
    internalMinutes: internalMinutes ?? DEFAULT_PEOPLE.internalMinutes,
    externalMinutes: externalMinutes ?? DEFAULT_PEOPLE.externalMinutes,
  };
  for (const field of ["internalMinutes", "externalMinutes"] as const) {
    if (!Number.isInteger(people[field]) || people[field] < 1) wrong(field, `${people[field]} is no number of minutes: 1 or more`);
  }
  return people;
}

/** None of a host that only restores: its topology is empty. */
function booksOf(text: string): DatabaseRunbook[] {
  if (text === "") return [];
  return [...parseStackFile(text).after.values()].flatMap((topology) => (topology === null ? [] : (runbookOf(topology) ?? [])));
}
