import * as fc from "../../harness/properties";
import { expect, test } from "vitest";
import {
  fingerprintOf,
  fitsFingerprint,
  passphraseFaults,
  rememberPassphrases,
} from "../../../components/credentials/fingerprint";

const RANDOM = "t9f0cXN1cGVyLXNlY3JldC1tYXJrZXItMDEyMzQ1Njc4OWFiY2RlZg+A/b==";

test("a fingerprint matches its own passphrase only, and reveals nothing of it", () => {
  const long = fc.string({ minLength: 43, maxLength: 80 });
  fc.assert(
    fc.property(long, long, (one, other) => {
      const fingerprint = fingerprintOf(one);
      expect(fitsFingerprint(one, fingerprint)).toBe(true);
      expect(fitsFingerprint(other, fingerprint)).toBe(one === other);
      expect(fingerprint).not.toContain(one);
      // The salt hides that two repositories have the same passphrase.
      expect(fingerprintOf(one)).not.toBe(fingerprint);
    }),
  );
});

test("a guessable passphrase costs time and memory for each guess; a random one does not", () => {
  expect(fingerprintOf("correct horse")).toMatch(/^scrypt:[A-Za-z0-9+/=]{24}:[A-Za-z0-9+/=]{44}$/);
  expect(fitsFingerprint("correct horse", fingerprintOf("correct horse"))).toBe(true);
  expect(fitsFingerprint("correct horsf", fingerprintOf("correct horse"))).toBe(false);
  expect(fingerprintOf(RANDOM)).toMatch(/^sha256:/);
});

test("adding or removing encryption counts as another passphrase", () => {
  const faults = (before: string, after: string): string[] =>
    passphraseFaults(
      { repo1: { location: "/backups", passphrase: after } },
      rememberPassphrases({ repo1: { location: "/backups", passphrase: before } }, {}),
    );
  expect(faults("", "")).toEqual([]);
  expect(faults(RANDOM, RANDOM)).toEqual([]);
  expect(faults("", RANDOM)[0]).toContain(
    "repo1: /backups was created without encryption, but a passphrase is set now",
  );
  expect(faults(RANDOM, "")[0]).toContain("it was removed; restore the old setting");
  expect(faults(RANDOM, `${RANDOM}x`)[0]).not.toContain(RANDOM);
});

test("the location of a removed repository stays recorded, and a matching fingerprint is kept", () => {
  const first = rememberPassphrases({ repo1: { location: "/a", passphrase: RANDOM } }, {});
  const second = rememberPassphrases({ repo1: { location: "/b", passphrase: RANDOM } }, first);
  expect(second["/a"]).toBe(first["/a"]);
  expect(Object.keys(second)).toEqual(["/a", "/b"]);
});
