import { format, inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { Secret } from "../../../runtime/base/secret";

describe("a secret", () => {
  const secret = new Secret("hunter2-planted");

  it("is readable only on request", () => {
    expect(secret.reveal()).toBe("hunter2-planted");
  });

  it.each([
    ["a template", `${secret}`],
    ["String()", String(secret)],
    ["concatenation", `pass=${[secret].join(",")}`],
    ["JSON", JSON.stringify({ secret, list: [secret] })],
    ["inspect", inspect({ secret, deep: { list: [secret] } }, { depth: 9, showHidden: true, getters: true })],
    ["console format", format("%s %o %O %j", secret, secret, secret, secret)],
    ["its own keys", JSON.stringify([Object.entries(secret), Object.getOwnPropertyNames(secret), { ...secret }])],
    ["an error's text", new Error(`wrong ${secret}`).message],
  ])("stays hidden in %s", (_where, text) => {
    expect(text).not.toContain("hunter2");
  });

  it("prints as stars", () => {
    expect(`${secret} ${JSON.stringify(secret)} ${inspect(secret)}`).toBe('****** "******" ******');
  });
});
