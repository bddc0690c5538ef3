import { describe, expect, test } from "vitest";
import { TIERS } from "../../../tools/parts/tiers";
import { filesOf, parseArguments, type Plan, planRuns, type TestRun } from "../../../tools/test/plan";

const FILES = [
  "test/runtime/main.test.ts",
  "test/tidy/tidy.test.ts",
  "test/interop/restore/restoreOptions.test.ts",
  "test/interop/faults/isolation.test.ts",
  "test/interop/stock/stockReadsOurs.test.ts",
  "test/engine/host.test.ts",
  "test/hosts/boot.test.ts",
  "test/kubernetes/plugin.test.ts",
];
const plan = (...argv: string[]): Plan =>
  planRuns(
    parseArguments(argv, "/project", (path) => FILES.some((file) => `/project/${file}`.startsWith(path))),
    TIERS,
  );
const show = ({ tier, paths }: TestRun): string => [tier.name, ...paths].join(" ");
const queuesOf = ({ queues }: Plan): string[][] => queues.map((runs) => runs.map(show));
const filesIn = ({ queues }: Plan): string[] => queues.flat().flatMap((run) => filesOf(run, FILES));

describe("a run of tests", () => {
  test("with --all has two long queues, and a small one", () => {
    const all = plan("--all");
    expect(queuesOf(all)).toEqual([["unit", "data"], ["hosts", "kubernetes", "engine"], ["package"]]);
    expect(all.quick).toBe(false);
  });

  test("with --nightly runs every file once", () => {
    expect(filesIn(plan("--nightly")).toSorted()).toEqual(FILES.toSorted());
    expect(filesIn(plan("--nightly", "--serial")).toSorted()).toEqual(FILES.toSorted());
  });

  test("runs what repeats a kind only with --nightly, or by its name", () => {
    const [tier] = TIERS.map((each) => ({ ...each, nightly: { "test/runtime/main.test.ts": "test/tidy" } }));
    const filesWith = (...argv: string[]): readonly string[] =>
      planRuns(
        parseArguments(argv, "/project", (path) => path.startsWith("/project/test")),
        tier === undefined ? [] : [tier],
      )
        .queues.flat()
        .flatMap((run) => filesOf(run, FILES));
    const [nightly = "", other = ""] = FILES;
    for (const argv of [[], ["--all"], ["test/runtime", "test/tidy"], ["--tier", "unit"]])
      expect(filesWith(...argv), argv.join(" ")).toEqual([other]);
    for (const argv of [["--nightly"], ["--all", "--nightly"], ["--nightly", "--tier", "unit"]])
      expect(filesWith(...argv), argv.join(" ")).toEqual([nightly, other]);
    expect(filesWith(nightly)).toEqual([nightly]);
  });

  test("with --serial has one queue in the order of the table", () => {
    expect(queuesOf(plan("--all", "--serial"))).toEqual([TIERS.map(({ name }) => name)]);
  });

  test("without arguments runs the quick files, and all of a tier that has none", () => {
    const quick = plan();
    expect(quick.quick).toBe(true);
    expect(filesIn(quick)).toEqual([
      "test/runtime/main.test.ts",
      "test/tidy/tidy.test.ts",
      "test/interop/stock/stockReadsOurs.test.ts",
      "test/hosts/boot.test.ts",
    ]);
  });

  test("of a tier runs all of it in one queue", () => {
    const data = plan("--tier", "data");
    expect(queuesOf(data)).toEqual([["data"]]);
    expect(data.quick).toBe(false);
  });

  test("of paths runs the files below them, and gives each tier its own", () => {
    expect(queuesOf(plan("test/interop"))).toEqual([["data test/interop"]]);
    const both = plan("test/interop/faults/isolation.test.ts", "test/hosts/boot.test.ts");
    expect(queuesOf(both)).toEqual([["data test/interop/faults/isolation.test.ts"], ["hosts test/hosts/boot.test.ts"]]);
    expect(filesIn(both)).toEqual(["test/interop/faults/isolation.test.ts", "test/hosts/boot.test.ts"]);
    expect(filesIn(plan("test"))).toHaveLength(FILES.length);
  });

  test("passes other options to vitest, and then runs everything", () => {
    const request = parseArguments(["-t", "a title", "--serial"], "/project", () => false);
    expect(request.vitestArgs).toEqual(["-t", "a title"]);
    expect(planRuns(request, TIERS).quick).toBe(false);
  });

  test("of a missing tier or path is refused", () => {
    expect(() => plan("--tier", "date")).toThrow("no tier has date: tiers are unit, package,");
    expect(() => plan("--tier", "unit", "test/hosts")).toThrow("no tier has test/hosts unit");
  });
});
