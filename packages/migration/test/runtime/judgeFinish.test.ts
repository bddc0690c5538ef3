/** Whether the old cluster may go: what each database, the source, the repositories and the drills must show. */
// claim: packages/migration/docs/steps.md: the source may go only while it is still as it was compared
import { describe, expect, test } from "vitest";
import type { BackupEvidence } from "../../runtime/backupEvidence";
import type { DatabaseFacts } from "../../runtime/facts";
import { type FinishReport, judgeFinish, type SourceEvidence } from "../../runtime/judgeFinish";
import { cluster, database } from "./support";

const EVIDENCE: BackupEvidence = {
  repositories: [{ key: 1, trouble: null, backups: [{ label: "20260101-000000F", startedAtS: 20 }] }],
  drills: [{ id: "drill-1", ok: true, label: "20260101-000000F" }],
};
const MIGRATION = { from: "1", copiedAtS: 10, verifiedAtS: 15, guardAtS: 5 };
const TARGET = [database("postgres"), database("shop", { migration: MIGRATION })];

const guard = (atS: number) => ({ connectionLimit: -1, readOnly: null, atS });
function source(changes: Partial<DatabaseFacts> | null, of: Parameters<typeof cluster>[0] = {}): SourceEvidence {
  const databases = changes === null ? [] : [database("shop", changes)];
  return cluster({ databases: [...cluster().databases, ...databases], ...of });
}
const judge = (asked: SourceEvidence, databases: readonly DatabaseFacts[] = TARGET): FinishReport =>
  judgeFinish(EVIDENCE, databases, asked);

describe("the source may go", () => {
  test("while the guard of the copy is in it", () => {
    expect(judge(source({ guard: guard(5) }))).toMatchObject({ mayRetireSource: true, missing: [], databases: 1 });
  });

  test("with subscriptions that are disabled, or of databases that were not migrated", () => {
    const subscriptions = [
      { database: "shop", name: "feed", isEnabled: false },
      { database: "postgres", name: "other", isEnabled: true },
    ];
    expect(judge(source({ guard: guard(5) }, { subscriptions })).missing).toEqual([]);
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
  test.each<[string, SourceEvidence, RegExp]>([
    ["released", source({ guard: null }), /^the source was writable after the comparison of 'shop'/],
    ["released, and guarded again", source({ guard: guard(6) }), /^the source was writable after .*'shop': .* copy/],
    ["without the database", source(null), /^the source was writable after the comparison of 'shop'/],
    [
      "fed by a subscription",
      source({ guard: null }, { subscriptions: [{ database: "shop", name: "feed", isEnabled: true }] }),
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

  test("if nothing was migrated, which needs no other reason", () => {
    for (const asked of [source({ guard: guard(5) }), "stopped", null] as const)
      expect(judge(asked, [database("postgres")]).missing[0]).toMatch(/^no database was migrated into this cluster/);
  });
});
