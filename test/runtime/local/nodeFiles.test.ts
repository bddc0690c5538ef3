import * as fs from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { compareBytes, textOf, utf8 } from "../../../runtime/base/bytes";
import * as files from "../../../runtime/local/nodeFiles";
import { fc } from "../../harness/properties";
import { temporaryFolder } from "../repository/support";

const name = fc
  .uint8Array({ min: 1, minLength: 1, maxLength: 20 })
  .filter((bytes) => !bytes.includes(0x2f) && !/^\.\.?$/.test(Buffer.from(bytes).toString("latin1")))
  .map((bytes) => Buffer.from(bytes));

describe("files with names of any bytes", () => {
  it("are created, listed, read, linked, renamed and removed under exactly these bytes", async () => {
    const folder = temporaryFolder();
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(name, { minLength: 4, maxLength: 4, selector: (bytes) => bytes.toString("latin1") }),
        async (names) => {
          const [first, second, third, fourth] = names.map((bytes) => `${folder}/${textOf(bytes)}`) as [
            string,
            ...string[],
          ];
          const text = textOf(names[0] as Buffer);
          await files.writeFile(first, text);
          files.writeFileSync(second as string, text);
          await files.symlink(text, third as string);
          await files.mkdir(`${fourth}/${text}`, { recursive: true });
          const expected = names.map(textOf).sort(compareBytes);
          expect(fs.readdirSync(folder, "buffer").map(textOf).sort(compareBytes)).toEqual(expected);
          expect((await files.readdir(folder)).sort(compareBytes)).toEqual(expected);
          expect(files.readdirSync(folder).sort(compareBytes)).toEqual(expected);
          expect(await files.readFile(first)).toEqual(names[0]);
          expect(files.readFileSync(second as string, "utf8")).toBe(text);
          expect(await files.readlink(third as string)).toBe(text);
          expect(files.readlinkSync(third as string)).toBe(text);
          expect(await files.realpath(third as string)).toBe(first);
          await files.rename(first, second as string);
          expect(files.existsSync(first)).toBe(false);
          await files.link(second as string, first);
          expect(files.lstatSync(first).nlink).toBe(2);
          for (const path of [first, second, third, fourth]) await files.rm(path as string, { recursive: true });
          expect(fs.readdirSync(folder)).toEqual([]);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("are named by what mkdir and mkdtemp return", async () => {
    const root = join(temporaryFolder(), textOf(Buffer.from("\xe9", "latin1")));
    expect(await files.mkdir(`${root}/a/b`, { recursive: true })).toBe(root);
    expect((await files.mkdtemp(`${root}/x`)).startsWith(`${root}/x`)).toBe(true);
    expect(files.mkdirSync(`${root}/c/d`, { recursive: true })).toBe(`${root}/c`);
    expect(fs.existsSync(Buffer.from(utf8(`${root}/c/d`)))).toBe(true);
  });
});
