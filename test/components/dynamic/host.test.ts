import { expect, test } from "vitest";
import { rememberPassphrases } from "../../../components/credentials/fingerprint";
import {
  desiredOf,
  diff,
  differences,
  type GivenInputs,
  type HostInputs,
  type HostOutputs,
  update,
} from "../../../components/dynamic/host";
import { runtimeBundleSha256 } from "../../../components/internal/runtimeBundle";
import { UNKNOWN } from "../../../components/dynamic/previewValues";
import { desiredText, sha256Hex } from "../../../components/host/desiredFiles";

const inputs: HostInputs = {
  connection: { local: {} },
  owner: "urn:pulumi:prod::shop::pgbackstop:index:PostgresHost::db",
  dataDirectory: "/data",
  desired: {
    stanza: "main",
    server: { user: "postgres", mayRestart: false, restartCommand: [] },
    directories: { config: "/etc/x", units: "/etc/systemd/system", make: [], keep: [], mounts: [] },
    runtime: { path: "/lib/runtime.cjs", sha256: "ab", argv: ["/usr/bin/node"] },
    units: { enabled: ["pgbackstop-main-full.timer"], restarted: [] },
    backups: { takeFirst: true },
  },
  files: {
    "/etc/x/pgbackrest.conf": { mode: "0644", owner: "admin", text: "conf", secret: false },
    "/etc/x/conf.d/repo1.conf": { mode: "0600", owner: "database", text: "marker", secret: true },
  },
  ciphers: {},
  settings: { archive_mode: "on" },
};

/** As the engine passes them on. */
function given({ desired, files, ...others }: HostInputs): GivenInputs {
  return { ...others, desired: JSON.stringify(desired), files: JSON.stringify(files) };
}

const EMPTY = '[{"repository":"repo2","newestFull":null,"newestWal":null}]';

const outputs: HostOutputs = {
  identity: {
    connection: { local: {} },
    owner: "urn:pulumi:prod::shop::pgbackstop:index:PostgresHost::db",
    stanza: "main",
    user: "postgres",
    dataDirectory: "/data",
    directories: { config: "/etc/x", units: "/etc/systemd/system" },
    runtimeArgv: ["/usr/bin/node"],
    units: { enabled: ["pgbackstop-main-full.timer"], restarted: [] },
    settings: { archive_mode: "on" },
    allowRestart: false,
    restartCommand: [],
    owners: { "/etc/x/conf.d/repo1.conf": "database" },
    secretPaths: ["/etc/x/conf.d/repo1.conf"],
  },
  fileFacts: {
    "/etc/x/pgbackrest.conf": desiredText({ mode: "0644", owner: "admin" }, sha256Hex("conf")),
    "/lib/runtime.cjs": "0644 admin sha256:ab",
  },
  secretFileFacts: {
    "/etc/x/conf.d/repo1.conf": desiredText({ mode: "0600", owner: "database" }, sha256Hex("marker")),
  },
  driftedFacts: {},
  settingFacts: { archive_mode: "on" },
  unitFacts: { "pgbackstop-main-full.timer": "enabled active" },
  previousSettings: {},
  madeDirectories: [],
  serverVersion: 180004,
  versions: { node: "v24.16.0" },
  nodeFact: "",
  nodePaths: [],
  status: {
    timersEnabled: true,
    pendingRestart: false,
    firstBackup: "taken",
    destinations:
      '[{"repository":"repo1","newestFull":{"label":"20261120-065325F","stoppedAt":"2026-11-20T06:53:30Z"},"newestWal":null}]',
  },
  stanzaMade: true,
  ready: true,
  drift: [],
  keptSignIn: [],
  cipherFingerprints: {},
};

test("a host as declared has no difference, in any order of keys", () => {
  expect(differences(outputs, inputs)).toEqual([]);
  expect(
    differences(
      structuredClone({
        ...outputs,
        identity: Object.fromEntries(Object.entries(outputs.identity).reverse()) as never,
      }),
      inputs,
    ),
  ).toEqual([]);
});

test("what is desired comes as one text", async () => {
  expect(await diff("db", outputs, given(inputs))).toMatchObject({ changes: false });
  const desired = { ...inputs.desired, units: { enabled: [], restarted: [] } };
  expect(await diff("db", outputs, given({ ...inputs, desired }))).toMatchObject({ changes: true, replaces: [] });
});

test("a file with the usual rights is its text alone, or has all its fields", () => {
  const { "/etc/x/pgbackrest.conf": conf, ...others } = inputs.files;
  expect(conf).toMatchObject({ text: "conf" });
  const brief = (text: string): HostInputs => ({ ...inputs, files: { ...others, "/etc/x/pgbackrest.conf": text } });
  expect(differences(outputs, brief("conf"))).toEqual(differences(outputs, inputs));
  expect(differences(outputs, brief("new"))).toContain("/etc/x/pgbackrest.conf");
});

