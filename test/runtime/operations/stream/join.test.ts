import { beforeEach, describe, expect, it } from "vitest";
import { joinPieces, type PieceSource } from "../../../../runtime/operations/stream/join";
import { putChunk } from "../../../../runtime/repository/streamStore";
import type { Repository } from "../../../../runtime/repository/repository";
import { type TestContext, testContext } from "../../../harness/context";
import { CLUSTER, repository, WAL_SIZE_BYTES, walName } from "../../repository/support";

const ORIGIN = { systemId: CLUSTER.systemId, segmentSizeBytes: WAL_SIZE_BYTES };
const OLD = "00000000000a";
const NEW = "ffffffffffff";
let ctx: TestContext;

beforeEach(() => {
  ctx = testContext();
});

async function source(repo: Repository, session: string, text: string): Promise<PieceSource> {
  const archive = { archiveId: "15-1", pass: repo.cipherPass };
  const chunk = { segment: walName(1), session, begin: 0, end: text.length };
  await putChunk(repo, archive, chunk, [Buffer.from(text)], ORIGIN, ctx);
  return { repo, archive, chunks: [chunk] };
}

async function join(...sources: readonly PieceSource[]): Promise<string> {
  const bytes = Buffer.alloc(100);
  const target = {
    holds: async (at: number, wal: Uint8Array) => bytes.subarray(at, at + wal.length).equals(wal),
    write: async (at: number, wal: Uint8Array) => bytes.set(wal, at),
  };
  const { sizeBytes } = await joinPieces(target, sources, ORIGIN, ctx);
  return bytes.toString("latin1", 0, sizeBytes);
}

describe("streamed WAL of several repositories", () => {
  const encrypted = (): Repository => repository(1, { pass: "secret" });
  const plain = (): Repository => repository(2);

  it("comes from the encrypted one, however new a session of an unencrypted one is, and the difference is reported", async () => {
    expect(
      await join(await source(plain(), NEW, "forged rows and more"), await source(encrypted(), OLD, "true rows")),
    ).toBe("true rows");
    expect(ctx.lines).toContainEqual({
      level: "warn",
      text: `streamed WAL: ${walName(1)} in repo2 (session ${NEW}) differs from that in repo1, and is not used`,
    });
  });

  it("is extended by an unencrypted one with the same bytes", async () => {
    expect(
      await join(await source(plain(), NEW, "true rows and more"), await source(encrypted(), OLD, "true rows")),
    ).toBe("true rows and more");
  });

  it("comes from the newest session among equals", async () => {
    const other = repository(3);
    expect(await join(await source(plain(), OLD, "before"), await source(other, NEW, "after"))).toBe("after");
  });
});
