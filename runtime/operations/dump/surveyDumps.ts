/** What reports say of the dumps of a repository. */
import { shownText } from "../../base/bytes";
import type { JsonValue } from "../../format/repository/json";
import type { Repository } from "../../repository/repository";
import { findDumps, isComplete } from "./readDump";

export interface DumpSurvey {
  readonly completeCount: number;
  /** The newest complete one. */
  readonly newest: NewestDump | null;
  /** Dumps that lack a file, or whose manifest cannot be read; ascending by label. */
  readonly faulty: readonly { readonly label: string; readonly fault: string }[];
}

interface NewestDump {
  readonly label: string;
  readonly startedAtS: number;
  readonly stoppedAtS: number;
  /** Names, which may hold any bytes (base/bytes). */
  readonly databases: readonly string[];
}

/** One listing, and the manifest of each dump. */
export async function surveyDumps(repo: Repository): Promise<DumpSurvey> {
  const dumps = await findDumps(repo);
  const complete = dumps.filter(isComplete);
  const newest = complete.at(-1)?.manifest;
  return {
    completeCount: complete.length,
    newest:
      newest === undefined
        ? null
        : {
            label: newest.label,
            startedAtS: newest.startedAtS,
            stoppedAtS: newest.stoppedAtS,
            databases: newest.databases.map(({ name }) => name),
          },
    faulty: dumps.flatMap(({ fault, label }) => (fault === null ? [] : [{ label, fault }])),
  };
}

export function hasDumps({ completeCount, faulty }: DumpSurvey): boolean {
  return completeCount + faulty.length > 0;
}

/** `crm, shop` */
export function databasesText({ databases }: Pick<NewestDump, "databases">): string {
  return databases.map(shownText).join(", ");
}

/** Without any dump there is no key. */
export function dumpsField(survey: DumpSurvey | null): { readonly dumps?: JsonValue } {
  if (survey === null || !hasDumps(survey)) return {};
  const { completeCount, faulty, newest } = survey;
  return {
    dumps: {
      complete: completeCount,
      faulty: faulty.map(({ fault, label }) => ({ label, fault })),
      newest:
        newest === null
          ? null
          : {
              database: [...newest.databases],
              label: newest.label,
              timestamp: { start: newest.startedAtS, stop: newest.stoppedAtS },
            },
    },
  };
}
