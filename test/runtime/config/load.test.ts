// claim: docs/internals/contracts.md: what two environments have taught (seen in runs by hand; the tests are of what
//   was mended)
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import { failure, load, type Machine, MAIN_FILE } from "./support";

/** Every source of process-max, strongest first, each with a different value. */
const SOURCES: readonly (readonly [string, string])[] = [
  ["command line", "9"],
  ["environment", "8"],
  ["main:backup", "7"],
  ["main", "6"],
  ["global:backup", "5"],
  ["global", "4"],
];

function machineWith(sources: readonly (readonly [string, string])[]): Machine {
  const text = sources
    .filter(([source]) => !source.includes(" ") && source !== "environment")
    .map(([section, value]) => `[${section}]\nprocess-max=${value}\n`);
  const has = (source: string): readonly string[] =>
    sources.flatMap(([name, value]) => (name === source ? [value] : []));
  return {
    argv: [
      "backup",
      "--stanza=main",
      "--pg1-path=/pg",
      ...has("command line").map((value) => `--process-max=${value}`),
    ],
    env: Object.fromEntries(has("environment").map((value) => ["PGBACKREST_PROCESS_MAX", value])),
    files: {
      [MAIN_FILE]: text.toReversed().join(""),
      "/etc/pgbackrest/conf.d/x.conf":
        "[other]\nprocess-max=77\n[main:restore]\nprocess-max=78\n[global:info]\nprocess-max=79\n",
    },
  };
}

describe("priority", () => {
  test.each(SOURCES.map(([source, value], index) => ({ source, value, index })))(
    "$place has priority over all below it",
    ({ value, index }) => {
      expect(load(machineWith(SOURCES.slice(index))).config.processMax).toBe(Number(value));
    },
  );

  test("without any of them the default applies", () => {
    expect(load(machineWith([])).config.processMax).toBe(1);
  });

  test("of any set of sources the strongest wins", () => {
    for (let bits = 0; bits < 2 ** SOURCES.length; bits++) {
      const sources = SOURCES.filter((_, index) => (bits & (1 << index)) !== 0);
      expect(load(machineWith(sources)).config.processMax).toBe(Number(sources[0]?.[1] ?? "1"));
    }
  });

  test("an invalid value fails in every source, and the error names the source", () => {
    const [cli, env, section] = [
      { argv: ["backup", "--stanza=main", "--process-max=0"] },
      { argv: ["backup", "--stanza=main"], env: { PGBACKREST_PROCESS_MAX: "0" } },
      {
        argv: ["backup", "--stanza=main"],
        files: { [MAIN_FILE]: "[main]\npg1-path=/pg\n\n[global:backup]\nprocess-max = 0\n" },
      },
    ].map((machine) => failure(() => load({ ...machine, env: { PGBACKREST_PG1_PATH: "/pg", ...machine.env } })));
    const message =
      "optionInvalidValue: '0' is out of range for 'process-max' option\nHINT: allowed range is 1 to 999 inclusive";
    expect(cli).toBe(message);
    expect(env).toBe(`${message}\nHINT: the value comes from the environment variable PGBACKREST_PROCESS_MAX.`);
    expect(section).toBe(`${message}\nHINT: the value comes from section [global:backup] of ${MAIN_FILE} (line 5).`);
    // A mistake in a file shows on the first run; in the environment others set variables too.
    const files = { [MAIN_FILE]: "[global]\nprocess-max = 0\n" };
    expect(failure(() => load({ argv: ["info"], files }))).toContain(message);
    expect(load({ argv: ["info"], env: { PGBACKREST_PROCESS_MAX: "0" } }).warnings).toEqual([]);
  });
});

