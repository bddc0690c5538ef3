/** The option table, and the effect of each row through loadConfig. */
// claim: docs/reference/options.md: what each option does…
import { describe, expect, test } from "vitest";
import { NIGHTLY } from "../../../tools/parts/nightly";
import { COMMAND_TABLE, COMMANDS, type CommandName } from "../../../runtime/config/commands";
import { optionName, rowOf } from "../../../runtime/config/optionName";
import { OPTIONS, type OptionRow, type OptionRule } from "../../../runtime/config/options";
import type { Config } from "../../../runtime/config/types";
import { parseNumber } from "../../../runtime/config/values";
import { failure, load, MAIN_FILE } from "./support";

type Source = "command-line" | "file" | "environment";

const WORKING: readonly CommandName[] = COMMANDS.filter((command) => command !== "help" && command !== "version");
const S3 = {
  "repo1-s3-bucket": "b",
  "repo1-s3-endpoint": "e",
  "repo1-s3-region": "r",
  "repo1-s3-key": "k",
  "repo1-s3-key-secret": "s",
};
const AZURE = { "repo1-azure-account": "a", "repo1-azure-container": "c", "repo1-azure-key": "a2V5" };
const GCS = { "repo1-gcs-bucket": "b", "repo1-gcs-key": "/key.json" };
const SFTP = {
  "repo1-sftp-host": "h",
  "repo1-sftp-host-user": "u",
  "repo1-sftp-host-key-hash-type": "sha256",
  "repo1-sftp-private-key-file": "/k",
};

const nameOf = (row: OptionRow): string => optionName(row, row.group === undefined ? undefined : 1);
const workingCommands = (row: OptionRow): readonly CommandName[] =>
  row.commands.filter((command) => WORKING.includes(command));

/** At night all of them. Else every fourth, beginning at another one for each option. */
function drawn(row: OptionRow, commands: readonly CommandName[]): readonly CommandName[] {
  return NIGHTLY ? commands : commands.filter((_, index) => (index + OPTIONS.indexOf(row)) % 4 === 0);
}

/** The options, with values, that `command` needs before it uses the option of `row`. */
function companionsOf(row: OptionRow, command: CommandName): Record<string, string> {
  const depend = row.forCommand?.[command]?.depend ?? row.depend;
  if (depend === undefined) return {};
  const on = rowOf(depend.option);
  const value =
    depend.values?.find((text) => text === "s3") ??
    depend.values?.find((text) => on.refusedValues?.[text] === undefined) ??
    depend.values?.[0] ??
    sampleOf(on, command);
  return { ...companionsOf(on, command), [nameOf(on)]: value };
}

function ruleOf(row: OptionRow, command: CommandName): OptionRule {
  const value = row.depend === undefined ? undefined : companionsOf(row, command)[nameOf(rowOf(row.depend.option))];
  return { ...row, ...row.forCommand?.[command], ...(value === undefined ? {} : row.forDepend?.[value]) };
}

/** An allowed value that is not the default. */
function sampleOf(row: OptionRow, command: CommandName): string {
  const { default: fallback, allowed, range } = ruleOf(row, command);
  const fixed: Readonly<Record<string, string>> = {
    stanza: "main",
    repo: "1",
    repos: "1",
    "protocol-timeout": "10m",
    "repo-target-time": "2026-11-20 06:40:59+00",
    "from-repo": "2",
    set: "20260101-000000F",
    // Needs no other option.
    "repo-type": "cifs",
    "repo-azure-key": "c2FtcGxl",
    // accept-new has the same effect as strict.
    "repo-sftp-host-key-check-type": "none",
    "repo-block-size-map": "32KiB=8KiB",
    "repo-block-age-map": "7=2",
    "repo-block-checksum-size-map": "32KiB=7",
  };
  const chosen =
    fixed[row.name] ??
    [...(allowed ?? []), ...(range ?? []).toReversed()].find(
      (value) => value !== fallback && row.refusedValues?.[value] === undefined,
    );
  if (chosen !== undefined) return chosen;
  if (row.type === "boolean") return fallback === "y" ? "n" : "y";
  if (allowed !== undefined) return fallback ?? "";
  return row.type === "path" ? "/sample" : row.type === "hash" ? "key=/value" : "sample";
}

