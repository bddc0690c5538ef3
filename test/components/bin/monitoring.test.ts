/** `pgbackstop alerts` and `pgbackstop dashboard`: files in, text out. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { monitoringMain } from "../../../components/bin/monitoring";
import { renderTopology } from "../../../components/plan/topology/topology";
import { temporaryFolder } from "../../runtime/repository/support";
import { topology } from "../topologies";
import { captureTexts } from "./shownTexts";

let folder: string;
let file: string;
const { all: printed } = captureTexts();
beforeEach(() => {
  folder = temporaryFolder();
  file = join(folder, "topology.json");
  writeFileSync(file, renderTopology(topology()));
});

test("rules are written as a file, and as an object with its namespace and labels", () => {
  expect(monitoringMain("alerts", [file, "--size-limit-gb=100", `--output=${folder}/rules.yml`])).toBe(0);
  expect(readFileSync(join(folder, "rules.yml"), "utf8")).toMatch(
    /^groups:\n {2}- name: "pgbackstop-ledger"\n[\s\S]*> 100000000000"/,
  );
  expect(
    monitoringMain("alerts", [file, "--format=kubernetes", "--namespace=watch", "--label=release=prometheus"]),
  ).toBe(0);
  expect(printed.join("")).toMatch(
    /^apiVersion: monitoring\.coreos\.com\/v1\nkind: PrometheusRule\n[\s\S]*namespace: "watch"\n {2}labels:\n {4}"release": "prometheus"/,
  );
});

test("a dashboard has its title", () => {
  expect(monitoringMain("dashboard", [file, "--title=Ledger"])).toBe(0);
  expect((JSON.parse(printed.join("")) as { title: string }).title).toBe("Ledger");
});

test("a database whose engine has no metrics of this package is reported", () => {
  const [database] = topology().databases;
  writeFileSync(
    file,
    renderTopology({
      ...topology(),
      databases: database === undefined ? [] : [{ ...database, kind: "cnpg", engine: "barman-cloud" }],
    }),
  );
  expect(monitoringMain("alerts", [file])).toBe(0);
  expect(printed.join("")).toContain("warning: ledger: no rules, because its engine has no pgbackstop metrics");
  expect(printed.join("")).toContain("groups: []");
});

test("a host and a cluster of one name get a group each, and what is hidden is named", () => {
  const [database] = topology().databases;
  const hidden = { ...topology(), objectives: { rpoSeconds: "[secret]" } };
  const state = (type: string, of: object): object => ({
    urn: `urn:pulumi:prod::shop::pgbackstop:index:${type}::ledger`,
    type: `pgbackstop:index:${type}`,
    inputs: { topology: of },
  });
  const cluster = { ...topology(), databases: [{ ...database, kind: "cnpg", namespace: "shop", cluster: "ledger" }] };
  const resources = [state("PostgresHost", hidden), state("CnpgCluster", cluster)];
  writeFileSync(file, JSON.stringify({ version: 3, deployment: { resources } }));
  expect(monitoringMain("alerts", [file, `--output=${folder}/rules.yml`]), printed.join("")).toBe(0);
  const names = [...readFileSync(join(folder, "rules.yml"), "utf8").matchAll(/^ {2}- name: "(.*)"$/gm)];
  expect(names.map(([, name]) => name)).toEqual(["pgbackstop-ledger", "pgbackstop-ledger-2"]);
  expect(printed.join("")).toBe(
    "warning: ledger: no rules about objectives.rpoSeconds: it is secret or not known yet\n",
  );
});

test.each([
  [["x", "y"], "takes one file"],
  [["--nonsense=1", "x"], "unknown option"],
  [["/none.json"], "unable to read /none.json"],
  [["FILE", "--size-limit-gb=-1"], "--size-limit-gb takes a number above 0"],
  [["FILE", "--format=toml"], "--format takes file or kubernetes"],
])("invalid arguments are reported: %j", (argv, text) => {
  expect(
    monitoringMain(
      "alerts",
      argv.map((arg) => (arg === "FILE" ? file : arg)),
    ),
  ).toBe(2);
  expect(printed.join("")).toContain(text);
});
