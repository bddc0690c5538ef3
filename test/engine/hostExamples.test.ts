/**
 * The examples for hosts with stock pgBackRest as the engine, compared with their published configurations: every
 * option, setting and schedule that differs, and why. docs/internals/lessons.md has the same list.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { ProgramFolder } from "../../tools/parts/pulumi/pulumiEngine";
import { makeProgramFolder, removeProgramFolder } from "../harness/programFolder";
import { B2ServerDouble } from "../harness/doubles/b2Server";
import type { Difference } from "../harness/compare/published";
import {
  type DeclaredHost,
  linesOf,
  mapDifferences,
  optionsOf,
  previewHost,
  publishedText,
  settingsOf,
} from "../harness/compare/publishedHost";
import { openB2, openNasR2, SECRET } from "./hostStacks";
import { NIGHTLY } from "../../tools/parts/nightly";

let programFolder: ProgramFolder;
let server: B2ServerDouble;

beforeAll(async () => {
  programFolder = await makeProgramFolder();
  server = await B2ServerDouble.start();
});
afterAll(async () => {
  await server?.stop();
  removeProgramFolder(programFolder);
});

async function nasR2(): Promise<{ host: DeclaredHost; printed: string }> {
  return previewHost(await openNasR2(programFolder, { engine: "pgbackrest" }));
}

async function b2(): Promise<{ host: DeclaredHost; printed: string }> {
  const stack = await openB2(programFolder, server, { engine: "pgbackrest" });
  // The B2 account decides where its buckets are, so an update creates them before the preview.
  await stack.up({ target: ["**B2Repository**", "**CipherPassphrase**"] });
  return previewHost(stack);
}

/** The names, the published value, our value, and the reason for the difference. */
type Correction = readonly [names: string, published: string | undefined, ours: string | undefined, why: string];

function asDifferences(corrections: readonly Correction[]): Record<string, Difference> {
  return Object.fromEntries(
    corrections.flatMap(([names, published, ours]) =>
      names.split(" ").map((name) => [name, [published, ours] as const]),
    ),
  );
}

/** Compares without the section names, which are the same in both. */
function confDifferences(published: string, host: DeclaredHost, stanza: string): Record<string, Difference> {
  const conf = host.files["/etc/pgbackrest/pgbackrest.conf"];
  expect(conf).toMatchObject({ mode: "0640", owner: "shared" });
  const strip = (options: ReadonlyMap<string, string>): Map<string, string> =>
    new Map([...options].map(([name, value]) => [name.replace("[global] ", "").replace(`[${stanza}] `, ""), value]));
  return mapDifferences(strip(optionsOf(publishedText(published))), strip(optionsOf(conf?.text ?? "")));
}

/** Options that both examples set and neither published text does. */
const CORRECTIONS: readonly Correction[] = [
  [
    "lock-path",
    undefined,
    "/var/spool/pgbackrest/lock",
    "stock's default lies in /tmp, where every account may be first",
  ],
  ["log-path", undefined, "/var/log/pgbackrest", "stock's default, said"],
  ["spool-path", undefined, "/var/spool/pgbackrest", "stock's default, said"],
  ["start-fast", undefined, "y", "a backup begins at once, and not with the next checkpoint"],
  ["repo2-bundle", undefined, "y", "fewer requests, as the text advises further down, and does not do"],
  ["repo2-s3-uri-style", undefined, "path", "as the vendor takes it whatever the bucket is called"],
  ["repo2-storage-port", undefined, "443", "stock's default, said"],
  [
    "repo2-storage-upload-chunk-size",
    undefined,
    "16MiB",
    "equal parts, which R2 demands, for larger files than with 5 MiB",
  ],
];

