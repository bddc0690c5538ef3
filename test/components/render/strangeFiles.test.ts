/**
 * Files with a wrong value in any field, at any depth, or an unknown field beside it: each is refused in words or taken
 * as it is, and the schema for editors agrees. The nightly form tries every field with every value.
 */
// claim: docs/reference/files.md: a field that is unknown, of another type or out of range is named
import Ajv from "ajv";
import { describe, expect, test } from "vitest";
import { ARGUMENT_TYPES } from "../../../components/plan/arguments/argumentTypes";
import { FILE } from "../../../components/plan/arguments/fileTypes";
import type { Finding } from "../../../components/plan/findings/findings";
import { renderNixosHost } from "../../../components/render/host/nixosFile";
import { renderGitops } from "../../../components/render/kubernetes/gitops";
import { BackupError } from "../../../runtime/base/errors";
import type { Declarations, Keys } from "../../../runtime/base/declaredTypes";
import { FILE_DECLARATIONS } from "../../../runtime/base/fileDeclarations";
import { parseSettings } from "../../../runtime/config/settings";
import { parseTargets } from "../../../runtime/notify/targets";
import { fileSchemas } from "../../../tools/parts/build/renderSchema";
import { NIGHTLY } from "../../../tools/parts/nightly";
import { drawn, fieldsBelow, STRANGE, withValue } from "../strangeValues";

/** Cases of each road in the short form. */
const CASES = NIGHTLY ? 400 : 150;
const BUNDLE = { gzipBase64: "H4sI", sha256: "0123456789abcdef".repeat(4) };

const AT = {
  path: "/a",
  s3: { bucket: "orders-pg", endpoint: "e.example.net", region: "r", existingSecret: { name: "keys" } },
};
const repositories = { repo1: { at: AT, keepDays: 7 } };
const HOST = {
  dataDirectory: "/var/lib/postgresql/18/main",
  repositories: { repo1: { at: { path: "/mnt/nas" }, keepDays: 7 } },
};
const FILES = {
  plugin: { certManager: true },
  clusters: { orders: { namespace: "db", storageGiB: 5, repositories } },
  attach: { legacy: { namespace: "db", repositories } },
};
const SETTINGS = {
  acknowledge: ["repo1"],
  stream: { intervalSeconds: 5, synchronous: "any" },
  drill: { assertions: [{ name: "a", sql: "SELECT true" }], declared: { weekly: { repos: ["repo1"] } } },
  postgres: { stop: ["a"], start: ["b"] },
  fullBackups: { configMap: "a", locations: "b" },
  repos: { repo1: { compressType: "zst", compressLevel: 3 } },
};
const NOTIFY = {
  targets: [
    { type: "email", host: "m.example", from: "a@example", to: ["b@example"] },
    { type: "ntfy", url: "https://n", topic: "t" },
    { type: "telegram", botToken: "1:a", chatId: "-100", threadId: 7 },
  ],
};

interface Road {
  readonly name: string;
  readonly type: string;
  readonly base: object;
  readonly declarations: Declarations;
  readonly schema: string;
  /** Why the file is refused, empty if it is not. */
  readonly refusals: (file: object) => readonly string[];
}

const textsOf = (findings: readonly Finding[]): string[] =>
  findings
    .filter(({ severity }) => severity === "error")
    .map(({ code, message, path }) => `${code} ${path}: ${message}`);
const thrownBy = (run: () => unknown): string[] => {
  try {
    run();
    return [];
  } catch (error) {
    if (error instanceof BackupError && error.kind === "config") return [error.message];
    throw error;
  }
};
const RENDER: Declarations = { types: FILE.types ?? ARGUMENT_TYPES };
const ROADS: readonly Road[] = [
  {
    name: "render",
    type: "RenderFile",
    base: FILES,
    declarations: RENDER,
    schema: "render.schema.json",
    refusals: (file) => textsOf(renderGitops(file, BUNDLE, false).findings),
  },
  {
    name: "render --format=nixos",
    type: "FileHost",
    base: { hosts: { ledger: HOST } },
    declarations: RENDER,
    schema: "render.schema.json",
    refusals: (file) => textsOf(renderNixosHost("ledger", file).findings),
  },
  {
    name: "pgbackstop.json",
    type: "SettingsFile",
    base: SETTINGS,
    declarations: FILE_DECLARATIONS,
    schema: "settings.schema.json",
    refusals: (file) => thrownBy(() => parseSettings(JSON.stringify(file), "pgbackstop.json")),
  },
  {
    name: "notify.json",
    type: "NotifyFile",
    base: NOTIFY,
    declarations: FILE_DECLARATIONS,
    schema: "notify.schema.json",
    refusals: (file) => thrownBy(() => parseTargets(JSON.stringify(file), "notify.json", () => {})),
  },
];

const keyBelow = (name: string): string => (name === "clusters" ? "orders" : name === "attach" ? "legacy" : "repo1");

describe.each(ROADS)("$name", (road) => {
  const validate = new Ajv({ strict: false }).compile(fileSchemas()[road.schema] ?? {});
  const root: Keys = road.type === "FileHost" ? ["hosts", "ledger"] : [];
  const locations = fieldsBelow({ kind: "fields", name: road.type }, root, road.declarations, keyBelow);
  const all = locations.flatMap((keys) => STRANGE.map((strange) => ({ keys, strange })));
  const chosen = drawn(all, CASES);

  /** What is wrong with the answer to a value. */
  function faultOf(keys: Keys, strange: unknown): string[] {
    const file = withValue(road.base, keys, strange) as object;
    const what = `${keys.join(".")} = ${JSON.stringify(strange).slice(0, 40)}`;
    try {
      const refusals = road.refusals(file);
      const isWrongType = refusals.some((text) => /^(PB190|PB191|PB118) /.test(text));
      if (!validate(file) && refusals.length === 0) return [`${what} is taken`];
      // JSON's schema has no largest integer, and a rule says which pooler an override is for. Without a container a
      // host needs a data directory, and without a catalog an extension needs an image.
      const isOpen =
        strange === 1e300 ||
        ["overrides", "extensions"].some((key) => keys.includes(key)) ||
        keys.at(-1) === "dataDirectory";
      if (validate(file) && isWrongType && !isOpen) return [`${what} is valid: ${refusals[0]?.slice(0, 150)}`];
      return refusals.filter((text) => text.length > 1000).map((text) => `${what} is quoted: ${text.slice(0, 100)}`);
    } catch (error) {
      return [`${what} throws ${String(error).slice(0, 200)}`];
    }
  }

  test("the base is taken", () => {
    expect(road.refusals(road.base)).toEqual([]);
    expect(validate(road.base), JSON.stringify(validate.errors)).toBe(true);
  });

  test(`a strange value is refused in words, or fits (${chosen.length} of ${all.length})`, () => {
    expect(chosen.flatMap(({ keys, strange }) => faultOf(keys, strange))).toEqual([]);
  });

  test("an unknown field beside each one is refused", () => {
    for (const keys of locations.filter(
      (each, index) => typeof each.at(-1) === "string" && index % (NIGHTLY ? 1 : 3) === 0,
    )) {
      const unknown = [...keys.slice(0, -1), `${keys.at(-1)}Zz`];
      const file = withValue(road.base, unknown, 1) as object;
      expect(road.refusals(file).length, unknown.join(".")).toBeGreaterThan(0);
    }
  });
});
