import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SEAL_SCRIPT } from "../../../../components/render/host/sshdConfig";

const ACCOUNT = "nobody";
const DAYS = 14;
const SEGMENT = "000000010000000000000005";
const CHUNK = `pgbackstop/main/stream/18-1/${SEGMENT}-00000000000a-00000000-0000000a`;
const ARCHIVED = `archive/main/18-1/0000000100000000/${SEGMENT}-${"a".repeat(40)}.gz`;
const LEASE = "pgbackstop/main/lease/00000001.json";
let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "pgb-seal-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

/** Files of the account. The change time cannot be set, so the script's "older than a minute" is taken out. */
function write(...paths: readonly string[]): void {
  for (const path of paths) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), "x");
    utimesSync(join(root, path), new Date(), new Date());
  }
  execFileSync("chown", ["-R", `${ACCOUNT}:`, root]);
}

function seal(days = DAYS): void {
  const script = join(root, "..", `${root.split("/").at(-1)}.sh`);
  const text = SEAL_SCRIPT.replaceAll(" -cmin +0", "")
    .replaceAll("$account:$account", "$account:")
    .replaceAll("root:$account", "root:");
  writeFileSync(script, text);
  chmodSync(script, 0o755);
  try {
    execFileSync("sh", [script, root, ACCOUNT, String(days)], { stdio: "pipe" });
  } finally {
    rmSync(script);
  }
}

const isRoots = (path: string): boolean => statSync(join(root, path)).uid === 0;

describe.skipIf(process.getuid?.() !== 0)("the script that gives complete files of a backup host to root", () => {
  it("keeps streamed WAL until root keeps its segment in the archive, and leaves the leases to the account", () => {
    write(CHUNK, LEASE);
    seal();
    expect([CHUNK, dirname(CHUNK), "pgbackstop/main", "pgbackstop", LEASE, dirname(LEASE)].map(isRoots)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
    expect(statSync(join(root, dirname(CHUNK))).mode & 0o7777).toBe(0o1770);
    mkdirSync(join(root, dirname(ARCHIVED)), { recursive: true });
    writeFileSync(join(root, ARCHIVED), "x");
    execFileSync("chown", ["-R", `${ACCOUNT}:`, join(root, "archive")]);
    seal();
    expect([ARCHIVED, CHUNK].map(isRoots)).toEqual([true, false]);
  });

  it("gives everything back without days", () => {
    write(CHUNK, ARCHIVED.replace("5-", "4-"));
    seal();
    seal(0);
    expect([CHUNK, dirname(CHUNK), "pgbackstop"].map(isRoots)).toEqual([false, false, false]);
  });
});
