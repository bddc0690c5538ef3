import { fc } from "../../harness/properties";
import { expect, test } from "vitest";
import { fingerprintOf, fitsFingerprint, passphraseFaults, rememberPassphrases } from "../../../components/credentials/fingerprint";

const RANDOM = "t9f0cXN1cGVyLXNlY3JldC1tYXJrZXItMDEyMzQ1Njc4OWFiY2RlZg+A/b==";

test("a fingerprint fits its own passphrase only, and tells nothing of it", () => {
  const long = fc.string({ minLength: 43, maxLength: 80 });
  fc.assert(
    fc.property(long, long, (one, other) => {
      const fingerprint = fingerprintOf(one);
      expect(fitsFingerprint(one, fingerprint)).toBe(true);
      expect(fitsFingerprint(other, fingerprint)).toBe(one === other);
      expect(fingerprint).not.toContain(one);
      // Salted: the same passphrase of two repositories does not show.
      expect(fingerprintOf(one)).not.toBe(fingerprint);
    }),
  );
});

test("what somebody could guess costs time and memory for each guess; what is random does not", () => {
  expect(fingerprintOf("correct horse")).toMatch(/^scrypt:[A-Za-z0-9+/=]{24}:[A-Za-z0-9+/=]{44}$/);
  expect(fitsFingerprint("correct horse", fingerprintOf("correct horse"))).toBe(true);
  expect(fitsFingerprint("correct horsf", fingerprintOf("correct horse"))).toBe(false);
  expect(fingerprintOf(RANDOM)).toMatch(/^sha256:/);
});

test("encryption that comes or goes is another passphrase too", () => {
  const faults = (before: string, after: string): string[] =>
    passphraseFaults(
      { repo1: { location: "/backups", passphrase: after } },
      rememberPassphrases({ repo1: { location: "/backups", passphrase: before } }, {}),
    );
  expect(faults("", "")).toEqual([]);
  expect(faults(RANDOM, RANDOM)).toEqual([]);
  expect(faults("", RANDOM)[0]).toContain("repo1: /backups was made without encryption, and a passphrase is set now");
  expect(faults(RANDOM, "")[0]).toContain("it is gone; put back what was there");
  expect(faults(RANDOM, `${RANDOM}x`)[0]).not.toContain(RANDOM);
});

test("a place is remembered when its repository is gone, and a fingerprint that fits stays as it is", () => {
  const first = rememberPassphrases({ repo1: { location: "/a", passphrase: RANDOM } }, {});
  const second = rememberPassphrases({ repo1: { location: "/b", passphrase: RANDOM } }, first);
  expect(second["/a"]).toBe(first["/a"]);
  expect(Object.keys(second)).toEqual(["/a", "/b"]);
});
