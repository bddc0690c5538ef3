/** Titles and link names of a runbook's databases: two of one name, such as a host and a cluster, stay apart. Pure. */
import type { DatabaseRunbook } from "../../plan/runbook/runbookDocument";

export interface LinkedDatabase {
  readonly database: DatabaseRunbook;
  /** The name; with its kind, and a number, where others have the same one. */
  readonly title: string;
  /** Link name of its section. */
  readonly link: string;
  linkOf(scenario: string): string;
}

const KINDS = { host: "host", cnpg: "cluster" } as const;

export function linkedDatabases(databases: readonly DatabaseRunbook[]): LinkedDatabase[] {
  const titles = new Set<string>();
  const links = new Set<string>();
  return databases.map((database) => {
    const { kind, name, scenarios } = database;
    const isShared = databases.some((other) => other !== database && other.name === name);
    const title = firstFree(isShared ? `${name} (${KINDS[kind]})` : name, " ", (text) => !titles.has(text));
    titles.add(title);
    const linksOf = (link: string): string[] => [link, ...scenarios.map(({ id }) => anchor(`${link} ${id}`))];
    const link = firstFree(anchor(name), "-", (text) => linksOf(text).every((each) => !links.has(each)));
    for (const each of linksOf(link)) links.add(each);
    return { database, title, link, linkOf: (scenario) => anchor(`${link} ${scenario}`) };
  });
}

/** The text, or with the first number from 2 on that makes it free. */
function firstFree(text: string, separator: string, isFree: (text: string) => boolean): string {
  let made = text;
  for (let number = 2; !isFree(made); number += 1) made = `${text}${separator}${number}`;
  return made;
}

function anchor(text: string): string {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-");
}
