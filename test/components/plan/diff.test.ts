/**
 * How a change affects the backups: each kind of weakening, unknown values, acknowledgement, and properties of any two
 * topologies.
 */
import * as fc from "../../harness/properties";
import { describe, expect, test } from "vitest";
import { copiesOf } from "../../../components/plan/storage/copies";
import { diffTopologies, type TopologyDiff, weakenedOf } from "../../../components/plan/diff";
import type { Change } from "../../../components/plan/diff/change";
import { countCopies } from "../../../components/plan/diff/copyCounts";
import type { DeclaredCluster } from "../../../components/plan/cluster/declaredCluster";
import { unknownMarker } from "../../../components/plan/model/unknown";
import type { HostSettings } from "../../../components/plan/model/databaseSettings";
import { type Topology, topologyOf } from "../../../components/plan/topology/topology";
import { given } from "../../../runtime/base/given";
import { resolved } from "../clusters";
import { BUCKET, NAS, plan, R2 } from "../plans";
import { anyRenamedTopologies, anyTopology, topology, withUnknown } from "../topologies";

const NUM_RUNS = 200;

const diff = (before: Topology, after: Topology): TopologyDiff =>
  diffTopologies(new Map([["ledger", before]]), new Map([["ledger", after]]));
const brief = ({ changes }: TopologyDiff): string[] =>
  changes.map(
    ({ after, before, effect, path, uncertain }) => `${uncertain ? "uncertain" : effect} ${path}: ${before} → ${after}`,
  );
const changed = (before: Partial<HostSettings>, after: Partial<HostSettings>): string[] =>
  brief(diff(topology(before), topology(after)));

const DAILY = { cron: "30 4 * * *" };

type At = (typeof NAS)["at"];
type Cluster = Partial<DeclaredCluster>;
const sftpAt = (port?: number, immutableDays?: number): At => ({
  name: "box",
  path: "/ledger",
  encrypted: true,
  sftp: {
    host: "box.example",
    user: "u1",
    hostKey: "ecdsa-sha2-nistp256 AAAA",
    port,
    ...(immutableDays === undefined ? {} : { facts: { immutableDays } }),
  },
});
const s3At = (endpoint: string, port?: number): At => ({
  ...BUCKET.at,
  s3: { bucket: "ledger-backups", endpoint, region: "auto", port },
});

