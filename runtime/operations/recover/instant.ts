/**
 * `recover --instant` after the plan is confirmed: production answers from a mounted backup, the rest is fetched behind
 * it, and one restart moves the server to the plain directory. The journal has each phase, as for every recovery.
 */
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { formatSize } from "../../base/units";
import type { ProductionDirectory } from "./productionDirectory";
import {
  type Begun,
  keepOldData,
  phasesOf,
  type Recovered,
  type RecoverTools,
  type Served,
  startServer,
  stopServer,
} from "./recover";
import { hasStarted, PHASES } from "./recoveryJournal";

export interface Instant {
  readonly directory: Pick<
    ProductionDirectory,
    | "becomePlain"
    | "clearMoved"
    | "endDeadServer"
    | "isMoving"
    | "isPlain"
    | "leave"
    | "mount"
    | "progress"
    | "requireServed"
    | "sync"
  >;
  /** `02:00`, local time; null moves the files as soon as all are here. */
  readonly moveAt: string | null;
  /** A backup runs, which a restart would end. */
  isBusy(): boolean;
  /** Production answers, and the rest is on its way. */
  onOpen(recovered: Recovered): void;
}

const POLL_MS = 1000;
const REPORT_MS = 10_000;
const STEP_MS = 5000;

/** Continues from the journal's phase. @throws the steps' errors; the journal then says which step */
export async function goOnInstant(
  begun: Begun,
  instant: Instant,
  tools: RecoverTools,
  ctx: Context,
): Promise<Recovered> {
  const { directory } = instant;
  const enter = phasesOf(begun, ctx);
  const served = await keepOldData(begun, enter, tools, ctx);
  let checkCode = 0;
  if (PHASES.indexOf(begun.journal.phase) < PHASES.indexOf("swap")) {
    await enter("restore");
    // In every run: nothing is mounted after a restart of the machine.
    await directory.mount(ctx);
    await enter("start");
    const opened = await startServer(served, tools, ctx);
    checkCode = (await tools.self(["check", "--no-full-check"], ctx.signal)).exitCode;
    await enter("fetch");
    instant.onOpen({ opened, checkCode });
    await untilWhole(instant, ctx);
    await untilTime(instant, ctx);
    if (instant.isBusy()) ctx.log.info("the server is restarted after the backup that runs");
    while (instant.isBusy()) await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
  if (await enter("swap")) await (directory.isPlain() ? directory.clearMoved(ctx) : swap(instant, served, tools, ctx));
  await enter("restart");
  const opened = await startServer(served, tools, ctx);
  await enter("done");
  return { opened, checkCode };
}

/** Stops the server, and moves its files into place. If that fails, the server goes on as before. */
async function swap({ directory }: Instant, served: Served, tools: RecoverTools, ctx: Context): Promise<void> {
  await directory.sync();
  if (!(await directory.endDeadServer(ctx))) await stopServer(served, tools, ctx);
  try {
    await directory.becomePlain(ctx);
  } catch (error) {
    if (!(await directory.isMoving())) {
      ctx.log.warn(`the files stay where they are: ${toBackupError(error).message}`);
      await directory.mount(ctx);
      await startServer(served, tools, ctx);
    }
    throw error;
  }
}

async function untilWhole({ directory }: Instant, ctx: Context): Promise<void> {
  let reportedAtMs = ctx.clock.monotonicMs() - REPORT_MS;
  for (;;) {
    const progress = await directory.progress();
    if (progress === null) return;
    if (progress.totalBytes > 0 && ctx.clock.monotonicMs() - reportedAtMs >= REPORT_MS) {
      const { missingBytes, totalBytes, trouble } = progress;
      const why = trouble === null ? "" : `; the rest waits: ${trouble}`;
      ctx.log.info(`${formatSize(totalBytes - missingBytes)} of ${formatSize(totalBytes)} are here${why}`);
      reportedAtMs = ctx.clock.monotonicMs();
    }
    await ctx.clock.sleep(POLL_MS, ctx.signal);
  }
}

async function untilTime({ directory, moveAt }: Instant, ctx: Context): Promise<void> {
  if (moveAt === null) return;
  const nowMs = ctx.clock.nowMs();
  const atMs = nextTimeMs(moveAt, nowMs);
  ctx.log.info(`everything is here; the server is restarted at ${moveAt}`);
  // Step by step: a machine that was suspended is not late by that time.
  for (let leftMs = atMs - nowMs; leftMs > 0; leftMs = atMs - ctx.clock.nowMs()) {
    await directory.requireServed();
    await ctx.clock.sleep(Math.min(leftMs, STEP_MS), ctx.signal);
  }
}

export const MOVE_AT = /^([01]\d|2[0-3]):([0-5]\d)$/;

/** The next time that local clocks show it. */
export function nextTimeMs(text: string, nowMs: number): number {
  const [, hour = "0", minute = "0"] = MOVE_AT.exec(text) ?? [];
  const at = new Date(nowMs);
  at.setHours(Number(hour), Number(minute), 0, 0);
  if (at.getTime() <= nowMs) at.setDate(at.getDate() + 1);
  return at.getTime();
}

/** For an undo: keeps fetched and written pages under another name, if a server may have run on them. */
export async function clearInstant(
  { directory }: Pick<Instant, "directory">,
  { control, journal }: Pick<Begun, "control" | "journal">,
  tools: RecoverTools,
  ctx: Context,
): Promise<readonly string[]> {
  if (directory.isPlain()) {
    await directory.clearMoved(ctx);
    return [];
  }
  const served = { control, dataDirectory: journal.dataDirectory };
  if (!(await directory.endDeadServer(ctx))) await stopServer(served, tools, ctx);
  if (await directory.isMoving()) {
    await directory.becomePlain(ctx);
    return [];
  }
  return directory.leave(hasStarted(journal), journal.stamp, ctx);
}
