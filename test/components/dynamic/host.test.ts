import { expect, test } from "vitest";
import { diff, differences, type HostInputs, type HostOutputs } from "../../../components/dynamic/host";
import { desiredText, sha256Hex } from "../../../components/host/files";

const inputs: HostInputs = {
  connection: { local: {} },
  stanza: "main",
  user: "postgres",
  nodePath: "/usr/bin/node",
  dataDirectory: "/data",
  directories: { config: "/etc/x", units: "/etc/systemd/system" },
  files: {
    "/etc/x/pgbackrest.conf": { mode: "0644", owner: "admin", text: "conf", secret: false },
    "/etc/x/conf.d/repo1.conf": { mode: "0600", owner: "database", text: "marker", secret: true },
  },
  runtimePath: "/lib/runtime.cjs",
  runtimeSha256: "ab",
  runtimeArgv: ["/usr/bin/node"],
  directoriesToMake: [],
  directoriesToKeep: [],
  mounts: [],
  settings: { archive_mode: "on" },
  timers: ["pgbackstop-main-full.timer"],
  takeFirstBackup: true,
  allowRestart: false,
  restartCommand: [],
};

const outputs: HostOutputs = {
  identity: {
    connection: { local: {} },
    stanza: "main",
    user: "postgres",
    dataDirectory: "/data",
    directories: { config: "/etc/x", units: "/etc/systemd/system" },
    runtimeArgv: ["/usr/bin/node"],
    timers: ["pgbackstop-main-full.timer"],
    settings: { archive_mode: "on" },
    allowRestart: false,
    restartCommand: [],
    owners: { "/etc/x/pgbackrest.conf": "admin", "/etc/x/conf.d/repo1.conf": "database", "/lib/runtime.cjs": "admin" },
    secretPaths: ["/etc/x/conf.d/repo1.conf"],
  },
  fileFacts: {
    "/etc/x/pgbackrest.conf": desiredText({ mode: "0644", owner: "admin" }, sha256Hex("conf")),
    "/lib/runtime.cjs": "0644 admin sha256:ab",
  },
  secretFileFacts: { "/etc/x/conf.d/repo1.conf": desiredText({ mode: "0600", owner: "database" }, sha256Hex("marker")) },
  appliedFacts: {},
  settingFacts: { archive_mode: "on" },
  timerFacts: { "pgbackstop-main-full.timer": "enabled active" },
  timersEnabled: true,
  pendingRestart: false,
  previousSettings: {},
  madeDirectories: [],
  serverVersion: 180004,
  firstBackup: "taken",
  ready: true,
  drift: [],
};

test("a host that is as declared has no difference, whatever the order of keys", () => {
  expect(differences(outputs, inputs)).toEqual([]);
  expect(
    differences(structuredClone({ ...outputs, identity: Object.fromEntries(Object.entries(outputs.identity).reverse()) as never }), inputs),
  ).toEqual([]);
});

test.each<[string, Partial<HostOutputs>, Partial<HostInputs>, string[]]>([
  [
    "another text",
    {},
    { files: { ...inputs.files, "/etc/x/pgbackrest.conf": { mode: "0644", owner: "admin", text: "new", secret: false } } },
    ["/etc/x/pgbackrest.conf"],
  ],
  [
    "another secret",
    {},
    { files: { ...inputs.files, "/etc/x/conf.d/repo1.conf": { mode: "0600", owner: "database", text: "new", secret: true } } },
    ["/etc/x/conf.d/repo1.conf"],
  ],
  ["another runtime", {}, { runtimeSha256: "cd" }, ["/lib/runtime.cjs"]],
  ["a file made unreadable", { fileFacts: { ...outputs.fileFacts, "/etc/x/pgbackrest.conf": "missing" } }, {}, ["/etc/x/pgbackrest.conf"]],
  ["a setting changed by hand", { settingFacts: { archive_mode: "off" } }, {}, ["archive_mode"]],
  ["a timer that stopped", { timerFacts: { "pgbackstop-main-full.timer": "enabled inactive" } }, {}, ["pgbackstop-main-full.timer"]],
  ["timers without systemd", { timersEnabled: false, timerFacts: {} }, {}, []],
  ["a restart that is due", { pendingRestart: true }, {}, ["pendingRestart"]],
  ["steps that failed", { ready: false }, {}, ["ready"]],
  ["a restart that is allowed now", {}, { allowRestart: true }, ["identity"]],
  ["a first backup that is wanted now", { firstBackup: "off" }, {}, ["firstBackup"]],
])("%s", (_what, olds, news, expected) => {
  expect(differences({ ...outputs, ...olds }, { ...inputs, ...news })).toEqual(expected);
});

test("another data directory is another host; the old one is taken back first", async () => {
  expect(await diff("local/main", outputs, { ...inputs, dataDirectory: "/other" })).toEqual({
    changes: true,
    replaces: ["dataDirectory"],
    deleteBeforeReplace: true,
  });
  expect(await diff("local/main", outputs, inputs)).toEqual({ changes: false, replaces: [], deleteBeforeReplace: true });
});

test("a state of an unknown earlier version is a difference, not a crash", async () => {
  expect((await diff("local/main", {}, inputs)).changes).toBe(true);
});