describe("weakened, and strengthened in the other direction", () => {
  const { keepDays: _days, ...unlimited } = NAS;
  test.each<[what: string, before: Partial<HostSettings>, after: Partial<HostSettings>, expected: string[]]>([
    [
      "a repository is removed",
      {},
      { repositories: { repo1: NAS } },
      [
        "weakened copies.copies: 3 → 2",
        "weakened copies.providers: 2 → 1",
        "weakened copies.offSite: 1 → 0",
        "weakened repositories.repo2: s3://ledger-backups/ledger at Backblaze B2 → removed",
      ],
    ],
    [
      "shorter retention",
      {},
      { repositories: { repo1: { ...NAS, keepDays: 3 }, repo2: BUCKET } },
      ["weakened repositories.repo1.keepDays: 7 → 3"],
    ],
    [
      "a retention where everything was kept before",
      { repositories: { repo1: unlimited, repo2: BUCKET } },
      {},
      ["weakened repositories.repo1.retention: keeps everything → keeps 7 days"],
    ],
    [
      "fulls more often without keeping more of them: the window shrinks",
      {},
      { schedules: { full: { cron: "30 2 * * *", timeZone: "Europe/Berlin" } } },
      [
        "weakened repositories.repo2.window: 21 days → 3 days",
        "strengthened schedules.full.cron: 30 3 * * 0 → 30 2 * * *",
      ],
    ],
    [
      "rarer full backups, and the window of a count grows",
      {},
      { schedules: { full: { cron: "30 2 1 * *", timeZone: "Europe/Berlin" } } },
      [
        "strengthened repositories.repo2.window: 21 days → 91 days",
        "weakened schedules.full.cron: 30 3 * * 0 → 30 2 1 * *",
      ],
    ],
    [
      "a schedule is removed",
      { schedules: { full: { cron: "0 2 * * 0" }, incr: { cron: "0 2 * * 1-6" } } },
      { schedules: { full: { cron: "0 2 * * 0" } } },
      ["weakened schedules.incr: 0 2 * * 1-6 UTC → removed"],
    ],
    ["a larger worst case", {}, { archiveTimeoutSeconds: 600 }, ["weakened worstCaseRpoSeconds: 130 → 670"]],
    ["no limit of the worst case", {}, { archiveTimeoutSeconds: 0 }, ["weakened worstCaseRpoSeconds: 130 → none"]],
    [
      "a larger objective",
      { objectives: { rtoMinutes: 20 } },
      { objectives: { rtoMinutes: 60 } },
      ["weakened objectives.rtoMinutes: 20 → 60"],
    ],
    [
      "an objective of its own for a point in time",
      { objectives: { rtoMinutes: 30 } },
      { objectives: { rtoMinutes: 30, pitrRtoMinutes: 60 } },
      ["weakened objectives.pitrRtoMinutes: 30 → 60"],
    ],
    ["a removed objective", { objectives: { pitrDays: 7 } }, {}, ["weakened objectives.pitrDays: 7 → none"]],
    [
      "encryption off",
      {},
      { repositories: { repo1: NAS, repo2: { ...BUCKET, at: { ...BUCKET.at, encrypted: false } } } },
      ["weakened repositories.repo2.encrypted: true → false"],
    ],
    [
      "a shorter lock, no versions",
      {
        repositories: {
          repo1: NAS,
          repo2: bucketWith({ immutableDays: 30, versioning: true, lockMode: "compliance" }),
        },
      },
      { repositories: { repo1: NAS, repo2: bucketWith({ immutableDays: 7, lockMode: "governance" }) } },
      [
        "weakened repositories.repo2.bucket.versioning: true → none",
        "weakened repositories.repo2.bucket.immutableDays: 30 → 7",
        "weakened repositories.repo2.bucket.lockMode: compliance → governance",
      ],
    ],
    [
      "named instead of all",
      {},
      { acknowledge: { mode: "named", repositories: ["repo1"] } },
      ["weakened acknowledge: all → repo1"],
    ],
    [
      "any instead of named",
      { acknowledge: { mode: "named", repositories: ["repo1"] } },
      { acknowledge: { mode: "any" } },
      ["weakened acknowledge: repo1 → any"],
    ],
    [
      "fewer named",
      { acknowledge: { mode: "named", repositories: ["repo1", "repo2"] } },
      { acknowledge: { mode: "named", repositories: ["repo2"] } },
      ["weakened acknowledge: repo1,repo2 → repo2"],
    ],
    [
      "commits no longer wait for repositories",
      { streaming: { synchronous: "any" } },
      { streaming: {} },
      ["weakened streaming.synchronous: any → none", "weakened worstCaseRpoSeconds: 0 → 25"],
    ],
    [
      "commits wait for named repositories instead of all, or for fewer",
      { streaming: { synchronous: "all" } },
      { streaming: { synchronous: "named", repositories: ["repo2"] } },
      ["weakened streaming.synchronous: all → repo2"],
    ],
    [
      "commits wait for fewer named repositories",
      { streaming: { synchronous: "named", repositories: ["repo1", "repo2"] } },
      { streaming: { synchronous: "named", repositories: ["repo2"] } },
      ["weakened streaming.synchronous: repo1,repo2 → repo2"],
    ],
    [
      "commits wait for a shorter time",
      { streaming: { synchronous: "any", degradeAfterSeconds: 60 } },
      { streaming: { synchronous: "any", degradeAfterSeconds: 30 } },
      ["weakened streaming.degradeAfterSeconds: 60 → 30"],
    ],
    [
      "commits stop waiting at all",
      { streaming: { synchronous: "any" } },
      { streaming: { synchronous: "any", degradeAfterSeconds: 30 } },
      ["weakened streaming.degradeAfterSeconds: none → 30", "weakened worstCaseRpoSeconds: 0 → 25"],
    ],
    ["a drill is removed", {}, { drills: {} }, ["weakened drills.monthly: 0 5 1 * * UTC from repo1 → removed"]],
    [
      "a drill is rarer",
      {},
      { drills: { monthly: { cron: "0 5 1 1 *", from: "repo1" } } },
      ["weakened drills.monthly.cron: 0 5 1 * * → 0 5 1 1 *"],
    ],
    [
      "one repository instead of all",
      { drills: { monthly: { cron: "0 5 1 * *" } } },
      { drills: { monthly: { cron: "0 5 1 * *", from: "repo2" } } },
      ["weakened drills.monthly.repositories.repo1: true → false"],
    ],
    [
      "all repositories instead of one",
      {},
      { drills: { monthly: { cron: "0 5 1 * *" } } },
      ["strengthened drills.monthly.repositories.repo2: false → true"],
    ],
    [
      "drills of a lower level",
      { drills: { monthly: { cron: "0 5 1 * *" } } },
      {
        drills: {
          monthly: { cron: "0 5 1 * *", level: "quick", how: "open", pick: "newest", maxGiB: 5, elsewhere: true },
        },
      },
      [
        "neutral drills.monthly.pick: none → newest",
        "weakened drills.monthly.level: none → quick",
        "neutral drills.monthly.elsewhere: false → true",
        "weakened drills.monthly.how: none → open",
        "neutral drills.monthly.maxGiB: none → 5",
      ],
    ],
    [
      "a drill that loads no dump any more",
      { drills: { monthly: { cron: "0 5 1 * *", from: "repo1", dump: true } } },
      { drills: { monthly: { cron: "0 5 1 * *", from: "repo1", dump: false } } },
      ["weakened drills.monthly.dump: true → false"],
    ],
    ["dumps are removed", { dumps: DAILY }, {}, ["weakened dumps: 30 4 * * * UTC to repo1, repo2 → removed"]],
    [
      "fewer dumps, in fewer repositories, of fewer databases, for a shorter time",
      { dumps: { ...DAILY, databases: ["shop", "crm"], keepCount: 9 } },
      { dumps: { cron: "30 4 * * 0", jitterSeconds: 9, repositories: ["repo2"], databases: ["shop"], keepDays: 14 } },
      [
        "weakened dumps.cron: 30 4 * * * → 30 4 * * 0",
        "neutral dumps.jitterSeconds: 0 → 9",
        "weakened dumps.repositories.repo1: true → false",
        "weakened dumps.databases: shop, crm → shop",
        "strengthened dumps.keepDays: none → 14",
        "weakened dumps.keepCount: 9 → none",
      ],
    ],
    [
      "dumps of the same databases in another order",
      { dumps: { ...DAILY, databases: ["shop", "crm"] } },
      { dumps: { ...DAILY, databases: ["crm", "shop"] } },
      ["neutral dumps.databases: shop, crm → crm, shop"],
    ],
    [
      "a drill with fewer checks",
      {
        drillChecks: {
          heartbeat: { sql: "SELECT max(at) FROM beat" },
          assertions: [{ name: "orders-are-there", sql: "SELECT true" }],
        },
      },
      {},
      ["weakened drillChecks.heartbeat: true → false", "weakened drillChecks.orders-are-there: asked → removed"],
    ],
    [
      "a drill that accepts older backups",
      { drillChecks: { backupAgeHours: 30 } },
      { drillChecks: { backupAgeHours: 900 } },
      ["weakened drillChecks.backupAgeHours: 30 → 900"],
    ],
    [
      "a drill that accepts older backups than the schedules make",
      {},
      { drillChecks: { backupAgeHours: 900 } },
      ["weakened drillChecks.backupAgeHours: none → 900"],
    ],
    [
      "a drill that wants younger backups than the schedules make",
      {},
      { drillChecks: { backupAgeHours: 2 } },
      ["strengthened drillChecks.backupAgeHours: none → 2"],
    ],
    [
      "options that remove protection",
      {},
      { options: { "archive-push-queue-max": "64GiB", "backup:archive-check": "n", "log-timestamp": "n" } },
      [
        "weakened options.archive-push-queue-max: none → 64GiB",
        "weakened options.backup:archive-check: none → n",
        "neutral options.log-timestamp: none → n",
      ],
    ],
    [
      "a smaller limit of waiting WAL",
      { options: { "archive-push-queue-max": "1TiB" } },
      { options: { "archive-push-queue-max": "64GiB" } },
      ["weakened options.archive-push-queue-max: 1TiB → 64GiB"],
    ],
    [
      "options of a repository that remove protection",
      {},
      {
        repositories: {
          repo1: { ...NAS, options: { "retention-archive": "2" } },
          repo2: { ...BUCKET, options: { "storage-verify-tls": "n", "s3-requester-pays": "y" } },
        },
      },
      [
        "weakened repositories.repo1.options.retention-archive: none → 2",
        "weakened repositories.repo2.options.storage-verify-tls: none → n",
        "neutral repositories.repo2.options.s3-requester-pays: none → y",
      ],
    ],
    [
      "rarer full backups grow the window that the WAL of a count allows, up to keepDays",
      { repositories: { repo1: { ...NAS, keepDays: 30, options: { "retention-archive": "2" } } } },
      {
        repositories: { repo1: { ...NAS, keepDays: 30, options: { "retention-archive": "2" } } },
        schedules: { full: { cron: "30 2 * * *", timeZone: "Europe/Berlin" } },
      },
      [
        "weakened repositories.repo1.window: 7 days → 1 day",
        "strengthened schedules.full.cron: 30 3 * * 0 → 30 2 * * *",
      ],
    ],
    [
      "fewer differential backups",
      { repositories: { repo1: { ...NAS, keepDiffCount: 7 } } },
      { repositories: { repo1: { ...NAS, keepDiffCount: 2 } } },
      ["weakened repositories.repo1.keepDiffCount: 7 → 2"],
    ],
    [
      "a calendar of fewer months, and of days",
      { repositories: { repo1: { ...NAS, keep: { monthly: 12 } } } },
      { repositories: { repo1: { ...NAS, keep: { monthly: 6, daily: 7 } } } },
      ["weakened repositories.repo1.keep.monthly: 12 → 6", "strengthened repositories.repo1.keep.daily: none → 7"],
    ],
    [
      "tasks are switched off",
      { maintenance: { stale: { cron: "0 7 * * *" } }, notify: { existingFile: "/etc/notify.json" } },
      {
        maintenance: { verify: { enabled: false }, heal: { enabled: false }, expire: { enabled: false } },
      },
      [
        "neutral maintenance.expire: 40 6 * * * UTC → removed",
        "weakened maintenance.heal: 50 * * * * UTC → removed",
        "weakened maintenance.stale: 0 7 * * * UTC → removed",
        "weakened maintenance.verify: 20 7 * * 6 UTC → removed",
        "weakened notify: true → false",
      ],
    ],
    [
      "a verification is rarer and reads less",
      { maintenance: { verify: { cron: "0 4 * * *", samplePercent: 50 } } },
      { maintenance: { verify: { cron: "0 4 * * 0", samplePercent: 10 } } },
      ["weakened maintenance.verify.cron: 0 4 * * * → 0 4 * * 0", "weakened maintenance.verify.samplePercent: 50 → 10"],
    ],
    ["a finding is silenced", {}, { silence: { PB009: "no NAS yet" } }, ["weakened silence.PB009: none → silenced"]],
    ["an engine with fewer features", {}, { engine: "pgbackrest" }, ["weakened engine: runtime → pgbackrest"]],
    [
      "a mount that is no longer required",
      {},
      { repositories: { repo1: { ...NAS, at: { ...NAS.at, requireMount: false } }, repo2: BUCKET } },
      [
        "neutral repositories.repo1.failureDomain: the mount of /mnt/nas → the file systems of the host",
        "weakened repositories.repo1.requireMount: true → false",
      ],
    ],
    [
      "full backups into one of two",
      {},
      { schedules: { full: { cron: "30 3 * * 0", timeZone: "Europe/Berlin", repositories: ["repo1"] } } },
      [
        "weakened copies.copies: 3 → 2",
        "weakened copies.providers: 2 → 1",
        "weakened copies.offSite: 1 → 0",
        "weakened schedules.full.repositories.repo2: true → false",
      ],
    ],
  ])("%s", (_what, before, after, expected) => {
    const sorted = (lines: readonly string[]): string[] => [...lines].sort();
    expect(sorted(changed(before, after))).toEqual(sorted(expected));
    const back = expected.map((line) => {
      const [, effect, path, from, until] = /^(\w+) (\S+): (.*) → (.*)$/.exec(line) ?? [];
      const shownNow = until === "removed" ? "none" : until;
      const turned = effect === "weakened" ? "strengthened" : effect === "strengthened" ? "weakened" : effect;
      return `${turned} ${path}: ${shownNow} → ${from === "none" && path?.startsWith("silence") === true ? "none" : from}`;
    });
    expect(sorted(changed(after, before))).toEqual(sorted(back));
  });

  test("another engine in the same location starts empty when it writes another format", () => {
    const barman = { engine: "barman-cloud" };
    const began = "weakened repositories.repo2.format: pgBackRest → Barman Cloud";
    expect(changed({}, barman)).toContain(began);
    expect(changed(barman, {})).toContain("weakened repositories.repo2.format: Barman Cloud → pgBackRest");
    expect(changed({ engine: "pgbackrest" }, {}).join("\n")).not.toContain("format");
  });

  test("another location under the same key, while a cluster's engine changes, names what its old pods read", () => {
    const of = (engine: string, over: Partial<typeof BUCKET.at>): Topology =>
      topologyOf(resolved({ engine, repositories: { repo1: { ...BUCKET, at: { ...BUCKET.at, ...over } } } }).database);
    const textOf = (before: Topology, after: Topology): string =>
      diff(before, after).changes.find(({ path }) => path === "repositories.repo1.location")?.text ?? "";
    expect(textOf(of("barman-cloud", {}), of("runtime", { path: "/second" }))).toMatch(
      /pods of engine barman-cloud read the keys of repo1 until/,
    );
    expect(textOf(of("runtime", {}), of("runtime", { path: "/second" }))).toMatch(
      /nothing maintains what .* holds any more$/,
    );
  });

  test("commits of a cluster wait for fewer standbys", () => {
    const of = (standbys?: number): Topology =>
      topologyOf(
        resolved({ streaming: { synchronous: "any", ...(standbys === undefined ? {} : { standbys }) } }).database,
      );
    expect(brief(diff(of(2), of(1)))).toEqual(["weakened streaming.standbys: 2 → 1"]);
    expect(brief(diff(of(), of(1)))).toEqual(["strengthened streaming.standbys: none → 1"]);
  });

  test("the stale check and the notices of a cluster", () => {
    const of = (more: Cluster): Topology => topologyOf(resolved(more).database);
    const watched = of({ staleCheck: { cron: "0 7 * * *" }, notifySecret: "backup-notify" });
    expect(brief(diff(watched, of({})))).toEqual([
      "weakened staleCheck: 0 7 * * * UTC → removed",
      "weakened notifySecret: true → false",
    ]);
  });

  test("a secret option is in no topology", () => {
    const repositories = { repo1: { ...BUCKET, options: { "cipher-pass": "planted", "s3-key": "planted" } } };
    expect(JSON.stringify(topology({ repositories }))).not.toContain("planted");
  });

  // claim: docs/topology.md: a suspended schedule of a cluster counts as no backups
  test("a schedule of a cluster is suspended", () => {
    const full = { cron: "0 3 * * 0" };
    const incr = { cron: "0 3 * * 1-6" };
    const of = (schedules: Cluster["schedules"], more: Cluster = {}): Topology =>
      JSON.parse(JSON.stringify(topologyOf(resolved({ schedules, ...more }).database))) as Topology;
    const suspended = { suspend: true };
    expect(brief(diff(of({ full, incr }), of({ full, incr: { ...incr, ...suspended } })))).toEqual([
      "weakened schedules.incr.suspend: false → true",
    ]);
    const idle = of({ full: { ...full, ...suspended } });
    expect(brief(diff(of({ full }), idle))).toEqual(
      expect.arrayContaining(["weakened copies.copies: 3 → 1", "weakened schedules.full.suspend: false → true"]),
    );
    expect(brief(diff(idle, of({ full: { cron: "0 3 * * *" } })))).toEqual(
      expect.arrayContaining([
        "strengthened copies.copies: 1 → 3",
        "strengthened schedules.full.suspend: true → false",
        "neutral schedules.full.cron: 0 3 * * 0 → 0 3 * * *",
      ]),
    );
    // Nothing ran before, and nothing does now.
    expect(brief(diff(of({ full, incr: { ...incr, ...suspended } }), of({ full })))).toEqual([
      "neutral schedules.incr: 0 3 * * 1-6 UTC, suspended → removed",
    ]);
    const own = { ...BUCKET, schedules: { full: { cron: "0 4 * * 0" } } };
    expect(
      of({ full: { ...full, ...suspended } }, { repositories: { repo1: own, repo2: R2 } }).schedules,
    ).toMatchObject([
      { name: "full", suspended: true },
      { name: "full-repo1", suspended: true },
    ]);
  });

  test("volume snapshots that vanish with the Cluster", () => {
    const of = (more: Cluster["snapshots"] = {}): Topology =>
      topologyOf(resolved({ snapshots: { cron: "0 * * * *", ...more } }).database);
    const owned = of({ ownerReference: "cluster" });
    for (const before of [of(), of({ ownerReference: "none" })])
      expect(brief(diff(before, owned))).toEqual(["weakened snapshots.ownerReference: none → cluster"]);
    expect(brief(diff(owned, of()))).toEqual(["strengthened snapshots.ownerReference: cluster → none"]);
  });

  test("a drill that attacks instead of restoring is another drill", () => {
    const of = (pick?: string): Partial<HostSettings> => ({
      drills: { monthly: { cron: "0 5 1 * *", from: "repo2", ...(pick === undefined ? {} : { pick }) } },
    });
    const other = [
      "weakened drills.monthly: 0 5 1 * * UTC from repo2 → removed",
      "strengthened drills.monthly: none → 0 5 1 * * UTC from repo2",
    ];
    expect(changed(of(), of("attack"))).toEqual(other);
    expect(changed(of("attack"), of("newest"))).toEqual(other);
    expect(changed(of("oldest"), of("newest"))).toEqual(["neutral drills.monthly.pick: oldest → newest"]);
  });

  test("a removed database, and an added one", () => {
    const one = new Map([["ledger", topology()]]);
    expect(brief(diffTopologies(one, new Map()))).toEqual(["weakened database: 3-2-1 → removed"]);
    expect(brief(diffTopologies(new Map(), one))).toEqual(["strengthened database: none → 3-2-1"]);
  });

  test("a changed location or name starts empty, in both directions", () => {
    const moved = { repositories: { repo1: NAS, repo2: { ...BUCKET, at: { ...BUCKET.at, path: "/elsewhere" } } } };
    expect(changed({}, moved)).toEqual([
      "weakened repositories.repo2.location: s3://ledger-backups/ledger → s3://ledger-backups/elsewhere",
    ]);
    expect(changed(moved, {})).toEqual([
      "weakened repositories.repo2.location: s3://ledger-backups/elsewhere → s3://ledger-backups/ledger",
    ]);
    expect(changed({}, { stanza: "other" })).toEqual(["weakened stanza: main → other"]);
  });

  test.each<[what: string, from: At, to: At, before: string, after: string]>([
    [
      "another account of R2",
      s3At("0123.r2.cloudflarestorage.com"),
      s3At("4567.r2.cloudflarestorage.com"),
      "s3://ledger-backups/ledger at 0123.r2.cloudflarestorage.com",
      "s3://ledger-backups/ledger at 4567.r2.cloudflarestorage.com",
    ],
    [
      "another jurisdiction of R2",
      s3At("0123.r2.cloudflarestorage.com"),
      s3At("0123.eu.r2.cloudflarestorage.com"),
      "s3://ledger-backups/ledger at 0123.r2.cloudflarestorage.com",
      "s3://ledger-backups/ledger at 0123.eu.r2.cloudflarestorage.com",
    ],
    [
      "another port of an S3 server",
      s3At("minio.example"),
      s3At("minio.example", 9000),
      "s3://ledger-backups/ledger at minio.example",
      "s3://ledger-backups/ledger at minio.example:9000",
    ],
    [
      "another port of an SFTP server",
      sftpAt(),
      sftpAt(2222),
      "sftp://u1@box.example/ledger at box.example:22",
      "sftp://u1@box.example/ledger at box.example:2222",
    ],
  ])("%s starts empty, in both directions", (_what, from, to, before, after) => {
    const of = (at: At): Partial<HostSettings> => ({ repositories: { repo1: NAS, repo2: { at, keepDays: 9 } } });
    expect(changed(of(from), of(to))).toEqual([`weakened repositories.repo2.location: ${before} → ${after}`]);
    expect(changed(of(to), of(from))).toEqual([`weakened repositories.repo2.location: ${after} → ${before}`]);
  });

  test.each([
    ["shorter", 1, "14 → 1", "files in repo1 are locked for 1 day"],
    ["none", undefined, "14 → none", "files in repo1 are no longer locked"],
  ])("days in which an account of a backup host cannot change files: %s", (_what, days, change, text) => {
    const of = (immutableDays?: number): Topology =>
      topology({ repositories: { repo1: { at: sftpAt(22, immutableDays), keepDays: 9 } } });
    const result = diff(of(14), of(days));
    expect(brief(result)).toEqual([`weakened repositories.repo1.bucket.immutableDays: ${change}`]);
    expect(result.changes[0]?.text).toBe(text);
  });

  test("another endpoint is the same repository where bucket names are unique, or a side is not known yet", () => {
    const of = (at: At): Topology => topology({ repositories: { repo1: { at, keepDays: 9 } } });
    const [global, dual] = ["s3", "s3.dualstack"].map((name) => of(s3At(`${name}.eu-central-1.amazonaws.com`)));
    expect(brief(diff(global as Topology, dual as Topology))).toEqual([]);
    const withEndpoint = (made: Topology, endpoint?: string): Topology => ({
      ...made,
      repositories: made.repositories.map(({ endpoint: _endpoint, ...each }) => ({ ...each, ...given({ endpoint }) })),
    });
    expect(brief(diff(withEndpoint(of(sftpAt()), unknownMarker(0)), of(sftpAt(2222))))).toEqual([]);
    expect(brief(diff(withEndpoint(of(sftpAt())), of(sftpAt(2222))))).toEqual([
      expect.stringContaining("weakened repositories.repo1.location"),
    ]);
  });

  test("a database without tasks loses those that the old topology has", () => {
    const made = topology({});
    const without = { ...made, databases: made.databases.map(({ tasks: _tasks, ...each }) => each) };
    expect(brief(diff(made, without))).toContain("weakened maintenance.heal: 50 * * * * UTC → removed");
    expect(brief(diff(without, without))).toEqual([]);
  });

  test.each<[what: string, before: string, after: string, expected: string]>([
    ["another path, and as many", "junk/", "base/16384/", "weakened"],
    ["another path, and fewer", "junk/\nmore/\nbase/1", "base/16384/", "weakened"],
    ["a path whose beginning is an old one's name", "base/1", "base/16384", "weakened"],
    ["fewer paths", "junk/\nmore/", "more/", "strengthened"],
    ["a path below an old one", "junk\nmore/", "junk/old/\nmore/new", "strengthened"],
    ["the same paths in another order", "junk/\nmore/", "more/\njunk/", "neutral"],
  ])("backups exclude %s", (_what, before, after, expected) => {
    const options = (exclude: string): Partial<HostSettings> => ({ options: { exclude } });
    const [change, ...others] = diff(topology(options(before)), topology(options(after))).changes;
    expect([change?.path, change?.effect, others]).toEqual(["options.exclude", expected, []]);
  });

  test("other hours, other compression, a larger jitter are neutral", () => {
    const repositories = { repo1: { ...NAS, compress: { type: "gz" } }, repo2: BUCKET };
    expect(
      changed(
        {},
        { repositories, schedules: { full: { cron: "45 4 * * 6", timeZone: "Europe/Berlin", jitterSeconds: 60 } } },
      ),
    ).toEqual([
      "neutral repositories.repo1.compress: zst 3 → gz 6",
      "neutral schedules.full.cron: 30 3 * * 0 → 45 4 * * 6",
      "neutral schedules.full.jitterSeconds: 0 → 60",
    ]);
  });
});

