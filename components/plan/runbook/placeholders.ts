/** Placeholders in commands that only the incident can fill in. Pure. */
import type { Placeholder, RunbookScenario } from "./runbookDocument";

const TEXTS: Readonly<Record<string, string>> = {
  TARGET:
    "options that find prints after just before it: --type=xid --target=48213 --target-exclusive --set=20261120-020000F",
  LABEL: "a backup, as the command before it prints it: 20261120-020000F",
  SNAPSHOT: "a snapshot, as the command before it prints it",
  POD: "a pod, as the command before it prints it: orders-2",
  KEY: "the number of the new repository: 3 for repo3",
  DATABASE: "the table's database: app",
  SCHEMA: "the table's schema: public",
  TABLE: "the table, without its schema",
  GIB: "space for the data, in GiB, as in the old cluster (spec.storage of its manifest): 50",
  URN: "the address of a resource of the stack: pulumi stack --show-urns prints them",
};

/** Clusters take RFC 3339 times. */
const TIMES = { host: "2026-11-20 14:29:59+00", cnpg: "2026-11-20T14:29:59Z" } as const;

/** Those that the scenarios use, in order of first use. */
export function placeholdersOf(kind: keyof typeof TIMES, scenarios: readonly RunbookScenario[]): Placeholder[] {
  const texts: Readonly<Record<string, string>> = {
    TIME: `just before the first wrong transaction, with its time zone: ${TIMES[kind]}`,
    BEFORE: `just before somebody changed the bucket, by the provider's clock, with its time zone: ${TIMES[kind]}`,
    ...TEXTS,
  };
  const commands = scenarios.flatMap(({ steps }) => steps).flatMap((step) => step.commands);
  const names = new Set(
    commands.flatMap((command) => [...command.matchAll(/<([A-Z]+)>/g)].map(([, name]) => name ?? "")),
  );
  return [...names].flatMap((name) => (texts[name] === undefined ? [] : [{ name: `<${name}>`, text: texts[name] }]));
}
