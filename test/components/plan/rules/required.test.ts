/** Arguments that JavaScript, Python and YAML programs may leave out: findings before anything is created. */
import * as pulumi from "@pulumi/pulumi";
import { beforeAll, expect, test } from "vitest";
import { CnpgBackup, CnpgCluster, CnpgRestore } from "../../../../components/index";
import { checkRequired, REQUIRED } from "../../../../components/plan/rules/required";
import { projectFolder } from "../../../../tools/parts/cache";
import { readPublicTypes } from "../../../../tools/docs/componentTypes";

beforeAll(() =>
  pulumi.runtime.setMocks({ call: () => ({}), newResource: ({ name }) => ({ id: name, state: {} }) }, "shop", "prod"),
);

const REPOSITORIES = { repo1: { at: { name: "a" } } };

test.each([
  ["nothing at all", {}, ["PB118 namespace", "PB118 repositories", "PB118 storageGiB"]],
  ["null, as YAML writes it", { namespace: null, repositories: REPOSITORIES, storageGiB: 1 }, ["PB118 namespace"]],
  [
    "a repository without its location",
    { namespace: "db", repositories: { repo1: {} }, storageGiB: 1 },
    ["PB118 repositories.repo1.at"],
  ],
  [
    "a part of an optional argument",
    { namespace: "db", repositories: REPOSITORIES, storageGiB: 1, walStorage: {}, schedules: { full: {} } },
    ["PB118 schedules.full.cron", "PB118 walStorage.sizeGiB"],
  ],
  [
    "an output, whatever it has",
    { namespace: pulumi.output("db"), repositories: pulumi.output({}), storageGiB: pulumi.output(1) },
    [],
  ],
])("%s", (_what, args, expected) => {
  expect(checkRequired("CnpgCluster", args).map(({ code, path }) => `${code} ${path}`)).toEqual(expected);
});

test("every required argument of the types is in the list, and no other", () => {
  const types = readPublicTypes(projectFolder());
  for (const [component, paths] of Object.entries(REQUIRED)) {
    const args = types.find(({ name }) => name === `${component}Args`);
    const required = (args?.kind === "fields" ? args.fields : []).filter(({ optional }) => !optional);
    const top = paths.filter((path) => !path.includes("."));
    expect([...top].sort(), component).toEqual(required.map(({ name }) => name).sort());
  }
});

test("the components throw them together, before they register anything", () => {
  const none = {} as never;
  expect(() => new CnpgCluster("orders", none)).toThrow(
    /CnpgCluster orders: 3 errors in the arguments[^]*PB118 namespace[^]*PB118 repositories[^]*PB118 storageGiB: it is required/,
  );
  expect(() => new CnpgBackup("legacy", none)).toThrow(/CnpgBackup legacy: 3 errors[^]*PB118 clusterName/);
  expect(() => new CnpgRestore("copy", none)).toThrow(
    /CnpgRestore copy: 3 errors[^]*PB118 storageGiB: [^]*take it from the source cluster: \.\.\.orders\.like[^]*PB118 source: /,
  );
  expect(() => new CnpgRestore("copy", { source: { repositories: {} } } as never)).toThrow(/PB118 source\.stanza/);
});
