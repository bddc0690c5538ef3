/**
 * The set-ups that examples/ corrects: as published they have exactly the expected findings, corrected they have no
 * findings. Checks both topologies.
 */
import { expect, test } from "vitest";
import { checkCluster, checkHost } from "../../../components/plan/rules";
import { copiesText } from "../../../components/plan/storage/copies";
import { resolveClusterDatabase, resolveHost } from "../../../components/plan/model/resolveDatabase";
import type { DeclaredCluster } from "../../../components/plan/cluster/declaredCluster";
import type { HostSettings } from "../../../components/plan/model/databaseSettings";
import { topologyOf } from "../../../components/plan/topology/topology";
import * as cnpgB2R2 from "../published/cnpgB2R2";
import * as cnpgMinio from "../published/cnpgBarmanMinio";
import * as vpsB2 from "../published/vpsB2";
import * as vpsNasR2 from "../published/vpsNasR2";

function host(settings: HostSettings): { codes: string[]; text: string } {
  const plan = resolveHost("seed", settings, "/usr/bin/node");
  return {
    codes: checkHost(plan).map((result) => `${result.code} ${result.path}`),
    text: copiesText(topologyOf(plan).copies),
  };
}

function cluster(settings: DeclaredCluster): { codes: string[]; text: string } {
  const plan = resolveClusterDatabase("seed", settings);
  return {
    codes: checkCluster(plan).map((result) => `${result.code} ${result.path}`),
    text: copiesText(topologyOf(plan).copies),
  };
}

test("a homelab with NAS and R2, as published", () => {
  expect(host(vpsNasR2.PUBLISHED)).toEqual({
    codes: [
      "PB121 engine",
      "PB007 repositories.repo2.at",
      "PB027 schedules.incr.cron",
      "PB027 schedules.incr.cron",
      "PB039 objectives.rpoSeconds",
      "PB042 drills",
      "PB031 repositories.repo1.at.requireMount",
      "PB062 snapshots.zfs",
    ],
    text: "3-2-1",
  });
});

test("a tutorial's VPS with B2, as published", () => {
  expect(host(vpsB2.PUBLISHED)).toEqual({
    codes: [
      "PB121 engine",
      "PB027 schedules.incr.cron",
      "PB027 schedules.incr.cron",
      "PB039 archiveTimeoutSeconds",
      "PB097 repositories.repo1.at",
    ],
    text: "3-2-1",
  });
});

test("Barman with two ObjectStores: the 3-2-1 was a 2-1-1", () => {
  expect(cluster(cnpgB2R2.BARMAN).codes).toEqual([
    "PB043 repositories.repo2",
    "PB078 repositories.repo1.at",
    "PB078 repositories.repo2.at",
    "PB042 drills",
  ]);
});

test("Dalibo's plugin with B2 and R2, as published and corrected", () => {
  expect(cluster(cnpgB2R2.PUBLISHED).codes).toEqual([
    "PB007 repositories.repo1.at",
    "PB007 repositories.repo2.at",
    "PB042 drills",
    "PB050 backupTarget",
    "PB052 serviceNames",
  ]);
  expect(cluster(cnpgB2R2.CORRECTED)).toEqual({ codes: [], text: "3-2-2" });
});

test("Barman over MinIO, as published and corrected", () => {
  expect(cluster(cnpgMinio.PUBLISHED)).toEqual({
    codes: ["PB006 repositories.repo1", "PB003 repositories", "PB042 drills"],
    text: "2-1-0",
  });
  expect(cluster(cnpgMinio.CORRECTED)).toEqual({ codes: [], text: "3-2-1" });
});

test("one pass brings the full backup into both buckets of the corrected cluster", () => {
  const { flows, repositories } = topologyOf(resolveClusterDatabase("immich", cnpgB2R2.CORRECTED));
  expect(flows).toEqual([
    { kind: "wal", from: "immich", toRepoKeys: [1, 2], acknowledge: "all" },
    { kind: "backup", from: "immich", toRepoKeys: [1, 2], schedule: "full" },
  ]);
  expect(repositories.map((repository) => repository.location)).toEqual([
    "s3://nerdz-postgres-immich/immich18",
    "s3://nerdz-postgres-immich/immich18",
  ]);
});
