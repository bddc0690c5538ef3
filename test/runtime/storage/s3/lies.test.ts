/**
 * A search: every answer that an operation of the driver uses is replaced by each lie, told before or after the request
 * has reached the bucket. An operation that reports a result must be right about the bucket as it is then. It may fail.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { collect, streamOf, utf8 } from "../../../../runtime/base/bytes";
import { isError } from "../../../../runtime/base/errors";
import { Secret } from "../../../../runtime/base/secret";
import { S3Storage } from "../../../../runtime/storage/s3/client";
import { findQuirks } from "../../../../runtime/storage/s3/quirks";
import { testContext } from "../../../harness/context";
import { HonestS3 } from "../../../harness/doubles/honestS3";
import { LIES, verbOf } from "../../../harness/doubles/lyingS3";
import { S3Double } from "../../../harness/doubles/s3Double";

const PART_SIZE_BYTES = 2000;
/** More than one part. */
const LARGE = Buffer.alloc(PART_SIZE_BYTES + 100, "wal");
const SMALL = utf8("a small file");
const FORMER = utf8("what was there before");
const RANGE = { offsetBytes: 2, sizeBytes: 5 };

let double: S3Double;
beforeAll(async () => {
  double = await S3Double.start();
});
afterAll(() => double.stop());

const open = (id: string): S3Storage => {
  const row = findQuirks(id, "");
  if (row === null) throw new Error(`no row ${id}`);
  const options = {
    repoIndex: 1,
    path: "",
    quirks: { ...row, partSizeBytesMin: 1 },
    bucket: "bkt",
    endpoint: `http://127.0.0.1:${double.port}`,
    region: "us-east-1",
    key: new Secret("key"),
    keySecret: new Secret("secret"),
    uriStyle: "path",
    storagePort: 443,
    verifyTls: true,
    partSizeBytes: PART_SIZE_BYTES,
  } as const;
  const { clock, random, signal } = testContext();
  return new S3Storage(options, { clock, random, signal, ioTimeoutMs: 10_000 });
};

interface Operation {
  /** Names of files that exist before. */
  readonly given: readonly string[];
  /** What the operation reports. */
  report(storage: S3Storage): Promise<unknown>;
  /** What is true afterwards. */
  truth(bucket: HonestS3): unknown;
}

const textOf = (bytes: Uint8Array | undefined): string | null =>
  bytes === undefined ? null : Buffer.from(bytes).toString();
const held = (bucket: HonestS3): string | null => textOf(bucket.objects.get("d/f")?.bytes);
const namesIn = (bucket: HonestS3): string[] => [...bucket.objects.keys()];
/** Reports the content of the file that it has put. `put` ends with false if it has put nothing. */
const putting = (
  bytes: Uint8Array,
  given: readonly string[],
  put: (storage: S3Storage) => Promise<boolean | void>,
): Operation => ({
  given,
  report: async (storage) => ((await put(storage)) === false ? NOTHING : textOf(bytes)),
  truth: held,
});
/** Reports null for a missing file. */
const reading = async (storage: S3Storage, range?: typeof RANGE): Promise<string | null> => {
  try {
    return textOf(await collect(await storage.read("d/f", range), 10_000));
  } catch (error) {
    if (isError(error, "fileMissing")) return null;
    throw error;
  }
};

/** Not a claim. */
const NOTHING = Symbol("nothing");

