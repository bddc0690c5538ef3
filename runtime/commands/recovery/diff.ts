/** `diff`: how a table differs between two moments, row by row; each past moment is an opened backup. */
import { fail, isError } from "../../base/errors";
import { actAs } from "../../local/actAs";
import { acquireLock } from "../../local/lockFile";
import { existsSync } from "../../local/nodeFiles";
import { prepareRoot } from "../../operations/drill/scratch";
import { diffJson, diffText } from "../../operations/extract/diffReport";
import { type DiffSide, diffTable } from "../../operations/extract/tableDiff";
import { closeBackup } from "../../operations/open/closeBackup";
import { openedDataTimeMs, requireFuse, requireOpened } from "../../operations/open/openBackup";
import { loadState, openLocation } from "../../operations/open/openLocation";
import type { Account } from "../../operations/open/tree";
import { Session } from "../../postgres/session";
import type { Command, CommandProcess } from "../../process/commandProcess";
import { drillPathOf } from "./drill";
import { timeUs } from "./find";
import { accountOf, openArgs, type OpenedMoment, requireOwnKeys } from "./open";

/** Only names the sockets. */
const PORT = 54330;
/** The `open` of a killed command goes on until its files are served. */
const OPENING_MS = 60_000;
const POLL_MS = 200;
/** No row comes before the whole table is sorted. */
const QUERY_TIMEOUT_MS = 86_400_000;

interface Wanted {
  readonly database: string;
  readonly table: string;
  readonly from: OpenedMoment;
  /** Null is production. */
  readonly to: OpenedMoment | null;
}

export const diffCommand: Command = async (proc) => {
  const { config, ctx } = proc;
  const wanted = wantedOf(proc);
  requireFuse(proc.self.uid === 0);
  requireOwnKeys(proc);
  const account = await accountOf(proc);
  const folder = drillPathOf(proc, {});
  await actAs(account, () => prepareRoot(folder));
  const before = new OpenedSide(proc, account, `${folder}/${config.stanza}-diff-from`);
  const after = wanted.to === null ? null : new OpenedSide(proc, account, `${folder}/${config.stanza}-diff-to`);
  const lock = acquireLock({
    lockPath: folder,
    stanza: `${config.stanza}-diff`,
    kind: "opening",
    owners: [account.uid],
    ...proc.process,
  });
  let now: Session | null = null;
  try {
    const from = await before.open(wanted.from, wanted.database);
    let to: DiffSide;
    if (after !== null && wanted.to !== null) to = await after.open(wanted.to, wanted.database);
    else {
      // The server knows its account, not root.
      now = await actAs(account, () => proc.newSession(wanted.database));
      to = { session: now, text: `production, at ${new Date(await now.nowMs()).toISOString()}` };
    }
    const diff = await diffTable(from, to, { shownMax: config.find.limit, table: wanted.table }, ctx);
    const report = { ...diff, database: wanted.database, from: from.text, to: to.text };
    proc.print(config.output === "json" ? `${diffJson(report)}\n` : diffText(report));
    return 0;
  } finally {
    await now?.close();
    await before.close();
    await after?.close();
    lock.release();
  }
};

/** @throws optionRequired, optionInvalidValue */
function wantedOf({ config, ctx }: CommandProcess): Wanted {
  const { database, table, to } = config.find;
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

/** A past moment, mounted and served until the command ends. A killed command's is removed by the next one. */
class OpenedSide {
  readonly #proc: CommandProcess;
  readonly #account: Account;
  readonly #at: string;
  #session: Session | null = null;

  constructor(proc: CommandProcess, account: Account, at: string) {
    this.#proc = proc;
    this.#account = account;
    this.#at = at;
  }

  async open(moment: OpenedMoment, database: string): Promise<DiffSide> {
    const { config, ctx, users } = this.#proc;
    const location = openLocation(this.#at);
    await this.close();
    const args = openArgs(this.#proc, { at: this.#at, port: PORT }, moment);
    requireOpened(await this.#proc.program(args, { signal: ctx.signal, isOwn: true }));
    const [pg] = config.pgs;
    this.#session = await Session.open({
      host: location.folder,
      port: PORT,
      user: pg?.user ?? users.userName(this.#account.uid) ?? "postgres",
      database,
      queryTimeoutMs: QUERY_TIMEOUT_MS,
      applicationName: "pgbackstop diff",
    });
    const { backup } = (await loadState(location)) ?? {};
    const time = new Date(await openedDataTimeMs(location, this.#session)).toISOString();
    return { session: this.#session, text: `backup ${backup?.label} of ${backup?.repo}, at ${time}` };
  }

  /** Also after an abort, and what a killed command has left. */
  async close(): Promise<void> {
    await this.#session?.close();
    this.#session = null;
    if (!existsSync(openLocation(this.#at).folder)) return;
    const { signal } = new AbortController();
    const { config, ctx, process } = this.#proc;
    const request = {
      at: this.#at,
      isRoot: true,
      account: this.#account,
      keeps: false,
      stanza: config.stanza ?? "",
      spoolPath: config.spoolPath,
      self: process,
      move: null,
    };
    const tools = { program: (args: readonly string[]) => this.#proc.program(args, { signal }) };
    const endMs = ctx.clock.monotonicMs() + OPENING_MS;
    for (;;) {
      try {
        await closeBackup(request, tools, { ...ctx, signal });
        return;
      } catch (error) {
        if (!isError(error, "lockAcquire") || ctx.clock.monotonicMs() > endMs) throw error;
        await ctx.clock.sleep(POLL_MS, signal);
      }
    }
  }
}
