/** Arguments from other languages: plain ones are unwrapped, all others stay outputs and keep their secrecy. */
// claim: docs/languages.md: components used from another…
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { type ObjectSpecs, settleInputs, type TypeSpec } from "../../../components/plugin/settleInputs";

const TYPES: ObjectSpecs = {
  "x:index:Target": {
    properties: {
      name: { type: "string", plain: true },
      path: { type: "string" },
      requireMount: { type: "boolean", plain: true },
      cipher: { $ref: "#/types/x:index:Cipher", plain: true },
    },
  },
  "x:index:Cipher": { properties: { passphrase: { type: "string" } } },
  "x:index:Kind": {},
};
const PROPERTIES: Record<string, TypeSpec> = {
  repositories: { type: "object", additionalProperties: { $ref: "#/types/x:index:Target", plain: true }, plain: true },
  kind: { $ref: "#/types/x:index:Kind", plain: true },
  days: { type: "number" },
  texts: { type: "array", items: { type: "string", plain: true }, plain: true },
};

const SPEC = { properties: PROPERTIES };

/** An output's value and secrecy, or "plain" for any other value. */
async function reported(value: unknown): Promise<{ value: unknown; secret: boolean } | string> {
  if (!pulumi.Output.isInstance(value)) return "plain";
  return { value: await new Promise((resolve) => value.apply(resolve)), secret: await pulumi.isSecret(value) };
}

test("an output of an object is unwrapped: plain parts are values, the others are outputs with its secrecy", async () => {
  const target = pulumi.secret({
    name: "nas",
    path: "/mnt/nas",
    requireMount: true,
    cipher: { passphrase: "planted" },
  });
  const { value, missing } = await settleInputs({ repositories: { repo1: target } }, SPEC, TYPES);
  expect(missing).toEqual([]);
  expect(value).toMatchObject({ repositories: { repo1: { name: "nas", requireMount: true } } });
  const { repo1 } = value["repositories"] as { repo1: { path: unknown; cipher: { passphrase: unknown } } };
  expect(await reported(repo1.path)).toEqual({ value: "/mnt/nas", secret: true });
  expect(await reported(repo1.cipher)).toBe("plain");
  expect(await reported(repo1.cipher.passphrase)).toEqual({ value: "planted", secret: true });
});

test("plain arguments stay, outputs for plain ones are awaited, others stay outputs", async () => {
  const inputs = { kind: pulumi.output("fast"), days: pulumi.output(7), texts: [pulumi.output("a"), "b"] };
  const { value } = await settleInputs(inputs, SPEC, TYPES);
  expect({ kind: value["kind"], texts: value["texts"] }).toEqual({ kind: "fast", texts: ["a", "b"] });
  expect(await reported(value["days"])).toEqual({ value: 7, secret: false });
  expect((await settleInputs({ days: 7, kind: "slow" }, SPEC, TYPES)).value).toEqual({ days: 7, kind: "slow" });
});

test("null and an output of nothing count as omitted; an unknown name stays for the constructor", async () => {
  const inputs = { kind: pulumi.output(undefined), days: null, repositories: { repo1: { name: "nas", pth: "/mnt" } } };
  const { value } = await settleInputs(inputs, SPEC, TYPES);
  expect(value["kind"]).toBeUndefined();
  expect("days" in value).toBe(false);
  expect(value["repositories"]).toEqual(inputs.repositories);
});
