/** The import table refuses forbidden imports. */
import { describe, expect, test } from "vitest";
import { checkImports, checkTable, findCircles, importsOf } from "./imports";
import { sourceOf } from "./sources";

const check = (path: string, text: string): string[] => checkImports(importsOf(sourceOf(path, text), "/nowhere"));

describe("the import table", () => {
  test.each([
    ["runtime/base/x.ts", 'import { y } from "../format/y";', "runtime/base must not import runtime/format/y"],
    [
      "runtime/base/x.ts",
      'import { readFileSync } from "node:fs";',
      "runtime/base must not import node:fs: it is pure",
    ],
    [
      "runtime/format/x.ts",
      'import { connect } from "node:net";',
      "runtime/format must not import node:net: it is pure",
    ],
    ["runtime/format/x.ts", 'import { y } from "../storage/y";', "runtime/format must not import runtime/storage/y"],
    ["runtime/config/x.ts", 'import { y } from "../storage/y";', "runtime/config must not import runtime/storage/y"],
    [
      "runtime/storage/x.ts",
      'import { y } from "../repository/y";',
      "runtime/storage must not import runtime/repository/y",
    ],
    [
      "runtime/repository/x.ts",
      'import { y } from "../storage/posix";',
      "runtime/repository must not import runtime/storage/posix",
    ],
    [
      "runtime/operations/x.ts",
      'import { y } from "../commands/y";',
      "runtime/operations must not import runtime/commands/y",
    ],
    [
      "runtime/operations/x.ts",
      'import { y } from "../config/types";',
      "runtime/operations must not import runtime/config/types but for its types",
    ],
    [
      "runtime/operations/backup/backupPlan.ts",
      'import { y } from "../../storage/storage";',
      "runtime/operations must not import runtime/storage/storage: a plan is pure",
    ],
    [
      "runtime/commands/x.ts",
      'import { y } from "../storage/posix";',
      "runtime/commands must not import runtime/storage/posix",
    ],
    ["runtime/main.ts", 'import { y } from "../components/y";', "runtime/main must not import components/y"],
    [
      "runtime/postgres/x.ts",
      'import * as pulumi from "@pulumi/pulumi";',
      "runtime/postgres must not import @pulumi/pulumi (package)",
    ],
    [
      "components/plan/x.ts",
      'import * as pulumi from "@pulumi/pulumi";',
      "components/plan must not import @pulumi/pulumi (package)",
    ],
    [
      "components/databases/x.ts",
      'import { y } from "../../runtime/operations/y";',
      "components must not import runtime/operations/y",
    ],
    [
      "components/databases/x.ts",
      'import { y } from "../../test/harness/y";',
      "components must not import test/harness/y",
    ],
    [
      "runtime/operations/x.ts",
      'import { y } from "../../tools/parts/y";',
      "runtime/operations must not import tools/parts/y",
    ],
    ["runtime/base/x.ts", 'const y = require("../format/y");', "runtime/base must not import runtime/format/y"],
    ["runtime/base/x.ts", 'const y = await import("../format/y");', "runtime/base must not import runtime/format/y"],
    ["runtime/base/x.ts", 'export { y } from "../format/y";', "runtime/base must not import runtime/format/y"],
    ["runtime/base/x.ts", 'type Y = import("../format/y").Y;', "runtime/base must not import runtime/format/y"],
  ])("%s: %s", (path, text, message) => {
    expect(check(path, `${text}\n`)).toEqual([`${path}:1: ${message}`]);
  });

  test.each([
    ["runtime/format/x.ts", 'import { fail } from "../base/errors";'],
    ["runtime/format/x.ts", 'import { gzipSync } from "node:zlib";'],
    ["runtime/operations/x.ts", 'import type { Config } from "../config/types";'],
    ["runtime/operations/x.ts", 'import { type Config } from "../config/types";'],
    ["runtime/main.ts", 'import { open } from "./storage/open";'],
    ["components/databases/x.ts", 'import * as pulumi from "@pulumi/pulumi";'],
    ["test/harness/x.ts", 'import { fail } from "../../runtime/base/errors";'],
  ])("%s may: %s", (path, text) => {
    expect(check(path, text)).toEqual([]);
  });

  test("a file outside every room is refused", () => {
    expect(check("attic/x.ts", 'import { y } from "../runtime/base/y";')).toEqual([
      "attic/x.ts:1: attic/x.ts is in no room of the house plan",
    ]);
  });
});

describe("entries of the table", () => {
  const stale = (files: Readonly<Record<string, string>>): string[] => {
    const imports = Object.entries(files).flatMap(([path, text]) => importsOf(sourceOf(path, text), "/nowhere"));
    return checkTable(imports, Object.keys(files)).filter((line) => /^runtime\/(archiver|metrics):/.test(line));
  };

  test("are used, and those for types by types", () => {
    const imported = [
      "base/x",
      "operations/x",
      "repository/x",
      "local/x",
      "format/wal/walSegment",
      "postgres/postmasterPid",
    ];
    const text = imported.map((path) => `import "../${path}";\n`).join("");
    const host = "../process/commandProcess";
    expect(
      stale({ "runtime/archiver/x.ts": `${text}import type { Y } from "${host}";`, "runtime/metrics/x.ts": "" }),
    ).toEqual([
      "runtime/metrics: nothing there imports runtime/base",
      "runtime/metrics: nothing there imports runtime/operations",
      "runtime/metrics: nothing there imports runtime/version",
      "runtime/metrics: nothing there imports runtime/web",
      "runtime/metrics: nothing there imports runtime/format",
      "runtime/metrics: nothing there imports runtime/local",
      "runtime/metrics: nothing there imports runtime/recoverability",
    ]);
    expect(stale({ "runtime/archiver/x.ts": `${text}import { y } from "${host}";` })).toEqual([
      "runtime/metrics: the room is empty",
      "runtime/archiver: nothing there imports runtime/process/commandProcess",
    ]);
  });
});

describe("circles", () => {
  const imports = (files: Readonly<Record<string, string>>) =>
    Object.entries(files).flatMap(([path, text]) => importsOf(sourceOf(path, text), "/nowhere"));

  test("are detected over several files", () => {
    const files = {
      "a.ts": 'import { b } from "./b";',
      "b.ts": 'import { c } from "./c";',
      "c.ts": 'import { a } from "./a";',
    };
    expect(findCircles(imports({ ...files, "d.ts": files["a.ts"] }))).toEqual([["a", "b", "c"]]);
  });

  test("of types are detected too", () => {
    expect(
      findCircles(imports({ "a.ts": 'import { b } from "./b";', "b.ts": 'import type { a } from "./a";' })),
    ).toEqual([["a", "b"]]);
  });

  test("exclude two files with a common import", () => {
    const files = { "a.ts": 'import "./b";\nimport "./c";', "b.ts": 'import "./c";', "c.ts": 'import "node:fs";' };
    expect(findCircles(imports(files))).toEqual([]);
  });
});
