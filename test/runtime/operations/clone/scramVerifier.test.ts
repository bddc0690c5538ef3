import { expect, test } from "vitest";
import { scramVerifier } from "../../../../runtime/operations/clone/scramVerifier";

test("has the keys of RFC 7677's example", () => {
  // Its password has six characters, so the iteration and salt are its own and the password longer here.
  const salt = Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64");
  const verifier = scramVerifier("pencil-pencil", salt);
  expect(verifier).toMatch(/^SCRAM-SHA-256\$4096:W22ZaJ0SNY7soEsUEjb6gQ==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/);
  expect(scramVerifier("pencil-pencil", salt)).toBe(verifier);
  expect(scramVerifier("pencil-pencim", salt)).not.toBe(verifier);
});

test.each(["short", "with a blank in it", "ümlaut-password", "x".repeat(257), ""])("refuses %j", (password) => {
  const refusal = (): string => scramVerifier(password, Buffer.alloc(16));
  expect(refusal).toThrow("printable ASCII");
  if (password !== "") expect(refusal).not.toThrow(password);
});
