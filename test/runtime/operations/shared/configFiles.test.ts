import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { includesOf, readConfig } from "../../../../runtime/operations/shared/configFiles";
import { temporaryFolder } from "../../repository/support";

describe("the includes of a configuration file", () => {
  it.each([
    ["include 'a.conf'", [{ kind: "file", name: "a.conf" }]],
    ["  INCLUDE_IF_EXISTS = 'it''s.conf' # if", [{ kind: "file", name: "it's.conf" }]],
    ["include_dir='conf.d'", [{ kind: "directory", name: "conf.d" }]],
    ["include_dir conf.d", [{ kind: "directory", name: "conf.d" }]],
    ["include = /etc/pg/b.conf", [{ kind: "file", name: "/etc/pg/b.conf" }]],
    ["#include 'a.conf'", []],
    ["include_directory = 'x'", []],
    ["log_line_prefix = 'include x'", []],
    ["search_path = '@x'", []],
  ])("in settings: %s", (line, expected) => {
    expect(includesOf(`a = 1\n${line}\nb = 2`, "settings")).toEqual(expected);
  });

  it.each([
    ['include "more hba.conf"', [{ kind: "file", name: "more hba.conf" }]],
    ["include_dir hba.d", [{ kind: "directory", name: "hba.d" }]],
    [
      "host @databases all,@users 10.0.0.0/8 md5",
      [
        { kind: "file", name: "databases" },
        { kind: "file", name: "users" },
      ],
    ],
    ['local @"my db" all trust', [{ kind: "file", name: "my db" }]],
    ["# host @databases all all md5", []],
    ["host all me@example all md5", []],
  ])("in records: %s", (line, expected) => {
    expect(includesOf(line, "records")).toEqual(expected);
  });
});

describe("a configuration", () => {
  it("is the file with all its includes, each once, without missing ones", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "conf.d"));
    const texts: Record<string, string> = {
      "main.conf": "include 'second.conf'\ninclude_dir 'conf.d'\ninclude_if_exists 'gone.conf'\n",
      "second.conf": "include 'main.conf'\n",
      "conf.d/b.conf": "include '../third'\n",
      "conf.d/a.conf": "",
      "conf.d/.hidden.conf": "",
      "conf.d/c.conf.bak": "",
      third: "work_mem = '1MB'\n",
    };
    for (const [name, text] of Object.entries(texts)) writeFileSync(join(folder, name), text);
    const files = await readConfig(join(folder, "main.conf"), "settings");
    expect(files.map((file) => file.path.slice(folder.length + 1))).toEqual([
      "main.conf",
      "second.conf",
      "conf.d/a.conf",
      "conf.d/b.conf",
      "third",
    ]);
    expect(files.map((file) => Buffer.from(file.content).toString())).toEqual(
      files.map((file) => texts[file.path.slice(folder.length + 1)]),
    );
    expect(await readConfig(join(folder, "gone.conf"), "settings")).toEqual([]);
  });

  it("reads only the directory that is given", async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, "own"));
    writeFileSync(
      join(folder, "own/main.conf"),
      "include '/dev/zero'\ninclude '../other'\ninclude_dir '..'\ninclude 'a'",
    );
    for (const name of ["other", "b.conf", "own/a"]) writeFileSync(join(folder, name), "");
    const files = await readConfig(join(folder, "own/main.conf"), "settings", join(folder, "own"));
    expect(files.map(({ path }) => path.slice(folder.length + 1))).toEqual(["own/main.conf", "own/a"]);
  });
});
