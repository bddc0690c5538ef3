/** The runbook of a stack for data loss, from its databases' topologies. */
import * as pulumi from "@pulumi/pulumi";
import { typeToken } from "../internal/children";
import { runbookOf } from "../plan/runbook/databaseRunbook";
import type { DatabaseRunbook } from "../plan/runbook/runbookDocument";
import { parseStackFile } from "../plan/topology/stackFiles";
import { joinMeasured, type Measured, MeasuredError, parseMeasured } from "../plan/runbook/measured";
import { renderRunbook } from "../render/runbook/runbookMarkdown";
import { DEFAULT_PEOPLE, type RunbookPeople } from "../render/runbook/people";
import { renderRunbookPage } from "../render/runbook/runbookPage";

export interface RunbookArgs {
  /** Output `topology` of each database. @example [ledger.topology, orders.topology] */
  topologies: pulumi.Input<string>[];
  /**
   * Role to its holder and contact. Incident Lead, Restore Operator and Comms Lead exist without a name; you may add
   * others.
   * @example { "Incident Lead": "Ada, +49 30 1234" }
   */
  roles?: { [role: string]: string };
  /** Interval of internal status messages. @default 15 */
  internalMinutes?: number;
  /** Interval of external status messages. @default 30 */
  externalMinutes?: number;
  /**
   * Drills' measurements, by database name: the text of `pgbackstop status --output=json`, or of `pgbackstop drill
   * --output=json`. Each figure is shown with its time. Left out, the runbook names the command that prints it.
   * @example { ledger: readFileSync("ledger.json", "utf8") }
   */
  measured?: { [database: string]: pulumi.Input<string> };
}

/**
 * A recovery runbook that is never stale: a decision tree, the commands of each scenario for each declared host and
 * cluster, the roles, and the location of keys and passphrases. Contains no secret. Write it to a location that is
 * available while the database is down: a wiki, a bucket, paper.
 *
 * ```ts
 * const runbook = new Runbook("recovery", { topologies: [ledger.topology], roles: { "Incident Lead": "Ada, +49 30 1234" } });
 * export const page = runbook.html;
 * ```
 */
export class Runbook extends pulumi.ComponentResource {
  /** The runbook as Markdown, for a forge or a wiki. */
  public readonly markdown: pulumi.Output<string>;
  /** One self-contained page, meant for printing. */
  public readonly html: pulumi.Output<string>;

  constructor(name: string, args: RunbookArgs, opts?: pulumi.ComponentResourceOptions) {
    const people = peopleOf(name, args);
    super(typeToken("Runbook"), name, {}, opts);
    const origin = `Made by stack ${pulumi.getProject()}/${pulumi.getStack()}, in the same update as what it describes: it is true until the next one.`;
    const books = pulumi.all([pulumi.all(args.topologies), pulumi.all(args.measured ?? {})]).apply(([texts, measured]) => {
      const drills = measuredOf(name, measured);
      const found = texts.flatMap((text) => booksOf(text, drills));
      const unknown = Object.keys(measured).find((database) => !found.some((book) => book.name === database));
      if (unknown !== undefined && !pulumi.runtime.isDryRun()) throw wrongMeasured(name, unknown, "there is no such database among the topologies");
      return found;
    });
    this.markdown = books.apply((found) => renderRunbook(found, people, origin));
    this.html = books.apply((found) => renderRunbookPage(found, people, origin));
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

function measuredOf(name: string, texts: Readonly<Record<string, string>>): ReadonlyMap<string, Measured | null> {
  return new Map(
    Object.entries(texts).map(([database, text]) => {
      try {
        return [database, joinMeasured([parseMeasured(text)])] as const;
      } catch (error) {
        if (error instanceof MeasuredError) throw wrongMeasured(name, database, error.message);
        throw error;
      }
    }),
  );
}

function wrongMeasured(name: string, database: string, reason: string): Error {
  return new pulumi.InputPropertyError({ propertyPath: `measured.${database}`, reason: `Runbook ${name}: ${reason}` });
}

/** Empty for a restore-only host, whose topology is empty. */
function booksOf(text: string, measured: ReadonlyMap<string, Measured | null>): DatabaseRunbook[] {
  if (text === "") return [];
  return [...parseStackFile(text).after.values()].flatMap((topology) => {
    if (topology === null) return [];
    return runbookOf(topology, measured.get(topology.databases[0]?.name ?? "") ?? null) ?? [];
  });
}