describe("a repository as it was at a time", () => {
  const files = { [MAIN_FILE]: "[main]\npg1-path=/pg\nrepo1-path=/one\nrepo2-path=/two\n" };
  const at = (...argv: string[]): readonly (number | undefined)[] =>
    load({ argv: [...argv, "--stanza=main"], files }).config.repos.map((repo) => repo.targetTimeMs);

  test.each(["archive-get", "extract-table", "find", "info", "manifest", "repo-get", "repo-ls", "restore", "verify"])(
    "%s reads the named repository as of repo-target-time",
    (command) => {
      expect(at(command, "--repo=2", "--repo-target-time=2026-11-20 06:40:59+00")).toEqual([
        undefined,
        Date.UTC(2026, 10, 20, 6, 40, 59),
      ]);
    },
  );

  test("recover passes the time on", () => {
    const argv = ["recover", "--stanza=main", "--repo=1", "--repo-target-time=2026-11-20 06:40:59+00"];
    expect(load({ argv, files }).config.repoTargetTime).toBe("2026-11-20 06:40:59+00");
  });

  test("a command that writes does not take it", () => {
    for (const command of ["backup", "expire", "archive-push", "sync", "heal", "annotate"]) {
      const argv = [command, "--stanza=main", "--repo-target-time=2026-11-20 06:40:59+00"];
      expect(failure(() => load({ argv, files }))).toBe(
        `optionInvalid: option 'repo-target-time' not valid for command '${command}'`,
      );
    }
  });

  test("--repo is needed, as in stock", () => {
    expect(failure(() => at("restore", "--repo-target-time=2026-11-20 06:40:59"))).toBe(
      "optionInvalid: option 'repo-target-time' not valid without option 'repo'\nHINT: Name the repository to read as of that time, for example --repo=1.",
    );
  });

  test("any other text is no time", () => {
    expect(failure(() => at("restore", "--repo=1", "--repo-target-time=yesterday"))).toContain(
      "format: invalid date/time yesterday\nHINT: The format is YYYY-MM-DD HH:MM:SS",
    );
  });

  test("the recovery gets WAL of the same time", () => {
    const argv = ["restore", "--stanza=main", "--repo=1", "--repo-target-time=2026-11-20 06:40:59+00"];
    expect(load({ argv, files }).config.carriedOptions).toContain("--repo-target-time=2026-11-20 06:40:59+00");
  });

  test("sync names its source with a time", () => {
    expect(at("sync", "--from-repo=1@2026-11-20 06:40:59+00", "--to-repo=2")).toEqual([
      Date.UTC(2026, 10, 20, 6, 40, 59),
      undefined,
    ]);
    const { config } = load({ argv: ["sync", "--stanza=main", "--from-repo=1", "--to-repo=2"], files });
    expect(config.sync.fromIndex).toBe(1);
    for (const text of ["0", "257", "one", "@2026-11-20 06:40:59", ""])
      expect(failure(() => at("sync", `--from-repo=${text}`, "--to-repo=2"))).toContain("optionInvalidValue: ");
    expect(failure(() => at("sync", "--from-repo=1@then", "--to-repo=2"))).toContain("format: invalid date/time then");
  });
});