describe("a repository under another key is the same repository", () => {
  const under = (
    repositories: NonNullable<HostSettings["repositories"]>,
    drillsFrom: string,
  ): Partial<HostSettings> => ({
    repositories,
    drills: { monthly: { cron: "0 5 1 * *", from: drillsFrom } },
  });
  const now = (repositories: NonNullable<HostSettings["repositories"]>, drillsFrom: string): string[] =>
    changed({}, under(repositories, drillsFrom));

  test("two that are swapped", () => {
    const result = diff(topology(), topology(under({ repo1: BUCKET, repo2: NAS }, "repo2")));
    expect(brief(result)).toEqual([
      "neutral repositories.repo2.key: repo1 → repo2",
      "neutral repositories.repo1.key: repo2 → repo1",
    ]);
    expect(result.changes.map(({ text }) => text)).toEqual([
      "/mnt/nas/pgbackrest is the same repository under another key",
      "s3://ledger-backups/ledger at Backblaze B2 is the same repository under another key",
    ]);
  });

  test("two that are swapped, and one of them changes", () => {
    expect(now({ repo1: BUCKET, repo2: { ...NAS, keepDays: 3 } }, "repo2")).toEqual([
      "neutral repositories.repo2.key: repo1 → repo2",
      "weakened repositories.repo2.keepDays: 7 → 3",
      "neutral repositories.repo1.key: repo2 → repo1",
    ]);
  });

  test("the second becomes the first, and the first is gone", () => {
    const result = diff(topology(), topology(under({ repo1: BUCKET }, "repo1")));
    expect(brief(result).filter((line) => !line.includes(" copies."))).toEqual([
      "weakened repositories.former repo1: /mnt/nas/pgbackrest → removed",
      "neutral repositories.repo1.key: repo2 → repo1",
      "neutral drills.monthly.from: former repo1 → repo1",
    ]);
  });

  test("the first becomes the second, and a new one gets its key", () => {
    expect(changed({ repositories: { repo1: NAS } }, under({ repo1: R2, repo2: NAS }, "repo2"))).toEqual([
      "strengthened copies.copies: 2 → 3",
      "strengthened copies.providers: 1 → 2",
      "strengthened copies.offSite: 0 → 1",
      "neutral repositories.repo2.key: repo1 → repo2",
      "strengthened repositories.repo1: none → s3://orders-backups/orders at Cloudflare R2",
    ]);
  });

  test("one whose location is unknown may be the other one: nothing is weakened", () => {
    const next = withUnknown(topology(under({ repo1: BUCKET, repo2: NAS }, "repo2")), (path) =>
      path.endsWith("repositories.0.location"),
    );
    expect(brief(diff(topology(), next))).toEqual([
      "neutral repositories.repo2.key: repo1 → repo2",
      "uncertain repositories.repo1.location: s3://ledger-backups/ledger → not known yet",
    ]);
  });

  test("a bucket of the same name at another provider is another repository", () => {
    const { s3 } = R2.at;
    const other = {
      ...BUCKET,
      at: { ...BUCKET.at, s3: { ...s3, bucket: "ledger-backups", endpoint: s3?.endpoint ?? "", region: "auto" } },
    };
    expect(now({ repo1: NAS, repo2: other }, "repo1")).toContain(
      "weakened repositories.repo2.location: s3://ledger-backups/ledger at Backblaze B2 → s3://ledger-backups/ledger at Cloudflare R2",
    );
  });

  test("any keys for the same repositories change the keys only", () => {
    fc.assert(
      fc.property(anyRenamedTopologies, ([before, after]) => {
        const { changes } = diff(before, after);
        expect(changes.filter(({ path }) => !/^repositories\.repo\d\.key$/.test(path))).toEqual([]);
        expect(changes.map(({ effect }) => effect)).toEqual(before.repositories.map(() => "neutral"));
      }),
      { numRuns: NUM_RUNS },
    );
  });
});

