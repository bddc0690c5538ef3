/** `drill`: one fire drill, beside production; exit 0 when it went well, else the code of the first thing that did not. */
import type { Context } from "../base/context";
import type { DeclaredDrill, Settings } from "../config/types";
import { silentLog } from "../base/log";
import { fail } from "../base/errors";
import { acquireLock } from "../local/lockFile";
import { drill } from "../operations/drill/drill";
import { saveDrill } from "../operations/drill/history";
import { type DrillObjectives, type DrillRecord, renderDrill } from "../operations/drill/record";
import { drillText } from "../operations/drill/report";
import { cleanScratch, prepareRoot } from "../operations/drill/scratch";
import { shellWord } from "../operations/restore/recovery";
import type { Command, CommandHost } from "./host";

const EXIT_CODE_MAX = 125;

export const drillCommand: Command = async (host) => {
  const { config } = host;
  const { stanza = "" } = config;
  // A document on standard output must stay one.
  const ctx = config.output === "json" ? { ...host.ctx, log: silentLog } : host.ctx;
  if (host.self.uid === 0)
    throw fail("runtime", "a drill cannot run as root: PostgreSQL's server refuses to", { hint: "run it as the owner of PostgreSQL." });
  const declared = declaredDrill(host);
  const path = drillPathOf(host, declared);
  await prepareRoot(path);
  const { execId, pid } = host.process;
  // In the directory of the drills itself: two of one stanza must not clean up each other's, whatever their lock path.
  const lock = acquireLock({ lockPath: path, stanza, kind: "drill", execId, pid });
  try {
    await cleanScratch(path, stanza, config.drill.binPath, ctx);
    const record = await makeDrill(host, declared, path, ctx);
    await saveDrill(host.repositories(), config.spoolPath, record, ctx);
    host.print(config.output === "json" ? renderDrill(record) : drillText(record));
    return Math.min(record.failures[0]?.code ?? 0, EXIT_CODE_MAX);
  } finally {
    lock.release();
  }
};

function makeDrill(host: CommandHost, declared: DeclaredDrill, path: string, ctx: Context): Promise<DrillRecord> {
  const { config } = host;
  const { repoKey, settings, stanza = "" } = config;
  const { binPath, given, level, maxBytes, maxMinutes, pick } = config.drill;
  const [pg] = config.pgs;
  const pool = host.pool();
  // Threads start while the backup is chosen.
  pool.warm?.();
  return drill(
    {
      repos: host.repositories(),
      pool,
      users: host.users,
      self: host.self,
      restoreCommand: (key, dataDirectory) => restoreCommandLine(host, key, dataDirectory),
      openProduction: (database) => host.newSession(database),
    },
    {
      binPath,
      pick: pick ?? declared.pick,
      level: given.level ? level : (declared.level ?? level),
      maxMinutes: given.maxMinutes ? maxMinutes : (declared.maxMinutes ?? maxMinutes),
      maxBytes: maxBytes ?? declared.maxBytes,
      stanza,
      path,
      repoKey,
      repoKeys: declared.repoKeys,
      set: config.set,
      objectivesOf: (key) => objectivesOf(settings, key),
      heartbeat: settings.drill?.heartbeat,
      assertions: settings.drill?.assertions ?? [],
      user: pg?.user ?? host.users.userName(host.self.uid) ?? "postgres",
      database: pg?.database ?? "postgres",
      beganMs: host.process.beganMs,
    },
    ctx,
  );
}

/** What the settings file says of a drill; nothing where none is asked for. @throws optionInvalidValue, optionRequired */
function declaredDrill({ config }: CommandHost): DeclaredDrill {
  const { name, now } = config.drill;
  const declared = config.settings.drill?.declared ?? {};
  const names = Object.keys(declared);
  if (name === undefined && now && names.length > 1)
    throw fail("optionRequired", `drill command requires option: name, because ${names.length} drills are declared`, {
      hint: `name one of ${names.join(", ")}.`,
    });
  const wanted = name ?? (now ? names[0] : undefined);
  if (wanted === undefined) return {};
  const found = Object.hasOwn(declared, wanted) ? declared[wanted] : undefined;
  if (found !== undefined) return found;
  throw fail("optionInvalidValue", `'${wanted}' is not valid for 'name' option: no such drill is declared`, {
    hint: names.length === 0 ? "the settings file declares none." : `declared are ${names.join(", ")}.`,
  });
}

/** The age that schedules leave is each repository's own. */
function objectivesOf(settings: Settings, repoKey: number): DrillObjectives {
  const objectives = settings.drill?.objectives ?? {};
  const expected = objectives.backupAgeSeconds ?? settings.repos[repoKey]?.expectBackupWithinS;
  return { ...objectives, ...(expected === undefined ? {} : { backupAgeSeconds: expected }) };
}

/** Beside the data directory there is most likely room for another one. */
export function drillPathOf({ config }: CommandHost, declared: DeclaredDrill): string {
  const [pg] = config.pgs;
  const path = config.drill.path ?? declared.path ?? (pg === undefined ? undefined : `${pg.path.replace(/\/+$/, "")}-drill`);
  if (path === undefined)
    throw fail("optionRequired", "drill command requires option: drill-path", { hint: "there is no pg1-path to be beside of." });
  const inside = config.pgs.find((each) => `${path}/`.startsWith(`${each.path.replace(/\/+$/, "")}/`));
  if (inside !== undefined)
    throw fail("optionInvalidValue", `'${path}' is not valid for 'drill-path' option: it is in the data directory '${inside.path}'`, {
      hint: "name a directory beside it.",
    });
  return path.length > 1 ? path.replace(/\/+$/, "") : path;
}

/** Of one repository alone, or of all where none is named, in this process's own time, and without production's spool. */
export function restoreCommandLine({ config, ownCommand }: CommandHost, repoKey: number | undefined, dataDirectory: string): string {
  const carried = config.carriedOptions.filter((word) => !/^--(pg1-path|repo|archive-async|no-archive-async|log-level-file)(=|$)/.test(word));
  const own = [
    `--pg1-path=${dataDirectory}`,
    ...(repoKey === undefined ? [] : [`--repo=${repoKey}`]),
    `--stanza=${config.stanza ?? ""}`,
    "--no-archive-async",
    "--log-level-file=off",
    "--log-level-console=warn",
  ];
  const words = config.cmd === undefined ? ownCommand.map(shellWord) : [config.cmd];
  return `${words.join(" ")} ${[...carried, ...own].sort().map(shellWord).join(" ")} archive-get %f "%p"`;
}
