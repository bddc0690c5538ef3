import { describe, expect, it } from "vitest";
import {
  assert,
  BackupError,
  ERRORS,
  fail,
  isError,
  stockErrorName,
  toBackupError,
} from "../../../runtime/base/errors";

/** Numbers and names from pgBackRest 2.60's "build/error.yaml", for every kind that pgbackstop uses. */
const STOCK =
  `AssertError 25 ChecksumError 26 ConfigError 27 FileInvalidError 28 FormatError 29 CommandRequiredError 30 OptionInvalidError 31
  OptionInvalidValueError 32 OptionRequiredError 37 PgRunningError 38 ProtocolError 39 PathNotEmptyError 40 FileOpenError 41 FileReadError 42
  ParamRequiredError 43 ArchiveMismatchError 44 ArchiveDuplicateError 45 VersionNotSupportedError 46 PathCreateError 47 CommandInvalidError 48
  HostConnectError 49 LockAcquireError 50 BackupMismatchError 51 FileSyncError 52 PathOpenError 53 PathSyncError 54 FileMissingError 55
  DbConnectError 56 DbQueryError 57 DbMismatchError 58 FileRemoveError 60 PathRemoveError 61 StopError 62 TermError 63 FileWriteError 64
  FeatureNotSupportedError 67 ArchiveCommandInvalidError 68 LinkExpectedError 69 LinkDestinationError 70 HostInvalidError 72 PathMissingError 73
  FileMoveError 74 BackupSetInvalidError 75 TablespaceMapError 76 LinkMapError 78 FileCloseError 79 DbMissingError 80 DbInvalidError 81
  ArchiveTimeoutError 82 FileModeError 83 ArchiveDisabledError 87 FileOwnerError 88 UserMissingError 89 FileExistsError 93 MemoryError 94
  CryptoError 95 ParamInvalidError 96 PathCloseError 97 FileInfoError 98 JsonFormatError 99 KernelError 100 ServiceError 101 ExecuteError 102
  RepoInvalidError 103 CommandError 104 AccessError 105 ClockError 106 RuntimeError 122 UnhandledError 124`
    .split(/\s+/)
    .reduce<[string, number][]>(
      (rows, arg, index) =>
        index % 2 === 0 ? [...rows, [arg, 0]] : [...rows.slice(0, -1), [rows.at(-1)?.[0] ?? "", Number(arg)]],
      [],
    );

describe("the table of errors", () => {
  it("has stock's numbers under stock's names", () => {
    const ours = Object.entries(ERRORS).map(([kind, code]) => [stockErrorName(kind as keyof typeof ERRORS), code]);
    expect(ours).toEqual(STOCK);
  });

  it("never exits above 125, which PostgreSQL takes for a crash", () => {
    for (const code of Object.values(ERRORS)) expect(code).toBeLessThanOrEqual(125);
  });
});

describe("an error", () => {
  it("carries what a caller and a user need", () => {
    const cause = new Error("ECONNREFUSED");
    const error = fail("hostConnect", "unable to connect", {
      hint: "is it up?",
      repoIndex: 2,
      path: "archive/x",
      cause,
      retryable: true,
    });
    expect(error).toMatchObject({
      name: "HostConnectError",
      exitCode: 49,
      hints: ["is it up?"],
      repoIndex: 2,
      path: "archive/x",
      cause,
      retryable: true,
    });
    expect(fail("crypto", "x")).toMatchObject({ hints: [], repoIndex: undefined, path: undefined, retryable: false });
    expect("cause" in fail("crypto", "x")).toBe(false);
  });

  it("is recognised by its kind", () => {
    const error = fail("fileMissing", "gone");
    expect([
      isError(error),
      isError(error, "fileMissing"),
      isError(error, "access", "fileMissing"),
      isError(error, "access"),
    ]).toEqual([true, true, true, false]);
    expect(isError(new Error("gone"))).toBe(false);
  });

  it("is made from any thrown value", () => {
    const own = fail("access", "refused");
    expect(toBackupError(own)).toBe(own);
    const system = Object.assign(new Error("EIO: i/o error"), { code: "EIO" });
    expect(toBackupError(system, "fileRead")).toMatchObject({
      kind: "fileRead",
      message: "EIO: i/o error",
      cause: system,
    });
    expect(toBackupError("just text")).toMatchObject({ kind: "unhandled", message: "just text" });
  });

  it("of our own bugs asks for a report", () => {
    expect(() => assert("".length > 2, "numbers are broken")).toThrow(BackupError);
    expect(() => assert(false, "x")).toThrow(
      expect.objectContaining({ exitCode: 25, hints: [expect.stringContaining("report")] }),
    );
    expect(assert(true, "x")).toBeUndefined();
  });
});