describe("unknown values", () => {
  const known = topology();

  // claim: docs/topology.md: marks, acknowledgements, unknown values…
  test("is shown as unknown, never guessed", () => {
    const next = withUnknown(known, (path) =>
      ["keepFullCount", "location", "provider", "failureDomain"].some((field) =>
        path.endsWith(`repositories.1.${field}`),
      ),
    );
    expect(brief(diff(known, next))).toEqual([
      "uncertain copies.providers: 2 → 1 to 2",
      "uncertain repositories.repo2.location: s3://ledger-backups/ledger → not known yet",
      "uncertain repositories.repo2.provider: b2 → not known yet",
      "uncertain repositories.repo2.keepFullCount: 4 → not known yet",
    ]);
  });

  test("of a calendar as a whole are neither none nor what they were", () => {
    const of = (keep?: { monthly: number }): Topology =>
      topology({ repositories: { repo1: { ...NAS, ...given({ keep }) } } });
    const hidden = withUnknown(of({ monthly: 12 }), (path) => path.endsWith(".keep"));
    expect(brief(diff(of({ monthly: 12 }), hidden))).toEqual([
      "uncertain repositories.repo1.keep: known → not known yet",
    ]);
    expect(brief(diff(hidden, of()))).toEqual(["uncertain repositories.repo1.keep: not known yet → none"]);
    expect(brief(diff(hidden, hidden))).toEqual([]);
  });

  test("do not hide certain facts: fewer copies than before, whatever the location turns out to be", () => {
    const next = withUnknown(topology({ repositories: { repo2: BUCKET } }), (path) =>
      path.endsWith("repositories.0.failureDomain"),
    );
    expect(brief(diff(known, next))).toContain("weakened copies.copies: 3 → 2");
    expect(brief(diff(known, next))).toContain("weakened copies.providers: 2 → 1");
  });

  test("in an unknown topology are reported as such, and nothing else", () => {
    const { changes } = diffTopologies(new Map([["ledger", known]]), new Map([["ledger", null]]));
    expect(changes.map(({ effect, text, uncertain }) => [effect, uncertain, text])).toEqual([
      ["neutral", true, "the topology of ledger is not known yet"],
    ]);
  });
});

