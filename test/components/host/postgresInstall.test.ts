/** An update that continues one which was cut off while it created a cluster, with doubles of Debian's programs. */
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { CLUSTER_SCRIPT, PACKAGES_SCRIPT } from "../../../components/host/postgresInstall";

let folder: string;
let data: string;
let note: string;
let configuration: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "install-"));
  data = join(folder, "data");
  note = join(folder, "postgresql.unfinished");
  configuration = join(folder, "etc", "18", "main");
  mkdirSync(data);
  mkdirSync(join(folder, "bin"));
  mkdirSync(configuration, { recursive: true });
  program(
    "pg_createcluster",
    `echo made >> ${folder}/calls; mkdir -p ${configuration}; touch ${data}/postgresql.auto.conf`,
  );
  program("systemctl", "");
  program("pg_ctlcluster", "");
  program("pg_lsclusters", `echo "18  main 5432 online postgres ${data}"`);
  ofConfiguration("");
  writeFileSync(note, `creating ${data}\n`);
  writeFileSync(join(data, "postgresql.auto.conf"), "");
  writeFileSync(join(data, "rows"), "");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const program = (name: string, text: string): void => {
  writeFileSync(join(folder, "bin", name), `#!/bin/sh\n${text}\n`);
  chmodSync(join(folder, "bin", name), 0o755);
};
/** The directory that Debian's configuration names. */
const ofConfiguration = (directory: string): void =>
  program("pg_conftool", directory === "" ? "exit 1" : `echo ${directory}`);
const resumed = (): string => {
  const args = ["18", data, "5432", note, join(folder, "etc")];
  const env = { ...process.env, PATH: `${join(folder, "bin")}:${process.env["PATH"] ?? ""}` };
  return spawnSync("/bin/sh", ["-c", CLUSTER_SCRIPT, "sh", ...args], { env, encoding: "utf8" }).stderr;
};
const wasMade = (): boolean => existsSync(join(folder, "calls"));

test.each([
  ["postmaster.opts", "postgres -D data"],
  ["postmaster.pid", "4711\n"],
  ["backup_label", ""],
  ["recovery.signal", ""],
  ["standby.signal", ""],
])("a cluster with %s is in use: its rows stay, and the update finishes it", (name, text) => {
  writeFileSync(join(data, name), text);
  expect(resumed()).toBe("");
  expect(existsSync(join(data, "rows"))).toBe(true);
  expect(existsSync(configuration)).toBe(true);
  expect(wasMade()).toBe(false);
  expect(readFileSync(join(data, "postgresql.auto.conf"), "utf8")).toBe("archive_mode = 'on'\n");
  expect(existsSync(note)).toBe(false);
});

test.each([
  ["nothing", ""],
  ["the file of initdb's own server", "-4711\n"],
])("what initdb left behind with %s is made again", (_name, pid) => {
  if (pid !== "") writeFileSync(join(data, "postmaster.pid"), pid);
  ofConfiguration(data);
  expect(resumed()).toBe("");
  expect(existsSync(join(data, "rows"))).toBe(false);
  expect(wasMade()).toBe(true);
  expect(existsSync(note)).toBe(false);
});

test("the configuration of another cluster is not removed", () => {
  ofConfiguration("/srv/other");
  expect(resumed()).toContain("is now of the cluster in /srv/other");
  expect(existsSync(configuration)).toBe(true);
  expect(existsSync(join(data, "rows"))).toBe(true);
});

test("a failed installation removes the source list that it made, and none of an earlier one", () => {
  const root = join(folder, "root");
  const sources = join(root, "etc/apt/sources.list.d/pgbackstop-pgdg.sources");
  const keys = join(root, "usr/share/postgresql-common/pgdg");
  for (const path of [join(root, "etc/apt/sources.list.d"), keys]) mkdirSync(path, { recursive: true });
  writeFileSync(join(keys, "apt.postgresql.org.asc"), "");
  program("dpkg", "");
  program("apt-get", 'case "$*" in *broken*) exit 100 ;; esac');
  const env = { ...process.env, PATH: `${join(folder, "bin")}:${process.env["PATH"] ?? ""}` };
  const installed = (name: string): number | null =>
    spawnSync("/bin/sh", ["-c", PACKAGES_SCRIPT, "sh", "pgdg", "trixie", root, name], { env }).status;
  expect([installed("broken"), existsSync(sources)]).toEqual([100, false]);
  expect([installed("postgresql-18"), existsSync(sources)]).toEqual([0, true]);
  expect([installed("broken"), existsSync(sources)]).toEqual([100, true]);
  expect(readFileSync(sources, "utf8")).toContain("Suites: trixie-pgdg");
  expect(existsSync(join(root, "etc/postgresql-common/createcluster.d/pgbackstop.conf"))).toBe(false);
});
