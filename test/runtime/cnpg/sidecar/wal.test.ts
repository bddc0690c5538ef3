import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { NotFound, NotYet } from "../../../../runtime/cnpg/grpc/grpcServer";
import { type WalParts, walService } from "../../../../runtime/cnpg/sidecar/wal";
import { archiveGet } from "../../../../runtime/operations/archiveGet/archiveGet";
import { HeldClock, type TestContext, testContext } from "../../../harness/context";
import { MemoryStorage } from "../../../harness/doubles/storages";
import { CLUSTER, repository, temporaryFolder, walName } from "../../repository/support";

type Get = ReturnType<WalParts["gets"]>["get"];

let dataDirectory: string;
let ctx: TestContext<HeldClock>;
beforeEach(() => {
  dataDirectory = temporaryFolder();
  mkdirSync(join(dataDirectory, "pg_wal"));
  ctx = testContext({ clock: new HeldClock() });
});

const files = (): string[] => readdirSync(join(dataDirectory, "pg_wal"));
const asked: unknown[] = [];

function restore(
  get: Get,
  more: {
    readonly mode?: string;
    readonly job?: boolean;
    readonly newestWal?: string;
    readonly newestLsn?: bigint;
    readonly last?: Get;
    readonly path?: string;
    readonly name?: string;
    readonly signal?: AbortSignal;
  } = {},
) {
  const push =
    more.job === true ? null : { wal: { walDirectory: `${dataDirectory}/pg_wal`, push: never }, prepare: never };
  const service = walService(
    {
      dataDirectory,
      push,
      isJob: more.job === true,
      newestWal: more.newestWal ?? null,
      newestLsn: more.newestLsn ?? null,
      gets: () => ({ get, getOrLast: more.last ?? get }),
    },
    ctx,
  );
  const request = {
    source_wal_name: more.name ?? walName(1),
    destination_file_name: more.path ?? "pg_wal/RECOVERYXLOG",
    mode: more.mode,
  };
  return Promise.resolve(service.methods["Restore"]?.(request as never, more.signal ?? new AbortController().signal));
}

const never = (): never => {
  throw new Error("not to be called");
};
const fetched: Get = async (name, path, request) => {
  asked.push(request);
  writeFileSync(path, name);
  return true;
};

