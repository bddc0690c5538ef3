import * as fc from "../../harness/properties";
import { describe, expect, test } from "vitest";
import { FILE_SINCE } from "../../../runtime/base/fileDeclarations";
import {
  DEFAULT_SETTINGS,
  levelRangeOf,
  newerFields,
  parseSettings,
  renderSettings,
} from "../../../runtime/config/settings";
import { compareReleases } from "../../../runtime/config/usableFile";
import { VERSION } from "../../../runtime/version";
import type { SettingsFile } from "../../../runtime/config/settingsFields";
import { failure } from "./support";

const FILE = "/etc/pgbackstop/pgbackstop.json";

describe("the settings file", () => {
  test("every field is optional", () => {
    expect(parseSettings("{}", FILE)).toEqual(DEFAULT_SETTINGS);
    expect(parseSettings('{"version":1,"repos":{}}', FILE)).toEqual(DEFAULT_SETTINGS);
    expect(DEFAULT_SETTINGS).toEqual({
      acknowledge: { mode: "all", repoIndexes: [], isDefault: true },
      archiveCommandContains: "pgbackrest",
      repos: {},
    });
  });

  test("reads all fields", () => {
    const text =
      '{"acknowledge":["repo10","repo2"],"archiveCommandContains":"wal-archive","repos":{"repo2":{"compressType":"zst","compressLevel":-3,"s3Quirks":"minio","expectFullWithinS":604800},"repo10":{"compressLevel":99,"expectFullWithinS":"ever"}}}';
    expect(parseSettings(text, FILE)).toEqual({
      acknowledge: { mode: "named", repoIndexes: [2, 10] },
      archiveCommandContains: "wal-archive",
      repos: {
        2: { compressType: "zst", compressLevel: -3, s3Quirks: "minio", expectFullWithinS: 604800 },
        10: { compressLevel: 99, expectFullWithinS: "ever" },
      },
    });
    expect(parseSettings('{"acknowledge":"any"}', FILE).acknowledge).toEqual({ mode: "any", repoIndexes: [] });
  });

  test("reads how often WAL is streamed, and writes it again", () => {
    const stream = { intervalSeconds: 5 };
    expect(parseSettings(renderSettings({ stream }), FILE).stream).toEqual(stream);
    expect(parseSettings("{}", FILE).stream).toBeUndefined();
    for (const synchronous of ["any", "all", ["repo1", "repo2"]] as const) {
      const text = renderSettings({
        stream: { ...stream, synchronous, degradeAfterSeconds: 30, groupMilliseconds: 20 },
      });
      expect(parseSettings(text, FILE).stream).toEqual({
        intervalSeconds: 5,
        synchronous: {
          mode: typeof synchronous === "string" ? synchronous : "named",
          repoIndexes: typeof synchronous === "string" ? [] : [1, 2],
          degradeAfterSeconds: 30,
          groupMilliseconds: 20,
        },
      });
      expect(renderSettings(JSON.parse(text))).toBe(text);
    }
  });

  test("reads the drills' objectives, and writes them again", () => {
    const drill = {
      objectives: { rtoSeconds: 1800, rpoSeconds: 60 },
      heartbeat: { sql: "SELECT max(at) FROM beat" },
      assertions: [{ name: "orders", database: "shop", sql: "SELECT count(*) > 0\nFROM orders" }],
    };
    expect(parseSettings(renderSettings({ drill }), FILE).drill).toEqual({ ...drill, declared: {} });
    expect(parseSettings('{"drill":{}}', FILE).drill).toEqual({ objectives: {}, assertions: [], declared: {} });
  });

  test("reads declared drills, and writes them again", () => {
    const declared = {
      monthly: {},
      weekly: {
        repos: ["repo2", "repo1"],
        pick: "newest",
        level: "quick",
        maxMinutes: 90,
        maxBytes: 1024,
        path: "/srv/drill",
      },
    } as const;
    const { repos: _repos, ...weekly } = declared.weekly;
    const text = renderSettings({ drill: { declared }, repos: { repo1: { expectBackupWithinS: 90_000 } } });
    expect(JSON.parse(text)).toMatchObject({ drill: { declared }, repos: { repo1: { expectBackupWithinS: 90_000 } } });
    const read = parseSettings(text, FILE);
    expect(read.drill?.declared).toEqual({ monthly: {}, weekly: { ...weekly, repoIndexes: [2, 1] } });
    expect(read.repos[1]).toEqual({ expectBackupWithinS: 90_000 });
  });

  test.each([
    ['{"acknowlege":"all"}', "Did you mean acknowledge?"],
    ['{"repos":{"repo1":{"compresType":"gz"}}}', "Did you mean compressType?"],
    ['{"drill":{"objectives":{"rtoSecond":1}}}', "Did you mean rtoSeconds?"],
  ])("%s: %s", (text, hint) => {
    expect(() => parseSettings(text, FILE)).toThrow(expect.objectContaining({ hints: [hint] }));
  });

  test.each([
    ["", "is not valid JSON"],
    ['{"a"', "is not valid JSON at position 4"],
    ["[]", "is a list, and must be a section with names\nHINT: Write a name instead of each dash."],
    ["null", "is empty\nHINT: Give it a value, or leave it out."],
    ['{"acknowlege":"all"}', "has an unknown field 'acknowlege'\nHINT: Did you mean acknowledge?"],
    [
      '{"drill":{"rto":1}}',
      "has an unknown field 'drill.rto'\nHINT: It takes assertions, declared, heartbeat, objectives.",
    ],
    ['{"stream":{}}', "field 'stream.intervalSeconds' is required, and not given\nHINT: Set stream.intervalSeconds."],
    ['{"stream":{"intervalSeconds":0}}', "field 'stream.intervalSeconds' is 0, and must be 1 to 3600"],
    [
      '{"stream":{"intervalSeconds":0.5}}',
      "field 'stream.intervalSeconds' is 0.5, and must be a whole number, 1 to 3600",
    ],
    [
      '{"stream":{"seconds":5}}',
      "has an unknown field 'stream.seconds'\nHINT: It takes degradeAfterSeconds, groupMilliseconds, intervalSeconds, synchronous.",
    ],
    [
      '{"stream":{"intervalSeconds":5,"synchronous":"both"}}',
      "field 'stream.synchronous' is the text \"both\", and must be all, any or a list of repo1 to repo256",
    ],
    [
      '{"stream":{"intervalSeconds":5,"synchronous":"any","degradeAfterSeconds":0}}',
      "field 'stream.degradeAfterSeconds' is 0, and must be 1 to 86400",
    ],
    [
      '{"stream":{"intervalSeconds":5,"synchronous":"any","groupMilliseconds":20000}}',
      "field 'stream.groupMilliseconds' is 20000, and must be 1 to 10000",
    ],
    [
      '{"stream":{"intervalSeconds":5,"degradeAfterSeconds":30}}',
      "field 'stream.degradeAfterSeconds' has an effect only beside stream.synchronous",
    ],
    ['{"drill":{"objectives":{"rtoSeconds":0}}}', "field 'drill.objectives.rtoSeconds' is 0, and must be 1 or more"],
    [
      '{"drill":{"heartbeat":{"database":"a"}}}',
      "field 'drill.heartbeat.sql' is required, and not given\nHINT: Set drill.heartbeat.sql.",
    ],
    [
      '{"drill":{"declared":{"a":{"repos":[]}}}}',
      "field 'drill.declared.a.repos' has 0 items, and must have 1 or more",
    ],
    [
      '{"drill":{"declared":{"a":{"repos":["repo0"]}}}}',
      "field 'drill.declared.a.repos[0]' is the text \"repo0\", and must be repo1 to repo256",
    ],
    [
      '{"drill":{"declared":{"a":{"level":"deep"}}}}',
      "field 'drill.declared.a.level' is the text \"deep\", and must be one of quick, standard, thorough",
    ],
    [
      '{"drill":{"declared":{"a":{"maxMinutes":0}}}}',
      "field 'drill.declared.a.maxMinutes' is 0, and must be 1 or more",
    ],
    [
      '{"drill":{"declared":{"a":{"path":"drill"}}}}',
      "field 'drill.declared.a.path' is the text \"drill\", and must be an absolute path",
    ],
    [
      '{"repos":{"repo1":{"expectBackupWithinS":"ever"}}}',
      "field 'repos.repo1.expectBackupWithinS' is the text \"ever\", and must be a number\nHINT: Write the number alone.",
    ],
    [
      '{"drill":{"assertions":{}}}',
      "field 'drill.assertions' is a section, and must be a list\nHINT: Write each value as an item of a list.",
    ],
    [
      '{"drill":{"assertions":[{"sql":"SELECT true"}]}}',
      "field 'drill.assertions[0].name' is required, and not given\nHINT: Set drill.assertions[0].name.",
    ],
    ['{"version":2}', "field 'version' is the number 2, and must be 1"],
    [
      '{"acknowledge":"some"}',
      "field 'acknowledge' is the text \"some\", and must be all, any or a list of repo1 to repo256",
    ],
    [
      '{"firstBackup":"yes"}',
      "field 'firstBackup' is the text \"yes\", and must be true or false\nHINT: Write true without quotes.",
    ],
    [
      '{"archiveCommandContains":7}',
      "field 'archiveCommandContains' is the number 7, and must be text on one line, or empty text\nHINT: Write it in quotes: \"7\".",
    ],
    ['{"acknowledge":[]}', "field 'acknowledge' has 0 items, and must have 1 or more"],
    ['{"acknowledge":["repo1","repo1"]}', "field 'acknowledge' must have each repository once"],
    ['{"acknowledge":["repo0"]}', "field 'acknowledge[0]' is the text \"repo0\", and must be repo1 to repo256"],
    [
      '{"acknowledge":[1]}',
      "field 'acknowledge[0]' is the number 1, and must be repo1 to repo256\nHINT: Write it in quotes: \"1\".",
    ],
    [
      '{"repos":[]}',
      "field 'repos' is a list, and must be a section with names\nHINT: Write a name instead of each dash.",
    ],
    ['{"repos":{"repo257":{}}}', "field 'repos.repo257' is the text \"repo257\", and must be repo1 to repo256"],
    [
      '{"repos":{"repo1":{"level":3}}}',
      "has an unknown field 'repos.repo1.level'\nHINT: It takes compressLevel, compressType, expectBackupWithinS, expectDumpWithinS, expectFullWithinS, expectWalWithinS, keep, keepDumps, limitRate, requireMount, s3Quirks, storageClass.",
    ],
    [
      '{"repos":{"repo1":{"compressType":"xz"}}}',
      "field 'repos.repo1.compressType' is the text \"xz\", and must be one of none, gz, lz4, zst",
    ],
    [
      '{"repos":{"repo1":{"compressType":"bz2"}}}',
      "field 'repos.repo1.compressType' is the text \"bz2\", and must be one of none, gz, lz4, zst",
    ],
    [
      '{"repos":{"repo1":{"compressLevel":"3"}}}',
      "field 'repos.repo1.compressLevel' is the text \"3\", and must be a number\nHINT: Write 3 without quotes.",
    ],
    [
      '{"repos":{"repo1":{"compressType":"gz","compressLevel":10}}}',
      "field 'repos.repo1.compressLevel' is 10, and must be -1 to 9 for compression type gz",
    ],
    [
      '{"repos":{"repo1":{"compressType":"none","compressLevel":1}}}',
      "field 'repos.repo1.compressLevel' is 1, and must be 0 for compression type none",
    ],
    [
      '{"repos":{"repo1":{"s3Quirks":"Min IO"}}}',
      "field 'repos.repo1.s3Quirks' is the text \"Min IO\", and must be auto or the name of a provider in lower case",
    ],
    [
      '{"repos":{"repo1":{"keep":{"zone":"Europe/Berlin"}}}}',
      "field 'repos.repo1.keep' keeps nothing: it must have daily, weekly, monthly or yearly",
    ],
    [
      '{"repos":{"repo1":{"limitRate":"63KiB"}}}',
      "field 'repos.repo1.limitRate' is '63KiB', and must be at least 64KiB",
    ],
    [
      '{"repos":{"repo1":{"limitRate":"20MiB/s"}}}',
      "field 'repos.repo1.limitRate' is the text \"20MiB/s\", and must be bytes a second, with a unit as in 20MiB or a section with names",
    ],
    [
      '{"repos":{"repo1":{"limitRate":{"8-20":"20MiB"}}}}',
      "field 'repos.repo1.limitRate.8-20' is the text \"8-20\", and must be hours as in 08:00-20:00, or zone",
    ],
    [
      '{"repos":{"repo1":{"limitRate":{"08:00-20:00":20}}}}',
      "field 'repos.repo1.limitRate.08:00-20:00' is the number 20, and must be text on one line\nHINT: Write it in quotes: \"20\".",
    ],
    [
      '{"repos":{"repo1":{"limitRate":{"08:00-20:00":"20MiB","19:00-21:00":"1MiB"}}}}',
      "field 'repos.repo1.limitRate.19:00-21:00' overlaps '08:00-20:00', and must not",
    ],
    [
      '{"repos":{"repo1":{"limitRate":{"zone":"Europe/Berlin"}}}}',
      "field 'repos.repo1.limitRate' limits no hours, and must have a range such as 08:00-20:00",
    ],
    [
      '{"repos":{"repo1":{"limitRate":{"08:00-20:00":"20MiB","zone":"CEST"}}}}',
      "field 'repos.repo1.limitRate.zone' is 'CEST', and must be UTC or a name such as Europe/Berlin",
    ],
    ['{"repos":{"repo1":{"keepDumps":{"days":0}}}}', "field 'repos.repo1.keepDumps.days' is 0, and must be 1 to 9999"],
    ['{"repos":{"repo1":{"keepDumps":{}}}}', "field 'repos.repo1.keepDumps' keeps nothing: it must have days or count"],
    ['{"repos":{"repo1":{"keep":{"daily":0}}}}', "field 'repos.repo1.keep.daily' is 0, and must be 1 to 9999"],
    [
      '{"repos":{"repo1":{"keep":{"daily":7,"zone":"+02:00"}}}}',
      "field 'repos.repo1.keep.zone' is '+02:00', and must be UTC or a name such as Europe/Berlin",
    ],
    [
      '{"repos":{"repo1":{"expectFullWithinS":0}}}',
      "field 'repos.repo1.expectFullWithinS' is 0, and must be 1 or more",
    ],
    [
      '{"repos":{"repo1":{"expectFullWithinS":"never"}}}',
      "field 'repos.repo1.expectFullWithinS' is the text \"never\", and must be a number or ever",
    ],
  ])("%s fails", (text, message) =>
    expect(failure(() => parseSettings(text, FILE))).toBe(`config: settings file '${FILE}' ${message}`),
  );

  test("renders archiveCommandContains only if it is not stock's", () => {
    expect(parseSettings(renderSettings({ firstBackup: true }), FILE)).toMatchObject({ firstBackup: true });
    expect(renderSettings({ firstBackup: false })).not.toContain("firstBackup");
    expect(renderSettings({ archiveCommandContains: "" })).toContain('"archiveCommandContains": ""');
    expect(renderSettings({ archiveCommandContains: "pgbackrest" })).not.toContain("archiveCommandContains");
  });

  test("renders in a fixed order and refuses unreadable values", () => {
    expect(
      renderSettings({
        repos: { repo10: {}, repo2: { s3Quirks: "auto", compressType: "zst" } },
        acknowledge: ["repo2"],
      }),
    ).toBe(
      '{\n  "version": 1,\n  "acknowledge": [\n    "repo2"\n  ],\n  "repos": {\n    "repo2": {\n      "compressType": "zst",\n      "s3Quirks": "auto"\n    },\n    "repo10": {}\n  }\n}\n',
    );
    expect(renderSettings({})).toBe('{\n  "version": 1,\n  "acknowledge": "all"\n}\n');
    expect(renderSettings({}, "0.1.0")).toBe('{\n  "version": 1,\n  "package": "0.1.0",\n  "acknowledge": "all"\n}\n');
    expect(failure(() => renderSettings({ acknowledge: [] }))).toContain(
      "config: settings file 'pgbackstop.json' field 'acknowledge' has 0 items",
    );
  });

  test("what was rendered reads back the same", () => {
    const repo = fc.constantFrom("none", "gz", "lz4", "zst").chain((compressType) => {
      const range = levelRangeOf(compressType) ?? { least: 0, most: 0 };
      const compressLevel = fc.integer({ min: range.least, max: range.most });
      return fc.record(
        { compressType: fc.constant(compressType as "gz"), compressLevel, s3Quirks: fc.constantFrom("auto", "minio") },
        { requiredKeys: ["compressType"] },
      );
    });
    const key = fc.integer({ min: 1, max: 256 });
    const file: fc.Arbitrary<SettingsFile> = fc.record({
      acknowledge: fc.oneof(
        fc.constantFrom("all" as const, "any" as const),
        fc.uniqueArray(key, { minLength: 1, maxLength: 5 }).map((keys) => keys.map((k) => `repo${k}`)),
      ),
      repos: fc.dictionary(
        key.map((k) => `repo${k}`),
        repo,
        { maxKeys: 4 },
      ),
    });
    fc.assert(
      fc.property(file, (settings) => {
        const read = parseSettings(renderSettings(settings), FILE);
        const { acknowledge = "all", repos = {} } = settings;
        expect(read.acknowledge.mode).toBe(typeof acknowledge === "string" ? acknowledge : "named");
        expect(read.acknowledge.repoIndexes.map((k) => `repo${k}`).sort()).toEqual(
          typeof acknowledge === "string" ? [] : [...acknowledge].sort(),
        );
        expect(Object.fromEntries(Object.entries(read.repos).map(([k, value]) => [`repo${k}`, value]))).toEqual({
          ...repos,
        });
      }),
    );
  });
});