describe("required options", () => {
  test.each([
    "archive-get",
    "archive-push",
    "backup",
    "check",
    "heal",
    "pg-settings",
    "restore",
    "stanza-create",
    "verify",
  ])("%s needs a stanza", (command) => {
    expect(failure(() => load({ argv: [command] }))).toBe(`optionRequired: ${command} command requires option: stanza`);
  });

  test.each(["info", "help", "version"])("%s does not", (command) => {
    expect(load({ argv: [command] }).config).toMatchObject({ command, stanza: undefined });
  });

  test("a cluster's directory, except for commands that only use repositories or one WAL file", () => {
    const needs = (command: string): string => failure(() => load({ argv: [command, "--stanza=main"] }));
    for (const command of ["archive-get", "backup", "check", "heal", "pg-settings", "restore", "stanza-create"]) {
      expect(needs(command)).toBe(
        `optionRequired: ${command} command requires option: pg1-path\nHINT: does this stanza exist?`,
      );
    }
    for (const command of ["archive-push", "info", "verify"]) expect(needs(command)).toBe("no error");
    expect(failure(() => load({ argv: ["backup", "--stanza=main", "--pg2-path=/pg"] }))).toContain(
      "requires option: pg1-path",
    );
  });

  test("clusters have their defaults", () => {
    const argv = [
      "backup",
      "--stanza=main",
      "--pg1-path=/pg",
      "--pg2-path=/pg2",
      "--pg2-port=5433",
      "--pg2-socket-path=/run",
      "--pg2-user=u",
      "--pg2-database=d",
    ];
    expect(load({ argv }).config.pgs).toEqual([
      { key: 1, path: "/pg", port: 5432, database: "postgres" },
      { key: 2, path: "/pg2", port: 5433, socketPath: "/run", user: "u", database: "d" },
    ]);
    expect(load({ argv: ["archive-push", "--stanza=main", "x"] }).config.pgs).toEqual([]);
  });

  test("a target for the types of restore that need one", () => {
    const restore = (...args: string[]): Machine => ({ argv: ["restore", "--stanza=main", "--pg1-path=/pg", ...args] });
    expect(failure(() => load(restore("--type=time")))).toBe(
      "optionRequired: restore command requires option: target\nHINT: it is needed when type is lsn or name or time or xid.",
    );
    expect(
      load(restore("--type=time", "--target=2026-01-01 00:00:00+00", "--target-action=promote")).config,
    ).toMatchObject({
      restore: { type: "time", target: "2026-01-01 00:00:00+00", targetAction: "promote", targetExclusive: false },
    });
    const zone = process.env.TZ;
    process.env.TZ = "Europe/Berlin";
    try {
      const targetOf = (...args: string[]): string | undefined => load(restore(...args)).config.restore.target;
      expect(targetOf("--type=time", "--target=2026-11-21 08:00:00")).toBe("2026-11-21 08:00:00+01:00");
      expect(targetOf("--type=time", "--target=2026-11-21 08:00:00Z")).toBe("2026-11-21 08:00:00Z");
      expect(targetOf("--type=name", "--target=2026-11-21 08:00:00")).toBe("2026-11-21 08:00:00");
    } finally {
      if (zone === undefined) delete process.env.TZ;
      else process.env.TZ = zone;
    }
    expect(load(restore("--set=latest")).config.set).toBeUndefined();
    expect(load({ argv: ["info", "--stanza=main", "--set=latest"] }).config.set).toBeUndefined();
    expect(load(restore("--set=20260101-000000F")).config.set).toBe("20260101-000000F");
    expect(load(restore("--db-include=a", "--db-include=b")).config.databaseInclude).toEqual(["a", "b"]);
  });

  test("a key that is configured", () => {
    const argv = ["restore", "--stanza=main", "--pg1-path=/pg", "--repo2-path=/b", "--repo4-path=/d"];
    expect(load({ argv: [...argv, "--repo=4"] }).config.repoIndex).toBe(4);
    expect(load({ argv }).config.repoIndex).toBeUndefined();
    expect(failure(() => load({ argv: [...argv, "--repo=3"] }))).toBe(
      "optionInvalidValue: key '3' is not valid for 'repo' option\nHINT: Configured repositories: repo2, repo4.",
    );
    expect(failure(() => load({ argv: ["check", "--stanza=main", "--repo=1"] }))).toBe(
      "optionInvalid: option 'repo' not valid for command 'check'",
    );
  });

  test("several keys that are configured, for a backup", () => {
    const argv = ["backup", "--stanza=main", "--pg1-path=/pg", "--repo1-path=/a", "--repo2-path=/b", "--repo4-path=/d"];
    expect(load({ argv: [...argv, "--repos=4,1"] }).config.backup.repoIndexes).toEqual([1, 4]);
    expect(load({ argv }).config.backup.repoIndexes).toBeUndefined();
    for (const [text, key] of [
      ["1,3", "3"],
      ["1,,2", ""],
      ["1, 2", " 2"],
    ] as const)
      expect(failure(() => load({ argv: [...argv, `--repos=${text}`] }))).toBe(
        `optionInvalidValue: key '${key}' is not valid for 'repos' option\nHINT: Configured repositories: repo1, repo2, repo4.`,
      );
    expect(failure(() => load({ argv: [...argv, "--repos=1,2", "--repo=1"] }))).toContain(
      "optionInvalid: option 'repos' not valid with option 'repo'",
    );
    expect(failure(() => load({ argv: ["expire", "--stanza=main", "--repos=1"] }))).toContain(
      "option 'repos' not valid for command 'expire'",
    );
  });

  test.each(["../x", "a/b", ".", "..", "a:b", "a]"])("a plain name as stanza, not %j", (stanza) => {
    expect(failure(() => load({ argv: ["info", `--stanza=${stanza}`] }))).toBe(
      `optionInvalidValue: '${stanza}' is not valid for 'stanza' option\nHINT: A stanza is a name without slash, colon or bracket.`,
    );
  });

  test("backup is incremental by default, and of a running server", () => {
    const argv = ["backup", "--stanza=main", "--pg1-path=/pg"];
    expect(load({ argv }).config.backup.type).toBe("incr");
    expect(load({ argv: [...argv, "--type=full"] }).config.backup.type).toBe("full");
    expect(failure(() => load({ argv: [...argv, "--type=time"] }))).toBe(
      "optionInvalidValue: 'time' is not allowed for 'type' option\nHINT: allowed values are 'full', 'diff', 'incr'",
    );
    expect(load({ argv }).config).toMatchObject({ backup: { online: true }, archive: { check: true }, force: false });
    expect(load({ argv: [...argv, "--no-online", "--force"] }).config).toMatchObject({
      backup: { online: false },
      archive: { check: false },
      force: true,
    });
    expect(failure(() => load({ argv: [...argv, "--force"] }))).toBe(
      "optionInvalid: option 'force' not valid without option 'no-online'",
    );
  });
});

