import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { projectFolder } from "../../../tools/parts/cache";
import { TIERS } from "../../../tools/parts/tiers";
import { describeRun, type Machine, RUN_MINUTES, TIER_MINUTES } from "../../../tools/test/outlook";

const ALL: Machine = {
  obstacle: null,
  hasHostTrees: true,
  hasApiServer: true,
  hasKubernetes: true,
  hasPulumi: true,
  hasVersitygw: true,
};
const NONE: Machine = {
  obstacle: null,
  hasHostTrees: false,
  hasApiServer: false,
  hasKubernetes: false,
  hasPulumi: false,
  hasVersitygw: false,
};
const tiers = TIERS.map((tier) => ({ tier, files: 2 }));
const QUICK = { form: "quick", quick: true, whole: true } as const;
const WHOLE = { form: "all", quick: false, whole: true } as const;

test("a run says first what it does and how long it takes", () => {
  expect(describeRun(tiers, QUICK, ALL)).toContain("about 6 minutes on two idle cores");
  expect(describeRun(tiers, WHOLE, ALL)).toContain("about 19 minutes on two idle cores");
  const hosts = tiers.filter(({ tier }) => tier.name === "hosts");
  expect(describeRun(hosts, { ...WHOLE, whole: false }, ALL)).toBe(
    `at most 6 minutes on two idle cores with warm caches:\n  hosts  2 files  ${hosts[0]?.tier.about}\n`,
  );
});

test("a run says first what it makes once, and which tier is small for what reason", () => {
  expect(describeRun(tiers, QUICK, NONE)).toMatch(
    /hosts +2 files {2}first makes the Debian systems that it boots, once/,
  );
  expect(describeRun(tiers, QUICK, NONE)).toMatch(
    /kubernetes +2 files {2}skipped: kube-apiserver is not built; npm test/,
  );
  expect(describeRun(tiers, WHOLE, NONE)).toMatch(/kubernetes +2 files {2}first builds Kubernetes' programs, once/);
  for (const name of ["engine", "package"]) {
    expect(describeRun(tiers, QUICK, NONE)).toMatch(
      new RegExp(`${name} +2 files {2}skipped: there is no Pulumi CLI; npm`),
    );
    expect(describeRun(tiers, WHOLE, NONE)).toMatch(new RegExp(`${name} +2 files {2}first installs Pulumi's CLI`));
  }
  expect(describeRun(tiers, QUICK, NONE)).toMatch(/data +2 files {2}without versitygw/);
  expect(describeRun(tiers, WHOLE, NONE)).toMatch(/data +2 files {2}first builds versitygw/);
  const closed = describeRun(tiers, WHOLE, { ...ALL, obstacle: "pods need root (namespaces, mounts)" });
  expect(closed).toMatch(/hosts +2 files {2}skipped: hosts need root/);
  expect(closed).toMatch(/kubernetes +2 files {2}only what needs no pods: pods need root/);
});

test("the minutes are those of CONTRIBUTING.md", () => {
  const text = readFileSync(join(projectFolder(), "CONTRIBUTING.md"), "utf8");
  expect(text).toContain(`some ${RUN_MINUTES.quick} minutes on two idle cores`);
  const [line = ""] = text.split("\n").filter((each) => each.startsWith("With warm caches every tier took"));
  expect(line).toContain(`took ${RUN_MINUTES.all} minutes`);
  for (const [name, minutes] of Object.entries(TIER_MINUTES))
    expect(line).toMatch(new RegExp(`\\b${name} ${minutes}\\b`));
});