describe("a file for another version", () => {
  const settings: SettingsFile = {
    acknowledge: "any",
    stream: { intervalSeconds: 5, synchronous: "any", groupMilliseconds: 20 },
    repos: { repo1: { compressType: "zst", expectWalWithinS: 60 } },
  };
  const since = { "StreamFile.groupMilliseconds": "0.2.0", "RepoSettings.expectWalWithinS": "0.10.0" };
  const written = (version?: string): unknown => JSON.parse(renderSettings(settings, version, since));

  // claim: docs/upgrading.md: a file has only the fields that its runtime knows
  test("has the fields that its runtime knows, and says for which one it is", () => {
    expect(written("0.9.0")).toEqual({
      version: 1,
      package: "0.9.0",
      ...settings,
      repos: { repo1: { compressType: "zst" } },
    });
    expect(written("0.10.0")).toEqual({ version: 1, package: "0.10.0", ...settings });
    expect(newerFields("0.1.0", since)).toEqual(Object.keys(since));
  });

  test("has those of the first release for a runtime of unknown version, and says nothing about it", () => {
    const { groupMilliseconds: _newer, ...stream } = settings.stream ?? { intervalSeconds: 5 };
    expect(written()).toEqual({ version: 1, acknowledge: "any", stream, repos: { repo1: { compressType: "zst" } } });
  });

  test("names a version of this package or an earlier one for each field that came later", () => {
    for (const version of Object.values(FILE_SINCE)) expect(compareReleases(version, VERSION)).toBeLessThanOrEqual(0);
  });
});
