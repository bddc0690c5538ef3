/** `diff`: how a table differs between two moments, row by row; each past moment is an opened backup. */
import { fail } from "../../base/errors";
import { diffJson, diffText } from "../../operations/extract/diffReport";
import { type DiffSide, diffTable } from "../../operations/extract/tableDiff";
import type { Command, CommandProcess } from "../../process/commandProcess";
import { findDatabase, timeUs } from "./find";
import type { OpenedMoment } from "./open";
import { OwnOpened } from "./ownOpened";

interface Wanted {
  readonly database: string;
  readonly table: string;
  readonly from: OpenedMoment;
  /** Null is production. */
  readonly to: OpenedMoment | null;
}

export const diffCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const { database, table, ...moments } = wantedOf(proc);
  const opened = await OwnOpened.begin(proc, ["from", "to"]);
  try {
    const from = await pastSide(opened, "from", moments.from, database);
    const to =
      moments.to === null ? await presentSide(opened, database) : await pastSide(opened, "to", moments.to, database);
    const diff = await diffTable(from, to, { shownMax: config.find.limit, table }, ctx);
    const report = { ...diff, database, from: from.text, to: to.text };
    proc.print(config.output === "json" ? `${diffJson(report)}\n` : diffText(report));
    return 0;
  } finally {
    await opened.end();
  }
};

async function pastSide(opened: OwnOpened, name: string, moment: OpenedMoment, database: string): Promise<DiffSide> {
  const location = await opened.open(name, moment);
  const session = await opened.connect(location, database);
  return { session, text: await opened.describe(location, session) };
}

async function presentSide(opened: OwnOpened, database: string): Promise<DiffSide> {
  const session = await opened.production(database);
  return { session, text: `production, at ${new Date(await session.nowMs()).toISOString()}` };
}

/** @throws optionRequired, optionInvalidValue */
function wantedOf({ config, ctx }: CommandProcess): Wanted {
  const { table, to } = config.find;
  const database = findDatabase(config);
  if (database === undefined) throw fail("optionRequired", "diff command requires option: database");
  if (table === undefined) throw fail("optionRequired", "diff command requires option: table");
  if (config.restore.typeIsDefault && config.set === undefined)
    throw fail("optionRequired", "diff command requires option: type, or else set", {
      hint: "They name the earlier moment, as --type=time --target='2026-11-20 06:40:00+00'. The later one is now, or --to.",
    });
  if (to === undefined) return { database, table, from: config, to: null };
  const time = new Date(Number(timeUs("to", to, BigInt(Math.ceil(ctx.clock.nowMs())) * 1000n) / 1000n)).toISOString();
  const target = time.replace("T", " ").replace("Z", "+00");
  const { targetTimeline } = config.restore;
  const restore = { type: "time", target, targetExclusive: false, targetTimeline, typeIsDefault: false } as const;
  return { database, table, from: config, to: { restore } };
}
