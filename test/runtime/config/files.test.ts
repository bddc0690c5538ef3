import { describe, expect, test } from "vitest";
import { parseCommandLine } from "../../../runtime/config/cli";
import { addFiles, isGlobalSection, readConfigFiles, sectionsOf } from "../../../runtime/config/files";
import { parseIni } from "../../../runtime/config/ini";
import type { CommandName } from "../../../runtime/config/commands";
import { OPTIONS } from "../../../runtime/config/options";
import { failure, load, namesIn } from "./support";

const FILES: Readonly<Record<string, string>> = {
  "/etc/pgbackrest/pgbackrest.conf": "[a]\nk=default",
  "/etc/pgbackrest/conf.d/2.conf": "[a]\nk=two",
  "/etc/pgbackrest/conf.d/1.conf": "[a]\nk=one",
  "/etc/pgbackrest/conf.d/readme": "no",
  "/etc/pgbackrest/conf.d/.conf": "no",
  "/etc/pgbackrest.conf": "[a]\nk=old",
  "/c/pgbackrest.conf": "[a]\nk=c",
  "/c/conf.d/x.conf": "[a]\nk=cx",
  "/i/y.conf": "[a]\nk=iy",
  "/one.conf": "[a]\nk=alone",
};

function read(
  argv: readonly string[],
  files: Readonly<Record<string, string>> = FILES,
): [readonly string[], string | undefined] {
  const { entries } = parseCommandLine(["check", ...argv]);
  const result = readConfigFiles(entries, "check", {
    readFile: (path) => files[path] ?? null,
    listDirectory: (path) => namesIn(files, path),
  });
  return [result.entries.map((entry) => entry.value), result.directory];
}

describe("which files are read", () => {
  test.each([
    [[], ["default", "one", "two"], "/etc/pgbackrest"],
    [["--config-path=/c/"], ["c", "cx"], "/c"],
    [["--config-path=/none"], [], "/none"],
    [["--config=/one.conf"], ["alone"], "/"],
    [["--config=/one.conf", "--config-path=/c"], ["alone", "cx"], "/"],
    [["--config=/one.conf", "--config-include-path=/i"], ["alone", "iy"], "/"],
    [["--config-include-path=/i"], ["default", "iy"], "/etc/pgbackrest"],
    [["--config-include-path=/i", "--config-path=/c"], ["c", "iy"], "/c"],
    [["--no-config"], [], undefined],
    [["--no-config", "--config-include-path=/i"], ["iy"], undefined],
    [["--no-config", "--config-path=/c"], ["cx"], "/c"],
  ])("%j", (argv, values, directory) => expect(read(argv)).toEqual([values, directory]));

  test("the old default file only if the new one is missing", () => {
    expect(read([], { "/etc/pgbackrest.conf": "[a]\nk=old" })).toEqual([["old"], "/etc"]);
    expect(read([], {})).toEqual([[], "/etc/pgbackrest"]);
  });

  test("a named file must exist and paths must be paths", () => {
    expect(failure(() => read(["--config=/missing.conf"]))).toBe(
      "fileMissing: unable to open missing file '/missing.conf' for read\nHINT: The option config names this file.",
    );
    expect(failure(() => read(["--config-path=c"]))).toBe(
      "optionInvalidValue: 'c' must begin with / for 'config-path' option",
    );
  });

  // What it holds may be a second repository: WAL would be acknowledged that only the first one has.
  test.each([
    { argv: ["--config-include-path=/mnt/keys/conf.d"] },
    { argv: ["--config=/one.conf", "--config-include-path=/mnt/keys/conf.d"] },
    { env: { PGBACKREST_CONFIG_INCLUDE_PATH: "/mnt/keys/conf.d" } },
  ])("a named include directory must exist: %j", ({ argv = [], env = {} }) => {
    const push = ["archive-push", "--stanza=main", "--pg1-path=/d", ...argv, "/d/pg_wal/000000010000000000000001"];
    expect(failure(() => load({ argv: push, env, files: FILES }))).toBe(
      "pathMissing: unable to list file info for missing path '/mnt/keys/conf.d'\n" +
        "HINT: The option config-include-path names this directory.",
    );
  });

  test.each(["cnpg-instance", "cnpg-restore"])("%s starts without it, and so do its own commands", (command) => {
    const argv = ["--config=/one.conf", "--config-include-path=/mnt/keys/conf.d", "--stanza=main", "--pg1-path=/d"];
    const { config } = load({ argv: [...argv, command], files: FILES });
    expect(config.carriedOptions).toEqual(["--config=/one.conf", "--pg1-path=/d"]);
    const mounted = { ...FILES, "/mnt/keys/conf.d/a.conf": "[global]\nrepo2-path=/two" };
    expect(load({ argv: [...argv, command], files: mounted }).config.repos.map(({ key }) => key)).toEqual([2]);
  });
});

