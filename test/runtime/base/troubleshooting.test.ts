import { describe, expect, it } from "vitest";
import { fail } from "../../../runtime/base/errors";
import { hintLines, troubleshootingAnchor } from "../../../runtime/base/troubleshooting";

describe("an error's entry", () => {
  it("is that of its cause, also in the summary of several repositories", () => {
    const load = "unable to load info file 'archive/main/archive.info' or 'archive/main/archive.info.copy':";
    const cases = [
      [fail("stop", "stop file exists for stanza main"), "stop-file"],
      [fail("crypto", "cipher header invalid"), "wrong-passphrase"],
      [fail("repoInvalid", `unable to find a valid repository\nrepo2: [CryptoError] ${load}`), "wrong-passphrase"],
      [fail("fileMissing", `${load}\nFileMissingError: unable to open missing file '/a' for read`), "stanza-missing"],
      [fail("access", "unable to put 's3://b/f': [403] RequestTimeTooSkewed: late"), "clock-skew"],
      [fail("access", "unable to put 's3://b/f': [403] AccessDenied"), "wrong-keys"],
      [fail("hostConnect", "unable to connect to 'localhost:1': its certificate has expired"), "certificate-refused"],
      [fail("hostConnect", "unable to connect to 'localhost:1': [ECONNREFUSED]"), "repository-unreachable"],
      [fail("lockAcquire", "repo1: backup '20260101-000000F' cannot continue: its attempt file is gone"), "lease-held"],
      [fail("archiveDuplicate", "WAL file 'x' already exists"), "two-writers"],
      [fail("archiveDisabled", "the server has no replication slot pgbackstop_main"), "slot-not-read"],
      [fail("dbConnect", "there is no container 'shop-db'"), "container-gone"],
      [fail("dbConnect", "container 'shop-db' does not run"), "container-gone"],
      [fail("pgRunning", "containers 'shop-db' and 'twin' have the same data, '/a'"), "container-data-shared"],
      [fail("fileMissing", "unable to open missing file '/a' for read"), null],
      [fail("pathMissing", "nothing is mounted at or above '/mnt/nas'"), "nas-not-mounted"],
      [fail("optionInvalid", "invalid option '--x'"), null],
    ] as const;
    expect(cases.map(([error]) => troubleshootingAnchor(error))).toEqual(cases.map(([, anchor]) => anchor));
  });

  it("is named after the hints", () => {
    expect(
      hintLines(fail("lockAcquire", "unable to acquire lock on file '/a'", { hint: "is another running?" })),
    ).toEqual(["HINT: is another running?", "HINT: see troubleshooting: lock-held"]);
    expect(hintLines(fail("optionInvalid", "invalid option '--x'", { hint: "did you mean --y?" }))).toEqual([
      "HINT: did you mean --y?",
    ]);
  });
});