const NAS_R2: readonly Correction[] = [
  ...CORRECTIONS,
  [
    "delta",
    "y",
    undefined,
    "every backup would read all files again; stock turns it on by itself where a clock or a prior backup is in doubt",
  ],
  ["repo1-type", undefined, "posix", "stock's default, said"],
  [
    "repo1-retention-full-type repo2-retention-full-type",
    undefined,
    "time",
    "days are what is meant: a second full backup of a day shortens no window",
  ],
  ["repo2-cipher-type", undefined, "aes-256-cbc", "anyone who can read the bucket can read the database"],
  ["repo2-s3-key-type", "shared", undefined, "stock's default"],
];

const NAS_R2_SCHEDULES = [
  ["Full", "Daily @ 2 AM", "full", "*-*-* 02:00:00 UTC", "the same, with its zone"],
  [
    "Incremental",
    "Hourly",
    "incr",
    "*-*-* 00..01,03..23:30:00 UTC",
    "PB027: on the hour it met the other two, and one of them failed",
  ],
  ["Differential", "Every 6 hours", "diff", "*-*-* 08,14,20:15:00 UTC", "PB027: at 2 there is a full one"],
] as const;

// claim: examples/README.md: vps-nas-r2 and vps-b2: with stock as engine they equal the published configurations, apart
//   from named corrections (B2's API is a double)
test("a NAS and R2: every difference from the published configuration, option by option", async () => {
  const { host, printed } = await nasR2();
  expect(confDifferences("vps-nas-r2.conf", host, "main")).toEqual(asDifferences(NAS_R2));
  expect(mapDifferences(settingsOf(publishedText("vps-nas-r2.nix")), new Map(Object.entries(host.settings)))).toEqual(
    asDifferences([
      [
        "archive_command",
        "${pkgs.pgbackrest}/bin/pgbackrest --stanza=main archive-push %p",
        "pgbackrest --stanza=main archive-push %p",
        "Nix's path",
      ],
      ["archive_timeout", "300", "230s", "PB039: a push and one retry belong to the five minutes"],
    ]),
  );
  const rows = [...publishedText("vps-nas-r2.schedules").matchAll(/^\| (\w+) \| ([^|]+?) \| (?!Retention)/gm)].map(
    ([, kind, text]) => [kind, text],
  );
  expect(rows).toEqual(NAS_R2_SCHEDULES.map(([kind, text]) => [kind, text]));
  for (const [, , type, calendar] of NAS_R2_SCHEDULES) {
    expect(linesOf(host, `pgbackstop-main-${type}.timer`, "OnCalendar")).toEqual([calendar]);
    // Without --repo, stock backs up only into repo1, although the published text says both.
    expect(linesOf(host, `pgbackstop-main-${type}.service`, "ExecStart")).toEqual([each("main", type)]);
  }
  expect([...new Set(printed.match(/PB\d{3} /g))]).toEqual(["PB121 "]);
  expect(printed).not.toContain(SECRET);
});

const B2: readonly Correction[] = [
  ...CORRECTIONS,
  [
    "log-level-console",
    "info",
    undefined,
    "the units say so; in the file it is two lines of PostgreSQL's log for each segment",
  ],
  ["log-level-file", "detail", undefined, "one line for each file of the database; stock's default tells of each run"],
  ["pg1-user", "postgres", undefined, "the account that it runs as"],
  [
    "repo1-path",
    "/var/lib/pgbackrest",
    "/srv/pgbackrest/pg-cluster",
    "PB097: the directory was on the database's own machine",
  ],
  ["repo1-type", undefined, "sftp", "the backup host that the text asks for"],
  ["repo1-sftp-host", undefined, "backup.example.net", "the same"],
  ["repo1-sftp-host-port", undefined, "22", "the same"],
  ["repo1-sftp-host-user", undefined, "pgbackrest", "the same"],
  ["repo1-sftp-host-key-hash-type", undefined, "sha256", "a known host"],
  ["repo1-sftp-host-key-check-type", undefined, "fingerprint", "a known host"],
  [
    "repo1-sftp-host-fingerprint",
    undefined,
    "f83898df0bef57a4ee24985ba598ac17fccb0c0d333cc4af1dd92be14bc23aa5",
    "a known host",
  ],
  ["repo1-sftp-private-key-file", undefined, "/etc/pgbackrest/conf.d/repo1-sftp.key", "the same"],
  ["repo1-bundle", undefined, "y", "fewer round trips"],
  ["repo1-cipher-type", undefined, "aes-256-cbc", "another machine is another owner"],
  ["repo1-retention-full-type repo2-retention-full-type", undefined, "count", "stock's default, said"],
  ["repo2-s3-endpoint", "s3.us-east-005.backblazeb2.com", "s3.test-central-009.backblazeb2.com", "told by the account"],
  ["repo2-s3-region", "us-east-005", "test-central-009", "told by the account"],
  ["repo2-s3-key", "AKIA...", undefined, "in conf.d, secret in the state"],
  ["repo2-s3-key-secret", "SECRET...", undefined, "in conf.d, secret in the state"],
  [
    "repo2-cipher-pass",
    "GENERATE-A-LONG-RANDOM-PASSPHRASE-HERE",
    undefined,
    "in conf.d, secret in the state, and really generated",
  ],
];

