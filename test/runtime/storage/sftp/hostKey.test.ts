import { describe, expect, test } from "vitest";
import * as fc from "../../../harness/properties";
import {
  algorithmsOf,
  describeKey,
  findFingerprint,
  fingerprintOf,
  isExpectedKey,
  type KnownKey,
  keyTypeOf,
  listKnownKeys,
} from "../../../../runtime/storage/sftp/hostKey";

/** ssh-keygen 9.2 made this key, its fingerprints and the hashed names below. */
const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEJbQ2VvNLPQ3MbQjHuXgva780eFGEYRZhfuPbJ1yIAf";
const BLOB = Buffer.from(KEY.split(" ")[1] ?? "", "base64");
const OTHER = Buffer.from(BLOB).fill(7, 20);
const SHA256 = "88fd5d125a938f145b9dda48ee87339d034b518b1e6e8426e7661998922ec66f";
const HASHED = [
  `|1|GtAYDYmJzlcRPeTTyzaL4cPy6QQ=|J5CHXAJW+GkntdosHy+vE4QI3NQ= ${KEY}`,
  `|1|mx5k2jZ2l/OkEn0MkPPF4/FvL20=|/GylYlO/CjT3rr5WA1OJc8GzY24= ${KEY}`,
];

const count = (text: string, host = "nas.example.net", port = 22): number => listKnownKeys(text, host, port).length;

test("returns type and digests of a key", () => {
  expect(keyTypeOf(BLOB)).toBe("ssh-ed25519");
  for (const damaged of ["", "0000", "ffffffff41", "00000009616263"])
    expect(keyTypeOf(Buffer.from(damaged, "hex"))).toBe("unknown");
  expect(describeKey(BLOB)).toBe("ssh-ed25519 SHA256:iP1dElqTjxRbndpI7ocznQNLUYseboQm52YZmJIuxm8");
  expect(fingerprintOf(BLOB, "sha256")).toBe(SHA256);
  expect(fingerprintOf(BLOB, "sha1")).toBe("ab090560d44feb5c1989230028ed33ca2811534e");
  expect(fingerprintOf(BLOB, "md5")).toBe("47d13153d4d89c14fce4002fd2ace578");
});

test("reads fingerprints in stock's and ssh-keygen's forms, and nothing else", () => {
  for (const text of [
    SHA256,
    SHA256.toUpperCase(),
    ` ${SHA256} `,
    "SHA256:iP1dElqTjxRbndpI7ocznQNLUYseboQm52YZmJIuxm8",
  ])
    expect(findFingerprint(text, "sha256")).toBe(SHA256);
  expect(findFingerprint("MD5:47:d1:31:53:d4:d8:9c:14:fc:e4:00:2f:d2:ac:e5:78", "md5")).toBe(
    "47d13153d4d89c14fce4002fd2ace578",
  );
  for (const text of [
    "",
    "SHA256:",
    SHA256.slice(1),
    `${SHA256}00`,
    "47d13153d4d89c14fce4002fd2ace578",
    "MD5:47d13153d4d89c14fce4002fd2ace578",
  ])
    expect(findFingerprint(text, "sha256")).toBeNull();
});

describe("known hosts", () => {
  test("match by name, list, pattern and hash, with their port", () => {
    for (const names of ["nas.example.net", "a,NAS.example.net,b", "*.example.net", "nas.example.ne?"])
      expect(count(`${names} ${KEY}`)).toBe(1);
    for (const names of [
      "nas",
      "example.net",
      "nasXexample.net",
      "*.net,!nas.*",
      "#nas.example.net",
      "[nas.example.net]:2222",
    ])
      expect(count(`${names} ${KEY}`)).toBe(0);
    expect(count(`[nas.example.net]:2222 ${KEY}`, "nas.example.net", 2222)).toBe(1);
    expect(count(HASHED.join("\n"))).toBe(1);
    expect(count(HASHED.join("\n"), "nas.example.net", 2222)).toBe(2);
    expect(count(HASHED.join("\n"), "other.example.net")).toBe(0);
  });

  test("match any pattern as a regular expression does, and soon", () => {
    const letters = (...all: string[]): fc.Arbitrary<string> =>
      fc.string({ unit: fc.constantFrom(...all), minLength: 1, maxLength: 7 });
    const property = fc.property(letters("a", "b", "*", "?"), letters("a", "b"), (pattern, name) => {
      const expression = new RegExp(`^${pattern.replaceAll("*", ".*").replaceAll("?", ".")}$`);
      const isKnown = [name, `[${name}]:22`].some((known) => expression.test(known));
      expect(count(`${pattern} ${KEY}`, name)).toBe(isKnown ? 1 : 0);
    });
    fc.assert(property, { numRuns: 2000 });
    expect(count(`${"*a".repeat(200)} ${KEY}`, `${"a".repeat(250)}b`)).toBe(0);
  });

  test("have markers, comments, empty and damaged lines", () => {
    const text = [
      "",
      "# comment",
      "nas.example.net",
      `nas.example.net ssh-rsa ${KEY.split(" ")[1]}`,
      `@cert-authority nas.example.net ${KEY}`,
    ];
    expect(count(text.join("\r\n"))).toBe(0);
    expect(listKnownKeys(`@revoked * ${KEY} remark`, "nas.example.net", 22)).toEqual([
      { type: "ssh-ed25519", blob: BLOB, revoked: true },
    ]);
  });
});

test("a key is accepted if the check names it", () => {
  const known = (blob: Buffer, revoked = false): KnownKey => ({ type: "ssh-ed25519", blob, revoked });
  const hosts = { type: "known-hosts", files: [] } as const;
  expect(isExpectedKey(BLOB, hosts, [known(OTHER), known(BLOB)])).toBe(true);
  expect(isExpectedKey(BLOB, hosts, [known(OTHER)])).toBe(false);
  expect(isExpectedKey(BLOB, hosts, [])).toBe(false);
  expect(isExpectedKey(BLOB, hosts, [known(BLOB), known(BLOB, true)])).toBe(false);
  const of = (fingerprint: string) => ({ type: "fingerprint", hashType: "sha256", fingerprint }) as const;
  expect(isExpectedKey(BLOB, of(SHA256), [])).toBe(true);
  expect(isExpectedKey(OTHER, of(SHA256), [])).toBe(false);
  for (const damaged of ["", "nonsense"]) expect(isExpectedKey(BLOB, of(damaged), [])).toBe(false);
  expect(isExpectedKey(BLOB, { type: "none" }, [])).toBe(true);
});

test("requests the known keys, and not a refused one again", () => {
  expect(algorithmsOf(null)).toEqual([
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-ed25519",
    "rsa-sha2-512",
    "rsa-sha2-256",
  ]);
  expect(algorithmsOf(["ssh-rsa", "x"])).toEqual(["rsa-sha2-512", "rsa-sha2-256"]);
  expect(algorithmsOf(["ssh-rsa", "ssh-ed25519"], ["ssh-rsa"])).toEqual(["ssh-ed25519"]);
});