describe("acknowledgement", () => {
  const shorter = (keepDays: number, acknowledgeWeaker: Record<string, string> = {}): Topology =>
    topology({ repositories: { repo1: { ...NAS, keepDays }, repo2: BUCKET }, acknowledgeWeaker });
  const entry = { "repositories.repo1.keepDays=3": "the NAS is full" };

  // claim: docs/topology.md: marks, acknowledgements, unknown values…
  test("by path and value, with a reason", () => {
    const result = diff(shorter(7), shorter(3, entry));
    expect(result.changes).toMatchObject([
      { acknowledgeAs: "repositories.repo1.keepDays=3", acknowledged: "the NAS is full", effect: "weakened" },
    ]);
    expect(weakenedOf(result)).toEqual([]);
    expect(result.unused).toEqual([]);
  });

  test("another value is another change", () => {
    const result = diff(shorter(7), shorter(2, entry));
    expect(weakenedOf(result)).toHaveLength(1);
    expect(result.unused).toEqual([{ database: "ledger", change: "repositories.repo1.keepDays=3" }]);
  });

  test("an entry is used up by the change that brought it", () => {
    expect(weakenedOf(diff(shorter(14, entry), shorter(3, entry)))).toHaveLength(1);
  });

  test("without a reason it does not count", () => {
    expect(weakenedOf(diff(shorter(7), shorter(3, { "repositories.repo1.keepDays=3": " " })))).toHaveLength(1);
  });

  test("of a database's removal is announced in advance", () => {
    const announced = topology({ acknowledgeWeaker: { "database=removed": "moved to the new cluster" } });
    expect(weakenedOf(diffTopologies(new Map([["ledger", announced]]), new Map()))).toEqual([]);
    expect(diff(topology(), announced)).toMatchObject({ changes: [], unused: [] });
    expect(weakenedOf(diffTopologies(new Map([["ledger", topology()]]), new Map()))).toHaveLength(1);
  });
});