describe("help and version", () => {
  test("work even if everything else is broken", () => {
    const broken: Machine = {
      env: { PGBACKREST_IO_TIMEOUT: "x" },
      files: { [MAIN_FILE]: "broken", "/etc/pgbackrest/pgbackstop.json": "broken" },
    };
    expect(load({ ...broken, argv: ["help", "backup"] }).config).toMatchObject({
      command: "help",
      params: ["backup"],
      repos: [],
      pgs: [],
    });
    expect(load({ ...broken, argv: ["--version"] }).config).toMatchObject({ command: "version", output: undefined });
    expect(load({ ...broken, argv: ["version", "--output=json", "--log-level-console=debug"] }).config).toMatchObject({
      output: "json",
      log: { levelConsole: "debug" },
    });
    expect(failure(() => load({ ...broken, files: {}, argv: ["info"] }))).toContain(
      "is not valid for 'io-timeout' option",
    );
    expect(failure(() => load({ ...broken, env: {}, argv: ["info"] }))).toBe(
      `format: key/value found outside of section at line 1 of '${MAIN_FILE}'`,
    );
  });
});

describe("timeouts", () => {
  const dbTimeoutMs = (...args: string[]): number =>
    load({ argv: ["check", "--stanza=main", "--pg1-path=/pg", ...args] }).config.dbTimeoutMs;

  test("protocol-timeout must exceed db-timeout", () => {
    expect(dbTimeoutMs()).toBe(30 * 60_000);
    expect(dbTimeoutMs("--db-timeout=2h")).toBe(2 * 3_600_000);
    expect(dbTimeoutMs("--protocol-timeout=10m")).toBe(10 * 60_000 - 30_000);
    expect(dbTimeoutMs("--protocol-timeout=44s")).toBe(22_000);
    expect(dbTimeoutMs("--protocol-timeout=11s", "--db-timeout=10s")).toBe(10_000);
    expect(failure(() => dbTimeoutMs("--protocol-timeout=10s", "--db-timeout=10s"))).toBe(
      "optionInvalidValue: '10s' is not valid for 'protocol-timeout' option\nHINT: 'protocol-timeout' option (10s) should be greater than 'db-timeout' option (10s).",
    );
  });
});

