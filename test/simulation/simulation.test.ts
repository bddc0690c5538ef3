/**
 * Several writers on the same repositories, in every order that a seed or the point of a disturbance produces. See
 * engine.ts and truth.ts.
 *
 * `PGBACKSTOP_SEED=<number>` sets the first seed; the nightly form draws one, and prints which seeds it tried.
 * `PGBACKSTOP_SIMULATION_STEPS=<number>` sets the number of random steps. `PGBACKSTOP_SCHEDULE='<what a failure
 * printed>'` replays that schedule and prints every step.
 */
import { beforeAll, describe, expect, it, vi } from "vitest";
import { FINDINGS } from "./findings";
import type { Conditions } from "./bucket";
import { LIES } from "./engine";
import type { Scenario } from "./host";
import { BESIDE, CROWDS, HARMED, harmedBy, HARMS, LYING, PAUSED, SCENARIOS, STREAMS } from "./scenarios";
import {
  Figures,
  type Violation,
  play,
  RandomChooser,
  Replay,
  replayText,
  tryChoices,
  tryRandom,
  trySystematic,
  ALL_KINDS,
} from "./search";
import { loadJobs } from "./verbs";
import { NIGHTLY } from "../../tools/parts/nightly";
import { testContext } from "../harness/context";

vi.mock("node:fs", async (original) => (await import("./files.js")).overFiles(await original()));
vi.mock("node:fs/promises", async (original) => (await import("./files.js")).overPromises(await original()));
vi.mock("node:timers/promises", async (original) => ({
  ...(await original<object>()),
  setImmediate: async () => undefined,
}));
// Node's thread pool would end it at an unpredictable time.
vi.mock("node:zlib", async (original) => {
  const real = await original<typeof import("node:zlib")>();
  const gzip = (bytes: Uint8Array, options: object, done: (error: null, packed: Uint8Array) => void): void =>
    done(null, real.gzipSync(bytes, options));
  return { ...real, gzip };
});
vi.mock("../../runtime/repository/publish", async (original) => {
  const real = await original<typeof import("../../runtime/repository/publish.js")>();
  const { finishUnseen, unlessOff } = await import("./weak.js");
  return { ...real, finishBackup: unlessOff("publish", real.finishBackup, finishUnseen) };
});
vi.mock("../../runtime/repository/reconstruct", async (original) => {
  const real = await original<typeof import("../../runtime/repository/reconstruct.js")>();
  const { believeListing, unlessOff } = await import("./weak.js");
  return { ...real, loadReconstructedInfo: unlessOff("listing", real.loadReconstructedInfo, believeListing) };
});
vi.mock("../../runtime/format/repository/attemptFile", async (original) => {
  const real = await original<typeof import("../../runtime/format/repository/attemptFile.js")>();
  const { unlessOff } = await import("./weak.js");
  return { ...real, isSameSource: unlessOff("source", real.isSameSource, () => true) };
});

