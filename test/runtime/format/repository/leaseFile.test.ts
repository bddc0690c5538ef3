import { describe, expect, test } from "vitest";
import {
  type LeaseTerm,
  leaseFloorPath,
  leaseTermOf,
  leaseTermPath,
  parseLeaseFloor,
  parseLeaseName,
  parseLeaseTerm,
  renderLeaseFloor,
  renderLeaseTerm,
} from "../../../../runtime/format/repository/leaseFile";
import { leasePath } from "../../../../runtime/format/repository/repoPath";

const TOKEN = "0123456789abcdef0123456789abcdef";
const TERM: LeaseTerm = {
  term: 42,
  token: TOKEN,
  domain: "d",
  holder: { host: "b", pid: 12, verb: "backup" },
  renewals: 3,
  state: "held",
};

describe("names of terms", () => {
  test("sort by number in either form", () => {
    const exclusive = leaseTermPath(leasePath("demo"), { term: 42, token: null });
    const ticket = leaseTermPath(leasePath("demo"), { term: 42, token: TOKEN });
    expect(exclusive).toBe("pgbackstop/demo/lease/00000042.json");
    expect(ticket).toBe(`pgbackstop/demo/lease/00000042-${TOKEN}.json`);
    expect(leaseFloorPath(leasePath("demo"))).toBe("pgbackstop/demo/lease/floor.json");
    expect(leasePath("demo", "dumps")).toBe("pgbackstop/demo/dump-lease");
  });

  test("are read back, and other files are not recognised", () => {
    expect(parseLeaseName("00000042.json")).toEqual({ term: 42, token: null });
    expect(parseLeaseName(`00000042-${TOKEN}.json`)).toEqual({ term: 42, token: TOKEN });
    for (const name of [
      "floor.json",
      "00000000.json",
      "42.json",
      "00000042-xyz.json",
      "00000042.json.pgbackrest.tmp",
      "000000042.json",
      "",
    ])
      expect(parseLeaseName(name)).toBeNull();
  });

  test("of temporary files show their term", () => {
    expect(leaseTermOf("00000042.json.a1.pgbackrest.tmp")).toBe(42);
    expect(leaseTermOf(`00000007-${TOKEN}.json`)).toBe(7);
    expect(leaseTermOf("floor.json")).toBeNull();
  });
});

describe("a term", () => {
  test("is one line of JSON that is read back", () => {
    expect(renderLeaseTerm(TERM)).toBe(
      `{"version":1,"term":42,"token":"${TOKEN}","domain":"d","holder":{"host":"b","pid":12,"verb":"backup"},"renewals":3,"state":"held"}\n`,
    );
    expect(parseLeaseTerm(renderLeaseTerm(TERM))).toEqual(TERM);
    expect(parseLeaseTerm(renderLeaseTerm({ ...TERM, state: "released" }))?.state).toBe("released");
  });

  test("that was truncated, or that a later version wrote, is unreadable", () => {
    const text = renderLeaseTerm(TERM);
    for (let length = 0; length < text.length - 1; length++) expect(parseLeaseTerm(text.slice(0, length))).toBeNull();
    for (const change of ['"version":2', '"state":"gone"', '"token":7']) {
      const [key = ""] = change.split(":");
      expect(parseLeaseTerm(text.replace(new RegExp(`${key}:("[^"]*"|[0-9]+)`), change))).toBeNull();
    }
    for (const other of ["", "[]", "null", "7", "\0\0\0"]) expect(parseLeaseTerm(other)).toBeNull();
  });

  test("shows no control characters from its writer", () => {
    const holder = { host: "a\u001b[31m\nred", pid: 1, verb: "x".repeat(1000) };
    const result = parseLeaseTerm(renderLeaseTerm({ ...TERM, holder }));
    expect(result?.holder.host).toBe("a?[31m?red");
    expect(result?.holder.verb).toHaveLength(200);
  });
});

test("a floor is read back, and nonsense is no floor", () => {
  expect(parseLeaseFloor(renderLeaseFloor(34))).toBe(34);
  for (const text of ["", "{}", '{"version":1,"floor":-1}', '{"version":2,"floor":5}', '{"version":1,"floor":"x"}'])
    expect(parseLeaseFloor(text)).toBe(0);
});