describe("warnings", () => {
  const warnings = (command: string, text: string): readonly string[] =>
    load({ argv: [command, "--stanza=main"], files: { [MAIN_FILE]: `[global]\n${text}\n[main]\npg1-path=/pg\n` } })
      .warnings;
  const RETENTION =
    "option 'repo1-retention-full' is not set for 'repo1-retention-full-type=count', the repository may run out of space\nHINT: to retain full backups indefinitely (without warning), set option 'repo1-retention-full' to the maximum.";

  test("about backups that are kept forever, for backup only", () => {
    expect(warnings("backup", "")).toEqual([RETENTION]);
    expect(warnings("backup", "repo1-retention-full=2")).toEqual([]);
    expect(warnings("check", "")).toEqual([]);
  });

  test.each(["agent", "heal", "metrics", "sync", "verify"])("%s knows what retention keeps", (command) => {
    const { config } = load({
      argv: [command, "--stanza=main", ...(command === "sync" ? ["--from-repo=1", "--to-repo=2"] : [])],
      files: {
        [MAIN_FILE]:
          "[global]\nrepo1-path=/a\nrepo2-path=/b\nrepo2-retention-full=3\nrepo2-retention-archive=1\n[main]\npg1-path=/pg\n",
      },
    });
    expect(config.repos).toMatchObject([{ key: 1 }, { key: 2, retentionFull: 3, retentionArchive: 1 }]);
  });

  test("about unknown options, an unused passphrase, and old options", () => {
    expect(warnings("check", "nope=1")).toEqual(["configuration file contains invalid option 'nope'"]);
    expect(warnings("check", "repo1-cipher-pass=markerSecret")).toEqual([
      "option 'repo1-cipher-pass' is set but 'repo1-cipher-type' is 'none'\nHINT: the repository is not encrypted; set repo1-cipher-type=aes-256-cbc.",
    ]);
    expect(warnings("backup", "repo1-retention-full=2\nstop-auto=y\ncompress=n\ncompress-type=lz4")).toEqual([
      "'compress' and 'compress-type' options should not both be set\nHINT: 'compress-type' is preferred and 'compress' is deprecated.",
      "option 'stop-auto' is deprecated\nHINT: all supported versions use non-exclusive backup.",
    ]);
  });
});

describe("the settings file", () => {
  test("limits repositories by the hour of the day", () => {
    const limitRate = { "22:00-06:00": "1MiB", zone: "Europe/Berlin" };
    const text = JSON.stringify({ repos: { repo1: { limitRate } } });
    const { repos } = load({ argv: [...argv, "--settings=/s.json"], files: { "/s.json": text } }).config;
    expect(repos.map((repo) => repo.limitRate)).toEqual([
      { zone: "Europe/Berlin", ranges: [{ fromMinute: 1320, toMinute: 360, bytesPerSecond: 1024 * 1024 }] },
    ]);
  });

  const argv = ["backup", "--stanza=main", "--pg1-path=/pg"];
  const text = '{"acknowledge":"any"}';

  test.each([
    [[], { "/etc/pgbackrest/pgbackstop.json": text }],
    [["--config-path=/c"], { "/c/pgbackstop.json": text }],
    [["--config=/d/x.conf"], { "/d/x.conf": "", "/d/pgbackstop.json": text }],
    [["--settings=/s.json"], { "/s.json": text, "/etc/pgbackrest/pgbackstop.json": "broken" }],
    [["--no-config", "--settings=/s.json"], { "/s.json": text }],
  ])("with %j", (args, files) => {
    expect(load({ argv: [...argv, ...args], files }).config.settings.acknowledge.mode).toBe("any");
  });

  test("may be missing if it is not named, and only then", () => {
    expect(load({ argv }).config.settings).toEqual({
      acknowledge: { mode: "all", repoIndexes: [], isDefault: true },
      archiveCommandContains: "pgbackrest",
      repos: {},
    });
    expect(failure(() => load({ argv: [...argv, "--settings=/s.json"] }))).toBe(
      "fileMissing: unable to open missing file '/s.json' for read\nHINT: The option settings names this file.",
    );
    expect(
      load({ argv: [...argv, "--no-config"], files: { "/etc/pgbackrest/pgbackstop.json": text } }).config.settings
        .acknowledge.mode,
    ).toBe("all");
  });

  test("names only configured repositories", () => {
    const files = (settings: string): Record<string, string> => ({
      "/etc/pgbackrest/pgbackstop.json": settings,
      [MAIN_FILE]: "[global]\nrepo1-path=/a\nrepo2-path=/b\n",
    });
    expect(
      load({ argv, files: files('{"acknowledge":["repo2"],"repos":{"repo2":{}}}') }).config.settings.acknowledge
        .repoIndexes,
    ).toEqual([2]);
    const message = "config: settings file '/etc/pgbackrest/pgbackstop.json' field";
    expect(failure(() => load({ argv, files: files('{"acknowledge":["repo3"]}') }))).toBe(
      `${message} 'acknowledge' refers to repo3, which is not configured\nHINT: Configured repositories: repo1, repo2.`,
    );
    expect(failure(() => load({ argv, files: files('{"repos":{"repo4":{}}}') }))).toBe(
      `${message} 'repos' refers to repo4, which is not configured\nHINT: Configured repositories: repo1, repo2.`,
    );
    expect(
      load({ argv: ["pg-settings", "--stanza=main", "--pg1-path=/pg"], files: files('{"repos":{"repo4":{}}}') }).config
        .repos,
    ).toEqual([]);
  });
});

