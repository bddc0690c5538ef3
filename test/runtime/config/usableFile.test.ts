/** Files that a newer version wrote, and files with mistakes: what each command makes of them. */
import { describe, expect, test } from "vitest";
import { COMMANDS, COMMAND_TABLE, type CommandName } from "../../../runtime/config/commands";
import { compareReleases } from "../../../runtime/config/usableFile";
import { VERSION } from "../../../runtime/version";
import { failure, load, MAIN_FILE } from "./support";

const FILE = "/etc/pgbackrest/pgbackstop.json";
const PROVIDERS = ["auto", "minio"];

function loaded(command: string, settings: object | string): ReturnType<typeof load> {
  const text = typeof settings === "string" ? settings : JSON.stringify(settings);
  const params: Partial<Record<string, string[]>> = { "archive-push": ["pg_wal/x"], "archive-get": ["a", "b"] };
  return load({
    argv: ["--stanza=main", command, ...(params[command] ?? [])],
    files: {
      [MAIN_FILE]:
        "[global]\nrepo1-path=/one\nrepo1-retention-full=1\nrepo2-path=/two\nrepo2-retention-full=1\n[main]\npg1-path=/pg\n",
      [FILE]: text,
    },
    providers: PROVIDERS,
  });
}

/** What version 9.9.9 may write: unknown fields at any depth, and new values of known ones. */
const NEWER = {
  version: 1,
  package: "9.9.9",
  acknowledge: ["repo2"],
  quorum: 2,
  stream: { intervalSeconds: 5, synchronous: { atLeast: 2 }, degradeAfterSeconds: 30, workers: 4 },
  drill: {
    assertions: [
      { name: "orders", sql: "select true", retries: 3 },
      { name: "rows", query: "select count(*)" },
    ],
    declared: { weekly: { pick: "smallest", level: "quick" } },
  },
  repos: { repo1: { compressType: "br", compressLevel: 3, s3Quirks: "newcloud" }, repo2: { tier: "cold" } },
};

describe("a file of a newer version", () => {
  // claim: docs/upgrading.md: a runtime ignores fields of a newer version with a warning and refuses mistakes; none
  //   stops WAL or a restore
  test("keeps what this version knows, and each other field warns", () => {
    const { config, warnings } = loaded("backup", NEWER);
    expect(config.settings).toEqual({
      acknowledge: { mode: "named", repoIndexes: [2] },
      archiveCommandContains: "pgbackrest",
      // Commits wait for all repositories: what is unknown may promise as much.
      stream: { intervalSeconds: 5, synchronous: { mode: "all", repoIndexes: [], degradeAfterSeconds: 30 } },
      drill: {
        objectives: {},
        assertions: [{ name: "orders", sql: "select true" }],
        declared: { weekly: { level: "quick" } },
      },
      repos: { 1: { compressLevel: 3 }, 2: {} },
    });
    const about = "; ignored, because the file is for version 9.9.9 and this is ";
    expect(warnings.every((text) => text.startsWith(`settings file '${FILE}'`) && text.includes(about))).toBe(true);
    for (const name of ["quorum", "stream.synchronous", "stream.workers", "retries", "query", "pick", "compressType"])
      expect(warnings.filter((text) => text.includes(name)).length, name).toBeGreaterThan(0);
    expect(warnings.at(-1)).toContain("HINT: Upgrade this runtime: docs/upgrading.md.");
  });

  // claim: docs/upgrading.md: a runtime ignores fields of a newer version…
  test("counts as such only by its version: the same file of this version, an older one or none is refused", () => {
    for (const version of [VERSION, "0.0.9", undefined])
      expect(failure(() => loaded("backup", { ...NEWER, package: version }))).toContain("unknown field 'quorum'");
  });
});

describe("a mistake", () => {
  const mistakes: Readonly<Record<string, object | string>> = {
    "a typo": { acknowlege: "any" },
    "a list with one wrong name": { acknowledge: ["repo1", "rep2"] },
    "a repository that is not configured": { acknowledge: ["repo7"], repos: { repo9: { compressType: "gz" } } },
    "a level outside the range": { repos: { repo1: { compressLevel: 99 } } },
    "an unknown provider": { repos: { repo1: { s3Quirks: "nonsense" } } },
    "a list in place of an object": [],
    "a text that is no JSON": '{"acknowledge":',
    nothing: "",
  };

  test.each(Object.entries(mistakes))("%s stops no WAL and no restore, and everything else", (_title, file) => {
    const going = COMMANDS.filter((command) => COMMAND_TABLE[command].anySettings === true);
    expect(going).toEqual([
      "agent",
      "archive-get",
      "archive-push",
      "cnpg-instance",
      "cnpg-restore",
      "open",
      "recover",
      "restore",
    ]);
    for (const command of going) {
      const { config, warnings } = loaded(command, file);
      // It opens no repository itself, so it judges none.
      if (command === "recover") continue;
      expect(config.settings.acknowledge, command).toEqual({ mode: "all", repoIndexes: [], isDefault: true });
      expect(warnings.join("\n"), command).toContain("; ignored");
    }
    for (const command of ["backup", "check", "expire"] satisfies CommandName[])
      expect(
        failure(() => loaded(command, file)),
        command,
      ).toMatch(/^config: settings f/);
  });

  test("still names the field that was meant", () => {
    expect(failure(() => loaded("backup", { acknowlege: "any" }))).toContain("HINT: Did you mean acknowledge?");
    expect(loaded("archive-push", { acknowlege: "any" }).warnings.join()).toContain("HINT: Did you mean acknowledge?");
  });
});

test("versions compare by number, a pre-release by the version that it leads to", () => {
  expect(compareReleases("0.10.0", "0.9.0")).toBeGreaterThan(0);
  expect(compareReleases("0.9.0", "0.10.0")).toBeLessThan(0);
  expect(compareReleases("1.0.0-rc.1", "1.0.0")).toBe(0);
  expect(compareReleases("soon", "1.0.0")).toBe(0);
});