describe("a restore", () => {
  test("puts the complete file under the requested name, and nothing else", async () => {
    expect(await restore(fetched)).toEqual({});
    expect(files()).toEqual(["RECOVERYXLOG"]);
    expect(readFileSync(join(dataDirectory, "pg_wal", "RECOVERYXLOG"), "utf8")).toBe(walName(1));
  });

  test("of a rewind fetches nothing ahead; every other mode does", async () => {
    asked.length = 0;
    for (const mode of ["MODE_REWIND", "MODE_RECOVERY", "MODE_UNSPECIFIED", "MODE_OF_TOMORROW"])
      await restore(fetched, { mode });
    expect(asked).toMatchObject([{ ahead: false }, { ahead: true }, { ahead: true }, { ahead: true }]);
  });

  test("of a job retries while there is doubt; a standby gets an answer soon", async () => {
    asked.length = 0;
    await restore(fetched, { job: true });
    await restore(fetched);
    const [job, standby] = asked as { timeoutMs: number }[];
    expect(job?.timeoutMs).toBeGreaterThanOrEqual(3600_000);
    expect(standby?.timeoutMs).toBeLessThan(10_000);
  });

  // claim: docs/streaming.md: only a recovery job gets streamed WAL, never an instance or pg_rewind; a drill's ends
  //   where it was when the drill began
  test("of a job gets a streamed part; a standby and a rewind only complete files", async () => {
    const none: Get = async () => false;
    const last: Get = async (_name, path) => {
      writeFileSync(path, "streamed");
      return true;
    };
    await restore(none, { job: true, last });
    expect(readFileSync(join(dataDirectory, "pg_wal", "RECOVERYXLOG"), "utf8")).toBe("streamed");
    await expect(restore(none, { last })).rejects.toBeInstanceOf(NotFound);
    await expect(restore(none, { job: true, last, mode: "MODE_REWIND" })).rejects.toBeInstanceOf(NotFound);
  });

  // claim: docs/streaming.md: only a recovery job…
  test("of a drill ends where the stream ended when it began", async () => {
    const newestWal = walName(3);
    const size = 1024 * 1024;
    const whole: Get = async (_name, path) => {
      writeFileSync(path, Buffer.alloc(size, 7));
      return true;
    };
    const kept = async (newestLsn: bigint, name = newestWal): Promise<number> => {
      await restore(whole, { job: true, newestWal, newestLsn, name });
      const bytes = readFileSync(join(dataDirectory, "pg_wal", "RECOVERYXLOG"));
      expect(bytes.length).toBe(size);
      const end = bytes.findLastIndex((byte) => byte !== 0) + 1;
      expect(bytes.subarray(0, end).every((byte) => byte === 7)).toBe(true);
      return end;
    };
    const start = 3n * BigInt(size);
    expect(await kept(start + 1000n)).toBe(1000);
    expect(await kept(start + 1000n, walName(2))).toBe(size);
    expect(await kept(start + BigInt(size))).toBe(size);
  });

  test("of a drill sees nothing that was written after it began", async () => {
    const newestWal = walName(3);
    expect(await restore(fetched, { job: true, newestWal, name: newestWal })).toEqual({});
    await expect(restore(fetched, { job: true, newestWal, name: walName(4) })).rejects.toBeInstanceOf(NotFound);
    await expect(restore(fetched, { job: true, newestWal, name: "00000002.history" })).rejects.toBeInstanceOf(NotFound);
    // Histories up to the timeline of the newest segment existed before the drill.
    const second = `00000002${newestWal.slice(8)}`;
    expect(await restore(fetched, { job: true, newestWal: second, name: "00000002.history" })).toEqual({});
  });

  // claim: docs/kubernetes/plugin.md: a restore beside a…
  test("reports not found only when every repository said so", async () => {
    await expect(restore(async () => false)).rejects.toBeInstanceOf(NotFound);
    await expect(
      restore(() => Promise.reject(fail("repoInvalid", "in doubt", { retryable: true }))),
    ).rejects.toMatchObject({
      kind: "repoInvalid",
      retryable: true,
    });
    expect(files()).toEqual([]);
  });

  test("of a job leaves a mark for a file in no repository, and for nothing else", async () => {
    await expect(restore(async () => false, { job: true })).rejects.toBeInstanceOf(NotFound);
    expect(files()).toEqual(["RECOVERYXLOG.absent"]);
    rmSync(join(dataDirectory, "pg_wal", "RECOVERYXLOG.absent"));
    await expect(restore(() => Promise.reject(fail("fileMissing", "gone")), { job: true })).rejects.toThrow("gone");
    await expect(restore(async () => false)).rejects.toBeInstanceOf(NotFound);
    expect(files()).toEqual([]);
  });

  // claim: docs/kubernetes/plugin.md: a restore beside a standby is answered soon; "missing" only when every repository
  //   said so
  test("that takes too long beside a standby ends, and a late file is not put in place", async () => {
    let arrive = (): void => {};
    const overdue: Get = async (_name, path) => {
      await new Promise<void>((resolve) => {
        arrive = resolve;
      });
      writeFileSync(path, "late");
      return true;
    };
    const answer = expect(restore(overdue)).rejects.toMatchObject({ kind: "archiveTimeout", retryable: true });
    await ctx.clock.advance(10_000);
    await answer;
    arrive();
    await expect.poll(files).toEqual([]);
    expect(existsSync(join(dataDirectory, "pg_wal", "RECOVERYXLOG"))).toBe(false);
  });

  describe("beside a standby while no repository answers", () => {
    /** Requests to one sidecar. Each one waits until `settle` is called with its number. */
    const asking = () => {
      const settles: ((fetched: boolean) => void)[] = [];
      const get: Get = () => new Promise((resolve) => void settles.push(resolve));
      const service = walService(
        { dataDirectory, push: null, isJob: false, gets: () => ({ get, getOrLast: get }) },
        ctx,
      );
      const ask = (): Promise<unknown> => {
        const request = { source_wal_name: walName(1), destination_file_name: "pg_wal/RECOVERYXLOG" };
        return Promise.resolve(service.methods["Restore"]?.(request as never, new AbortController().signal)).catch(
          (error: unknown) => error,
        );
      };
      const secondsOf = async (): Promise<number> => {
        const beganAtMs = ctx.clock.monotonicMs();
        let isOver = false;
        const answer = ask().finally(() => (isOver = true));
        for (let turn = 0; turn < 30 && !isOver; turn++) await ctx.clock.advance(500);
        expect(await answer).toMatchObject({ kind: "archiveTimeout", retryable: true });
        return (ctx.clock.monotonicMs() - beganAtMs) / 1000;
      };
      return { settles, secondsOf };
    };

    test("the first request waits, later ones only briefly: a promotion sends several", async () => {
      const { secondsOf } = asking();
      expect([await secondsOf(), await secondsOf(), await secondsOf()]).toEqual([10, 2, 2]);
    });

    test("an answer that came too late counts: the next request gets its whole time", async () => {
      const { secondsOf, settles } = asking();
      expect(await secondsOf()).toBe(10);
      settles[0]?.(false);
      await ctx.clock.advance(0);
      expect(await secondsOf()).toBe(10);
    });
  });

  describe("before the stanza exists", () => {
    /** A sidecar with one empty repository. */
    const asking = () => {
      const repos = [repository(1, { storage: new MemoryStorage({ name: "memory1" }) })];
      const get: Get = (name, destination, request) =>
        archiveGet(
          repos,
          { walName: name, destination, cluster: CLUSTER, mayLackStanza: request?.mayLackStanza ?? false },
          ctx,
        );
      return (isJob: boolean) =>
        walService({ dataDirectory, push: null, isJob, gets: () => ({ get, getOrLast: get }) }, ctx);
    };
    const ask = (service: ReturnType<ReturnType<typeof asking>>): Promise<unknown> => {
      const request = { source_wal_name: walName(1), destination_file_name: "pg_wal/RECOVERYXLOG" };
      return Promise.resolve(service.methods["Restore"]?.(request as never, new AbortController().signal));
    };
    const reported = (): string[] =>
      ctx.lines.filter(({ level }) => level !== "debug").map(({ level, text }) => `${level} ${text}`);

    test("a standby reports it once, and asks again", async () => {
      const service = asking()(false);
      for (let turn = 0; turn < 3; turn++) await expect(ask(service)).rejects.toBeInstanceOf(NotYet);
      expect(reported()).toEqual(["info the archive does not exist yet: the primary creates it with its first WAL"]);
    });

    test("a stanza still missing after minutes is an error, and at once for a recovery", async () => {
      const service = asking()(false);
      await ctx.clock.advance(11 * 60_000);
      await expect(ask(service)).rejects.toMatchObject({ kind: "repoInvalid", retryable: true });
      expect(reported().join("\n")).toContain("archive.info");
      await expect(ask(asking()(true))).rejects.toMatchObject({ kind: "repoInvalid" });
    });
  });

  test("ends with its caller", async () => {
    const gone = new AbortController();
    const answer = expect(restore(() => new Promise(() => {}), { signal: gone.signal })).rejects.toMatchObject({
      kind: "term",
    });
    gone.abort(fail("term", "gone"));
    await answer;
  });

  test.each(["../x", "/etc/passwd", "pg_wal/../../x"])("does not write to %s", async (path) => {
    await expect(restore(fetched, { path })).rejects.toThrow("is not in the data directory");
  });

  test.each(["", "postgresql.conf", "../00000001.history", `${walName(1)}.gz`])(
    "does not ask for '%s'",
    async (name) => {
      await expect(restore(fetched, { name })).rejects.toThrow("is not the name of a WAL file");
    },
  );
});