/** True when no configuration can use the option: it is refused, or it needs a refused one. */
function isBeyondReach(row: OptionRow, command: CommandName): boolean {
  const companions = Object.entries(companionsOf(row, command)).map(([name, value]) => ({
    on: OPTIONS.find((other) => nameOf(other) === name),
    value,
  }));
  return (
    row.refused !== undefined ||
    companions.some(({ on, value }) => on?.refused !== undefined || on?.refusedValues?.[value] !== undefined)
  );
}

/** Loads with the option of `row` set to `value`, or unset if undefined, and with all else that `command` needs. */
function run(
  row: OptionRow,
  command: CommandName,
  value: string | undefined,
  source: Source,
  companions = companionsOf(row, command),
): Config {
  const needed: Record<string, string> = {
    stanza: "main",
    "pg1-path": "/pg",
    "repo1-path": "/repo",
    "repo1-cipher-pass": "pass",
    ...companions,
  };
  if (needed["repo1-type"] === "s3") Object.assign(needed, S3);
  if (needed["repo1-type"] === "azure") Object.assign(needed, AZURE);
  if (needed["repo1-type"] === "gcs") Object.assign(needed, GCS);
  if (needed["repo1-type"] === "sftp") Object.assign(needed, SFTP);
  // The hash type only matters with a fingerprint, which replaces the known hosts.
  if (row.name === "repo-sftp-host-key-hash-type") needed["repo1-sftp-host-fingerprint"] = "f";
  if (["lsn", "name", "time", "xid"].includes(needed.type ?? "")) needed.target = "x";
  if (command === "notify") Object.assign(needed, { event: "failure" });
  if (command === "rollback") Object.assign(needed, { snapshot: "tank/pg@name" });
  if (command === "sync") Object.assign(needed, { "from-repo": "1", "to-repo": "2" });
  if (row.name === "repo-target-time") needed.repo = "1";
  if (command === "hold" || command === "release") needed["set"] = "20260101-000000F";
  if (command === "hold") needed["reason"] = "audit";
  if (command === "annotate") Object.assign(needed, { set: "20260101-000000F", annotation: "note=text" });
  delete needed[nameOf(row)];
  const argv: string[] = [command];
  const lines: string[] = [];
  for (const [name, text] of Object.entries(needed)) {
    const other = OPTIONS.find((candidate) => nameOf(candidate) === name);
    if (other?.section !== "command-line") lines.push(`${name}=${text}`);
    else if (other.commands.includes(command)) argv.push(`--${name}=${text}`);
  }
  const env: Record<string, string> = {};
  if (value !== undefined && source === "file") lines.push(`${nameOf(row)}=${value}`);
  if (value !== undefined && source === "environment")
    env[`PGBACKREST_${nameOf(row).toUpperCase().replaceAll("-", "_")}`] = value;
  if (value !== undefined && source === "command-line") argv.push(`--${nameOf(row)}=${value}`);
  return load({ argv, env, files: { [MAIN_FILE]: `[main]\n${lines.join("\n")}\n` } }).config;
}

/** The configuration as text, without the fields that list options of other commands. Secrets do not show. */
function heeded(config: Config): string {
  return JSON.stringify({ ...config, beginLine: "", carriedOptions: [], clusterPaths: [] });
}