describe("over any two topologies", () => {
  const STARTS_OVER = /^stanza$|\.location$|\.format$/;
  const opposite = (change: Change): string =>
    change.effect === "weakened" ? "strengthened" : change.effect === "strengthened" ? "weakened" : "neutral";

  test("an equal one changes nothing", () => {
    fc.assert(
      fc.property(anyTopology, (one) => {
        expect(diff(one, one)).toMatchObject({ changes: [], unused: [] });
      }),
      { numRuns: NUM_RUNS },
    );
  });

  // claim: docs/topology.md: marks, acknowledgements, unknown values
  test("a change that weakens one way strengthens the other", () => {
    fc.assert(
      fc.property(anyTopology, anyTopology, (one, other) => {
        const [there, back] = [diff(one, other), diff(other, one)].map(({ changes }) =>
          changes.filter(({ path }) => !STARTS_OVER.test(path)),
        );
        // Paths have the keys of the newer side.
        const pathOf = ({ path }: Change): string => path.replace(/(former )?repo\d/, "repo");
        const texts = (changes: readonly Change[] | undefined, effectOf: (change: Change) => string): string[] =>
          (changes ?? []).map((change) => `${pathOf(change)} ${effectOf(change)}`).sort();
        expect(texts(back, (change) => change.effect)).toEqual(texts(there, opposite));
      }),
      { numRuns: NUM_RUNS },
    );
  });

  test("a removed repository always weakens", () => {
    fc.assert(
      fc.property(anyTopology, fc.nat(), (one, location) => {
        const gone = one.repositories[location % one.repositories.length];
        const repositories = one.repositories.filter((repository) => repository !== gone);
        const result = diff(one, { ...one, repositories });
        expect(weakenedOf(result).map(({ path }) => path)).toContain(`repositories.${gone?.name ?? ""}`);
      }),
      { numRuns: NUM_RUNS },
    );
  });

  test("an unknown value weakens and strengthens nothing", () => {
    fc.assert(
      fc.property(
        anyTopology,
        fc.constantFrom(
          "keep",
          "keepDays",
          "keepFullCount",
          "location",
          "immutableDays",
          "stanza",
          "worstCaseRpoSeconds",
        ),
        (one, field) => {
          const next = withUnknown(one, (path) => path.endsWith(`.${field}`));
          for (const change of diff(one, next).changes)
            expect([change.path, change.uncertain]).toEqual([change.path, true]);
        },
      ),
      { numRuns: NUM_RUNS },
    );
  });

  test("the numbers of copies are those of the plan", () => {
    expect(countCopies(topology({ repositories: { repo1: NAS, repo2: BUCKET, repo3: R2 } }))).toEqual({
      copies: { min: 4, max: 4 },
      providers: { min: 3, max: 3 },
      offSite: { min: 2, max: 2 },
    });
    fc.assert(
      fc.property(anyTopology, (one) => {
        const { copies, offSite, providers } = countCopies(one);
        expect({ copies: copies.min, offSite: offSite.min, providers: providers.min }).toMatchObject({
          copies: one.copies.copies,
          offSite: one.copies.offSite,
          providers: one.copies.providers,
        });
      }),
      { numRuns: NUM_RUNS },
    );
    expect(copiesOf(plan()).copies).toBe(3);
  });
});

function bucketWith(facts: object): typeof BUCKET {
  return { ...BUCKET, at: { ...BUCKET.at, ...(BUCKET.at.s3 === undefined ? {} : { s3: { ...BUCKET.at.s3, facts } }) } };
}
