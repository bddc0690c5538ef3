/** Collects a drill's results as it runs: phases, checks, failures, and the objectives that it measures against. */
import type { Context } from "../../base/context";
import { type BackupError, fail } from "../../base/errors";
import { given } from "../../base/given";
import type { CheckResult } from "./checks";
import type { Picked } from "./drillPlan";
import {
  type DrillCheck,
  type DrillFailure,
  drillId,
  type DrillObjectives,
  type DrillKind,
  type DrillOpened,
  type DrillRecord,
  type DrillRpo,
} from "./record";

export interface JournalStart {
  readonly stanza: string;
  readonly level: DrillRecord["level"];
  /** For the drilled repository. */
  objectivesOf(turn: Pick<DrillRecord, "pick" | "repo">): DrillObjectives;
  /** {@link Context.clock}'s monotonic time at the program's start. */
  readonly beganMs: number;
  /** True for a drill that opens a backup instead of restoring it. */
  readonly opens?: boolean;
  /** As in {@link DrillRecord}. */
  readonly invocationId?: string | undefined;
}

export class DrillJournal {
  readonly id: string;
  /** The assumed time of the disaster: ms since 1970. */
  readonly beganAtMs: number;
  turn: { readonly repo: number; readonly pick: DrillKind } = { repo: 0, pick: "newest" };
  picked: Picked | null = null;
  rpo: DrillRpo | null = null;
  restoredBytes = 0;
  /** As in {@link DrillRecord}. */
  lockedForS: number | undefined;
  /** What was fetched of an opened backup. */
  fetched: Pick<DrillOpened, "fetchedBytes" | "totalBytes"> = { fetchedBytes: 0, totalBytes: 0 };
  /** Age of the present cluster's newest backup in the drilled repository; infinite without one, null if not read. */
  newestAgeS: number | null = null;
  readonly #start: JournalStart;
  readonly #ctx: Context;
  readonly #failures: DrillFailure[] = [];
  readonly #checks: DrillCheck[] = [];
  readonly #phases: { name: string; elapsedMs: number }[] = [];
  #connectedMs: number | null = null;
  #phase = "choose";
  #phaseBeganMs: number;

  constructor(start: JournalStart, ctx: Context) {
    this.#start = start;
    this.#ctx = ctx;
    this.beganAtMs = ctx.clock.nowMs() - (ctx.clock.monotonicMs() - start.beganMs);
    this.id = drillId(this.beganAtMs, ctx.random.bytes(4));
    this.#phaseBeganMs = start.beganMs;
  }

  get phase(): string {
    return this.#phase;
  }

  /** Ends the current phase and begins this one. */
  next(phase: string): void {
    const nowMs = this.#ctx.clock.monotonicMs();
    this.#phases.push({ name: this.#phase, elapsedMs: Math.round(nowMs - this.#phaseBeganMs) });
    this.#phase = phase;
    this.#phaseBeganMs = nowMs;
  }

  /** Called when the first connection was accepted. */
  connected(): void {
    this.#connectedMs = Math.round(this.#ctx.clock.monotonicMs() - this.#start.beganMs);
  }

  fail(where: string, error: Pick<BackupError, "name" | "exitCode" | "message">): void {
    this.#failures.push({ where, error: error.name, code: error.exitCode, message: error.message });
  }

  keep(results: readonly CheckResult[]): void {
    for (const { check, error } of results) {
      this.#checks.push(check);
      if (error !== null) this.fail(check.name, error);
    }
  }

  /** Records missed objectives as failures. */
  judge(): void {
    const { backupAgeSeconds, rpoSeconds, rtoSeconds } = this.#start.objectivesOf(this.turn);
    const miss = (name: string, measured: number | null, promised: number | undefined, what: string): void => {
      if (measured === null || promised === undefined || measured <= promised) return;
      const text = Number.isFinite(measured)
        ? `${what} of ${seconds(measured)} exceeds the objective of ${seconds(promised)}`
        : `${what}: there is none of the present cluster, and the objective is ${seconds(promised)}`;
      this.fail(`objective:${name}`, fail("command", text));
    };
    const rtoMs = this.#rtoMs();
    miss("rto", rtoMs === null ? null : rtoMs / 1000, rtoSeconds, "RTO");
    miss("rpo", this.rpo?.seconds ?? null, rpoSeconds, `RPO (by ${this.rpo?.method ?? ""})`);
    miss("backupAge", this.newestAgeS, backupAgeSeconds, `repo${this.turn.repo}: age of the newest backup`);
  }

  /** A backup that is opened has its first connection before its files are here. */
  #rtoMs(): number | null {
    return this.#start.opens === true ? null : this.#connectedMs;
  }

  record(): DrillRecord {
    const { invocationId, level, objectivesOf, opens, stanza } = this.#start;
    const { picked } = this;
    return {
      version: 1,
      id: this.id,
      stanza,
      ...this.turn,
      level,
      backup:
        picked === null
          ? null
          : { label: picked.backup.label, type: picked.backup.type, stoppedAtS: picked.backup.stoppedAtS },
      target:
        picked === null || picked.type === "default"
          ? null
          : picked.type === "lsn"
            ? `lsn ${picked.target ?? ""}`
            : picked.type,
      startedAtS: Math.floor(this.beganAtMs / 1000),
      endedAtS: Math.floor(this.#ctx.clock.nowMs() / 1000),
      ok: this.#failures.length === 0,
      failures: this.#failures,
      rtoMs: this.#rtoMs(),
      ...(opens === true ? { opened: { elapsedMs: this.#connectedMs, ...this.fetched } } : {}),
      phases: this.#phases,
      rpo: this.rpo,
      restoredBytes: this.restoredBytes,
      checks: this.#checks,
      objectives: objectivesOf(this.turn),
      ...given({ lockedForS: this.lockedForS, invocationId }),
    };
  }
}

function seconds(value: number): string {
  return `${Number(value.toFixed(1))} s`;
}