const OPERATIONS: Readonly<Record<string, Operation>> = {
  put: putting(SMALL, [], (storage) => storage.put("d/f", SMALL)),
  "put of nothing": putting(new Uint8Array(0), ["f"], (storage) => storage.put("d/f", new Uint8Array(0))),
  putStream: putting(SMALL, ["f"], (storage) => storage.putStream("d/f", () => streamOf(SMALL))),
  "putStream in parts": putting(LARGE, ["f"], (storage) => storage.putStream("d/f", () => streamOf(LARGE))),
  create: putting(SMALL, [], async (storage) => (await storage.create?.("d/f", SMALL)) ?? false),
  replace: putting(SMALL, ["f"], async (storage) => {
    const version = (await storage.stat("d/f"))?.version ?? "";
    return (await storage.replace?.("d/f", SMALL, version)) ?? false;
  }),
  remove: { given: ["f"], report: async (storage) => (await storage.remove("d/f")) ?? null, truth: held },
  removePath: {
    given: ["a", "b", "c"],
    report: async (storage) => (await storage.removePath("d")) ?? [],
    truth: namesIn,
  },
  list: {
    given: ["a", "b", "c"],
    report: async (storage) => {
      const names: string[] = [];
      for await (const { path } of storage.list("d", { recursive: true })) names.push(path);
      return names;
    },
    truth: namesIn,
  },
  stat: {
    given: ["f"],
    report: async (storage) => (await storage.stat("d/f"))?.sizeBytes ?? null,
    truth: () => FORMER.length,
  },
  "stat of a missing file": { given: [], report: (storage) => storage.stat("d/f"), truth: () => null },
  read: { given: ["f"], report: (storage) => reading(storage), truth: held },
  "read of a range": {
    given: ["f"],
    report: (storage) => reading(storage, RANGE),
    truth: (bucket) => held(bucket)?.slice(RANGE.offsetBytes, RANGE.offsetBytes + RANGE.sizeBytes) ?? null,
  },
};

// claim: README.md: what an S3 service, or something before it, answers counts only with proof: no false answer makes
//   the driver report what is not so (simulated services)
test.each(["generic", "aws"])("no lie makes an operation report what is not so: %s", async (id) => {
  const storage = open(id);
  const wrong: string[] = [];
  const ended = { well: 0, badly: 0 };
  const verbs = new Set<string>();
  const run = async (operation: Operation, title: string, answering: typeof double.answering): Promise<void> => {
    const bucket = new HonestS3();
    for (const name of operation.given) bucket.put(`d/${name}`, FORMER);
    answering.call(double, (request) => bucket.answer(request));
    let report: unknown = NOTHING;
    try {
      report = await operation.report(storage);
      ended.well++;
    } catch (error) {
      // Any other is a fault of the test.
      if (!isError(error)) throw error;
      ended.badly++;
    }
    const truth = operation.truth(bucket);
    if (report !== NOTHING && JSON.stringify(report) !== JSON.stringify(truth))
      wrong.push(`${title}: reports ${JSON.stringify(report)}, true is ${JSON.stringify(truth)}`);
  };
  for (const [name, operation] of Object.entries(OPERATIONS)) {
    verbs.clear();
    await run(operation, name, (honest) =>
      double.answering((request, index) => {
        verbs.add(verbOf(request));
        return honest(request, index);
      }),
    );
    expect(ended.badly === 0 || ended.well > 0, `${name} without a lie`).toBe(true);
    for (const [lieName, lie] of Object.entries(LIES)) {
      for (const verb of [...verbs, "every request"]) {
        for (const isCarriedOut of [false, true]) {
          const title = `${name}, ${verb} ${isCarriedOut ? "carried out and" : "not carried out,"} answered with ${lieName}`;
          await run(operation, title, (honest) =>
            double.answering((request, index) => {
              const own = verbOf(request);
              const isLie = verb === own || verb === "every request";
              if (!isLie) return honest(request, index);
              if (isCarriedOut) {
                const truth = honest(request, index);
                return lie(own, truth) ?? truth;
              }
              return lie(own, { status: 200 }) ?? honest(request, index);
            }),
          );
        }
      }
    }
  }
  await storage.close();
  expect(wrong).toEqual([]);
  // Some lies are harmless, most are not.
  expect(ended.badly).toBeGreaterThan(ended.well / 2);
  expect(ended.well).toBeGreaterThan(100);
});
