import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { SeenLocations } from "../../../../runtime/operations/verify/seenLocations";
import type { VerifyFileResult } from "../../../../runtime/operations/verify/verifyFile";
import * as fc from "../../../harness/properties";

const OK: VerifyFileResult = { status: "ok", text: "" };
const MISSING: VerifyFileResult = { status: "missing", text: "file missing 'a'" };
const DAMAGED: VerifyFileResult = { status: "checksum", text: "invalid checksum 'b'" };

/** Some begin with the same characters. */
function digestOf(no: number): string {
  const digest = createHash("sha1").update(String(no)).digest("binary");
  return no % 3 === 0 ? `abcd${digest.slice(4)}` : digest;
}

it("stored bytes keep their last result, as in a map, and none after a clear", () => {
  const result = fc.constantFrom(OK, null, MISSING, DAMAGED);
  const step = fc.record({ no: fc.nat({ max: 40 }), result });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const seen = new SeenLocations(OK);
      const expected = new Map<string, VerifyFileResult | null>();
      for (const { no, result: each } of steps) {
        seen.set(digestOf(no), each);
        expected.set(digestOf(no), each);
        for (let other = 0; other <= 41; other++) expect(seen.get(digestOf(other))).toBe(expected.get(digestOf(other)));
      }
      seen.clear();
      expect(seen.get(digestOf(0))).toBeUndefined();
    }),
  );
});

it("many of them are found again", () => {
  const seen = new SeenLocations(OK);
  const count = 20_000;
  for (let no = 0; no < count; no++) seen.set(digestOf(no), no % 7 === 0 ? null : no % 1000 === 1 ? MISSING : OK);
  for (let no = 0; no < count; no++)
    if (seen.get(digestOf(no)) !== (no % 7 === 0 ? null : no % 1000 === 1 ? MISSING : OK)) expect(no).toBe(-1);
  expect(seen.get(digestOf(count))).toBeUndefined();
});