const B2_CRONTAB = [
  ["0 2 * * 0", "full", "Sun *-*-* 02:00:00 UTC", "the same, with its zone"],
  ["0 2 * * 1-6", "diff", "Mon..Sat *-*-* 02:00:00 UTC", "the same"],
  ["0 * * * *", "incr", "*-*-* 00..01,03..23:30:00 UTC", "PB027: 02:00 is one of the hours"],
] as const;

// claim: examples/README.md: vps-nas-r2 and vps-b2: with…
test.runIf(NIGHTLY)(
  "an encrypted bucket at B2: every difference from the published configuration, option by option",
  async () => {
    const { host, printed } = await b2();
    expect(confDifferences("vps-b2.conf", host, "pg-cluster")).toEqual(asDifferences(B2));
    // The engine shows a secret as an object instead of text.
    const secrets = Object.entries(host.files).filter(([path]) => path.startsWith("/etc/pgbackrest/conf.d/"));
    expect(secrets.map(([path, { mode, owner, text }]) => `${path} ${mode} ${owner} ${typeof text}`)).toEqual(
      ["repo1-credentials.conf", "repo1-sftp.key", "repo2-credentials.conf"].map(
        (name) => `/etc/pgbackrest/conf.d/${name} 0640 shared object`,
      ),
    );
    expect(
      mapDifferences(settingsOf(publishedText("vps-b2.postgresql.conf")), new Map(Object.entries(host.settings))),
    ).toEqual(
      asDifferences([
        [
          "archive_timeout",
          undefined,
          "230s",
          "PB038: five minutes were promised, and nothing made a quiet database send its WAL",
        ],
        ["max_wal_senders", "10", undefined, "PostgreSQL's default"],
        ["wal_level", "replica", undefined, "PostgreSQL's default; an update refuses a server that is below it"],
      ]),
    );
    const lines = [
      ...publishedText("vps-b2.crontab").matchAll(
        /^(\S+ \S+ \S+ \S+ \S+) postgres pgbackrest --stanza=pg-cluster --type=(\w+) backup$/gm,
      ),
    ];
    expect(lines.map(([, cron, type]) => [cron, type])).toEqual(B2_CRONTAB.map(([cron, type]) => [cron, type]));
    for (const [, type, calendar] of B2_CRONTAB) {
      expect(linesOf(host, `pgbackstop-pg-cluster-${type}.timer`, "OnCalendar")).toEqual([calendar]);
      expect(linesOf(host, `pgbackstop-pg-cluster-${type}.service`, "ExecStart")).toEqual([each("pg-cluster", type)]);
    }
    expect([...new Set(printed.match(/PB\d{3} /g))]).toEqual(["PB121 "]);
    expect(printed).not.toContain(SECRET);
  },
);

/** The command that backs up into each repository, one after the other. */
function each(stanza: string, type: string): string {
  return `/usr/local/lib/pgbackstop/pgbackrest-each 1,2 /usr/bin/pgbackrest --stanza=${stanza} --log-level-console=info --type=${type} backup`;
}
