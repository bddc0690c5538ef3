/** Topologies for tests of comparisons, from given settings or random. */
import * as fc from "../harness/properties";
import type { HostSettings, RepositorySettings } from "../../components/plan/model/databaseSettings";
import { resolveHost } from "../../components/plan/model/resolveDatabase";
import { type Topology, topologyOf } from "../../components/plan/topology/topology";
import { unknownMarker } from "../../components/plan/model/unknown";
import { BUCKET, NAS, R2, settings } from "./plans";

type StreamingSettings = NonNullable<HostSettings["streaming"]>;

/** The topology of a host called `name`. */
export function topology(over: Partial<HostSettings> = {}, name = "ledger"): Topology {
  // JSON drops undefined fields, as a topology read from a file has none.
  return JSON.parse(JSON.stringify(topologyOf(resolveHost(name, settings(over), "/usr/bin/node")))) as Topology;
}

const CRONS = ["0 2 * * *", "30 2 * * 0", "0 3 1 * *", "0 */6 * * *", "15 4 * * 1-6"];
const DAYS = [1, 7, 14, 60, 365];
const optional = <T>(values: readonly T[]): fc.Arbitrary<T | undefined> =>
  fc.option(fc.constantFrom(...values), { nil: undefined });

const repository: fc.Arbitrary<RepositorySettings> = fc
  .record({
    base: fc.constantFrom(NAS, BUCKET, R2),
    keepDiffCount: optional([1, 7]),
    keep: optional([{ monthly: 12 }, { daily: 7, monthly: 3, zone: "Europe/Berlin" }]),
    options: fc.constantFrom(
      {},
      { "retention-archive": "2" },
      { "retention-archive": "9", "retention-archive-type": "incr" },
    ),
    encrypted: fc.boolean(),
    requireMount: fc.boolean(),
    offSite: optional([true, false]),
    keepDays: optional(DAYS),
    keepFullCount: optional([1, 2, 4, 9]),
    facts: fc.record({
      versioning: optional([true, false]),
      immutableDays: optional(DAYS),
      lockMode: optional(["governance", "compliance"]),
      undeleteDays: optional(DAYS),
      storageClass: optional(["STANDARD", "GLACIER"]),
      expireLiveDays: optional(DAYS),
    }),
  })
  .map(({ base, encrypted, facts, keep, keepDays, keepDiffCount, keepFullCount, offSite, options, requireMount }) => ({
    options,
    keepDiffCount,
    keep,
    at: {
      ...base.at,
      encrypted,
      offSite,
      requireMount,
      s3: base.at.s3 === undefined ? undefined : { ...base.at.s3, facts },
    },
    ...(keepDays !== undefined ? { keepDays } : { keepFullCount }),
  }));

const schedule = fc.record({
  cron: fc.constantFrom(...CRONS),
  timeZone: fc.constantFrom("UTC", "Europe/Berlin"),
  repositories: optional([["repo1"], ["repo2"], ["repo1", "repo2"]]),
});

