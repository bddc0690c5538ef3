/**
 * `npm run test:live`: `doctor` against real accounts, whose keys are in the environment. Without any it says so and how to make throw-away
 * ones. Writes nothing but a directory of its own in each bucket, which it removes; a bucket that locks objects keeps them until then.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { projectFolder } from "./parts/cache";

interface Account {
  /** Beginning of its variables: `B2_BUCKET`, `B2_ENDPOINT`, `B2_REGION`, `B2_KEY_ID`, `B2_KEY`. */
  readonly prefix: string;
  readonly howTo: string;
}

const ACCOUNTS: readonly Account[] = [
  {
    prefix: "B2",
    howTo:
      "a private bucket at Backblaze, then an application key for this bucket alone with listBuckets, listFiles, readFiles and writeFiles; the endpoint stands at the bucket (s3.REGION.backblazeb2.com)",
  },
  {
    prefix: "R2",
    howTo:
      'a bucket at Cloudflare R2, then an API token "Object Read & Write" for it alone; the endpoint is ACCOUNT.r2.cloudflarestorage.com, the region auto',
  },
  {
    prefix: "AWS",
    howTo:
      "a versioned bucket at Amazon S3, then a user with ListBucket on it and GetObject, PutObject, DeleteObject on its objects; the endpoint is s3.REGION.amazonaws.com",
  },
];
const NAMES = ["BUCKET", "ENDPOINT", "REGION", "KEY_ID", "KEY"] as const;

function main(): number {
  const given = ACCOUNTS.filter(({ prefix }) => missingOf(prefix).length === 0);
  for (const { howTo, prefix } of ACCOUNTS) {
    const missing = missingOf(prefix);
    if (missing.length > 0) process.stdout.write(`SKIPPED ${prefix}: ${missing.join(", ")} not set\n  to make throw-away ones: ${howTo}\n`);
  }
  if (given.length === 0) {
    process.stdout.write("NOTHING WAS TESTED: no account is in the environment\n");
    return 0;
  }
  const folder = mkdtempSync(join(tmpdir(), "pgb-live-"));
  try {
    const file = join(folder, "pgbackrest.conf");
    writeFileSync(file, `[global]\nlog-path=${folder}\n${given.map(({ prefix }, index) => section(prefix, index + 1)).join("")}`, { mode: 0o600 });
    const program = join(projectFolder(), "dist", "runtime.cjs");
    const { status } = spawnSync(process.execPath, [program, `--config=${file}`, "doctor"], { stdio: "inherit" });
    return status ?? 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function missingOf(prefix: string): string[] {
  return NAMES.map((name) => `${prefix}_${name}`).filter((name) => (process.env[name] ?? "") === "");
}

function section(prefix: string, key: number): string {
  const value = (name: (typeof NAMES)[number]): string => process.env[`${prefix}_${name}`] ?? "";
  const options = {
    type: "s3",
    path: "/pgbackstop-live",
    "s3-bucket": value("BUCKET"),
    "s3-endpoint": value("ENDPOINT"),
    "s3-region": value("REGION"),
    "s3-key": value("KEY_ID"),
    "s3-key-secret": value("KEY"),
    "s3-uri-style": "path",
  };
  return Object.entries(options)
    .map(([name, text]) => `repo${key}-${name}=${text}\n`)
    .join("");
}

process.exitCode = main();
