/**
 * A search: every answer that an operation of a driver uses is replaced by each lie, told before or after the request
 * has reached the bucket. An operation that reports a result must be right about the bucket as it is then. It may fail.
 */
import { collect, streamOf, utf8 } from "../../../runtime/base/bytes";
import { isError } from "../../../runtime/base/errors";
import type { Storage } from "../../../runtime/storage/storage";
import type { Lie } from "./lyingS3";
import type { DoubleAnswer, DoubleRequest, S3Double } from "./s3Double";

/** Size of the parts with which the driver must be opened. */
export const PART_SIZE_BYTES = 2000;
/** More than one part. */
const LARGE = Buffer.alloc(PART_SIZE_BYTES + 100, "wal");
const SMALL = utf8("a small file");
const FORMER = utf8("what was there before");
const RANGE = { offsetBytes: 2, sizeBytes: 5 };

/** A service in memory that keeps its promises. */
export interface HonestBucket {
  /** By key. */
  readonly objects: ReadonlyMap<string, { readonly bytes: Uint8Array }>;
  put(key: string, bytes: Uint8Array): void;
  answer(request: DoubleRequest): DoubleAnswer;
}

export interface LieSearch {
  readonly double: S3Double;
  readonly storage: Storage;
  readonly newBucket: () => HonestBucket;
  readonly lies: Readonly<Record<string, Lie>>;
  /** `GET list`: the method, and what the query asks for. */
  readonly verbOf: (request: DoubleRequest) => string;
}

export interface LieResult {
  /** Operations that reported what is not so. */
  readonly wrong: readonly string[];
  /** How many operations reported a result, and how many failed. */
  readonly ended: { readonly well: number; readonly badly: number };
}

interface Operation {
  /** Names of files that exist before. */
  readonly given: readonly string[];
  /** What the operation reports. */
  report(storage: Storage): Promise<unknown>;
  /** What is true afterwards. */
  truth(bucket: HonestBucket): unknown;
}

const textOf = (bytes: Uint8Array | undefined): string | null =>
  bytes === undefined ? null : Buffer.from(bytes).toString();
const held = (bucket: HonestBucket): string | null => textOf(bucket.objects.get("d/f")?.bytes);
const namesIn = (bucket: HonestBucket): string[] => [...bucket.objects.keys()];
/** Reports the content of the file that it has put. `put` ends with false if it has put nothing. */
const putting = (
  bytes: Uint8Array,
  given: readonly string[],
  put: (storage: Storage) => Promise<boolean | void>,
): Operation => ({
  given,
  report: async (storage) => ((await put(storage)) === false ? NOTHING : textOf(bytes)),
  truth: held,
});
/** Reports null for a missing file. */
const reading = async (storage: Storage, range?: typeof RANGE): Promise<string | null> => {
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

/** Tells every lie to every operation. */
export async function searchLies(search: LieSearch): Promise<LieResult> {
  const { double, lies, verbOf } = search;
  const wrong: string[] = [];
  const ended = { well: 0, badly: 0 };
  const run = (operation: Operation, title: string, answering: Answering): Promise<void> =>
    runOperation(search, operation, title, answering, { wrong, ended });
  for (const [name, operation] of Object.entries(OPERATIONS)) {
    const verbs = new Set<string>();
    await run(operation, name, (honest) =>
      double.answering((request, index) => {
        verbs.add(verbOf(request));
        return honest(request, index);
      }),
    );
    if (ended.badly > 0 && ended.well === 0) throw new Error(`${name} fails without a lie`);
    for (const [lieName, lie] of Object.entries(lies)) {
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
  return { wrong, ended };
}

type Answering = (honest: (request: DoubleRequest, index: number) => DoubleAnswer) => void;

async function runOperation(
  { newBucket, storage }: LieSearch,
  operation: Operation,
  title: string,
  answering: Answering,
  result: { readonly wrong: string[]; readonly ended: { well: number; badly: number } },
): Promise<void> {
  const bucket = newBucket();
  for (const name of operation.given) bucket.put(`d/${name}`, FORMER);
  answering((request) => bucket.answer(request));
  let report: unknown = NOTHING;
  try {
    report = await operation.report(storage);
    result.ended.well++;
  } catch (error) {
    // Any other is a fault of the test.
    if (!isError(error)) throw error;
    result.ended.badly++;
  }
  const truth = operation.truth(bucket);
  if (report !== NOTHING && JSON.stringify(report) !== JSON.stringify(truth))
    result.wrong.push(`${title}: reports ${JSON.stringify(report)}, true is ${JSON.stringify(truth)}`);
}
