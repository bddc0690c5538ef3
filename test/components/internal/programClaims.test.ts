/** Two components of one program that use the same; the engine's tests show that programs do not see each other. */
// claim: docs/reference/rules.md: PB195 to PB199 and PB203: databases…
import { expect, test } from "vitest";
import { claimsOfProgram } from "../../../components/internal/programClaims";
import { claim, type Claims, type Use } from "../../../components/plan/findings/claims";
import { findingText } from "../../../components/plan/findings/findings";

const archive = (key: string, machine?: string): Use => ({
  key,
  path: "repositories.repo1.at",
  code: "PB195",
  what: "this repository with this stanza",
  remedy: "give each its own",
  ...(machine === undefined ? {} : { member: { machine, code: "PB199", remedy: "silence it" } }),
});
const [orders, ledger] = [{}, {}];

test("a second component learns once which one uses the same already", () => {
  const claims: Claims = new Map();
  const uses = [archive("target 1"), archive("s3://orders")];
  expect(claim(claims, orders, "CnpgCluster orders", uses)).toEqual([]);
  // A component claims again when deferred values arrive.
  expect(claim(claims, orders, "CnpgCluster orders", uses)).toEqual([]);
  expect(claim(claims, ledger, "PostgresHost ledger", uses).map(findingText)).toEqual([
    "PB195 repositories.repo1.at: this repository with this stanza is also that of CnpgCluster orders (repositories.repo1.at); give each its own",
  ]);
  expect(claim(claims, ledger, "PostgresHost ledger", [archive("s3://ledger")])).toEqual([]);
  const other = (code: Use["code"], path: string): string[] =>
    claim(claims, ledger, "x", [{ ...archive("target 1"), code, path }]).map((each) => `${each.code} ${each.path}`);
  expect(other("PB196", "clusterName")).toEqual(["PB196 clusterName"]);
  expect(other("PB197", "operatorNamespace")).toEqual(["PB197 operatorNamespace"]);
  expect(other("PB198", "dataDirectory")).toEqual(["PB198 dataDirectory"]);
  expect(other("PB203", "directories.lib")).toEqual(["PB203 directories.lib"]);
});

test("two machines may be members of one PostgreSQL cluster: that is a warning, unless one is no member", () => {
  const codesAfter = (first: Use, second: Use): string[] => {
    const claims: Claims = new Map();
    claim(claims, orders, "PostgresHost a", [first]);
    return claim(claims, ledger, "PostgresHost b", [second]).map(({ code, severity }) => `${code} ${severity}`);
  };
  expect(codesAfter(archive("x", "a"), archive("x", "b"))).toEqual(["PB199 warning"]);
  expect(codesAfter(archive("x", "a"), archive("x", "a"))).toEqual(["PB195 error"]);
  expect(codesAfter(archive("x", "a"), archive("x"))).toEqual(["PB195 error"]);
});

test("without a program nothing is recorded", () => {
  expect(claimsOfProgram()).toBeNull();
});
