/**
 * An update that continues one which was cut off while it created a cluster, and what a recovery needs of the cluster's
 * place, with doubles of Debian's programs.
 */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { CLUSTER_SCRIPT, PACKAGES_SCRIPT } from "../../../components/host/postgresInstall";
import { actAs } from "../../../runtime/local/actAs";
import { moveAside, moveBack, prepare, requireOwned, requireRights } from "../../../runtime/operations/recover/moves";

const isRoot = process.geteuid?.() === 0;

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
  // Only root may take another account's rights.
  if (!isRoot) program("setpriv", 'while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"');
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
const resumed = (account = String(process.geteuid?.() ?? 0)): string => {
  const args = ["18", data, "5432", note, join(folder, "etc"), account];
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

/** The place of a cluster that is made below an existing directory, as `recover` sees it. */
describe.runIf(isRoot)("a cluster that is made", () => {
  const account = { uid: 61_111, gid: 61_111, mode: 0o700 };
  const stranger = 61_222;
  const rights = { asAccount: <T>(work: () => Promise<T>): Promise<T> => actAs(account, work) };
  let top: string;
  beforeEach(() => {
    rmSync(note);
    rmSync(configuration, { recursive: true });
    top = mkdtempSync("/var/lib/pgb-install-");
    chmodSync(top, 0o755);
    // As Debian's does.
    program(
      "pg_createcluster",
      'for each do case $each in --datadir=*) directory=${each#--datadir=} ;; esac; done; install -d -m 0700 -o 61111 -g 61111 "$directory"; touch "$directory/postgresql.auto.conf"',
    );
  });
  afterEach(() => rmSync(top, { recursive: true, force: true }));

  const directory = (path: string, uid: number, mode = 0o755): void => {
    mkdirSync(path, { recursive: true });
    chownSync(path, uid, uid);
    chmodSync(path, mode);
  };
  const recovered = async (): Promise<void> => {
    const moved = { account, dataDirectory: data, moves: [{ from: data, to: `${data}.old` }], stamp: "1" };
    await requireOwned(moved);
    await requireRights(moved, rights);
    await moveAside(moved, rights);
    await prepare(moved, rights);
    expect(await moveBack(moved, rights)).toEqual([`${data}.recovered-1`]);
    expect(lstatSync(data).uid).toBe(account.uid);
  };

  // claim: docs/hosts/updates.md: `recover` can rename the data directory of a cluster that an update makes
  test.each([
    ["Debian's and README's place", "postgresql/18/main", 0],
    ["a directory of root", "srv/pg/18", 0],
    ["a directory that exists", "postgresql/main", 0],
    ["a place behind a link", "link/18/main", 0],
    ["a directory that every account may write", "open/18/main", 0],
    ["a directory of the account's group", "group/18/main", 0],
    ["a directory of root in one of the account", "mixed/root/18/main", 88],
    ["a directory of another account", "stranger/18/main", 88],
  ])("in %s can be recovered, or is not made", async (_title, name, refused) => {
    directory(join(top, "postgresql"), account.uid);
    directory(join(top, "srv"), 0);
    directory(join(top, "open"), 0, 0o1777);
    directory(join(top, "group"), 0, 0o775);
    chownSync(join(top, "group"), 0, account.gid);
    directory(join(top, "mixed"), account.uid);
    directory(join(top, "mixed/root"), 0);
    directory(join(top, "stranger"), stranger);
    symlinkSync(join(top, "postgresql"), join(top, "link"));
    data = join(top, name);
    const printed = resumed(String(account.uid));
    if (refused === 0) {
      expect(printed).toBe("");
      data = data.replace("/link/", "/postgresql/");
      return recovered();
    }
    expect(printed).toContain(`neither root alone nor ${account.uid} may rename in ${dirname(data)}`);
    expect([existsSync(dirname(data)), existsSync(note)]).toEqual([false, false]);
  });
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