describe("secrets and shape", () => {
  const SECRETS = ["repo1-cipher-pass", "repo1-s3-key", "repo1-s3-key-secret", "repo1-s3-token"];
  const file = `[global]\nrepo1-type=s3\nrepo1-s3-bucket=b\nrepo1-s3-endpoint=e\nrepo1-s3-region=r\nrepo1-cipher-type=aes-256-cbc\n${SECRETS.map((name) => `${name}=marker-${name}`).join("\n")}\n[main]\npg1-path=/pg\n`;

  test("no printed value shows a secret", () => {
    const loaded = load({
      argv: ["restore", "--stanza=main", "--config-path=/c"],
      files: { "/c/pgbackrest.conf": file },
    });
    expect(loaded.config.repos[0]?.cipherPass?.reveal()).toBe("marker-repo1-cipher-pass");
    const printed = [
      JSON.stringify(loaded),
      inspect(loaded, { depth: 20, showHidden: true, getters: true }),
      loaded.config.beginLine,
      loaded.config.carriedOptions.join(" "),
      String(loaded.config.repos[0]?.s3?.key),
    ];
    expect(printed.join("\n")).not.toContain("marker");
    for (const name of SECRETS) expect(loaded.config.beginLine).toContain(`--${name}=<redacted>`);
  });

  test("nor does any message, whatever else is wrong", () => {
    for (const line of [
      "nope",
      "process-max=x",
      "repo1-cipher-pass=again",
      "repo1-s3-bucket=a.b",
      "marker-wrapped==",
      "repo2-s3-key-type=x",
      "[broken",
    ]) {
      const text = file.replace("[global]\n", `[global]\n${line}\n`);
      const warnings: string[] = [];
      const message = failure(() =>
        warnings.push(...load({ argv: ["restore", "--stanza=main"], files: { [MAIN_FILE]: text } }).warnings),
      );
      expect(message === "no error" ? warnings.length : 1).toBeGreaterThan(0);
      expect(`${message}${warnings.join()}`.replaceAll("marker-wrapped", "")).not.toContain("marker");
    }
  });

  test("the configuration is deeply frozen and can be passed to a worker once its secrets are opened", () => {
    const { config } = load({
      argv: ["restore", "--stanza=main", "--pg1-path=/pg", "--link-map=a=/b", "--tablespace-map=t=/u"],
    });
    expect(Object.isFrozen(config)).toBe(true);
    for (const part of [
      config.repos,
      config.repos[0],
      config.pgs[0],
      config.restore.linkMap,
      config.settings.acknowledge,
      config.carriedOptions,
    ])
      expect(Object.isFrozen(part)).toBe(true);
    expect(structuredClone(config)).toEqual(config);
    expect(config).toMatchObject({ restore: { linkMap: { a: "/b" }, tablespaceMap: { t: "/u" } } });
  });
});
