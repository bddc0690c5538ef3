// claim: docs/streaming.md: info, status and metrics…
import { beforeEach, expect, it } from "vitest";
import { renderJson } from "../../../../runtime/format/repository/json";
import { inlinePool } from "../../../../runtime/operations/shared/jobs";
import { collectInfo, infoJson } from "../../../../runtime/operations/info/info";
import { infoText } from "../../../../runtime/operations/info/infoText";
import { stanzaCreate } from "../../../../runtime/operations/stanza/stanzaCreate";
import { surveyStream } from "../../../../runtime/operations/stream/survey";
import { verify } from "../../../../runtime/operations/verify/verify";
import { openMissingWal } from "../../../../runtime/local/missingWal";
import { factsOf } from "../../../../runtime/recoverability/facts";
import { loadArchiveInfo } from "../../../../runtime/repository/infoStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { putChunk } from "../../../../runtime/repository/streamStore";
import { FaultyStorage } from "../../../harness/network/faults";
import { type TestContext, testContext } from "../../../harness/context";
import { CLUSTER, CONTROL, repository, temporaryFolder, WAL_SIZE_BYTES, walName } from "../../repository/support";

let ctx: TestContext;
let repo: Repository;

beforeEach(async () => {
  ctx = testContext();
  repo = repository(1, { pass: "first" });
  await stanzaCreate([repo], CONTROL, ctx);
});

async function stream(
  segment: string,
  session: string,
  begin: number,
  end: number,
  archiveId = "15-1",
): Promise<string> {
  const origin = { systemId: CLUSTER.systemId, segmentSizeBytes: WAL_SIZE_BYTES };
  const chunk = { segment, session: session.padStart(12, "0"), begin, end };
  await putChunk(
    repo,
    { archiveId, pass: (await loadArchiveInfo(repo)).cipherPass ?? null },
    chunk,
    [Buffer.alloc(end - begin, 7)],
    origin,
    ctx,
  );
  const offset = (value: number): string => value.toString(16).padStart(8, "0");
  return `pgbackstop/demo/stream/${archiveId}/${segment}-${chunk.session}-${offset(begin)}-${offset(end)}`;
}

it("shows the newest position that a recovery could reach, and nothing without a stream", async () => {
  expect(await surveyStream(repo)).toBeNull();
  await stream(walName(4), "1", 0, 900);
  await stream(walName(5), "1", 0, 100);
  await stream(walName(5), "1", 100, 0x300);
  // None of these counts: a chunk without its start, one of another cluster, and an interrupted one.
  await stream(walName(6), "2", 100, 200);
  await stream(walName(9), "2", 0, 200, "14-1");
  await repo.storage.put(
    `pgbackstop/demo/stream/15-1/${walName(8)}-000000000001-00000000-0000000b.pgbackrest.tmp`,
    Buffer.of(1),
  );
  expect(await surveyStream(repo)).toMatchObject({ segment: walName(5), lsn: "0/500300" });
});

it("finds the position in the merged chunk if an agent merges the listed ones meanwhile", async () => {
  const pieces = [await stream(walName(5), "1", 0, 100), await stream(walName(5), "1", 100, 0x300)];
  const merging = new FaultyStorage(repo.storage);
  const list = merging.list.bind(merging);
  merging.list = async function* (path, options) {
    for await (const entry of list(path, options)) yield entry;
    if (pieces.length > 0) await stream(walName(5), "1", 0, 0x300);
    for (const piece of pieces.splice(0)) await repo.storage.remove(piece);
  };
  expect(await surveyStream({ ...repo, storage: merging })).toMatchObject({ segment: walName(5), lsn: "0/500300" });
});

it("shows it in info: in the text, and in JSON under our own key that stock's readers skip", async () => {
  const none = { held: false, repos: [] };
  const options = {
    stanza: "demo",
    set: undefined,
    type: undefined,
    extras: true,
    locks: { backup: none, restore: none },
  };
  const look = () => collectInfo(factsOf([repo]), openMissingWal(`${temporaryFolder()}/spool`, "demo"), options);
  expect(renderJson(infoJson(await look()))).not.toContain("wal-stream");
  await stream(walName(5), "1", 0, 100);
  const report = await look();
  const { repo: rows } = infoJson(report) as { repo: { "wal-stream": unknown }[] };
  expect(rows[0]?.["wal-stream"]).toEqual({ lsn: "0/500064", stop: expect.any(Number), wal: walName(5) });
  expect(infoText(report)).toMatch(/^ {4}repo1 wal stream: up to 0\/500064, stored \d{4}-/m);
});

it("verify reads every chunk and names damaged, truncated or misnamed ones", async () => {
  const run = () => verify(repo, inlinePool(new Map([[1, repo]]), ctx, 2), WAL_SIZE_BYTES, ctx);
  const paths = [
    await stream(walName(5), "1", 0, 100),
    await stream(walName(5), "1", 100, 200),
    await stream(walName(5), "1", 200, 300),
    await stream(walName(5), "1", 300, 400),
  ];
  expect(await run()).toMatchObject({ ok: true, stream: { total: 4, valid: 4 }, problems: [] });
  const content = await (async () => {
    const parts: Uint8Array[] = [];
    for await (const part of await repo.storage.read(paths[0] ?? "")) parts.push(part);
    return Buffer.concat(parts);
  })();
  await repo.storage.put(paths[1] ?? "", content);
  await repo.storage.put(paths[2] ?? "", content.subarray(0, 40));
  const flipped = Buffer.from(content);
  flipped[flipped.length - 20] = (flipped.at(-20) ?? 0) ^ 1;
  await repo.storage.put(paths[3] ?? "", flipped);
  const verdict = await run();
  expect(verdict).toMatchObject({ ok: false, stream: { total: 4, valid: 1 } });
  expect(verdict.problems.map((line) => line.split("'")[1])).toEqual(paths.slice(1));
});