vi.mock("../../runtime/postgres/programs", async (original) => ({
  ...(await original<object>()),
  async *programOutput(command: readonly string[]) {
    for (const half of ["first", "second"]) yield Buffer.from(`the ${half} half of: ${command.join(" ")}`);
  },
}));
vi.mock("../../runtime/repository/dumpStore", async (original) => {
  const real = await original<typeof import("../../runtime/repository/dumpStore.js")>();
  const { publishUnseen, unlessOff } = await import("./weak.js");
  return { ...real, publishDump: unlessOff("dumps", real.publishDump, publishUnseen) };
});
vi.mock("../../runtime/repository/stored", async (original) => {
  const real = await original<typeof import("../../runtime/repository/stored.js")>();
  const { unlessOff } = await import("./weak.js");
  return { ...real, requireManifests: unlessOff("looks", real.requireManifests, async () => {}) };
});
vi.mock("../../runtime/repository/walStore", async (original) => {
  const real = await original<typeof import("../../runtime/repository/walStore.js")>();
  const { unlessOff } = await import("./weak.js");
  return {
    ...real,
    canBeWhole: unlessOff("bytes", real.canBeWhole, () => true),
    isIntact: unlessOff("bytes", real.isIntact, async () => true),
  };
});
vi.mock("../../runtime/operations/archivePush/neighbours", async (original) => {
  const real = await original<typeof import("../../runtime/operations/archivePush/neighbours.js")>();
  const { isOff } = await import("./weak.js");
  class Neighbours extends real.Neighbours {
    override async after(...asked: [string, string]): ReturnType<InstanceType<typeof real.Neighbours>["after"]> {
      return isOff("twins") ? [] : super.after(...asked);
    }
  }
  return { ...real, Neighbours };
});
vi.mock("../../runtime/operations/archivePush/conflicts", async (original) => {
  const real = await original<typeof import("../../runtime/operations/archivePush/conflicts.js")>();
  const { isOff } = await import("./weak.js");
  type Recording = typeof real.recordingConflict;
  const recordingConflict = ((...[records, ...rest]: Parameters<Recording>) =>
    real.recordingConflict(isOff("conflict") ? { ...records, addConflict: () => {} } : records, ...rest)) as Recording;
  return { ...real, recordingConflict };
});
vi.mock("../../runtime/operations/archivePush/acknowledge", async (original) => {
  const real = await original<typeof import("../../runtime/operations/archivePush/acknowledge.js")>();
  const { unlessOff } = await import("./weak.js");
  const byAll: typeof real.isSatisfied = (_, keys, holding) => keys.every((key) => holding.has(key));
  return { ...real, isSatisfied: unlessOff("grace", real.isSatisfied, byAll) };
});
vi.mock("../../runtime/operations/stream/otherSessions", async (original) => {
  const real = await original<typeof import("../../runtime/operations/stream/otherSessions.js")>();
  const { isOff } = await import("./weak.js");
  class OtherSessions extends real.OtherSessions {
    override async look(...asked: Parameters<InstanceType<typeof real.OtherSessions>["look"]>): Promise<void> {
      if (!isOff("sessions")) await super.look(...asked);
    }
  }
  return { ...real, OtherSessions };
});
vi.mock("../../runtime/operations/heal/decide", async (original) => {
  const real = await original<typeof import("../../runtime/operations/heal/decide.js")>();
  const { firstDecides, unlessOff } = await import("./weak.js");
  return { ...real, decide: unlessOff("origin", real.decide, firstDecides) };
});

vi.mock("../../runtime/operations/expire/holdRecord", async (original) => {
  const real = await original<typeof import("../../runtime/operations/expire/holdRecord.js")>();
  const { unlessOff } = await import("./weak.js");
  return { ...real, loadHolds: unlessOff("holds", real.loadHolds, async () => new Map()) };
});
vi.mock("../../runtime/operations/archivePush/pushWal", async (original) => {
  const real = await original<typeof import("../../runtime/operations/archivePush/pushWal.js")>();
  const { isOff } = await import("./weak.js");
  class PushTarget extends real.PushTarget {
    override async holds(...asked: Parameters<InstanceType<typeof real.PushTarget>["holds"]>): Promise<boolean> {
      return isOff("memory") || super.holds(...asked);
    }
  }
  return { ...real, PushTarget };
});

/**
 * A disturbance at every point takes some 13 million steps, whose number is fixed. Random ones take a sixth of that:
 * each night tries new seeds, so what one night misses the next ones find.
 */
const STEPS = Number(process.env["PGBACKSTOP_SIMULATION_STEPS"] ?? (NIGHTLY ? 2_000_000 : 8000));
const SEED = Number(process.env["PGBACKSTOP_SEED"] ?? (NIGHTLY ? Math.floor(Date.now() / 1000) : 1));
const SCHEDULE = process.env["PGBACKSTOP_SCHEDULE"];
const TIMEOUT_MS = NIGHTLY ? 6 * 3_600_000 : 600_000;
/** A long run stops after this many failures. */
const FAILURES_MAX = 10;

function print(text: string): void {
  process.stdout.write(`simulation: ${text}\n`);
}

beforeAll(() => loadJobs(testContext()));

it.runIf(SCHEDULE !== undefined)("replays one schedule", async () => {
  const { text, violation } = await replayText(SCHEDULE ?? "");
  print(text);
  expect(violation).toBeNull();
});

it("takes the same steps for the same seed", async () => {
  for (const scenario of [...CROWDS, ...STREAMS]) {
    const once = async (): Promise<unknown> => {
      const { trace, ends } = await play(scenario, new RandomChooser(SEED, ALL_KINDS), [], true);
      return { trace, ends };
    };
    expect(await once()).toEqual(await once());
  }
});