describe("sections", () => {
  function added(
    text: string,
    command: CommandName = "backup",
    stanza: string | undefined = "main",
  ): { values: unknown; warnings: string[] } {
    const { entries } = parseCommandLine([command, "--io-timeout=7"]);
    const warnings: string[] = [];
    addFiles(entries, parseIni(text, "/f"), stanza, command, (warning) => warnings.push(warning));
    return { values: Object.fromEntries([...entries].map(([id, entry]) => [id, entry.texts])), warnings };
  }

  test("have stock's priority", () => {
    expect(sectionsOf("main", "backup")).toEqual(["main:backup", "main", "global:backup", "global"]);
    expect(sectionsOf(undefined, "info")).toEqual(["global:info", "global"]);
    expect(["global", "global:x", "globals", "main"].map(isGlobalSection)).toEqual([true, true, false, false]);
  });

  test("a server says which sections of the commands that it serves have no effect", () => {
    const text =
      "[global:archive-push]\narchive-push-queue-max=20GiB\nprocess-max=8\n[main:archive-get]\nprocess-max=4\n[global:agent]\nprocess-max=2";
    expect(added(text, "agent").warnings).toEqual([
      "section [main:archive-get] has no effect on agent: 'process-max'\nHINT: agent serves archive-get; write these options in [main:agent].",
      "section [global:archive-push] has no effect on agent: 'archive-push-queue-max'\nHINT: agent serves archive-push; write these options in [global:agent].",
    ]);
    expect(added(text, "archive-push").warnings).toEqual([]);
    expect(added(text, "backup").warnings).toEqual([]);
  });

  test("lists accumulate within a section over files, and do not mix between sections", () => {
    expect(added("[main]\nexclude=a\n[global]\nexclude=z\n[main]\nexclude=b\n[other]\nexclude=o").values).toEqual({
      "io-timeout#0": ["7"],
      "exclude#0": ["a", "b"],
    });
  });

  test("unknown, misplaced and useless options warn", () => {
    expect(
      added(
        "[global]\nnope=1\nmarkerSecretKey=1\nYWJj=\nno-delta=y\nreset-delta=y\nstanza=x\nlog-format=json\npg1-path=/p\n[global:backup]\nrecovery-option=a=b\npg1-port=1\n[main:backup]\nlink-all=y\n",
      ).warnings,
    ).toEqual([
      "configuration file contains option 'link-all' invalid for section 'main:backup'",
      "configuration file contains option 'recovery-option' invalid for section 'global:backup'",
      "configuration file contains stanza-only option 'pg1-port' in global section 'global:backup'",
      "configuration file contains invalid option 'nope'",
      "configuration file contains invalid option at line 3 of '/f'",
      "configuration file contains invalid option at line 4 of '/f'",
      "configuration file contains negate option 'no-delta'",
      "configuration file contains reset option 'reset-delta'",
      "configuration file contains command-line only option 'stanza'",
      "configuration file contains command-line only option 'log-format'",
      "configuration file contains stanza-only option 'pg1-path' in global section 'global'",
    ]);
  });

  test.each([
    [
      "[global]\nprocess-max=1\nprocess-max=2",
      "optionInvalid: option 'process-max' cannot be set multiple times\nHINT: the value comes from section [global] of /f (line 2) and /f (line 3).",
    ],
    [
      "[global]\nrepo1-path=/a\nrepo-path=/b",
      "optionInvalid: configuration file contains duplicate options ('repo-path', 'repo1-path') in section '[global]'\nHINT: the value comes from section [global] of /f (line 3).",
    ],
    [
      "[main]\nrepo1-cipher-pass=",
      "optionInvalidValue: section 'main', key 'repo1-cipher-pass' must have a value\nHINT: the value comes from section [main] of /f (line 2).",
    ],
    [
      "[global]\nrepo-bundle=y",
      "optionInvalid: option 'repo-bundle' requires an index\nHINT: add the required index, e.g. repo1-bundle.",
    ],
  ])("%j fails", (text, message) => expect(failure(() => added(text))).toBe(message));
});

describe("a file decides what a command does", () => {
  /** Lines that PostgreSQL's account may write for root: root takes a key from them, and nothing else. */
  const KEYS = [
    "repo-azure-account",
    "repo-azure-endpoint",
    "repo-azure-key",
    "repo-cipher-pass",
    "repo-gcs-key",
    "repo-s3-key",
    "repo-s3-key-secret",
    "repo-s3-sse-customer-key",
    "repo-s3-token",
    "repo-sftp-private-key-passphrase",
  ];
  const deciding = (line: string): readonly string[] => {
    const { entries } = parseCommandLine(["check", "--config=/x.conf"]);
    const readFile = (): string => `[global]\n${line}\n`;
    return readConfigFiles(entries, "check", { readFile, listDirectory: () => [] }).deciding;
  };

  test.each(OPTIONS.map(({ group, name }) => [name, group === undefined ? name : name.replace("-", "1-")]))(
    "with %s, unless it is a key",
    (name, written) => {
      expect(deciding(`${written}=x`)).toEqual(KEYS.includes(name) ? [] : ["/x.conf"]);
    },
  );

  test("with an unknown option, and with a key that is a path", () => {
    expect(deciding("nothing=x")).toEqual(["/x.conf"]);
    expect(deciding("repo1-gcs-key=/root/key.json")).toEqual(["/x.conf"]);
    expect(deciding("# nothing")).toEqual([]);
  });

  test("no other key names a file, a directory or a program", () => {
    const naming = OPTIONS.filter(({ doc, name, type }) => {
      return KEYS.includes(name) && (type !== "string" || /\b(file|directory|path|program|command|socket)\b/.test(doc));
    });
    expect(naming.map(({ name }) => name)).toEqual(["repo-gcs-key"]);
  });
});

test("root asks once, for every file that decides, the settings file too", () => {
  const files = {
    "/etc/pgbackrest/pgbackrest.conf": "[global]\nprocess-max=2\n",
    "/etc/pgbackrest/conf.d/key.conf": "[global]\nrepo1-cipher-pass=x\n",
    "/etc/pgbackrest/pgbackstop.json": "{}",
  };
  const asked: (readonly string[])[] = [];
  const account = { uid: 26, gid: 26, name: "postgres", path: "/etc/pgbackrest" };
  const fileAccount = (paths: readonly string[]): typeof account => {
    asked.push(paths);
    return account;
  };
  const machine = { argv: ["info"], files, fileAccount };
  expect(load(machine).account).toEqual(account);
  expect(asked).toEqual([["/etc/pgbackrest/pgbackrest.conf", "/etc/pgbackrest/pgbackstop.json"]]);
});
