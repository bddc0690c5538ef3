/** A bad answer among good ones never ends the work; a service that gives only bad ones fails in bounded time. */
import { describe, expect, test } from "vitest";
import { collect, streamOf } from "../../../../runtime/base/bytes";
import { systemClock } from "../../../../runtime/base/clock";
import type { Storage } from "../../../../runtime/storage/storage";
import { NIGHTLY } from "../../../../tools/parts/nightly";
import { testContext } from "../../../harness/context";
import { type DoubleAnswer, type DoubleRequest, S3Double } from "../../../harness/doubles/s3Double";
import { type Service, SERVICES } from "./services";

/**
 * Long enough for a busy machine: hundreds of requests wait for their first attempt's end at once. At night the other
 * tiers run beside them.
 */
const IO_TIMEOUT_MS = NIGHTLY ? 60_000 : 12_000;
const PART = 256 * 1024;
const LARGE = Buffer.alloc(PART + 100, "large object");
const SMALL = Buffer.from("small object");
const NOTHING: DoubleAnswer = { status: 200, silentAfterBytes: -1 };
/** What one request gets; null while it does not apply to the request. */
const FAULTS: Readonly<Record<string, (request: DoubleRequest, honest: () => DoubleAnswer) => DoubleAnswer>> = {
  "is never answered and not carried out": () => NOTHING,
  "is carried out and never answered": (_, honest) => ({ ...honest(), ...NOTHING }),
  "is answered by the head alone": (_, honest) => ({ ...honest(), silentAfterBytes: 0 }),
  "is answered by half a body": (_, honest) => halfOf(honest()),
  "is answered byte by byte": (_, honest) => ({ ...honest(), trickleMs: IO_TIMEOUT_MS / 200 }),
  "is refused": () => ({ status: 403 }),
  "gets a pause of an hour": () => ({ status: 429, headers: { "retry-after": "3600" } }),
};

function halfOf(answer: DoubleAnswer): DoubleAnswer {
  return { ...answer, silentAfterBytes: Math.floor(Buffer.from(answer.body ?? "").length / 2) };
}

/** Each request of a driver at least once. */
async function work(storage: Storage): Promise<void> {
  await storage.put("d/small", SMALL);
  await storage.putStream("d/large", () => streamOf(LARGE));
  expect((await storage.stat("d/small"))?.sizeBytes).toBe(SMALL.length);
  const names: string[] = [];
  for await (const { path } of storage.list("d")) names.push(path);
  expect(names.sort()).toEqual(["d/large", "d/small"]);
  expect(LARGE.equals(await collect(await storage.read("d/large"), LARGE.length))).toBe(true);
  const range = { offsetBytes: 6, sizeBytes: 3 };
  expect(Buffer.from(await collect(await storage.read("d/small", range), 3)).toString()).toBe("obj");
  await storage.remove("d/small");
  await storage.removePath("d");
  expect(await storage.stat("d/large")).toBeNull();
}

/** A fresh service with its storage; `answerOf` may replace an answer. */
async function withStorage(
  service: Service,
  answerOf: (request: DoubleRequest, index: number) => DoubleAnswer,
  run: (storage: Storage, double: S3Double) => Promise<void>,
  isKeyProven = false,
): Promise<void> {
  const double = await S3Double.start();
  double.answering(answerOf);
  const { random, signal } = testContext();
  const deps = { clock: systemClock, random, signal, ioTimeoutMs: IO_TIMEOUT_MS, isKeyProven };
  const storage = service.open(double, PART, deps);
  try {
    await run(storage, double);
  } finally {
    await storage.close();
    await double.stop();
  }
}

describe.each(Object.entries(SERVICES))("%s", (_name, newService) => {
  test.concurrent.each(Object.entries(FAULTS))(
    "work succeeds if one request, whichever, %s",
    async (_fault, faultOf) => {
      let count = 0;
      const honest = newService();
      await withStorage(honest, honest.answer, async (storage, double) => {
        await work(storage);
        count = double.requests.length;
      });
      expect(count).toBeGreaterThan(8);
      const runs = Array.from({ length: count }, async (_, at) => {
        const service = newService();
        const answer = (request: DoubleRequest, index: number): DoubleAnswer =>
          index === at ? faultOf(request, () => service.answer(request)) : service.answer(request);
        const run = async (storage: Storage, double: S3Double): Promise<void> =>
          work(storage).catch((error: unknown) => {
            throw new Error(`request ${at}, ${double.lines()[at] ?? ""}: ${String(error)}`);
          });
        await withStorage(service, answer, run, true);
      });
      await Promise.all(runs);
    },
  );

  test.concurrent.each([
    "is never answered and not carried out",
    "is answered by half a body",
    "is answered byte by byte",
  ])("reading and listing fail in bounded time if each request %s", async (fault) => {
    const service = newService();
    let isFaulty = false;
    const answer = (request: DoubleRequest): DoubleAnswer =>
      isFaulty ? (FAULTS[fault]?.(request, () => service.answer(request)) ?? NOTHING) : service.answer(request);
    await withStorage(service, answer, async (storage) => {
      await storage.putStream("f", () => streamOf(LARGE));
      isFaulty = true;
      const beganMs = performance.now();
      const asked = [
        storage.read("f").then((stream) => collect(stream, LARGE.length)),
        (async (): Promise<void> => {
          for await (const { path } of storage.list("")) expect(path).toBe("f");
        })(),
      ];
      const error = expect.objectContaining({ kind: "hostConnect", exitCode: 49, retryable: true }) as unknown;
      expect(await Promise.allSettled(asked)).toEqual(asked.map(() => ({ status: "rejected", reason: error })));
      // A quarter, a quarter and the whole, with pauses; the client's timers are coarse.
      expect(performance.now() - beganMs).toBeLessThan(4 * IO_TIMEOUT_MS);
    });
  });

  test.concurrent("a key that never had a right is refused at once", async () => {
    const service = newService();
    const answer = (request: DoubleRequest): DoubleAnswer =>
      request.method === "GET" ? service.answer(request) : { status: 403 };
    await withStorage(service, answer, async (storage, double) => {
      for await (const _ of storage.list("")) expect.unreachable();
      await expect(storage.put("f", SMALL)).rejects.toMatchObject({ kind: "access", retryable: false });
      expect(double.requests.filter(({ method }) => method !== "GET")).toHaveLength(1);
    });
  });

  test.concurrent("a right that does not come back ends as a refusal", async () => {
    const service = newService();
    const answer = (request: DoubleRequest, index: number): DoubleAnswer =>
      index === 0 ? service.answer(request) : { status: 403 };
    await withStorage(service, answer, async (storage) => {
      await storage.put("f", SMALL);
      await expect(storage.put("f", SMALL)).rejects.toMatchObject({
        kind: "access",
        retryable: false,
        message: expect.stringMatching(/\(after 4 attempts\)$/) as string,
      });
    });
  });

  test.concurrent("a pause that is too long is named", async () => {
    const answer = (): DoubleAnswer => ({ status: 503, headers: { "retry-after": "3600" } });
    await withStorage(newService(), answer, async (storage) => {
      await expect(storage.put("f", SMALL)).rejects.toMatchObject({
        kind: "service",
        retryable: true,
        hints: ["The service asks for a pause of 3600 s, more than io-timeout leaves."],
      });
    });
  });
});
