/**
 * What the documents of `report` are worth now. One that is old, empty or missing, that is there twice, or whose clock
 * was wrong, names none of this itself. Pure.
 */
import { type BackupError, fail } from "../../base/errors";
import { durationText } from "../../base/units";
import { AHEAD_S_MAX } from "../info/destinations";
import { BEHIND_S } from "../info/status";
import { shellQuote } from "../restore/recovery";
import { titleOf, whenAgo, whenText } from "./drawing";
import type { ReportedDatabase, ReportedDrill, ReportedRepo, ReportedTrouble, ReportFile } from "./reportFields";

const DAY_S = 86_400;

export interface ReportDocument {
  /** Path of its file; null for what this host has just seen. */
  readonly path: string | null;
  readonly file: ReportFile;
}

export interface ExpectedDocuments {
  /** `orders`, or `orders@db-1` */
  readonly databases: readonly string[];
  /** Age from which a document is too old. */
  readonly withinS: number;
}

/** Expectations of a page that a host makes of itself. */
export const NOTHING_EXPECTED: ExpectedDocuments = { databases: [], withinS: Number.POSITIVE_INFINITY };

export interface JudgedReport {
  readonly nowS: number;
  /** Troubles of documents, and of no single database. */
  readonly troubles: readonly ReportedTrouble[];
  /** The worst first. */
  readonly databases: readonly JudgedDatabase[];
}

export interface JudgedDatabase extends Pick<ReportDocument, "path"> {
  readonly database: ReportedDatabase;
  /** Troubles that its document names, and those that follow from it. */
  readonly troubles: readonly RepoTrouble[];
  /** False if it may have changed since: its document is too old, or of a wrong clock. */
  readonly isCurrent: boolean;
  readonly proof: ReportedDrill | null;
}

export interface RepoTrouble {
  /** Key of the repository; null for what concerns none. */
  readonly repo: number | null;
  readonly trouble: ReportedTrouble;
}

export function judgeReport(
  documents: readonly ReportDocument[],
  nowS: number,
  expected: ExpectedDocuments,
): JudgedReport {
  const databases = documents.flatMap(({ file, path }) =>
    file.databases.map((database) => judged(database, path, nowS, expected.withinS)),
  );
  return {
    nowS,
    troubles: [
      ...documents.flatMap(documentTroubles),
      ...doubled(databases),
      ...expected.databases.flatMap((name) => (databases.some(isNamed(name)) ? [] : [missing(name)])),
    ],
    databases: databases.toSorted(byNeed),
  };
}

export function needsAttention({ databases, troubles }: Pick<JudgedReport, "databases" | "troubles">): boolean {
  return troubles.length > 0 || databases.some((each) => each.troubles.length > 0);
}

/** The newest drill that passed. One that only opened a backup counts if none restored it. */
export function proofIn(drills: readonly ReportedDrill[]): ReportedDrill | null {
  const passed = drills.filter(({ ok }) => ok);
  return passed.findLast(({ opened }) => opened !== true) ?? passed.at(-1) ?? null;
}

export function newestOf(times: readonly number[]): number | undefined {
  return times.length === 0 ? undefined : times.reduce((newest, time) => Math.max(newest, time));
}

export function troubleOf({ hints, message, name }: BackupError): ReportedTrouble {
  return { error: name, message, hints: [...hints] };
}

function judged(database: ReportedDatabase, path: string | null, nowS: number, withinS: number): JudgedDatabase {
  const ofTime = timeTroubles(database, nowS, withinS).map(troubleOf);
  const none = database.repos.length === 0 ? [troubleOf(fail("repoInvalid", "it has no repository"))] : [];
  return {
    database,
    path,
    troubles: [
      ...[...ofTime, ...none, ...database.troubles].map((trouble) => ({ repo: null, trouble })),
      ...database.repos.flatMap((repo) =>
        [...repo.troubles, ...contentTroubles(repo, database).map(troubleOf)].map((trouble) => {
          return { repo: repo.key, trouble };
        }),
      ),
    ],
    isCurrent: ofTime.length === 0,
    proof: proofIn(database.drills),
  };
}

function timeTroubles(database: ReportedDatabase, nowS: number, withinS: number): BackupError[] {
  const { atS, host, stanza } = database;
  const newestS = newestTimeS(database);
  if (newestS > nowS + AHEAD_S_MAX)
    return [
      fail("clock", `the document has a time of the future, ${whenAgo(newestS, nowS)}: its ages say nothing`, {
        hint: `Check the clocks of ${host}, of its repositories, and of this host.`,
      }),
    ];
  if (nowS - atS <= withinS) return [];
  const fact = `its document is of ${whenAgo(atS, nowS)}; expected is one every ${durationText(withinS)}`;
  return [
    fail("fileInvalid", fact, {
      hint: [
        `Write it again on ${host}: ${documentCommand(stanza)}`,
        `If it is meant to come less often: report --expect-within=${Math.floor((nowS - atS) / DAY_S) + 1}d`,
      ],
    }),
  ];
}