describe("the option table", () => {
  test("is sorted, without duplicates, and each row is well formed", () => {
    const names = OPTIONS.map((row) => row.name);
    expect(names).toEqual([...new Set(names)].toSorted());
    expect(names.length).toBeGreaterThan(170);
    for (const row of OPTIONS) {
      expect(row.doc).toMatch(/^[A-Za-z].*[^.]$/);
      expect(row.name.startsWith(row.group ?? "")).toBe(true);
      if (row.depend !== undefined) expect([undefined, row.group]).toContain(rowOf(row.depend.option).group);
      if (row.type === "boolean" && row.name !== "checksum-page") expect(["y", "n"]).toContain(row.default);
      if (row.type === "enum") expect(row.allowed ?? row.forCommand).toBeDefined();
      if (row.secret === true) expect(row.section).toBe("global");
    }
  });

  test("priority is for stock's commands, and those that copy as they do: not for servers, and not for recover", () => {
    const { commands } = rowOf("priority");
    expect(commands).toEqual(expect.arrayContaining(["backup", "restore", "archive-push", "verify", "sync", "drill"]));
    const others: readonly CommandName[] = ["agent", "cnpg-instance", "recover", "help", "version"];
    expect(others.filter((command) => commands.includes(command))).toEqual([]);
  });

  test("puts each value in a separate field, and no group in place of a value", () => {
    const paths = OPTIONS.flatMap((row) => row.config ?? []);
    expect(paths).toEqual([...new Set(paths)]);
    expect(paths.map((source) => source.split(".").length).every((depth) => depth <= 2)).toBe(true);
    const groups = new Set(paths.flatMap((source) => (source.includes(".") ? [source.split(".")[0]] : [])));
    expect(paths.filter((source) => groups.has(source))).toEqual([]);
    expect(OPTIONS.filter((row) => row.config !== undefined && (!row.acted || row.group !== undefined))).toEqual([]);
  });

  test("has the options of the specification", () => {
    const named =
      "stanza config config-path config-include-path repo set type target target-action target-exclusive target-timeline delta force online dry-run output oldest archive-expire-before allow-root archive-timeout buffer-size cmd cmd-ssh compress-type compress-level compress-level-network db-timeout protocol-timeout io-timeout job-retry job-retry-interval lock-path spool-path log-path log-level-console log-level-file log-level-stderr log-subprocess log-timestamp neutral-umask priority process-max sck-keep-alive sck-block tcp-keep-alive-count tcp-keep-alive-idle tcp-keep-alive-interval tls-cipher-12 tls-cipher-13 archive-async archive-get-queue-max archive-push-queue-max archive-push-batch-size archive-header-check archive-mode-check archive-check archive-missing-retry archive-copy archive-mode annotation backup-standby checksum-page checksum-page-error page-header-check exclude expire-auto manifest-save-threshold resume start-fast stop-auto db-include db-exclude link-all link-map tablespace-map tablespace-map-all recovery-option pg-path pg-host pg-host-user pg-host-port pg-host-cmd pg-host-config pg-host-config-path pg-host-config-include-path pg-host-type pg-host-ca-file pg-host-ca-path pg-host-cert-file pg-host-key-file pg-local pg-port pg-socket-path pg-user pg-database pg-version-force repo-type repo-path repo-cipher-type repo-cipher-pass repo-hardlink repo-symlink repo-bundle repo-bundle-size repo-bundle-limit repo-block repo-block-size-super repo-block-size-super-full repo-block-size-map repo-block-age-map repo-block-checksum-size-map repo-retention-full repo-retention-full-type repo-retention-diff repo-retention-archive repo-retention-archive-type repo-retention-history repo-target-time repo-local repo-host repo-host-user repo-host-port repo-host-cmd repo-host-config repo-host-config-path repo-host-config-include-path repo-host-type repo-host-ca-file repo-host-ca-path repo-host-cert-file repo-host-key-file repo-storage-host repo-storage-port repo-storage-verify-tls repo-storage-ca-file repo-storage-ca-path repo-storage-tag repo-storage-upload-chunk-size repo-storage-prefetch repo-storage-read-over repo-s3-bucket repo-s3-endpoint repo-s3-region repo-s3-key repo-s3-key-secret repo-s3-token repo-s3-key-type repo-s3-role repo-s3-process-cmd repo-s3-sts-host repo-s3-kms-key-id repo-s3-sse-customer-key repo-s3-uri-style repo-s3-requester-pays repo-s3-service repo-azure-account repo-azure-container repo-azure-key repo-azure-key-type repo-azure-endpoint repo-azure-uri-style repo-gcs-bucket repo-gcs-key repo-gcs-key-type repo-gcs-endpoint repo-gcs-user-project repo-sftp-host repo-sftp-host-port repo-sftp-host-user repo-sftp-private-key-file repo-sftp-public-key-file repo-sftp-private-key-passphrase repo-sftp-host-key-hash-type repo-sftp-host-key-check-type repo-sftp-host-fingerprint repo-sftp-known-host tls-server-address tls-server-port tls-server-ca-file tls-server-cert-file tls-server-key-file tls-server-auth compress";
    const names = OPTIONS.map((row) => row.name);
    expect(named.split(" ").filter((name) => !names.includes(name))).toEqual([]);
  });

  test.each(OPTIONS)("$name has defaults within its own rules", (row) => {
    for (const rule of [row, ...Object.values(row.forCommand ?? {}), ...Object.values(row.forDepend ?? {})].map(
      (own): OptionRule => ({ ...row, ...own }),
    )) {
      if (rule.default === undefined) continue;
      if (rule.allowed !== undefined) expect(rule.allowed).toContain(rule.default);
      if (!["integer", "size", "time"].includes(row.type)) continue;
      const [value, least, most] = [rule.default, rule.range?.[0] ?? rule.default, rule.range?.[1] ?? rule.default].map(
        (text) => parseNumber(row.type, text),
      );
      expect(value).not.toBeNull();
      expect(value).toBeGreaterThanOrEqual(least ?? Number.NaN);
      expect(value).toBeLessThanOrEqual(most ?? Number.NaN);
    }
  });

  test.each(OPTIONS.filter((row) => row.section !== "command-line"))(
    "$name loads alike from command line, environment and file",
    (row) => {
      for (const command of drawn(row, workingCommands(row)).filter((name) => !isBeyondReach(row, name))) {
        const fromFile = heeded(run(row, command, sampleOf(row, command), "file"));
        expect(heeded(run(row, command, sampleOf(row, command), "environment")), command).toBe(fromFile);
        if (row.secret !== true)
          expect(heeded(run(row, command, sampleOf(row, command), "command-line")), command).toBe(fromFile);
      }
    },
  );

  // These options change no field, or only a hidden one. The tests of the files that use them cover them.
  const SILENT = [
    "config",
    "config-include-path",
    "config-path",
    "settings",
    "pg-local",
    "repo-local",
    "repo-gcs-key",
    "repo-s3-key-type",
    "repo-s3-key",
    "repo-s3-key-secret",
  ];
  test.each(OPTIONS.filter((row) => row.acted && !SILENT.includes(row.name)))(
    "$name, documented as effective, changes the configuration",
    (row) => {
      const last = row.type === "enum" ? row.allowed?.at(-1) : undefined;
      const other =
        last ??
        (row.type === "path"
          ? "/other"
          : row.type === "integer" || row.name === "from-repo"
            ? "7"
            : row.type === "hash"
              ? "other=text"
              : "other");
      const isEffective = row.commands.some((command) => {
        const without = ruleOf(row, command).required === true && row.name !== "stanza" ? other : undefined;
        const source = row.section === "command-line" ? "command-line" : "file";
        if (row.name === "stanza")
          return run(row, "info", "main", source).stanza !== run(row, "info", undefined, source).stanza;
        if (row.name === "repo-cipher-pass") return run(row, command, "x", source).repos[0]?.cipherPass !== undefined;
        if (source === "file" && !WORKING.includes(command)) return false;
        const [set, unset] = [sampleOf(row, command), without].map((value) => heeded(run(row, command, value, source)));
        return set !== unset;
      });
      expect(isEffective).toBe(true);
    },
  );

  const hasRange = (row: OptionRow): boolean =>
    [row, ...Object.values(row.forDepend ?? {})].some((rule) => rule.range !== undefined);
  test.each(OPTIONS.filter(hasRange))("$name accepts the ends of its range and nothing beyond", (row) => {
    const source = row.section === "command-line" ? "command-line" : "file";
    const write = (value: number): string => (row.type === "time" ? `${value}ms` : String(value));
    // A mistake in an option without effect is a warning for those: test/runtime/config/unused.test.ts.
    const isLenient = (name: CommandName): boolean => !row.acted && COMMAND_TABLE[name].lenient === true;
    const isTried = (name: CommandName): boolean => !isBeyondReach(row, name) && !isLenient(name);
    for (const command of workingCommands(row).filter((name) => isTried(name) && row.name !== "repo")) {
      const [least, most] = (ruleOf(row, command).range ?? ["", ""]).map(
        (text) => parseNumber(row.type, text) ?? Number.NaN,
      ) as [number, number];
      for (const value of [least, most])
        expect(
          failure(() => run(row, command, write(value), source)),
          `${command} ${value}`,
        ).toBe("no error");
      for (const value of [least - 1, most + 1].filter((end) => end >= 0 || row.type === "integer")) {
        expect(
          failure(() => run(row, command, write(value), source)),
          `${command} ${value}`,
        ).toContain(`optionInvalidValue: '${write(value)}' is out of range for '${nameOf(row)}' option`);
      }
    }
  });

  test.each(OPTIONS.filter((row) => row.type === "enum"))("$name accepts each allowed value and no other", (row) => {
    const source = row.section === "command-line" ? "command-line" : "file";
    for (const command of workingCommands(row).filter((name) => !isBeyondReach(row, name))) {
      for (const value of ruleOf(row, command).allowed ?? []) {
        const result = failure(() =>
          run(row, command, value, source, {
            ...companionsOf(row, command),
            ...(row.name === "type" ? { target: "x" } : {}),
          }),
        );
        const refused = row.refusedValues?.[value];
        const accepted = /^(no error$|optionRequired: |optionInvalid: option 'target' not valid without)/;
        expect(result, `${command} ${value}`).toMatch(
          refused === undefined
            ? accepted
            : new RegExp(`^featureNotSupported: option '${nameOf(row)}' = '${value}' is not supported: `),
        );
      }
      expect(
        failure(() => run(row, command, "markerWrong", source)),
        command,
      ).toContain(
        `optionInvalidValue: 'markerWrong' is not allowed for '${nameOf(row)}' option\nHINT: allowed values are '`,
      );
    }
  });

  test.each(OPTIONS.filter((row) => row.refused !== undefined))("$name is refused where it is valid", (row) => {
    for (const command of row.commands) {
      expect(
        failure(() => run(row, command, sampleOf(row, command), "file")),
        command,
      ).toContain(`featureNotSupported: option '${nameOf(row)}' is not supported: ${row.refused}`);
    }
  });

  test.each(OPTIONS.filter((row) => row.section !== "command-line"))(
    "$name is ignored by commands that do not know it",
    (row) => {
      for (const command of drawn(
        row,
        WORKING.filter((name) => !row.commands.includes(name)),
      )) {
        expect(heeded(run(row, command, sampleOf(row, command), "file", {})), command).toBe(
          heeded(run(row, command, undefined, "file", {})),
        );
        const arg = `--${nameOf(row)}=${row.type === "boolean" ? "y" : "1"}`;
        const message =
          row.secret === true
            ? "is not allowed on the command-line"
            : `option '${nameOf(row)}' not valid for command '${command}'`;
        expect(
          failure(() => load({ argv: [command, "--stanza=main", arg] })),
          command,
        ).toContain(message);
      }
    },
  );
});