describe("an archive", () => {
  const archive = (push: WalParts["push"], path: string) => {
    const service = walService({ dataDirectory, push, isJob: false, gets: never }, ctx);
    return Promise.resolve(
      service.methods["Archive"]?.({ source_file_name: path } as never, new AbortController().signal),
    );
  };
  const pushing = (answer: object, order: string[] = []): WalParts["push"] => ({
    wal: {
      walDirectory: `${dataDirectory}/pg_wal`,
      push: async (name) => {
        order.push(name);
        const accepted = { results: [], accepted: true, reposBehind: [], isTried: true, error: null };
        return { answer: { ...accepted, ...answer }, warnings: [] };
      },
    },
    prepare: async () => void order.push("prepared"),
  });

  test("prepares the stanza, archives the file, and reports a repository that lacks it", async () => {
    const order: string[] = [];
    const results = [
      { repoIndex: 1, ok: true as const, value: "pushed" as const },
      { repoIndex: 2, ok: false as const, error: fail("hostConnect", "no route") },
    ];
    expect(
      await archive(pushing({ results, reposBehind: [2] }, order), `${dataDirectory}/pg_wal/${walName(3)}`),
    ).toEqual({});
    expect(order).toEqual(["prepared", walName(3)]);
    expect(ctx.lines.map((line) => line.text).join("\n")).toContain(`repo2 lacks ${walName(3)}`);
  });

  test("fails with the error of a repository that the policy requires", async () => {
    const error = fail("archiveMismatch", "of another cluster");
    await expect(archive(pushing({ accepted: false, error }), `pg_wal/${walName(3)}`)).rejects.toBe(error);
  });

  test("accepts files of pg_wal only, and none beside a recovery job", async () => {
    await expect(archive(pushing({}), "base/1/1259")).rejects.toThrow("is not in");
    await expect(archive(null, `pg_wal/${walName(3)}`)).rejects.toMatchObject({ kind: "featureNotSupported" });
  });
});
