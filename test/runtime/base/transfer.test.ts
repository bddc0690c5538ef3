import * as fc from "../../harness/properties";
import { describe, expect, it } from "vitest";
import { BackupError, fail } from "../../../runtime/base/errors";
import { Secret } from "../../../runtime/base/secret";
import { pack, unpack } from "../../../runtime/base/transfer";

/** Sends a value like to a thread. */
const across = (value: unknown): unknown => unpack(structuredClone(pack(value)));

describe("a value that crosses a thread boundary", () => {
  it("arrives unchanged", () => {
    const plain = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 3 },
        fc.string(),
        fc.double({ noNaN: true }),
        fc.bigInt(),
        fc.boolean(),
        fc.constant(null),
        fc.constant(undefined),
        fc.uint8Array({ maxLength: 8 }),
        fc.array(tie("value"), { maxLength: 3 }),
        fc.dictionary(fc.string(), tie("value"), { maxKeys: 3, noNullPrototype: true }),
      ),
    })).value;
    fc.assert(
      fc.property(plain, (value) => {
        expect(across(value)).toEqual(value);
      }),
    );
  });

  it("keeps errors as errors, with everything except their cause", () => {
    const error = fail("access", "refused", {
      hint: ["one", "two"],
      repoIndex: 2,
      path: "a/b",
      retryable: true,
      cause: new Error("socket"),
    });
    const result = across({ results: [{ ok: false, error }] }) as { results: { error: BackupError }[] };
    const [copy] = result.results.map((each) => each.error);
    expect(copy).toBeInstanceOf(BackupError);
    expect(copy).toMatchObject({
      kind: "access",
      exitCode: 105,
      message: "refused",
      hints: ["one", "two"],
      repoIndex: 2,
      path: "a/b",
      retryable: true,
    });
    expect(copy?.stack).toBe(error.stack);
    expect(across(fail("term", "x"))).toMatchObject({ repoIndex: undefined, path: undefined, retryable: false });
  });

  it("keeps secrets, hidden again on the other side", () => {
    const secret = across({ pass: new Secret("planted") }) as { pass: Secret };
    expect(secret.pass).toBeInstanceOf(Secret);
    expect(secret.pass.reveal()).toBe("planted");
    expect(JSON.stringify(secret)).not.toContain("planted");
  });
});
