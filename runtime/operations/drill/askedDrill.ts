/** Reads drills from the command line and the settings file. Pure. */
import { fail } from "../../base/errors";
import type { Config, DeclaredDrill, Settings } from "../../config/types";
import type { DrillOptions } from "./drill";
import type { JournalStart } from "./drillJournal";
import type { DrillObjectives, DrillPick, DrillRecord } from "./record";

/** A drill as requested by the command line and the settings file. */
export type AskedDrill = Pick<Config["drill"], "how" | "pick" | "level" | "maxMinutes" | "maxBytes"> &
  Pick<DeclaredDrill, "repoIndexes" | "path"> & {
    /** A dump's label, or `latest`. */
    readonly dump?: string | undefined;
  };

/** The command line wins. @throws optionInvalidValue, optionRequired */
export function askedDrill({ drill, dump, settings }: Pick<Config, "drill" | "dump" | "settings">): AskedDrill {
  const { given, how, level, maxBytes, maxMinutes, name, now, path, pick } = drill;
  const declared = declaredDrill(settings, name, now);
  return {
    ...declared,
    pick: pick ?? declared.pick,
    how: how ?? declared.how,
    level: given.level ? level : (declared.level ?? level),
    maxMinutes: given.maxMinutes ? maxMinutes : (declared.maxMinutes ?? maxMinutes),
    maxBytes: maxBytes ?? declared.maxBytes,
    dump: dump.label ?? declared.dump,
    ...(path === undefined ? {} : { path }),
  };
}

/** Empty when no declared drill is requested. */
function declaredDrill(settings: Settings, name: string | undefined, now: boolean): DeclaredDrill {
  const declared = settings.drill?.declared ?? {};
  const names = Object.keys(declared);
  if (name === undefined && now && names.length > 1)
    throw fail("optionRequired", `drill command requires option: name, because ${names.length} drills are declared`, {
      hint: `name one of ${names.join(", ")}.`,
    });
  const wanted = name ?? (now ? names[0] : undefined);
  if (wanted === undefined) return {};
  const drill = Object.hasOwn(declared, wanted) ? declared[wanted] : undefined;
  if (drill !== undefined) return drill;
  throw fail("optionInvalidValue", `'${wanted}' is not valid for 'name' option: no such drill is declared`, {
    hint: names.length === 0 ? "The settings file declares none." : `declared are ${names.join(", ")}.`,
  });
}

/** For a drill of a backup. */
export function drillOptions(
  { repoIndex, set, settings, stanza = "" }: Config,
  { dump, how, level, maxBytes, maxMinutes, pick, repoIndexes }: AskedDrill & { readonly pick: DrillPick | undefined },
  start: Pick<JournalStart, "beganMs" | "invocationId">,
): DrillOptions {
  const { assertions = [], heartbeat } = settings.drill ?? {};
  return {
    stanza,
    level,
    pick,
    maxBytes,
    maxMinutes,
    repoIndex,
    repoIndexes,
    set,
    heartbeat,
    assertions,
    opens: how === "open",
    ...(dump === undefined ? {} : { dump }),
    ...start,
    objectivesOf: (turn) => objectivesOf(settings, turn),
  };
}

/** The backup age that schedules allow differs per repository, the RTO by the end of the restore. */
export function objectivesOf(settings: Settings, { pick, repo }: Pick<DrillRecord, "pick" | "repo">): DrillObjectives {
  const { pitrRtoSeconds, ...objectives } = settings.drill?.objectives ?? {};
  const expected = objectives.backupAgeSeconds ?? settings.repos[repo]?.expectBackupWithinS;
  return {
    ...objectives,
    ...(pick === "moment" && pitrRtoSeconds !== undefined ? { rtoSeconds: pitrRtoSeconds } : {}),
    ...(expected === undefined ? {} : { backupAgeSeconds: expected }),
  };
}
