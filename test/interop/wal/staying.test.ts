/**
 * The process that plain `archive-push` leaves for further calls: what it serves is what a call by itself would do, and
 * nothing that happens to it makes a call acknowledge WAL that no repository holds.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { pidsWith, type RunResult, waitFor } from "../../../tools/parts/process";
import { giveTo } from "../../../tools/parts/users";
import { findParts } from "../../harness/real/interopParts";
import { findStoredSegment, writeSegments } from "../../harness/real/segments";
import { TestBed } from "../../harness/real/testBed";

const STAY_MS = 600_000;

describe("the process that stays", async () => {
  const parts = await findParts("the process that stays", 18, "2.60");
  if (parts === null) return;
  const { stock } = parts;
  let bed: TestBed;
  let temporary = "";
  let pid = 0;

  /** Processes of this file: others' have another folder for sockets. */
  const staying = (): number[] =>
    pidsWith("staying-process", String(STAY_MS)).filter((each) => {
      try {
        return readFileSync(`/proc/${each}/environ`, "utf8").includes(`TMPDIR=${temporary}\0`);
      } catch {
        return false;
      }
    });
  const call = (args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<RunResult> =>
    bed.ours(args, { env: { TMPDIR: temporary, ...env } });
  const push = (name: string, env = {}): Promise<RunResult> => call(["archive-push", bed.walFile(name)], env);
  /** The same call where it finds no process. */
  const alone = (args: readonly string[]): Promise<RunResult> => call(args, { KUBERNETES_SERVICE_HOST: "none" });
  const sockets = (): string[] =>
    readdirSync(join(temporary, `pgbackstop-${bed.cluster.user.uid}`)).filter((name) => name.endsWith(".sock"));
  const isStored = (name: string): boolean => [1, 2].every((key) => findStoredSegment(bed, key, name) !== null);
  /** Bytes that the process has read. */
  const readBytes = (): number => Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);

  async function settings(changes: object): Promise<void> {
    const file = join(bed.configPath, "pgbackstop.json");
    const old = JSON.parse(readFileSync(file, "utf8")) as object;
    writeFileSync(file, JSON.stringify({ ...old, archiveProcessSeconds: STAY_MS / 1000, ...changes }));
  }

  async function haveProcess(): Promise<void> {
    pid = await waitFor("a process that listens", 60_000, async () => {
      // One that ends after an error is there for a moment more.
      if (staying().length === 0)
        for (const name of await writeSegments(bed, 2)) expect((await push(name)).exitCode).toBe(0);
      return sockets().length === 1 ? (staying()[0] ?? null) : null;
    });
  }

  beforeAll(async () => {
    bed = await TestBed.create({
      binaries: parts.binaries,
      repos: [{ compressType: "gz" }, { compressType: "gz", encrypted: true }],
      walSegmentSizeMb: 1,
    });
    temporary = join(bed.folder, "temporary");
    mkdirSync(temporary);
    giveTo(temporary, bed.cluster.user);
    await bed.startWithStanza();
    await bed.stopArchiving();
    await bed.cluster.sql("CREATE TABLE t (id int, filler text)");
    await settings({});
  }, 300_000);

  afterAll(async () => {
    for (const each of staying()) process.kill(each, "SIGKILL");
    await bed.remove();
  });

  beforeEach(haveProcess);

  // claim: docs/agent.md: the second of two calls within `archiveProcessSeconds` leaves it…
  test("serves a call, which prints and stores as one by itself, beside stock", async () => {
    const [first = "", second = "", third = ""] = await writeSegments(bed, 3);
    const before = readBytes();
    expect(await push(first)).toMatchObject({ exitCode: 0 });
    expect(readBytes() - before).toBeGreaterThan(1024 * 1024);
    expect(isStored(first)).toBe(true);
    for (const key of [1, 2])
      await bed.stockOk(stock, ["archive-push", bed.walFile(second), `--repo=${key}`]).catch(() => {});
    expect(await push(second)).toMatchObject({ exitCode: 0 });
    expect(await push(third)).toMatchObject({ exitCode: 0 });
    expect(staying()).toEqual([pid]);
    const target = join(temporary, "got");
    expect(await call(["archive-get", first, target])).toMatchObject({ exitCode: 0 });
    expect(readFileSync(target)).toEqual(readFileSync(bed.walFile(first)));
    expect(await call(["archive-get", "0000000F0000000000000001", target])).toMatchObject({ exitCode: 1 });
    const verified = await bed.stockOk(stock, ["verify", "--repo=2", "--output=text", "--verbose"]);
    expect(verified.stdout).toMatch(/^status: ok$/m);
    expect(staying()).toEqual([pid]);
  });

  test.each([
    ["a missing file", ["archive-push", "pg_wal/0000000F0000000000000001"]],
    ["no file", ["archive-push"]],
    ["an unknown option", ["--unknown=1", "archive-push", "pg_wal/0000000F0000000000000001"]],
    ["get without a destination", ["archive-get", "0000000F0000000000000001"]],
    ["debug lines", ["--log-level-console=off", "--log-level-stderr=warn", "archive-push", "pg_wal/x"]],
  ])("gives the code and text of a call by itself: %s", async (_, args) => {
    const own = await alone(args);
    expect(own.exitCode).not.toBe(0);
    const timeless = ({ exitCode, stderr, stdout }: RunResult): unknown => [
      exitCode,
      stderr,
      stdout.replaceAll(/^[\d-]+ [\d:.]+/gm, ""),
    ];
    expect(timeless(await call(args))).toEqual(timeless(own));
  });

  // claim: docs/agent.md: each call reads configuration, keys and stop files again
  test("uses a configuration that changed since the last call", async () => {
    const file = join(bed.configPath, "pgbackrest.conf");
    const text = readFileSync(file, "utf8");
    const settingsFile = join(bed.configPath, "pgbackstop.json");
    const settingsText = readFileSync(settingsFile, "utf8");
    for (const path of [file, settingsFile])
      writeFileSync(path, readFileSync(path, "utf8").replaceAll(/(compress-?[tT]ype"?[=:]"?)gz/g, "$1lz4"));
    // One that no earlier call has pushed ahead.
    const [name = ""] = await writeSegments(bed, 1);
    expect(await push(name)).toMatchObject({ exitCode: 0 });
    expect(findStoredSegment(bed, 1, name)).toMatch(/\.lz4$/);
    writeFileSync(settingsFile, settingsText);
    writeFileSync(file, text);
    const secrets = join(bed.configPath, "conf.d", "secrets.conf");
    const key = readFileSync(secrets, "utf8");
    writeFileSync(secrets, key.replace(/cipher-pass=.*/, "cipher-pass=another"));
    const [third = ""] = await writeSegments(bed, 1);
    const refused = await push(third);
    writeFileSync(secrets, key);
    expect(refused.exitCode).not.toBe(0);
    expect(findStoredSegment(bed, 2, third)).toBeNull();
  });

  // claim: docs/agent.md: each call reads configuration…
  test("obeys stop", async () => {
    const [name = ""] = await writeSegments(bed, 1);
    await bed.oursOk(["stop"]);
    expect(await push(name)).toMatchObject({
      exitCode: 62,
      stdout: expect.stringContaining("stop file exists") as string,
    });
    expect(isStored(name)).toBe(false);
    await bed.oursOk(["start"]);
    expect(await push(name)).toMatchObject({ exitCode: 0 });
  });

  test("is not found with another environment, and a key in it never serves another call", async () => {
    const [name = ""] = await writeSegments(bed, 1);
    const before = readBytes();
    expect(await push(name, { PGBACKREST_COMPRESS_TYPE: "lz4" })).toMatchObject({ exitCode: 0 });
    expect(readBytes()).toBeLessThan(before + 1024 * 1024);
  });

  // claim: docs/agent.md: a call that gets no answer does the work itself
  test("killed or asleep, it delays one call, and that stores its segment", async () => {
    const [first = "", second = "", third = ""] = await writeSegments(bed, 3);
    process.kill(pid, "SIGSTOP");
    expect(await push(first)).toMatchObject({ exitCode: 0 });
    expect(isStored(first)).toBe(true);
    expect(sockets()).toEqual([]);
    process.kill(pid, "SIGCONT");
    await waitFor("the end of the process that slept", 60_000, async () => (staying().includes(pid) ? null : true));
    await haveProcess();
    process.kill(pid, "SIGKILL");
    expect(await push(second)).toMatchObject({ exitCode: 0 });
    expect(isStored(second)).toBe(true);
    expect(await push(third)).toMatchObject({ exitCode: 0 });
  });

  test("stopped within a call, it acknowledges nothing that the caller has not stored", async () => {
    const [name = ""] = await writeSegments(bed, 1);
    const before = readBytes();
    const pushing = push(name);
    // It reads configuration and segment only within a call.
    while (readBytes() === before) await new Promise((resolve) => setImmediate(resolve));
    process.kill(pid, "SIGSTOP");
    expect(await pushing).toMatchObject({ exitCode: 0 });
    expect(isStored(name)).toBe(true);
    process.kill(pid, "SIGCONT");
    await waitFor("its end", 60_000, async () => (staying().includes(pid) ? null : true));
  });

  // claim: docs/agent.md: without `archiveProcessSeconds` nothing stays
  test("ends after a call that finds it switched off, and none follows", async () => {
    await settings({ archiveProcessSeconds: 0 });
    for (const name of await writeSegments(bed, 3)) expect(await push(name)).toMatchObject({ exitCode: 0 });
    await waitFor("its end", 60_000, async () => (staying().length === 0 ? true : null));
    await settings({});
  });

  test("two first calls at once leave one process, and both store", async () => {
    process.kill(pid, "SIGTERM");
    await waitFor("its end", 60_000, async () => (staying().length === 0 ? true : null));
    const names = await writeSegments(bed, 4);
    const answers = await Promise.all(names.map((name) => push(name)));
    expect(answers.map(({ exitCode }) => exitCode)).toEqual([0, 0, 0, 0]);
    expect(names.filter((name) => !isStored(name))).toEqual([]);
    await haveProcess();
    await waitFor("one process", 60_000, async () => (staying().length === 1 ? true : null));
  });
});
