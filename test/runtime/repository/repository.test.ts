import { describe, expect, it } from "vitest";
import { newSubPass, openFile, readFile, seal, writeFile } from "../../../runtime/repository/repository";
import { testContext } from "../../harness/context";
import { MemoryStorage } from "../../harness/doubles/storages";
import { repository } from "./support";

const ctx = testContext();

describe("a file of a repository", () => {
  it("is stored plain, or encrypted with a fresh salt", async () => {
    const storage = new MemoryStorage();
    const repo = repository(1, { storage });
    const content = Buffer.from("archive and backup");
    await writeFile(repo, "plain", content, null, ctx);
    await writeFile(repo, "first", content, "pass", ctx);
    await writeFile(repo, "second", content, "pass", ctx);
    expect(storage.text("plain")).toBe("archive and backup");
    expect(storage.text("first").startsWith("Salted__")).toBe(true);
    expect(storage.text("first")).not.toBe(storage.text("second"));
    for (const [path, pass] of [
      ["plain", null],
      ["first", "pass"],
      ["second", "pass"],
    ] as const)
      expect(Buffer.from(await readFile(repo, path, pass)).toString()).toBe("archive and backup");
    await expect(openFile(repo, "none", null)).rejects.toMatchObject({ kind: "fileMissing" });
    expect(seal(content, null, ctx)).toBe(content);
  });

  it("is not loaded when it is larger than its limit, however it is stored", async () => {
    const repo = repository(1);
    for (const pass of [null, "pass"]) {
      await writeFile(repo, "large", new Uint8Array(100_000), pass, ctx);
      await expect(readFile(repo, "large", pass, 99_999)).rejects.toMatchObject({ kind: "fileInvalid" });
      expect(await readFile(repo, "large", pass, 100_000)).toHaveLength(100_000);
    }
  });
});

describe("a sub-passphrase", () => {
  it("is 48 random bytes in base64, a new one each time", () => {
    const [first, second] = [newSubPass(ctx), newSubPass(ctx)];
    expect(first).toMatch(/^[A-Za-z0-9+/]{64}$/);
    expect(first).not.toBe(second);
  });
});
