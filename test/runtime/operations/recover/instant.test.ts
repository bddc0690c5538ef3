import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import type { OpenProgress } from "../../../../runtime/operations/open/openLocation";
import { clearInstant, goOnInstant, type Instant, nextTimeMs } from "../../../../runtime/operations/recover/instant";
import { JournalFile } from "../../../../runtime/operations/recover/journalFile";
import type { Begun, RecoverTools } from "../../../../runtime/operations/recover/recover";
import type { Journal, Phase } from "../../../../runtime/operations/recover/recoveryJournal";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

const MISSING: OpenProgress = { totalBytes: 10, missingBytes: 4, isWhole: false, fetchesAll: true, trouble: null };

/** A host whose server runs or not, and a directory that is mounted, plain, or on its way. */
class World {
  readonly calls: string[] = [];
  readonly ctx = testContext();
  readonly begun: Begun;
  readonly #path = join(temporaryFolder(), "journal.json");
  isRunning = false;
  isPlain = false;
  isMoving = false;
  isDead = false;
  backupTurns = 0;
  /** What becomePlain does not get past. */
  trouble: Error | null = null;
  progress: (OpenProgress | null)[] = [MISSING, MISSING, null];

  constructor(phase: Phase, more: Partial<Journal> = {}) {
    const journal = {
      version: 3,
      phase,
      dataDirectory: "/data",
      stamp: "1",
      moves: [],
      account: { uid: 1, gid: 1, mode: 0o700 },
      ...more,
    } as Partial<Journal> as Journal;
    const control = { stop: ["stop"], start: ["start"], asAccount: false, find: async () => this.#server() };
    this.begun = { journal, file: new JournalFile("recover", "/data", this.#path, 1000), control };
  }

  #server() {
    return this.isRunning ? { pid: 7, unit: null } : null;
  }

  get phase(): string {
    return (JSON.parse(readFileSync(this.#path, "utf8")) as Journal).phase;
  }

  readonly tools: RecoverTools = {
    program: async ([verb = ""]) => {
      this.calls.push(verb);
      this.isRunning = verb === "start";
      return { exitCode: 0, stdout: "", stderr: "" };
    },
    self: async (args) => {
      if (args[0] !== "recover-step") this.calls.push(args[0] ?? "");
      return { exitCode: 0, stdout: '{"paused":false,"timeline":2}', stderr: "" };
    },
    asAccount: (work) => work(),
    archiveGet: () => "false",
  };

  instant(moveAt: string | null = null): Instant {
    const note = (call: string): void => void this.calls.push(call);
    return {
      moveAt,
      isBusy: () => this.backupTurns-- > 0,
      onOpen: () => note("open"),
      directory: {
        mount: async () => note("mount"),
        sync: async () => note("sync"),
        isPlain: () => this.isPlain,
        isMoving: async () => this.isMoving,
        progress: async () => this.progress.shift() ?? null,
        requireServed: async () => {
          if (this.isDead) throw fail("execute", "the process that serves the files has ended");
        },
        endDeadServer: async () => {
          if (this.isDead) note("end");
          return this.isDead;
        },
        clearMoved: async () => note("clear"),
        becomePlain: async () => {
          note("plain");
          if (this.trouble !== null) throw this.trouble;
          this.isPlain = true;
        },
        leave: async (isUsed) => {
          note(`leave ${isUsed}`);
          return ["/data.recovered-1.pgbackstop"];
        },
      },
    };
  }

  go(moveAt: string | null = null): Promise<unknown> {
    return goOnInstant(this.begun, this.instant(moveAt), this.tools, this.ctx);
  }
}

describe("recover --instant", () => {
  const WHOLE = "mount start check open sync stop plain start";

  test.each<readonly [Phase, string]>([
    ["restore", WHOLE],
    ["start", WHOLE],
    ["fetch", WHOLE],
    ["swap", "sync plain start"],
    ["restart", "start"],
  ])("continues in phase %s", async (phase, calls) => {
    const world = new World(phase);
    await world.go();
    expect([world.calls.join(" "), world.phase]).toEqual([calls, "done"]);
  });

  test("does not stop a server that runs on its own files already", async () => {
    const world = new World("swap");
    [world.isPlain, world.isRunning] = [true, true];
    await world.go();
    expect(world.calls).toEqual(["clear"]);
  });

  test("waits for everything, then for its time, and for a backup that runs", async () => {
    const world = new World("fetch");
    world.backupTurns = 5;
    const beganMs = world.ctx.clock.nowMs();
    const at = new Date(beganMs + 3 * 3_600_000).toTimeString().slice(0, 5);
    await world.go(at);
    expect(world.ctx.clock.nowMs()).toBeGreaterThanOrEqual(nextTimeMs(at, beganMs));
    expect(world.calls.join(" ")).toBe(WHOLE);
    const lines = world.ctx.lines.map(({ text }) => text);
    expect(lines).toEqual(
      expect.arrayContaining(["6B of 10B are here", "the server is restarted after the backup that runs"]),
    );
    expect(world.ctx.clock.sleeps.slice(-4)).toEqual([1000, 1000, 1000, 1000]);
  });

  test("does not wait for its time behind files that nobody serves", async () => {
    const world = new World("fetch");
    [world.isDead, world.progress] = [true, []];
    await expect(world.go("23:59")).rejects.toThrow("has ended");
    expect([world.phase, world.calls.at(-1)]).toEqual(["fetch", "open"]);
  });

  // claim: docs/hosts/instant.md: if the files cannot be moved, the server goes on where they are
  test("a move that fails starts the server again where its files are, and the next run repeats it", async () => {
    const world = new World("fetch");
    world.trouble = fail("fileWrite", "no space is left");
    await expect(world.go()).rejects.toThrow("no space is left");
    expect([world.calls.slice(-3), world.isRunning, world.phase]).toEqual([["plain", "mount", "start"], true, "swap"]);
    world.trouble = null;
    const again = new World("swap");
    await again.go();
    expect(again.isPlain).toBe(true);
  });

  test("what is on its way is not mounted again", async () => {
    const world = new World("swap");
    [world.trouble, world.isMoving] = [fail("fileMove", "killed"), true];
    await expect(world.go()).rejects.toThrow("killed");
    expect(world.calls).toEqual(["sync", "plain"]);
  });

  test("a server that has lost its files is ended, because it answers no command", async () => {
    const world = new World("swap");
    [world.isDead, world.isRunning] = [true, true];
    const going = world.go();
    world.isRunning = false;
    await going;
    expect(world.calls).toEqual(["sync", "end", "plain", "start"]);
  });

  test.each<readonly [Phase, Partial<Journal>, string]>([
    ["restore", {}, "leave false"],
    ["start", {}, "leave true"],
    ["fetch", {}, "leave true"],
    ["undo", { hasStarted: false }, "leave false"],
    ["undo", { hasStarted: true }, "leave true"],
  ])("an undo in phase %s keeps what a server may have written: %o", async (phase, more, calls) => {
    const world = new World(phase, more);
    world.isRunning = true;
    expect(await clearInstant(world.instant(), world.begun, world.tools, world.ctx)).toHaveLength(1);
    expect(world.calls).toEqual(["stop", calls]);
  });

  test("an undo finishes a move that has begun, and leaves plain directories to the usual one", async () => {
    const world = new World("swap");
    world.isMoving = true;
    for (const calls of [["plain"], ["plain", "clear"]]) {
      expect(await clearInstant(world.instant(), world.begun, world.tools, world.ctx)).toEqual([]);
      expect(world.calls).toEqual(calls);
    }
  });
});

test("the next time of a clock is later today, or tomorrow", () => {
  const now = new Date(2026, 10, 20, 14, 30, 20).getTime();
  const textOf = (text: string): string => new Date(nextTimeMs(text, now)).toString().slice(8, 21);
  expect(textOf("14:31")).toBe("20 2026 14:31");
  expect(textOf("14:30")).toBe("21 2026 14:30");
  expect(textOf("02:00")).toBe("21 2026 02:00");
});
