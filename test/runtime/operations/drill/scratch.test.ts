import { existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { programsOfHost } from "../../../../runtime/operations/drill/drillPrograms";
import { cleanScratch, makeScratch, removeScratch } from "../../../../runtime/operations/drill/scratch";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

const OWN = { account: null, id: "20261121-051347Z-1a2b3c4d", port: 54329 };
const PROGRAMS = programsOfHost(undefined, () => "false");

describe("the directory of a drill", () => {
  test("is private to its owner, and is removed completely", async () => {
    const root = temporaryFolder();
    const scratch = await makeScratch(root, "demo", OWN);
    expect(statSync(scratch.path).mode & 0o777).toBe(0o700);
    mkdirSync(join(scratch.dataDirectory, "base"), { recursive: true });
    const outside = temporaryFolder();
    writeFileSync(join(outside, "precious"), "");
    symlinkSync(outside, join(scratch.dataDirectory, "link"));
    await removeScratch(scratch.path);
    expect([readdirSync(root), existsSync(join(outside, "precious"))]).toEqual([[], true]);
  });

  test("left by a killed drill is removed, at whatever point it was killed", async () => {
    const root = temporaryFolder();
    await makeScratch(root, "demo", OWN);
    for (const name of ["demo-00000000", "demo-00000001"]) mkdirSync(join(root, name));
    writeFileSync(join(root, "demo-00000001", "pgbackstop-drill.json.pgbackrest.tmp"), "{");
    expect(await cleanScratch(root, "demo", PROGRAMS, testContext())).toBe(3);
    expect(readdirSync(root)).toEqual([]);
    expect(await cleanScratch(join(root, "missing"), "demo", PROGRAMS, testContext())).toBe(0);
  });

  test("of another stanza, of another name, without a marker or with another one stays", async () => {
    const root = temporaryFolder();
    await makeScratch(root, "demo-two", OWN);
    const left: Record<string, string> = {
      "demo-0000000g": JSON.stringify({ stanza: "demo", directory: "demo-0000000g" }),
      "demo-11111111": JSON.stringify({ stanza: "demo", directory: "demo-22222222" }),
      "demo-33333333": JSON.stringify({ stanza: "other", directory: "demo-33333333" }),
      "demo-44444444": "{",
    };
    for (const [name, text] of Object.entries(left)) {
      mkdirSync(join(root, name));
      writeFileSync(join(root, name, "pgbackstop-drill.json"), text);
    }
    mkdirSync(join(root, "demo-55555555"));
    writeFileSync(join(root, "demo-55555555", "data"), "");
    const outside = temporaryFolder();
    symlinkSync(outside, join(root, "demo-66666666"));
    const before = readdirSync(root);
    expect(await cleanScratch(root, "demo", PROGRAMS, testContext())).toBe(0);
    expect(readdirSync(root)).toEqual(before);
  });

  test("is refused when its path is too long for a socket", async () => {
    await expect(makeScratch(`/tmp/${"x".repeat(90)}`, "demo", OWN)).rejects.toMatchObject({
      kind: "optionInvalidValue",
    });
  });
});
