import { describe, expect, it } from "vitest";
import {
  type Attempt,
  isSameSource,
  parseAttempt,
  renderAttempt,
  type SourceIdentity,
} from "../../../../runtime/format/repository/attemptFile";

const SOURCE: SourceIdentity = {
  systemId: 7_710_141_224_171_239_387n,
  timeline: 3,
  dataDirectory: "/var/lib/postgresql/15/main",
  controlFile: "2049:131:1700000000000000001",
  standby: { dataDirectory: "/srv/standby", controlFile: "2050:7:0" },
};
const ATTEMPT: Attempt = { token: "00ff", term: 42, domain: "host", source: SOURCE };

describe("an attempt file", () => {
  it("is read as it was written", () => {
    expect(renderAttempt(ATTEMPT)).toBe(
      '{"version":1,"token":"00ff","term":42,"domain":"host","source":{"systemId":7710141224171239387,"timeline":3,' +
        '"dataDirectory":"/var/lib/postgresql/15/main","controlFile":"2049:131:1700000000000000001",' +
        '"standby":{"dataDirectory":"/srv/standby","controlFile":"2050:7:0"}}}\n',
    );
    for (const attempt of [
      ATTEMPT,
      { ...ATTEMPT, source: null },
      { ...ATTEMPT, source: { ...SOURCE, systemId: 5n, standby: null } },
    ]) {
      expect(parseAttempt(renderAttempt(attempt), "x")).toEqual(attempt);
    }
  });

  it.each([
    "",
    "{",
    "[]",
    "{}",
    '{"version":2}',
    '{"version":1,"token":1,"term":1,"domain":""}',
    renderAttempt(ATTEMPT).replace("systemId", "id"),
    renderAttempt(ATTEMPT).replace('"timeline":3', '"timeline":1e999'),
    renderAttempt(ATTEMPT).replace('"term":42', '"term":1e999'),
    renderAttempt(ATTEMPT).replace(/"systemId":\d+/, '"systemId":1.5'),
  ])("is refused with invalid content: %s", (text) => {
    expect(() => parseAttempt(text, "x")).toThrow();
  });
});

describe("the source of an attempt", () => {
  it("is the same only if all of it is, and never if it is unknown", () => {
    const alone = { ...SOURCE, standby: null };
    expect(isSameSource(alone, { ...alone })).toBe(true);
    const others: SourceIdentity[] = [
      { ...alone, systemId: 1n },
      { ...alone, timeline: 4 },
      { ...alone, dataDirectory: "/other" },
      { ...alone, controlFile: "2049:132:1700000000000000001" },
      SOURCE,
    ];
    for (const other of others) expect(isSameSource(alone, other)).toBe(false);
    expect(isSameSource(null, null)).toBe(false);
    expect(isSameSource(alone, null)).toBe(false);
    // Its bytes may be older than the primary's times.
    expect(isSameSource(SOURCE, { ...SOURCE })).toBe(false);
  });
});