/** Hosts with one to three repositories, and all fields that a comparison reads. */
export const anyTopology: fc.Arbitrary<Topology> = fc
  .record({
    repositories: fc.record({
      repo1: repository,
      repo2: fc.option(repository, { nil: undefined }),
      repo3: fc.option(repository, { nil: undefined }),
    }),
    schedules: fc.record({
      full: fc.option(schedule, { nil: undefined }),
      incr: fc.option(schedule, { nil: undefined }),
    }),
    engine: fc.constantFrom("runtime", "pgbackrest", "barman-cloud", "another"),
    acknowledge: optional([
      { mode: "all" },
      { mode: "any" },
      { mode: "named", repositories: ["repo1"] },
      { mode: "named", repositories: ["repo1", "repo2"] },
    ]),
    archiveTimeoutSeconds: optional([0, 60, 300]),
    streaming: optional<StreamingSettings>([
      {},
      { synchronous: "any" },
      { synchronous: "all", degradeAfterSeconds: 30 },
      { synchronous: "named", repositories: ["repo1"] },
      { synchronous: "named", repositories: ["repo1", "repo2"], degradeAfterSeconds: 60 },
    ]),
    objectives: fc.record({
      rpoSeconds: optional([60, 300]),
      rtoMinutes: optional([10, 30]),
      pitrDays: optional(DAYS),
    }),
    drills: fc.option(
      fc.record({
        weekly: fc.record({
          cron: fc.constantFrom(...CRONS),
          from: optional(["repo1"]),
          level: optional(["quick", "standard"]),
          maxMinutes: optional([10, 20]),
        }),
      }),
      { nil: undefined },
    ),
    drillChecks: optional([
      { heartbeat: { sql: "SELECT now()" } },
      { assertions: [{ name: "a.b=c", sql: "SELECT true" }] },
    ]),
    options: fc.constantFrom(
      {},
      { "archive-check": "n" },
      { "archive-push-queue-max": "64GiB", "log-timestamp": "n" },
      { "archive-push-queue-max": "1TiB", exclude: "junk/\nmore/" },
    ),
    maintenance: optional([{ verify: { enabled: false } }, { stale: {}, verify: { samplePercent: 50 } }]),
    notify: optional([{ existingFile: "/etc/notify.json" }]),
    silence: fc.constantFrom({}, { PB042: "soon" }, { PB042: "later", PB009: "no NAS yet" }),
    sizing: fc.constant({ databaseGiB: 100, walGiBPerDay: 2 }),
    snapshots: optional([{ zfs: {} }]),
    volumeSnapshots: fc.option(
      fc.record({ online: fc.boolean(), cron: optional(CRONS), keepDays: optional(DAYS), keepCount: optional([1, 3]) }),
      {
        nil: undefined,
      },
    ),
  })
  .map(({ repositories, volumeSnapshots, ...over }) => {
    const given = Object.fromEntries(
      Object.entries(repositories).flatMap(([name, each]) => (each === undefined ? [] : [[name, each] as const])),
    );
    const made = topology({ ...over, repositories: given });
    return volumeSnapshots === undefined
      ? made
      : { ...made, databases: made.databases.map((database) => ({ ...database, volumeSnapshots })) };
  });

/** One host twice: its repositories have other keys in the second topology, and nothing else differs. */
export const anyRenamedTopologies: fc.Arbitrary<readonly [Topology, Topology]> = fc
  .record({
    repositories: fc.array(repository, { minLength: 2, maxLength: 4 }),
    keys: fc.uniqueArray(fc.integer({ min: 1, max: 9 }), { minLength: 8, maxLength: 8 }),
    subset: fc.integer({ min: 1, max: 15 }),
    mode: fc.constantFrom("all", "any", "named"),
    isOwnSchedule: fc.boolean(),
    isInTurn: fc.boolean(),
  })
  .map(({ isInTurn, isOwnSchedule, keys, mode, repositories, subset }) => {
    const under = (first: number): Topology => {
      const name = (index: number): string => `repo${keys[first + index] ?? 0}`;
      const all = repositories.map((_each, index) => index);
      const chosen = all.filter((index) => index === 0 || ((subset >> index) & 1) === 1).map(name);
      const own = { incr: { cron: "0 4 * * *" } };
      return topology({
        repositories: Object.fromEntries(
          repositories.map((each, index) => [
            name(index),
            {
              ...each,
              at: { ...each.at, path: `${each.at.path ?? ""}/${index}` },
              ...(isOwnSchedule && index === 1 ? { schedules: own } : {}),
            },
          ]),
        ),
        acknowledge: mode === "named" ? { mode, repositories: chosen } : { mode },
        streaming: mode === "named" ? { synchronous: mode, repositories: chosen } : { synchronous: mode },
        schedules: { full: { cron: "30 2 * * 0", repositories: chosen } },
        drills: { weekly: { cron: "0 5 * * 6", ...(isInTurn ? { repositories: chosen } : { from: name(0) }) } },
        sizing: { databaseGiB: 100, walGiBPerDay: 2 },
      });
    };
    return [under(0), under(4)] as const;
  });

/** A copy with unknown markers at the leaves and sections that `location` selects. */
export function withUnknown(value: Topology, location: (path: string) => boolean): Topology {
  const walk = (item: unknown, path: string): unknown => {
    if (location(path)) return unknownMarker(0);
    if (Array.isArray(item)) return item.map((each: unknown, index) => walk(each, `${path}.${index}`));
    if (typeof item === "object" && item !== null)
      return Object.fromEntries(Object.entries(item).map(([key, each]) => [key, walk(each, `${path}.${key}`)]));
    return item;
  };
  return walk(value, "") as Topology;
}
