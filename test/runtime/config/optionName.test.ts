import { describe, expect, test } from "vitest";
import { findOption, optionName, rowOf, similarNames } from "../../../runtime/config/optionName";
import { failure } from "./support";

function result(text: string): string {
  const option = findOption(text);
  return option === null
    ? "none"
    : `${option.negate ? "no-" : ""}${option.reset ? "reset-" : ""}${optionName(option.row, option.key)}`;
}

describe("names of options", () => {
  test.each([
    ["process-max", "process-max"],
    ["repo2-path", "repo2-path"],
    ["repo256-s3-key", "repo256-s3-key"],
    ["no-archive-check", "no-archive-check"],
    ["no-config", "no-config"],
    ["no-backup-standby", "no-backup-standby"],
    ["reset-repo3-path", "reset-repo3-path"],
    ["repo-path", "repo1-path"],
    ["repo-type", "repo1-type"],
    ["hardlink", "repo1-hardlink"],
    ["retention-full", "repo1-retention-full"],
    ["archive-queue-max", "archive-push-queue-max"],
    ["db-path", "pg1-path"],
    ["db3-path", "pg3-path"],
    ["db-port", "pg1-port"],
    ["db2-ssh-port", "pg2-host-port"],
    ["backup-host", "repo1-host"],
    ["repo-s3-verify-ssl", "repo1-storage-verify-tls"],
    ["repo2-s3-verify-ssl", "repo2-storage-verify-tls"],
    ["no-repo2-s3-verify-tls", "no-repo2-storage-verify-tls"],
    ["repo2-azure-port", "repo2-storage-port"],
    ["tls-cipher-12", "tls-cipher-12"],
    ["nope", "none"],
    ["", "none"],
    ["1-path", "none"],
    ["repo1-", "none"],
    ["proc", "none"],
    ["constructor", "none"],
  ])("%j is %s", (text, name) => expect(result(text)).toBe(name));

  test.each([
    ["repo0-path", "option 'repo0-path' key must be between 1 and 256"],
    ["repo257-path", "option 'repo257-path' key must be between 1 and 256"],
    ["process2-max", "option 'process2-max' cannot have an index"],
    ["repo-bundle", "option 'repo-bundle' requires an index\nHINT: add the required index, e.g. repo1-bundle."],
    ["pg-path", "option 'pg-path' requires an index\nHINT: add the required index, e.g. pg1-path."],
    [
      "repo-azure-port",
      "deprecated option 'repo-azure-port' requires an index\nHINT: use the name repo1-storage-port instead.",
    ],
    ["retention2-full", "deprecated option 'retention2-full' cannot have an index"],
    ["no-process-max", "option 'no-process-max' cannot be negated"],
    ["no-force", "option 'no-force' cannot be negated"],
    ["reset-stanza", "option 'reset-stanza' cannot be reset"],
  ])("%j is malformed", (text, message) => expect(failure(() => findOption(text))).toBe(`optionInvalid: ${message}`));

  test.each([
    ["repo1-pth", ["repo1-path"]],
    ["repo7-s3-buckte", ["repo7-s3-bucket"]],
    ["process_max", ["process-max"]],
    ["no-archive-chek", ["no-archive-check"]],
    ["stanz", ["stanza"]],
    ["log-level-con", ["log-level-console"]],
    ["entirely-different-thing", []],
  ])("%j resembles %j", (text, names) => expect(similarNames(text)).toEqual(names));

  test("a key is inserted only into the name of a group's option", () => {
    expect(optionName(rowOf("repo-s3-key"), 12)).toBe("repo12-s3-key");
    expect(optionName(rowOf("process-max"), undefined)).toBe("process-max");
    expect(failure(() => rowOf("nope"))).toContain("assert: option 'nope' is not in the table");
  });
});