it("repeats a seed's run by its choices", async () => {
  for (const scenario of [...CROWDS, ...STREAMS]) {
    const chooser = new RandomChooser(SEED + 1, ALL_KINDS);
    const { trace } = await play(scenario, chooser, [], true);
    const again = await play(scenario, new Replay(chooser.choices), [], true);
    expect(again.trace).toEqual(trace);
  }
});

describe("without its guard, the simulation detects that", () => {
  it.each(FINDINGS)("$title", { timeout: TIMEOUT_MS }, async ({ scenario, kinds, off, breaks }) => {
    const figures = new Figures();
    const result = await trySystematic(scenario, off, figures, { depth: 1, kinds });
    if (NIGHTLY) print(`${result?.schedule}\n${figures.text()}`);
    expect(result?.violation).toMatch(breaks);
  });
});

// claim: docs/agent.md: `heal` sends at once…
describe("every promise holds", () => {
  it.runIf(NIGHTLY).each([...SCENARIOS, ...PAUSED, ...STREAMS, ...HARMED])(
    "in '$name' with a disturbance at every point",
    { timeout: TIMEOUT_MS },
    async (scenario) => {
      const figures = new Figures();
      const result = await trySystematic(scenario, [], figures, { depth: 1 });
      print(`'${scenario.name}' at every place: ${figures.text()}`);
      expect(result?.schedule ?? null).toBeNull();
    },
  );

  it.each([...PAUSED, ...STREAMS])("in '$name' with pauses", { timeout: TIMEOUT_MS }, async (scenario) => {
    const result = await trySystematic(scenario, [], new Figures(), {
      depth: 1,
      kinds: ["pause"],
      stride: NIGHTLY ? 8 : 32,
    });
    expect(result?.schedule ?? null).toBeNull();
  });

  it.each(HARMED)("in '$name'", { timeout: TIMEOUT_MS }, async (scenario) => {
    const result = await tryChoices(scenario, 0, [], new Figures(), 0);
    expect(result?.schedule ?? null).toBeNull();
  });

  it.each(LYING.filter(({ isShort }) => isShort || NIGHTLY))(
    "in '$name' with each lie in each call",
    { timeout: TIMEOUT_MS },
    async (scenario) => {
      const figures = new Figures();
      const result = await trySystematic(scenario, [], figures, { depth: 1, kinds: LIES });
      if (NIGHTLY) print(`'${scenario.name}' with lies: ${figures.text()}`);
      expect(result?.schedule ?? null).toBeNull();
    },
  );

  it(`in ${STEPS} steps`, { timeout: TIMEOUT_MS }, async () => {
    const figures = new Figures();
    const failures: string[] = [];
    const known = [...CROWDS, ...SCENARIOS, ...PAUSED, ...STREAMS, ...BESIDE, ...LYING];
    let seed = SEED;
    for (; figures.steps < STEPS && failures.length < (NIGHTLY ? FAILURES_MAX : 1); seed++) {
      const all: readonly Scenario[] = [...known, ...harmedBy(HARMS[seed % HARMS.length] ?? "vanish")];
      const conditions = CONDITIONS[Math.floor(seed / (all.length * DEPTHS)) % CONDITIONS.length] as Conditions;
      const scenario = { conditions, ...(all[seed % all.length] as Scenario) };
      const isLying = LYING.some(({ name }) => name === scenario.name);
      const result = await (isLying
        ? tryChoices(scenario, seed, [], figures, 1, LIES)
        : tryOne(scenario, seed, figures));
      if (result === null) continue;
      failures.push(`seed ${seed}: ${result.schedule}`);
      print(failures.at(-1) ?? "");
    }
    print(`seeds ${SEED} to ${seed - 1}: ${figures.text()}`);
    expect(failures).toEqual([]);
  });
});

const CONDITIONS: readonly Conditions[] = ["versions", "creation", "none"];
const DEPTHS = 4;

/** Disturbs at random, or at one, two or three points. */
function tryOne(scenario: Scenario, seed: number, figures: Figures): Promise<Violation | null> {
  const depth = Math.floor(seed / 20) % DEPTHS;
  return depth === 0 ? tryRandom(scenario, seed, [], figures) : tryChoices(scenario, seed, [], figures, depth);
}
