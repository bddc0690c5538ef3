import { execFileSync } from "node:child_process";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import * as fc from "../../../harness/properties";
import { describe, expect, it } from "vitest";
import { sha1Hex } from "../../../../runtime/base/hash";
import { decrypt, decryptBytes, encrypt, encryptBytes } from "../../../../runtime/format/codec/cipher";
import { parseBackupInfo } from "../../../../runtime/format/repository/backupInfo";
import { parseJson } from "../../../../runtime/format/repository/json";
import { all, errorOf, PASS, pieces, sampleBytes, vectorBytes, vectorText } from "../vectors";

const SALT = Buffer.from("0102030405060708", "hex");

/** `cipher-pass` and the rows of a manifest excerpt. */
function excerpt(path: string): {
  pass: string;
  rows: Record<string, { checksum: string; rck: string; "repo-size": number }>;
} {
  const lines = vectorText(path).trim().split("\n");
  const pairs = lines.map((line): [string, unknown] => [
    line.slice(0, line.indexOf("=")),
    parseJson(line.slice(line.indexOf("=") + 1)),
  ]);
  const { "cipher-pass": pass, ...rows } = Object.fromEntries(pairs);
  return { pass: String(pass), rows: rows as Record<string, { checksum: string; rck: string; "repo-size": number }> };
}

describe("files that stock encrypted", () => {
  it.each(["archive.info", "backup.info"])("%s is decrypted as openssl does", (name) => {
    const plain = decryptBytes(vectorBytes(`v2.45/encrypted/${name}`), PASS.repo2);
    expect(Buffer.from(plain).toString()).toBe(vectorText(`v2.45/encrypted/${name}.plain.txt`));
  });

  it("data files match their manifest rows", () => {
    const { pass, rows } = excerpt("v2.45/encrypted/manifest-rows.txt");
    for (const [file, row] of [
      ["backup_label.gz", rows["pg_data/backup_label"]],
      ["tablespace_map.gz", rows["pg_data/tablespace_map"]],
      ["PG_VERSION.bundle-extent.bin", rows["pg_data/PG_VERSION"]],
    ] as const) {
      const stored = vectorBytes(`v2.45/encrypted/${file}`);
      expect([sha1Hex(stored), stored.length]).toEqual([row?.rck, row?.["repo-size"]]);
      expect(sha1Hex(gunzipSync(decryptBytes(stored, pass)))).toBe(row?.checksum);
    }
  });

  it("raw extents too", () => {
    const { pass, rows } = excerpt("v2.60/block-zst-encrypted/manifest-rows.txt");
    const version = vectorBytes("v2.60/block-zst-encrypted/PG_VERSION.extent.bin");
    expect(sha1Hex(version)).toBe(rows["pg_data/PG_VERSION"]?.rck);
    expect(zstdDecompressSync(decryptBytes(version, pass, true)).toString()).toBe("18\n");
    const blocks = vectorBytes("v2.60/block-zst-encrypted/1247_fsm.extent.bin");
    const superBlock = zstdDecompressSync(decryptBytes(blocks.subarray(0, blocks.length - 40), pass, true));
    expect(sha1Hex(superBlock)).toBe(rows["pg_data/base/1/1247_fsm"]?.checksum);
    expect(decryptBytes(blocks.subarray(blocks.length - 40), pass, true)[0]).toBe(0);
  });

  it("lead from the configured passphrase to the sub-passphrases", () => {
    const info = parseBackupInfo(
      Buffer.from(decryptBytes(vectorBytes("v2.60/block-zst-encrypted/backup.info"), PASS.repo3)).toString(),
      "backup.info",
    );
    expect(info.cipherPass).toMatch(/^[A-Za-z0-9+/]{64}$/);
  });

  it("of format 6 are refused as such", async () => {
    for (const file of ["archive.info", "backup.info", "00000001000000000000001B.00000028.backup"]) {
      const error = await errorOf("format", () =>
        decryptBytes(vectorBytes(`v2.60/format6-encrypted/${file}`), "testpass"),
      );
      expect(error.message).toBe("expected format 5 but found 6");
    }
  });
});

describe("files that we encrypt", () => {
  it("are decrypted by openssl", () => {
    const plain = sampleBytes(100_000);
    const stored = encryptBytes(plain, 'päss "word"', SALT);
    const args = ["enc", "-d", "-aes-256-cbc", "-md", "sha1", "-pass", 'pass:päss "word"'];
    const output = execFileSync("openssl", args, { input: stored, stdio: ["pipe", "pipe", "ignore"] });
    expect(output.equals(plain)).toBe(true);
  });

  it("return any content, fed whole and byte by byte", async () => {
    const content = fc.uint8Array({ maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(
        content,
        fc.boolean(),
        fc.string({ minLength: 1 }),
        fc.constantFrom(1, 7, 16, 1000),
        async (plain, raw, pass, size) => {
          const stored = await all(encrypt(pieces(plain, size), pass, SALT, raw));
          expect(stored.equals(encryptBytes(plain, pass, SALT, raw))).toBe(true);
          expect(stored).toHaveLength((raw ? 8 : 16) + plain.length + 16 - (plain.length % 16));
          expect((await all(decrypt(pieces(stored, size), pass, raw))).equals(plain)).toBe(true);
          expect(Buffer.from(decryptBytes(stored, pass, raw)).equals(plain)).toBe(true);
        },
      ),
    );
  });

  it("yield pieces of at most 1 MiB even from a single chunk", async () => {
    const plain = sampleBytes(3_500_000);
    for await (const chunk of encrypt(pieces(plain, plain.length), "pass", SALT))
      expect(chunk.length).toBeLessThanOrEqual(1024 * 1024 + 16);
    expect((await all(decrypt(encrypt(pieces(plain, plain.length), "pass", SALT), "pass"))).equals(plain)).toBe(true);
  });
});

describe("undecryptable content", () => {
  const stored = encryptBytes(sampleBytes(1000), "right", SALT);

  it.each([
    ["nothing", new Uint8Array(0), "cipher header missing: 0 bytes are too few"],
    ["less than a header", stored.subarray(0, 15), "cipher header missing: 15 bytes are too few"],
    ["plain text", sampleBytes(1000), "cipher header invalid"],
    [
      "a header alone",
      stored.subarray(0, 16),
      "unable to flush: wrong passphrase, or the content is damaged or cut short",
    ],
    ["a part", stored.subarray(0, 500), "unable to flush: wrong passphrase, or the content is damaged or cut short"],
  ])("is refused: %s", async (_what, bytes, message) => {
    expect((await errorOf("crypto", () => decryptBytes(bytes, "right"))).message).toBe(message);
    expect((await errorOf("crypto", () => all(decrypt(pieces(bytes, 5), "right")))).message).toBe(message);
  });

  it("is refused with a wrong passphrase", async () => {
    const error = await errorOf("crypto", () => decryptBytes(stored, "wrong"));
    expect(error.hints.join()).toContain("passphrase");
    expect(JSON.stringify(error)).not.toContain('wrong"');
  });
});