function newestTimeS({ atS, drills, repos }: ReportedDatabase): number {
  const times = [
    ...drills.map(({ endedAtS }) => endedAtS),
    ...repos.flatMap(({ backups, dumps, newestWalS, windows }) => [
      ...backups.map(({ stoppedAtS }) => stoppedAtS),
      ...windows.map(({ toS }) => toS),
      dumps?.newest?.stoppedAtS ?? 0,
      newestWalS ?? 0,
    ]),
  ];
  return Math.max(atS, newestOf(times) ?? 0);
}

/** Troubles that the page would show beside "well". */
function contentTroubles(repo: ReportedRepo, { atS, stanza }: ReportedDatabase): BackupError[] {
  const { gaps, troubles, windows } = repo;
  const hint = `See what is missing, and which repository has it: pgbackstop --stanza=${shellQuote(stanza)} verify`;
  if (windows.length === 0 && troubles.length === 0)
    return [fail("backupSetInvalid", "no moment can be restored from it", { hint })];
  // WAL is sent in parallel: a segment may arrive before the one that precedes it.
  const settled = gaps.filter(({ toS }) => toS < atS - BEHIND_S);
  return settled.map(({ from, fromS, to }) => {
    const names = from === to ? from : `${from} to ${to}`;
    const fact = `WAL is missing, ${names}: recovery from an earlier backup ends at ${whenText(fromS)}`;
    return fail("fileMissing", fact, { hint });
  });
}

/** Troubles of a document that its databases do not show. */
export function documentTroubles({ file, path }: ReportDocument): readonly ReportedTrouble[] {
  const { databases, troubles = [] } = file;
  if (databases.length > 0 || troubles.length > 0) return troubles;
  const fact = path === null ? "no database was looked at" : `${path} describes no database`;
  return [troubleOf(fail("fileInvalid", fact, { hint: `Write it again: ${documentCommand("NAME")}` }))];
}

/** Two machines of one name may be behind it: all of them are shown. */
function doubled(databases: readonly JudgedDatabase[]): ReportedTrouble[] {
  const paths = new Map<string, string[]>();
  for (const { database, path } of databases) {
    const title = `${database.stanza} on ${database.host}`;
    paths.set(title, [...(paths.get(title) ?? []), path ?? "this host"]);
  }
  return [...paths].flatMap(([title, own]) => {
    if (own.length === 1) return [];
    const fact = `${title} is described ${own.length} times, by ${[...new Set(own)].join(" and ")}`;
    const hint = "Name each document once. If two machines have that host name, rename one of them.";
    return [troubleOf(fail("fileInvalid", fact, { hint }))];
  });
}

function isNamed(name: string): (judged: Pick<JudgedDatabase, "database">) => boolean {
  return ({ database: { host, stanza } }) => name === stanza || name === `${stanza}@${host}`;
}

function missing(name: string): ReportedTrouble {
  const [stanza = name, host] = name.split(/@([^@]*)$/);
  const where = host === undefined ? "on its host" : `on ${host}`;
  return troubleOf(
    fail("fileMissing", `no document describes ${name}, which is expected`, {
      hint: `Write one ${where}: ${documentCommand(stanza)}. Or omit --expect=${shellQuote(name)}.`,
    }),
  );
}

function documentCommand(stanza: string): string {
  return `pgbackstop --stanza=${shellQuote(stanza)} report --format=json`;
}

/** Order: nothing to restore, no good repository, many troubles, no proof or an old one. */
function byNeed(left: JudgedDatabase, right: JudgedDatabase): number {
  const [a, b] = [needOf(left), needOf(right)];
  const at = a.findIndex((value, index) => value !== b[index]);
  const titles = titleOf(left.database).localeCompare(titleOf(right.database), "en");
  return at < 0 ? titles : (a[at] ?? 0) - (b[at] ?? 0);
}

function needOf({ database: { repos }, proof, troubles }: JudgedDatabase): readonly number[] {
  const troubled = new Set(troubles.map(({ repo }) => repo));
  return [
    repos.some(({ windows }) => windows.length > 0) ? 1 : 0,
    repos.some(({ key }) => !troubled.has(key)) ? 1 : 0,
    -troubles.length,
    proof?.endedAtS ?? 0,
  ];
}