test.each<[string, Partial<HostOutputs>, Partial<HostInputs>, string[]]>([
  [
    "another text",
    {},
    {
      files: {
        ...inputs.files,
        "/etc/x/pgbackrest.conf": { mode: "0644", owner: "admin", text: "new", secret: false },
      },
    },
    ["/etc/x/pgbackrest.conf"],
  ],
  [
    "another secret",
    {},
    {
      files: {
        ...inputs.files,
        "/etc/x/conf.d/repo1.conf": { mode: "0600", owner: "database", text: "new", secret: true },
      },
    },
    ["/etc/x/conf.d/repo1.conf"],
  ],
  [
    "another runtime",
    {},
    { desired: { ...inputs.desired, runtime: { ...inputs.desired.runtime, sha256: "cd" } } },
    ["/lib/runtime.cjs"],
  ],
  [
    "a file made unreadable",
    { fileFacts: { ...outputs.fileFacts, "/etc/x/pgbackrest.conf": "missing" } },
    {},
    ["/etc/x/pgbackrest.conf"],
  ],
  ["a setting changed by hand", { settingFacts: { archive_mode: "off" } }, {}, ["archive_mode"]],
  [
    "a timer that stopped",
    { unitFacts: { "pgbackstop-main-full.timer": "enabled inactive" } },
    {},
    ["pgbackstop-main-full.timer"],
  ],
  ["timers without systemd", { status: { ...outputs.status, timersEnabled: false }, unitFacts: {} }, {}, []],
  ["a pending restart", { status: { ...outputs.status, pendingRestart: true } }, {}, ["pendingRestart"]],
  ["steps that failed", { ready: false }, {}, ["ready"]],
  [
    "another major version of PostgreSQL",
    {},
    {
      desired: {
        ...inputs.desired,
        server: { ...inputs.desired.server, postgres: { version: 18, install: true, port: 5432 } },
      },
    },
    ["identity"],
  ],
  [
    "a Node.js that was changed by hand",
    { nodeFact: "link to /tmp/node", driftedFacts: { "Node.js": "link to /usr/bin/node" } },
    {},
    ["Node.js"],
  ],
  [
    "a Node.js that no update brought",
    { nodeFact: "link to /tmp/node", driftedFacts: { "Node.js": "" } },
    {},
    ["Node.js"],
  ],
  ["a Node.js as it was brought", { nodeFact: "link to /tmp/node" }, {}, []],
  ["a component with another name and an alias", {}, { owner: "urn:pulumi:prod::shop::x::y" }, ["identity"]],
  [
    "a restart that is now allowed",
    {},
    { desired: { ...inputs.desired, server: { ...inputs.desired.server, mayRestart: true } } },
    ["identity"],
  ],
  [
    "a repository that lost its full backups",
    { status: { ...outputs.status, destinations: EMPTY } },
    {},
    ["destinations"],
  ],
  [
    "a repository without full backups that expects none",
    { status: { ...outputs.status, destinations: EMPTY, firstBackup: "off" } },
    { desired: { ...inputs.desired, backups: { ...inputs.desired.backups, takeFirst: false } } },
    [],
  ],
  [
    "an unreadable repository",
    { status: { ...outputs.status, destinations: EMPTY.replace("}", ',"error":"[HostConnectError]"}') } },
    {},
    [],
  ],
  ["a requested first backup", { status: { ...outputs.status, firstBackup: "off" } }, {}, ["firstBackup"]],
])("%s", (_what, olds, news, expected) => {
  expect(differences({ ...outputs, ...olds }, { ...inputs, ...news })).toEqual(expected);
});

test("another data directory replaces the host; the old one is undone first", async () => {
  expect(await diff("local/main", outputs, given({ ...inputs, dataDirectory: "/other" }))).toEqual({
    changes: true,
    replaces: ["dataDirectory"],
    deleteBeforeReplace: true,
  });
  expect(await diff("local/main", outputs, given(inputs))).toEqual({
    changes: false,
    replaces: [],
    deleteBeforeReplace: true,
  });
});

