import { expect, test } from "vitest";
import { renderPgbackrestConf } from "../../../../components/render/host/pgbackrestConf";
import { loadConfig } from "../../../../runtime/config/load";
import { BUCKET, NAS, plan } from "../../plans";

function load(conf: string, secrets: string) {
  const files: Record<string, string> = {
    "/etc/pgbackstop/pgbackrest.conf": conf,
    "/etc/pgbackstop/conf.d/secrets.conf": secrets,
  };
  return loadConfig({
    argv: [
      "--config=/etc/pgbackstop/pgbackrest.conf",
      "--config-include-path=/etc/pgbackstop/conf.d",
      "--stanza=main",
      "backup",
    ],
    env: {},
    readFile: (path) => files[path] ?? null,
    listDirectory: () => ["secrets.conf"],
  });
}

const SECRETS = "[global]\nrepo2-cipher-pass=marker-pass\nrepo2-s3-key=marker-key\nrepo2-s3-key-secret=marker-secret\n";

test("the configuration of a NAS and a bucket", () => {
  expect(renderPgbackrestConf(plan())).toMatchInlineSnapshot(`
    "# Written by pgbackstop: changes made here by hand are undone by the next update. Secrets are in credentials.

    [global]
    repo1-type=posix
    repo1-path=/mnt/nas/pgbackrest
    repo1-retention-full=7
    repo1-retention-full-type=time
    repo2-type=s3
    repo2-path=/ledger
    repo2-bundle=y
    repo2-cipher-type=aes-256-cbc
    repo2-retention-full=4
    repo2-retention-full-type=count
    repo2-s3-bucket=ledger-backups
    repo2-s3-endpoint=s3.eu-central-003.backblazeb2.com
    repo2-s3-region=eu-central-003
    repo2-s3-uri-style=path
    repo2-storage-port=443
    repo2-storage-upload-chunk-size=16MiB
    compress-type=zst
    compress-level=3
    lock-path=/var/spool/pgbackrest/lock
    log-path=/var/log/pgbackrest
    process-max=2
    spool-path=/var/spool/pgbackrest
    start-fast=y

    [global:restore]
    recovery-option=restore_command=PGBACKSTOP_GUARD=1 /usr/local/lib/pgbackstop/pgbackrest-client /run/pgbackstop/main.sock archive-get %f %p; c=$?; [ $c -eq 120 ] && exit 1; [ -e recovery.signal ] && [ ! -e standby.signal ] || exit $c; [ $c -eq 0 ] && [ -e "%p" ] || exit 255

    [main]
    pg1-path=/var/lib/postgresql/18/main
    pg1-port=5432
    "
  `);
});

test("the runtime reads it without a warning and with the same meaning", () => {
  const everything = plan({
    repositories: {
      repo1: { ...NAS, compress: { type: "gz", level: 9 } },
      repo2: {
        ...BUCKET,
        at: {
          ...BUCKET.at,
          s3: { bucket: "ledger", endpoint: "s3.lan", region: "lab", port: 9000, caFile: "/etc/ssl/lab.pem" },
        },
      },
    },
    socketDirectory: "/run/postgresql",
    databaseUser: "backup",
    port: 5433,
    processMax: 4,
    directories: { lock: "/run/lock/b", log: "/srv/log", spool: "/srv/spool" },
  });
  const { config, warnings } = load(renderPgbackrestConf(everything), SECRETS);
  expect(warnings).toEqual([]);
  expect(config).toMatchObject({
    stanza: "main",
    processMax: 4,
    lockPath: "/run/lock/b",
    log: { path: "/srv/log" },
    spoolPath: "/srv/spool",
    pgs: [{ key: 1, path: "/var/lib/postgresql/18/main", port: 5433, socketPath: "/run/postgresql", user: "backup" }],
    repos: [
      {
        key: 1,
        type: "posix",
        path: "/mnt/nas/pgbackrest",
        retentionFull: 7,
        retentionFullType: "time",
        compressType: "gz",
        compressLevel: 9,
      },
      {
        key: 2,
        type: "s3",
        path: "/ledger",
        cipherType: "aes-256-cbc",
        retentionFull: 4,
        retentionFullType: "count",
        s3: {
          bucket: "ledger",
          endpoint: "s3.lan",
          region: "lab",
          uriStyle: "path",
          storagePort: 9000,
          caFile: "/etc/ssl/lab.pem",
        },
      },
    ],
  });
});

test("without retention it has no retention options", () => {
  expect(renderPgbackrestConf(plan({ repositories: { repo1: { at: NAS.at } } }))).not.toContain("retention");
});

test("no program in a container fetches WAL", () => {
  expect(renderPgbackrestConf(plan())).toContain("restore_command=");
  expect(renderPgbackrestConf(plan({ container: { name: "shop-db" } }))).not.toContain("restore_command=");
});

// claim: docs/hosts/foreign-server.md: a backup waits up to ten minutes, or twice `archiveTimeoutSeconds`
test("a backup of a standby waits for its primary", () => {
  const timeoutOf = (more: object): string | undefined =>
    /\[global:backup\]\narchive-timeout=(\d+)/.exec(renderPgbackrestConf(plan({ archive: "standby", ...more })))?.[1];
  expect(timeoutOf({ archiveTimeoutSeconds: undefined })).toBe("600");
  expect(timeoutOf({ archiveTimeoutSeconds: 900 })).toBe("1800");
  expect(timeoutOf({ options: { "archive-timeout": "5m" } })).toBeUndefined();
  expect(timeoutOf({ archive: "stream" })).toBeUndefined();
});
