/** Whether the old cluster may go: what each database, the source, the repositories and the drills must show. */
// claim: packages/migration/docs/steps.md: the source may go only while it is still as it was compared
import { describe, expect, test } from "vitest";
import { parseEvidence } from "../../runtime/backupEvidence";
import type { DatabaseFacts } from "../../runtime/facts";
import { type FinishReport, judgeFinish, type SourceEvidence } from "../../runtime/judgeFinish";
import type { DatabaseChoice } from "../../runtime/migrationPlan";
import { cluster, database } from "./support";

/** More digits than a number of JavaScript has; the last one distinguishes them. */
const [TARGET_ID, OTHER_ID] = ["7710561311428050182", "7710561311428050183"];
/** Of `info` and `status`. */
function answers(systemId: string): string[] {
  const repo = `"repo":[{"key":1,"status":{"code":0,"message":"ok"}}]`;
  const db = `"db":[{"id":1,"repo-key":1,"system-id":${OTHER_ID},"version":"15"},{"id":2,"repo-key":1,"system-id":${systemId},"version":"17"}]`;
  const backup = `"backup":[{"database":{"id":2,"repo-key":1},"label":"20260101-000000F","timestamp":{"start":20,"stop":21}}]`;
  const drill = `{"id":"drill-1","ok":true,"label":"20260101-000000F"}`;
  return [`[{${repo},${db},${backup},"name":"main"}]`, `{"repos":[{"drill":${drill}}]}`];
}
const MIGRATION = { from: "1", copiedAtS: 10, verifiedAtS: 15, guardAtS: 5 };
const TARGET = [database("postgres"), database("shop", { migration: MIGRATION })];

const FEED = { database: "shop", name: "feed", isEnabled: true, state: "16400:700" };
const guard = (atS: number) => ({ connectionLimit: -1, readOnly: null, atS });
function source(changes: Partial<DatabaseFacts> | null, of: Parameters<typeof cluster>[0] = {}): SourceEvidence {
  const databases = changes === null ? [] : [database("shop", changes)];
  return cluster({ databases: [...cluster().databases, ...databases], ...of });
}
const judge = (
  asked: SourceEvidence,
  databases: readonly DatabaseFacts[] = TARGET,
  ofBackups: string = TARGET_ID,
  choice: DatabaseChoice = { include: [], exclude: [] },
): FinishReport => judgeFinish(parseEvidence(answers(ofBackups)), { databases, systemId: TARGET_ID }, asked, choice);

describe("the source may go", () => {
  test("while the guard of the copy is in it", () => {
    expect(judge(source({ guard: guard(5) }))).toMatchObject({ mayRetireSource: true, missing: [], databases: 1 });
  });

  test("with subscriptions that are disabled, or of databases that were not migrated", () => {
    const subscriptions = [
      { database: "shop", name: "feed", isEnabled: false, state: "16400:700" },
      { database: "postgres", name: "other", isEnabled: true, state: "16401:701" },
    ];
    const compared = database("shop", { migration: { ...MIGRATION, subscriptions: ["16400:700"] } });
    expect(judge(source({ guard: guard(5) }, { subscriptions }), [compared]).missing).toEqual([]);
  });

  test("when its owner says that it was shut down", () => {
    expect(judge("stopped")).toMatchObject({ mayRetireSource: true, missing: [] });
  });

  test("without the databases that came from another source", () => {
    const other = database("other", { migration: { ...MIGRATION, from: "9", verifiedAtS: null } });
    expect(judge(source({ guard: guard(5) }), [...TARGET, other])).toMatchObject({ missing: [], databases: 1 });
    expect(judge("stopped", [...TARGET, other]).missing).toEqual([expect.stringContaining("'other'")]);
  });
});

describe("the source must stay", () => {
  // claim: packages/migration/docs/steps.md: a database that only the source has keeps it
  test("while it has a database that the target lacks, unless the choice leaves that one out", () => {
    const more = source({ guard: guard(5) }, {});
    const asked = { ...(more as ReturnType<typeof cluster>) };
    const databases = [...asked.databases, database("tenant_42")];
    const missingWith = (choice: Partial<DatabaseChoice>): readonly string[] =>
      judge({ ...asked, databases }, TARGET, TARGET_ID, { include: [], exclude: [], ...choice }).missing;
    expect(missingWith({})).toEqual([expect.stringContaining("only the source has 'tenant_42'")]);
    expect(missingWith({ exclude: ["tenant_42"] })).toEqual([]);
    expect(missingWith({ include: ["shop"] })).toEqual([]);
  });

  test.each<[string, SourceEvidence, RegExp]>([
    ["released", source({ guard: null }), /^the source was writable after the comparison of 'shop'/],
    ["released, and guarded again", source({ guard: guard(6) }), /^the source was writable after .*'shop': .* copy/],
    ["without the database", source(null), /^the source was writable after the comparison of 'shop'/],
    [
      "fed by a subscription",
      source({ guard: null }, { subscriptions: [FEED] }),
      /^the subscription 'feed' writes into 'shop' of the source: .*ALTER SUBSCRIPTION … DISABLE there/,
    ],
    ["a standby", source({ guard: guard(5) }, { inRecovery: true }), /^the source is a standby.*: .*primary/],
    ["another server", source({ guard: guard(5) }, { systemId: "7" }), /^no database was migrated .* --from-server/],
    [
      "silent",
      { trouble: "unable to connect" },
      /^the source cannot be asked.*: unable to connect: .*--source-stopped/,
    ],
    ["not asked", null, /^nobody asked the source .*: --from-server, or --source-stopped/],
  ])("if it is %s", (_, asked, missing) => {
    const report = judge(asked);
    expect([report.mayRetireSource, report.missing]).toEqual([false, [expect.stringMatching(missing)]]);
  });

  test.each([
    [
      "enabled and disabled",
      "16400:702",
      /^the subscription 'feed' of 'shop' was changed .*after the comparison: .*verify$/,
    ],
    ["created", "16402:702", /^the subscription 'feed' of 'shop' was changed/],
    ["seen by no superuser", null, /^only a superuser sees whether .*'feed' of 'shop'.*--from-server$/],
  ])("if its subscription was %s since the comparison", (_, state, missing) => {
    const compared = database("shop", { migration: { ...MIGRATION, subscriptions: ["16400:700"] } });
    const subscriptions = [{ ...FEED, isEnabled: false, state }];
    const report = judge(source({ guard: guard(5) }, { subscriptions }), [compared]);
    expect([report.mayRetireSource, report.missing]).toEqual([false, [expect.stringMatching(missing)]]);
  });

  // claim: packages/migration/docs/steps.md: backups of another cluster do not count
  test("if the backups and the drill are another cluster's", () => {
    const report = judge(source({ guard: guard(5) }), TARGET, OTHER_ID);
    expect(report.backups).toEqual([{ repo: 1, label: null }]);
    expect(report.missing).toEqual([
      `repo1 has backups of another cluster only (system identifier ${OTHER_ID}, the target's is ${TARGET_ID}): ask for the target's stanza with --backup-command or --backup-report`,
      expect.stringMatching(/^no drill has passed with such a backup/),
    ]);
  });

  test("if nothing was migrated, which needs no other reason", () => {
    for (const asked of [source({ guard: guard(5) }), "stopped", null] as const)
      expect(judge(asked, [database("postgres")]).missing[0]).toMatch(/^no database was migrated into this cluster/);
  });
});