test("another data directory with a newer declared version is an upgrade of the same host", async () => {
  const at = (version: number | undefined, over: Partial<HostInputs["desired"]> = {}): HostInputs => {
    const postgres = version === undefined ? {} : { postgres: { version, install: false, port: 5432 } };
    const server = { ...inputs.desired.server, ...postgres };
    return { ...inputs, dataDirectory: "/other", desired: { ...inputs.desired, server, ...over } };
  };
  const replaced = async (news: HostInputs, olds: Partial<HostOutputs> = {}): Promise<string[]> =>
    (await diff("local/main", { ...outputs, ...olds }, given(news))).replaces;
  expect(await replaced(at(19))).toEqual([]);
  for (const version of [undefined, 17, 18]) expect(await replaced(at(version))).toEqual(["dataDirectory"]);
  expect(await replaced(at(19, { stanza: "else" }))).toEqual(["dataDirectory"]);
  expect(await replaced(at(19, { stock: {} as never }))).toEqual(["dataDirectory"]);
  expect(await replaced(at(19), { serverVersion: 0 })).toEqual(["dataDirectory"]);
  // One under way.
  for (const version of [undefined, 18]) expect(await replaced(at(version), { upgradedFrom: "/former" })).toEqual([]);
  expect(await replaced({ ...at(19), settings: {} })).toEqual(["dataDirectory", "settings"]);
  expect(await replaced({ ...at(19), connection: { ssh: { host: "db2" } } as never })).toEqual(["connection"]);
});

test("another passphrase for a location is refused with the remedy, whatever its present key; a new location accepts any", async () => {
  const location = "s3://backups/ledger at s3.example.net:443";
  const known = {
    ...outputs,
    cipherFingerprints: rememberPassphrases({ repo2: { location, passphrase: "the first passphrase" } }, {}),
  };
  const wanting = (passphrase: string, at = location): HostInputs => ({
    ...inputs,
    ciphers: { repo3: { location: at, passphrase } },
  });
  expect((await diff("local/main", known, given(wanting("the first passphrase")))).changes).toBe(false);
  for (const passphrase of ["the second passphrase", ""]) {
    const refusal = diff("local/main", known, given(wanting(passphrase)));
    await expect(refusal).rejects.toThrow(
      /cannot be changed in place:\n {2}repo3: the passphrase of s3:\/\/backups\/ledger at .* add one under another key at a new path/,
    );
    await expect(refusal).rejects.not.toThrow("second");
    await expect(update("local/main", known, given(wanting(passphrase)))).rejects.toThrow("cannot be changed in place");
  }
  await expect(
    diff("local/main", known, given(wanting("any", "s3://backups/ledger2 at s3.example.net:443"))),
  ).resolves.toMatchObject({ changes: false });
});

test("a state of an unknown earlier version is a difference, not a crash", async () => {
  expect((await diff("local/main", {}, given(inputs))).changes).toBe(true);
  const { ciphers: _none, ...earlier } = inputs;
  expect((await diff("local/main", outputs, given(earlier as HostInputs))).changes).toBe(false);
});

test("a preview judges no value that it does not know yet, and the update does", async () => {
  const location = "s3://backups/ledger at s3.example.net:443";
  const ciphers = { repo2: { location, passphrase: "the first passphrase" } };
  const known = { ...outputs, cipherFingerprints: rememberPassphrases(ciphers, {}) };
  const judged = (over: Partial<HostInputs>): ReturnType<typeof diff> =>
    diff("local/main", known, given({ ...inputs, ...over }));
  for (const cipher of [{ location, passphrase: UNKNOWN }, { location: UNKNOWN, passphrase: "any" }, UNKNOWN as never])
    await expect(judged({ ciphers: { repo2: cipher } })).resolves.toMatchObject({ replaces: [] });
  await expect(judged({ ciphers: UNKNOWN as never })).resolves.toMatchObject({ replaces: [] });
  const unknown = { changes: true, replaces: [], deleteBeforeReplace: true };
  for (const connection of [UNKNOWN, { ssh: UNKNOWN }, { ssh: { host: UNKNOWN } }])
    expect(await judged({ connection: connection as never })).toEqual(unknown);
  expect(await judged({ dataDirectory: UNKNOWN })).toEqual(unknown);
  const wrong = given({ ...inputs, ciphers: { repo2: { location, passphrase: "another passphrase" } } });
  await expect(update("local/main", known, wrong)).rejects.toThrow("cannot be changed in place");
});

test("an update knows where its repositories are, unless that is secret", () => {
  const argv = ["/usr/bin/node", "/lib/runtime.cjs", "--config=/etc/x/pgbackrest.conf"];
  const runtime = { ...inputs.desired.runtime, sha256: runtimeBundleSha256(), argv };
  const locations = (secret: boolean): unknown => {
    const conf = { mode: "0644", owner: "admin", text: "[global]\nrepo1-path=/nas\n", secret } as const;
    const files = { ...inputs.files, "/etc/x/pgbackrest.conf": conf };
    return desiredOf({ ...inputs, desired: { ...inputs.desired, runtime }, files }).locations;
  };
  expect(locations(false)).toEqual({ repo1: expect.stringMatching(/^[0-9a-f]{16}$/) as string });
  expect(locations(true)).toBeUndefined();
});
