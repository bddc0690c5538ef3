/** The backups of an update, with a runtime that only answers. test/engine and test/hosts have real ones. */
import { expect, test } from "vitest";
import { applyFirstRun } from "../../../components/host/firstRun";
import { locationsIn, withoutMoved } from "../../../components/host/hostDestinations";
import { connectLocally } from "../../../components/host/localConnection";
import { given } from "../../../runtime/base/given";
import type { EngineVerbs, RuntimeOnHost } from "../../../components/host/runtimeVerbs";

const FULL = { label: "20261120-065325F", stop: 1_700_000_000 };

interface Ran {
  readonly calls: string[];
  readonly failure: string;
  readonly outcome: {
    firstBackup: string;
    walGap?: true;
    destinations?: string;
    locations?: Readonly<Record<string, string>>;
  };
}

interface Locations {
  readonly before?: Readonly<Record<string, string>>;
  readonly declared: Readonly<Record<string, string>>;
}

/** @param rows of `info`, one for each repository */
const ran = async (rows: readonly object[], walGap?: true, known?: string, moved?: Locations): Promise<Ran> => {
  const calls: string[] = [];
  const repo = rows.map((row, index) => ({ key: index + 1, ...row }));
  const result = { exitCode: 0, stdout: JSON.stringify([{ name: "main", repo }]), stderr: "" };
  const local = connectLocally();
  const connection = { ...local, exec: async () => result };
  const runtime: RuntimeOnHost = { connection, account: local.login, argv: ["runtime"], onLine: () => {} };
  const verbs: EngineVerbs = {
    createStanza: async () => {},
    checkArchiving: async () => {},
    takeFull: async (repos, isAll) => void calls.push(`full ${repos.join()} ${isAll}`),
    takeIncremental: async (repos, isAll) => void calls.push(`incr ${repos.join()} ${isAll}`),
  };
  const outcome: Ran["outcome"] = { firstBackup: "waiting", ...given({ destinations: known, walGap }) };
  if (moved?.before !== undefined) outcome.locations = moved.before;
  const desired = { firstBackup: true, ...given({ locations: moved?.declared }) };
  const failure = await applyFirstRun({ desired, outcome, log: () => {} }, runtime, verbs).then(
    () => "",
    (error: unknown) => (error instanceof Error ? error.message : ""),
  );
  await local.close();
  return { calls, failure, outcome };
};

test("repositories with full backups need one only after a gap, and an empty one gets a full backup", async () => {
  expect(await ran([{ full: FULL }, { full: FULL }])).toEqual({
    calls: [],
    failure: "",
    outcome: { firstBackup: "found" },
  });
  const { calls, outcome } = await ran([{ full: FULL }, {}], true);
  expect(calls).toEqual(["full 2 false", "incr 1 false"]);
  expect(outcome).toEqual({ firstBackup: "taken" });
});

test("one that cannot be read now may lack a backup: the others get theirs, and the next update looks again", async () => {
  const { calls, failure, outcome } = await ran([{ full: FULL }, { error: "[HostConnectError] reset" }], true);
  expect(calls).toEqual(["incr 1 false"]);
  expect(failure).toBe(
    "repo2: cannot be read: [HostConnectError] reset: whether backups are missing there is unknown; run the update again",
  );
  expect(outcome).toEqual({ firstBackup: "waiting", walGap: true });
  const empty = await ran([{}, { error: "[HostConnectError] reset" }]);
  expect(empty.calls).toEqual(["full 1 false"]);
  expect(empty.failure).toContain("repo2: cannot be read");
  expect((await ran([{}, {}])).calls).toEqual(["full 1,2 true"]);
});

// claim: docs/hosts/repositories.md: a repository that comes back after a time gets an incremental backup
test("a repository that the last update did not have gets a backup although it has a full one", async () => {
  const known = JSON.stringify([{ repository: "repo1", newestFull: null, newestWal: null }]);
  const { calls, outcome } = await ran([{ full: FULL }, { full: FULL }], undefined, known);
  expect(calls).toEqual(["incr 2 false"]);
  expect(outcome.firstBackup).toBe("taken");
  expect((await ran([{ full: FULL }, { full: FULL }], true, known)).calls).toEqual(["incr 1,2 true"]);
  expect((await ran([{ full: FULL }], undefined, known)).calls).toEqual([]);
  // Nothing is known of a first update.
  expect((await ran([{ full: FULL }], undefined, "")).calls).toEqual([]);
});

// claim: docs/hosts/repositories.md: a repository that comes…
test("a repository at another location gets a backup although it has a full one", async () => {
  const known = JSON.stringify([{ repository: "repo1", newestFull: null, newestWal: null }]);
  const [nas, cloud] = ["/mnt/nas", "/pg"].map((path) => locationsIn(`[global]\nrepo1-path=${path}\n`));
  if (nas === undefined || cloud === undefined) throw new Error("no location");
  const moved = await ran([{ full: FULL }], undefined, known, { before: cloud, declared: nas });
  expect(moved.calls).toEqual(["incr 1 true"]);
  expect(moved.outcome).toMatchObject({ firstBackup: "taken", locations: nas });
  expect((await ran([{ full: FULL }], undefined, known, { before: nas, declared: nas })).calls).toEqual([]);
  // An update that failed may have sent WAL to another one.
  const failed = withoutMoved(nas, cloud);
  expect((await ran([{ full: FULL }], undefined, known, { before: failed, declared: nas })).calls).toHaveLength(1);
  expect(withoutMoved(nas, nas)).toEqual(nas);
  // An earlier version recorded none.
  const first = await ran([{ full: FULL }], undefined, known, { declared: nas });
  expect(first.calls).toEqual([]);
  expect(first.outcome.locations).toEqual(nas);
  // It cannot be read now: the next update looks again.
  const unread = await ran([{ error: "[HostConnectError] reset" }], undefined, known, { before: cloud, declared: nas });
  expect(unread.outcome.locations).toEqual(cloud);
});

test("a location is what leads there, and neither keys nor retention", () => {
  const conf = "[global]\nrepo1-type=posix\nrepo1-path=/nas\nrepo2-type=s3\nrepo2-path=/pg\nrepo2-s3-bucket=a\n";
  const plain = locationsIn(conf);
  expect(Object.keys(plain)).toEqual(["repo1", "repo2"]);
  for (const line of ["repo1-retention-full=9", "repo2-s3-key-type=auto", "repo2-bundle=y", "process-max=2"])
    expect(locationsIn(`${conf}${line}\n`)).toEqual(plain);
  for (const line of ["repo2-storage-port=9000", "repo2-s3-endpoint=b", "repo2-sftp-host-user=c"]) {
    const { repo1, repo2 } = locationsIn(`${conf}${line}\n`);
    expect([repo1 === plain["repo1"], repo2 === plain["repo2"]]).toEqual([true, false]);
  }
});
