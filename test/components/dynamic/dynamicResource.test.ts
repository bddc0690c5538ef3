/** The texts of dynamic resources' methods, run as Pulumi's plugin for them does. */
import { createRequire } from "node:module";
import { compileFunction } from "node:vm";
import { expect, test } from "vitest";
import { methodsOf, ownMethods } from "../../../components/dynamic/dynamicResource";
import { HostState, type HostStateArgs } from "../../../components/dynamic/hostState";
import * as passphrase from "../../../components/dynamic/passphrase";
import { Passphrase } from "../../../components/dynamic/passphraseState";
import { recordProvider } from "../../../components/dynamic/runtimeRecord";
import { declaredBy } from "../declaredResources";

type Methods = Readonly<Record<string, (...args: unknown[]) => unknown>>;

function loaded(text: string, load: (name: string) => unknown): Methods {
  const exported: { handler?: () => Methods } = {};
  compileFunction(text, ["exports", "require"])(exported, load);
  return exported.handler?.() ?? {};
}

/** Types and methods of the resources that `declare` makes. */
async function declared(declare: () => void): Promise<[type: string, methods: string][]> {
  const made = await declaredBy(declare);
  return made.map(({ inputs, type }) => [type, String(inputs["__provider"])]);
}

test("methods of a module are found by its name, when they are called", () => {
  const module = { one: () => 1, two: () => 2 };
  const names: string[] = [];
  const methods = loaded(
    methodsOf<typeof module>("pgbackstop/dynamic/host", { create: "one", delete: "two" }),
    (name) => {
      names.push(name);
      return module;
    },
  );
  expect(names).toEqual([]);
  expect([methods["create"]?.(), methods["delete"]?.()]).toEqual([1, 2]);
  expect(new Set(names)).toEqual(new Set(["pgbackstop/dynamic/host"]));
});

test("a passphrase needs none of this package to be read and removed", async () => {
  const text = (await declared(() => void new Passphrase("key", { sizeBytes: 48 }, {})))[0]?.[1] ?? "";
  const names: string[] = [];
  const methods = loaded(text, (name) => {
    names.push(name);
    return passphrase;
  });
  expect(Object.keys(methods)).toEqual(["create", "diff", "update"]);
  expect(names).toEqual([]);
  expect(await methods["create"]?.({ sizeBytes: 48, existing: "kept" })).toMatchObject({
    outs: { passphrase: "kept" },
  });
  const made = (await methods["create"]?.({ sizeBytes: 48 })) as { outs: { passphrase: string } };
  expect(Buffer.from(made.outs.passphrase, "base64")).toHaveLength(48);
  expect(new Set(names)).toEqual(new Set(["pgbackstop/dynamic/passphrase"]));
});

test("own methods run without this package", async () => {
  const require = createRequire(__filename);
  const onlyNode = (name: string): unknown => {
    expect(name).toMatch(/^node:/);
    return require(name);
  };
  const record = loaded(ownMethods(recordProvider), onlyNode);
  expect(await record["update"]?.("runtimes", { sha256: "a", earlier: ["b"] }, { sha256: "c" })).toEqual({
    outs: { sha256: "c", earlier: ["a", "b"] },
  });
});

test("the resources keep the types of stacks that exist", async () => {
  const seen = await declared(() => {
    new HostState("db", {} as HostStateArgs, {});
    new Passphrase("key", { sizeBytes: 48 }, {});
  });
  expect(seen.map(([type]) => type)).toEqual([
    "pulumi-nodejs:dynamic/index:HostState",
    "pulumi-nodejs:dynamic/index:Passphrase",
  ]);
  expect(seen[0]?.[1]).toBe(
    'exports.handler = () => { const m = (name) => (...args) => require("pgbackstop/dynamic/host")[name](...args); return { diff: m("diff"), create: m("create"), read: m("read"), update: m("update"), delete: m("remove") }; };',
  );
});
