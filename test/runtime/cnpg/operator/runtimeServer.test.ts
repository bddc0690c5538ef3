import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { BUNDLE_FILE } from "../../../../runtime/cnpg/names";
import { readRuntimes, type RuntimeServer, serveRuntimes } from "../../../../runtime/cnpg/operator/runtimeServer";
import { programFile, programPath } from "../../../../runtime/cnpg/programStart";
import { testContext } from "../../../harness/context";
import { temporaryFolder } from "../../repository/support";

const sha256Of = (text: string): string => createHash("sha256").update(text).digest("hex");
const [NEW, OLD, OTHER] = ["new", "old", "other"].map(sha256Of) as [string, string, string];

let served: RuntimeServer | null = null;
afterEach(async () => {
  await served?.close();
  served = null;
});

async function serve(files: Readonly<Record<string, Uint8Array>>): Promise<string> {
  const folder = join(temporaryFolder(), "bundle");
  mkdirSync(folder);
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  served = await serveRuntimes("127.0.0.1:0", await readRuntimes(folder), testContext());
  return `http://127.0.0.1:${served.port}`;
}

describe("the plugin", () => {
  test("serves every runtime of its ConfigMaps as it is there, and nothing else", async () => {
    const packed = { [NEW]: brotliCompressSync("new"), [OLD]: brotliCompressSync("old") };
    const url = await serve({
      [programFile(NEW)]: packed[NEW] as Uint8Array,
      [programFile(OLD)]: packed[OLD] as Uint8Array,
      image: Buffer.from("node"),
    });
    for (const [sha256, bytes] of Object.entries(packed)) {
      const answer = await fetch(url + programPath(sha256));
      expect(answer.status).toBe(200);
      expect(Buffer.from(await answer.arrayBuffer())).toEqual(bytes);
    }
    for (const path of [
      programPath(OTHER),
      "/",
      "/image",
      "/runtime/../image",
      `${programPath(NEW)}/`,
      `${programPath(NEW)}?a`,
    ])
      expect((await fetch(url + path)).status, path).toBe(404);
    expect((await fetch(url + programPath(NEW), { method: "POST", body: "x" })).status).toBe(405);
    const head = await fetch(url + programPath(NEW), { method: "HEAD" });
    expect(head.headers.get("content-length")).toBe(String(packed[NEW]?.length));
  });

  test("serves what its image contains, by the digest of the unpacked program", async () => {
    const url = await serve({ [BUNDLE_FILE]: gzipSync("new") });
    expect((await fetch(url + programPath(NEW))).status).toBe(200);
    expect((await fetch(url + programPath(OLD))).status).toBe(404);
  });

  test("has no runtime without a directory, and refuses an address of another form", async () => {
    expect(await readRuntimes(join(temporaryFolder(), "none"))).toEqual(new Map());
    await expect(serveRuntimes("9091", new Map(), testContext())).rejects.toThrow("plugin-runtime-listen");
  });
});
