import { beforeEach, describe, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { type BackupParts, backupService, typeByPolicy } from "../../../../runtime/cnpg/sidecar/backupService";
import type { BackupResult } from "../../../../runtime/cnpg/grpc/messages";
import { BACKUP_UID_NOTE } from "../../../../runtime/cnpg/names";
import { loadBackupInfo, saveBackupInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { eventually, type TestContext, testContext } from "../../../harness/context";
import { FaultyStorage } from "../../../harness/network/faults";
import { entryOf, makeStanza } from "../../../harness/madeRepository";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { repository } from "../../repository/support";
import { bytesOf, cluster, PARAMETERS } from "../support";

const LABEL = "20261120-064059F";
const UID = "3f0c8a52-0000-4000-8000-000000000001";

let ctx: TestContext;
let storages: FaultyStorage[];
let repos: Repository[];
/** Arguments of each started process. */
let runs: (readonly string[])[];
beforeEach(async () => {
  ctx = testContext();
  storages = [1, 2].map((key) => new FaultyStorage(new MemoryStorage({ name: `memory${key}` })));
  repos = storages.map((storage, index) => repository(index + 1, { storage }));
  for (const repo of repos) await makeStanza(repo, { versions: ["18"], backups: [], wal: {} });
  runs = [];
});

/** Stores a backup in these repositories, like the program's `backup`. */
async function store(uid: string, into = repos, label = LABEL): Promise<void> {
  for (const repo of into) {
    const info = await loadBackupInfo(repo);
    const entry = {
      ...entryOf({ label, wal: ["000000010000000000000003", "000000010000000000000004"] }),
      annotations: { [BACKUP_UID_NOTE]: uid },
    };
    await saveBackupInfo(repo, { ...info, backups: [...info.backups, entry] }, ctx);
  }
}

function service(more: Partial<BackupParts> = {}) {
  const run: BackupParts["run"] = async (args) => {
    runs.push(args);
    await store(
      args
        .find((arg) => arg.includes(BACKUP_UID_NOTE))
        ?.split("=")
        .at(-1) ?? "",
    );
    return 0;
  };
  const { methods } = backupService(
    {
      instanceId: "orders-1",
      present: (work) => work({ repos, archiveTimeoutMs: 60_000 }),
      run,
      isStandby: async () => false,
      settled: async () => {},
      ...more,
    },
    ctx,
  );
  return (
    parameters: Record<string, string> = {},
    signal = new AbortController().signal,
    uid = UID,
    of = cluster(),
  ): Promise<BackupResult> =>
    Promise.resolve(
      methods["Backup"]?.(
        {
          cluster_definition: bytesOf(of),
          backup_definition: bytesOf({ metadata: { name: "b1", uid } }),
          parameters,
        } as never,
        signal,
      ) as Promise<BackupResult>,
    );
}

describe("a Backup", () => {
  test("is taken once into every repository, and reports the stored backup", async () => {
    const take = service();
    expect(await take({ type: "diff" })).toMatchObject({
      backup_id: LABEL,
      backup_name: LABEL,
      begin_wal: "000000010000000000000003",
      end_wal: "000000010000000000000004",
      instance_id: "orders-1",
      online: true,
      metadata: { type: "full", repo1: LABEL, repo2: LABEL },
    });
    expect(runs).toEqual([["backup", "--type=diff", "--backup-standby=n", `--annotation=${BACKUP_UID_NOTE}=${UID}`]]);
  });

  test("goes into the named repositories only, one run each", async () => {
    const take = service({
      run: async (args) => {
        runs.push(args);
        await store(
          UID,
          repos.filter(({ key }) => args.includes(`--repo=${key}`)),
        );
        return 0;
      },
    });
    expect(await take({ type: "full", repositories: "repo2" })).toMatchObject({ metadata: { repo2: LABEL } });
    expect(runs.map((args) => args.filter((arg) => arg.startsWith("--repo=")))).toEqual([["--repo=2"]]);
    expect((await loadBackupInfo(repos[0] as Repository)).backups).toEqual([]);
    // A repository that is down does not matter to a backup of another one.
    storages[0]?.breakDown(fail("hostConnect", "unable to connect"));
    expect(await take({ repositories: "repo2" })).toMatchObject({ backup_id: LABEL });
    await expect(take({ repositories: "repo3" }, undefined, "other")).rejects.toThrow(
      "'repo3', which is not configured",
    );
  });

  test("waits while another pod backs up into a repository, and then goes into the missing ones", async () => {
    const answers = [50, 104, 0];
    const busy =
      "P00  ERROR: [104]: backup command encountered error(s):\nrepo2: [LockAcquireError] unable to acquire the lease of stanza 'demo'";
    const take = service({
      run: async (args, _signal, output) => {
        runs.push(args);
        const code = answers.shift() ?? 1;
        if (code === 104) {
          await store(UID, repos.slice(0, 1));
          output(busy);
        }
        if (code === 0) await store(UID, repos.slice(1));
        return code;
      },
    });
    expect(await take()).toMatchObject({ metadata: { repo1: LABEL, repo2: LABEL } });
    expect(runs.map((args) => args.filter((arg) => arg.startsWith("--repo")))).toEqual([[], [], ["--repo=2"]]);
    expect(ctx.clock.sleeps).toEqual([30_000, 30_000]);
  });

  // claim: docs/keys.md: a Backup that waits takes the new keys
  test("takes the present keys for each attempt and each look", async () => {
    const rotated = storages.map((storage, index) => repository(index + 1, { storage: new FaultyStorage(storage) }));
    let isRotated = false;
    const take = service({
      present: (work) => work({ repos: isRotated ? rotated : repos, archiveTimeoutMs: 60_000 }),
      run: async (args, _signal, output) => {
        runs.push(args);
        if (isRotated) return (await store(UID, rotated), 0);
        // Withdrawn while it waits for another pod.
        isRotated = true;
        repos = storages.map((_, index) =>
          repository(index + 1, {
            storage: new FaultyStorage(new MemoryStorage()).breakDown(fail("access", "denied")),
          }),
        );
        output("ERROR: [050]: unable to acquire the lease of stanza 'demo': held by host 'orders-2'");
        return 50;
      },
    });
    expect(await take()).toMatchObject({ metadata: { repo1: LABEL, repo2: LABEL } });
    expect(runs).toHaveLength(2);
  });

  test("waits for another pod for six hours, not longer, and for no other error", async () => {
    let output = "P00  ERROR: [050]: unable to acquire the lease of stanza 'demo': held by host 'orders-2'";
    const run: BackupParts["run"] = async (args, _signal, emit) => {
      runs.push(args);
      emit(output);
      return output.includes("[050]") ? 50 : 56;
    };
    await expect(service({ run })()).rejects.toMatchObject({
      message: expect.stringContaining("held by host 'orders-2'"),
    });
    expect(ctx.clock.sleeps.reduce((sum, sleptMs) => sum + sleptMs, 0)).toBe(6 * 3_600_000);
    runs.length = 0;
    output = "P00  ERROR: [056]: no connection";
    await expect(service({ run })()).rejects.toMatchObject({ message: "no connection" });
    expect(runs).toHaveLength(1);
  });

  // claim: docs/kubernetes/plugin.md: a Backup is one…
  test("is not repeated for a stored uid", async () => {
    await store(UID);
    expect((await service()()).backup_id).toBe(LABEL);
    expect(runs).toEqual([]);
  });

  test("that only one repository holds is taken again", async () => {
    await store(UID, repos.slice(0, 1), "20261120-050000F");
    const run: BackupParts["run"] = async (args) => {
      runs.push(args);
      await store(UID, repos.slice(1));
      return 0;
    };
    await service({ run })();
    expect(runs.length).toBe(1);
  });

  // claim: docs/kubernetes/plugin.md: a Backup is one…
  test("requested twice while it runs is taken once, and ends when no request waits", async () => {
    let signalOf: AbortSignal | null = null;
    const run: BackupParts["run"] = (args, signal) => {
      runs.push(args);
      signalOf = signal;
      return new Promise((resolve) => signal.addEventListener("abort", () => resolve(63), { once: true }));
    };
    const take = service({ run });
    const callers = [new AbortController(), new AbortController()] as const;
    const answers = Promise.allSettled(callers.map((caller) => take({}, caller.signal)));
    await eventually("a process", () => runs.length > 0);
    callers[0].abort();
    expect(signalOf?.["aborted"]).toBe(false);
    callers[1].abort();
    const [first, second] = await answers;
    expect([first, second]).toMatchObject([
      { status: "rejected", reason: { kind: "term" } },
      { status: "rejected", reason: { kind: "term" } },
    ]);
    expect(runs.length).toBe(1);
  });

  test("that fails has the program's message", async () => {
    const run: BackupParts["run"] = async (_args, _signal, output) => {
      output("ERROR: [104]: backup command encountered error(s):\nrepo2: [HostConnectError] no route\n");
      return 104;
    };
    await expect(service({ run })()).rejects.toThrow(
      "backup command encountered error(s):\nrepo2: [HostConnectError] no route",
    );
  });

  test("is done only when every repository holds it", async () => {
    const run: BackupParts["run"] = async () => {
      await store(UID, repos.slice(0, 1));
      return 0;
    };
    await expect(service({ run })()).rejects.toThrow("not in every repository");
    storages[1]?.plan("read", { kind: "error", error: fail("hostConnect", "no route") }, { times: 4 });
    await expect(service({ run })()).rejects.toThrow("repo2: [HostConnectError]");
  });

  test("from a standby passes that to the program, and waits for the segment that only the primary can end", async () => {
    const of = cluster({
      postgresql: { parameters: { archive_timeout: "15min" } },
      plugins: [{ name: "pgbackstop", parameters: PARAMETERS }],
    });
    const run: BackupParts["run"] = async (args) => {
      runs.push(args);
      return 1;
    };
    const take = service({ run, isStandby: async () => true });
    await expect(take({ type: "incr" })).rejects.toThrow("ended with code 1");
    await expect(take({ type: "incr" }, undefined, UID, of)).rejects.toThrow("ended with code 1");
    expect(runs.map((args) => args.slice(2, 4))).toEqual([
      ["--backup-standby=y", "--archive-timeout=360"],
      ["--backup-standby=y", "--archive-timeout=960"],
    ]);
  });

  // claim: docs/kubernetes/plugin.md: unknown parameters are refused…
  test("refuses unknown parameters", async () => {
    await expect(service()({ typ: "full" })).rejects.toThrow("backup parameter 'typ' is unknown");
    await expect(service()({ type: "weekly" })).rejects.toThrow("'weekly' is not allowed for plugin parameter 'type'");
    expect(runs).toEqual([]);
  });
});

describe("the type by policy", () => {
  const DAY_S = 86_400;
  const nowS = 1_800_000_000;
  const fullOf = (ageDays: number) => ({
    repoIndex: 1,
    ok: true as const,
    value: [entryOf({ label: LABEL, wal: null, stoppedAtS: nowS - ageDays * DAY_S })],
  });

  test("is full without one, or with one that is too old in any repository, else incremental", () => {
    expect(typeByPolicy([{ repoIndex: 1, ok: true, value: [] }], 7, nowS)).toBe("full");
    expect(typeByPolicy([fullOf(1)], 7, nowS)).toBe("incr");
    expect(typeByPolicy([fullOf(1), { ...fullOf(8), repoIndex: 2 }], 7, nowS)).toBe("full");
  });

  test("counts a slightly younger one as old: schedules are not exact to the minute", () => {
    expect(typeByPolicy([fullOf(6.95)], 7, nowS)).toBe("full");
    expect(typeByPolicy([fullOf(6.8)], 7, nowS)).toBe("incr");
  });

  test("does not count an unreadable repository as empty", () => {
    expect(
      typeByPolicy([fullOf(1), { repoIndex: 2, ok: false, error: fail("hostConnect", "no route") }], 7, nowS),
    ).toBe("incr");
  });
});
