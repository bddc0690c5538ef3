import { expect, test } from "vitest";
import { renderTopology, topologyOf } from "../../../../components/plan/topology/topology";
import { resolved } from "../../clusters";
import { BUCKET, NAS, plan } from "../../plans";

test("the topology has copies, locations, schedules and flows", () => {
  expect(topologyOf(plan())).toMatchInlineSnapshot(`
    {
      "copies": {
        "copies": 3,
        "known": true,
        "offSite": 1,
        "providers": 2,
      },
      "databases": [
        {
          "dataDirectory": "/var/lib/postgresql/18/main",
          "engine": "runtime",
          "keysIn": "/etc/pgbackstop/credentials",
          "kind": "host",
          "name": "ledger",
          "reachedBy": "local",
          "stanza": "main",
          "tasks": {
            "expire": {
              "cron": "40 6 * * *",
              "timeZone": "UTC",
            },
            "heal": {
              "cron": "50 * * * *",
              "timeZone": "UTC",
            },
            "metrics": {
              "cron": "*/5 * * * *",
              "timeZone": "UTC",
            },
            "verify": {
              "cron": "20 7 * * 6",
              "samplePercent": 10,
              "timeZone": "UTC",
            },
          },
        },
      ],
      "drills": [
        {
          "cron": "0 5 1 * *",
          "from": "repo1",
          "maxMinutes": undefined,
          "name": "monthly",
          "timeZone": "UTC",
        },
      ],
      "flows": [
        {
          "acknowledge": "all",
          "from": "ledger",
          "kind": "wal",
          "toRepoKeys": [
            1,
            2,
          ],
        },
        {
          "from": "ledger",
          "kind": "backup",
          "schedule": "full",
          "toRepoKeys": [
            1,
            2,
          ],
        },
      ],
      "objectives": {
        "worstCaseRpoSeconds": 130,
      },
      "repositories": [
        {
          "compressLevel": 3,
          "compressType": "zst",
          "encrypted": false,
          "failureDomain": "the mount of /mnt/nas",
          "keepDays": 7,
          "key": 1,
          "kind": "posix",
          "location": "/mnt/nas/pgbackrest",
          "name": "repo1",
          "offSite": false,
          "provider": "filesystem",
          "requireMount": true,
        },
        {
          "compressLevel": 3,
          "compressType": "zst",
          "encrypted": true,
          "failureDomain": "Backblaze B2",
          "keepFullCount": 4,
          "key": 2,
          "kind": "s3",
          "location": "s3://ledger-backups/ledger",
          "name": "repo2",
          "offSite": true,
          "provider": "b2",
        },
      ],
      "schedules": [
        {
          "cron": "30 3 * * 0",
          "deadlineSeconds": 86400,
          "jitterSeconds": 0,
          "name": "full",
          "repoKeys": [
            1,
            2,
          ],
          "repositories": [
            "repo1",
            "repo2",
          ],
          "timeZone": "Europe/Berlin",
          "type": "full",
        },
      ],
      "silenced": [],
      "version": 1,
    }
  `);
});

test("named acknowledgement lists its names", () => {
  const { flows } = topologyOf(plan({ acknowledge: { mode: "named", repositories: ["repo2"] } }));
  expect(flows[0]).toMatchObject({ kind: "wal", acknowledge: "repo2" });
});

test("the text does not depend on the order of keys", () => {
  const one = renderTopology(topologyOf(plan({ repositories: { repo1: NAS, repo2: BUCKET } })));
  const other = renderTopology(topologyOf(plan({ repositories: { repo2: BUCKET, repo1: NAS } })));
  expect(other).toBe(one);
  expect(JSON.parse(one)).toEqual(topologyOf(plan()));
});

test("the topology contains the intended weaker changes that it brings", () => {
  const { acknowledged } = topologyOf(
    plan({ acknowledgeWeaker: { "repositories.repo1.keepDays=7": "the NAS is full" } }),
  );
  expect(acknowledged).toEqual([{ change: "repositories.repo1.keepDays=7", reason: "the NAS is full" }]);
});

test("a cluster whose commits wait loses nothing; a replica cluster does not wait yet", () => {
  const recovery = { stanza: "orders-old", repositories: { repo1: BUCKET } };
  const of = (over: Parameters<typeof resolved>[0]): readonly unknown[] => {
    const { databases, objectives } = topologyOf(resolved({ streaming: { synchronous: "any" }, ...over }).database);
    return [databases[0]?.synchronous, objectives.worstCaseRpoSeconds];
  };
  expect(of({})).toEqual([{ mode: "any" }, 0]);
  expect(of({ bootstrap: { recovery }, replica: { enabled: true } })).toEqual([undefined, 370]);
});

// claim: docs/streaming.md: switching streaming on changes…
test("a cluster that streams loses seconds; a replica cluster does once it is promoted", () => {
  const recovery = { stanza: "orders-old", repositories: { repo1: BUCKET } };
  const of = (enabled?: boolean): readonly unknown[] => {
    const replica = enabled === undefined ? {} : { bootstrap: { recovery }, replica: { enabled } };
    const { databases, objectives } = topologyOf(resolved({ streaming: { intervalSeconds: 2 }, ...replica }).database);
    return [databases[0]?.streamIntervalSeconds, objectives.worstCaseRpoSeconds];
  };
  expect(of()).toEqual([2, 22]);
  expect(of(true)).toEqual([undefined, 370]);
  expect(of(false)).toEqual([2, 22]);
});
