/** A part of an upload that takes longer than `io-timeout`. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { streamOf } from "../../../../runtime/base/bytes";
import { testContext } from "../../../harness/context";
import { type DoubleAnswer, type DoubleRequest, errorBody, S3Double } from "../../../harness/doubles/s3Double";
import { type Service, SERVICES } from "./services";

const MIB = 1024 * 1024;
const IO_TIMEOUT_MS = 60_000;
/** The kernel buffers some megabytes of it. */
const PART = 32 * MIB;
const PART_MS = 2 * IO_TIMEOUT_MS;
const BUSY: DoubleAnswer = { status: 503, body: errorBody("SlowDown") };
let double: S3Double;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());

/** Uploads two parts, the first of which is slow and refused once. `suspendedMs` passes in the middle of it. */
async function upload(service: Service, suspendedMs: number): Promise<{ puts: number; error: unknown }> {
  const { clock, random, signal } = testContext();
  const isPart = ({ body }: DoubleRequest): boolean => body.length === PART;
  const puts = (): number => double.requests.filter(isPart).length;
  double.answering((request) => (isPart(request) && puts() === 1 ? BUSY : service.answer(request)));
  let receivedBytes = 0;
  double.receiving = (pieceBytes) => {
    const isMiddle = receivedBytes < PART / 2 && receivedBytes + pieceBytes >= PART / 2;
    receivedBytes += pieceBytes;
    clock.advance((pieceBytes / PART) * PART_MS + (isMiddle ? suspendedMs : 0));
  };
  const storage = service.open(double, PART, { clock, random, signal, ioTimeoutMs: IO_TIMEOUT_MS });
  const body = Buffer.alloc(PART + MIB, "part");
  const error = await storage.putStream("f", () => streamOf(body)).catch((reason: unknown) => reason);
  await storage.close();
  return { puts: puts(), error };
}

describe.each(Object.entries(SERVICES))("%s", (_name, service) => {
  test("repeats a slow part that was refused", async () => {
    expect(await upload(service(), 0)).toEqual({ puts: 2, error: undefined });
  });

  test("repeats no part in which the process was suspended: another one may have taken over", async () => {
    expect(await upload(service(), IO_TIMEOUT_MS)).toEqual({
      puts: 1,
      error: expect.objectContaining({ retryable: true }),
    });
  });
});
