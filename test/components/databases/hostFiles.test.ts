import { expect, test } from "vitest";
import { cipherLocation, hostDesired } from "../../../components/databases/hostFiles";
import { attempt, DeferredRead } from "../../../components/plan/model/deferred";
import type { HostPlan } from "../../../components/plan/model/plan";
import { unknownMarker } from "../../../components/plan/model/unknown";
import { hostFilesOf } from "../../../components/render/host/hostParts";
import { BUCKET, plan } from "../plans";

test("files are listed before their values are known: those of a bucket or a host key about to be created", () => {
  const bucket = {
    ...BUCKET,
    at: { ...BUCKET.at, s3: { ...BUCKET.at.s3, bucket: unknownMarker(0), endpoint: unknownMarker(1), region: "eu" } },
  };
  const vault = {
    keepDays: 7,
    at: {
      name: "vault",
      path: "/repository",
      encrypted: true,
      sftp: { host: "10.0.0.9", user: "orders", hostKey: unknownMarker(2) },
    },
  };
  const made = plan({ repositories: { repo1: bucket, repo2: vault } });
  const deferred = hostFilesOf(made).flatMap((file) =>
    attempt(() => file.text) instanceof DeferredRead ? [file.path] : [],
  );
  expect(deferred).toEqual(["/etc/pgbackstop/pgbackrest.conf"]);
  expect(hostFilesOf(made).length).toBeGreaterThan(5);
});

test("locks are in a directory of PostgreSQL's account, which an update creates; elsewhere the runtime creates it", () => {
  const kept = (made: HostPlan): string[] =>
    hostDesired(made, "").directories.keep.map(({ mode, owner, path }) => `${path} ${mode} ${owner}`);
  const usual = plan({});
  expect(usual.directories.lock).toBe("/var/spool/pgbackrest/lock");
  expect(kept(usual)).toContain("/var/spool/pgbackrest/lock 0750 database");
  expect(plan({ directories: { spool: "/srv/spool" } }).directories.lock).toBe("/srv/spool/lock");
  expect(kept(plan({ directories: { lock: "/tmp/pgbackrest" } })).join(" ")).not.toContain("/tmp/pgbackrest");
});

test("a passphrase belongs to one server: two ports of an address are two, and the usual port is not recorded", () => {
  const locationOf = (port?: number): string => {
    const sftp = { host: "10.0.0.9", user: "orders", hostKey: "ecdsa-sha2-nistp256 AAAA", port };
    const at = { name: "vault", path: "/repository", encrypted: true, sftp };
    return cipherLocation(plan({ repositories: { repo1: { at, keepDays: 7 } } }), "repo1");
  };
  expect([locationOf(), locationOf(22), locationOf(2222)]).toEqual([
    "sftp://orders@10.0.0.9/repository",
    "sftp://orders@10.0.0.9/repository",
    "sftp://orders@10.0.0.9/repository at 10.0.0.9:2222",
  ]);
});
