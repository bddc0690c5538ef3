import { describe, expect, test } from "vitest";
import type { JsonObject } from "../../../../runtime/cnpg/kubernetes/clusterObject";
import { followsSource, openSource } from "../../../../runtime/cnpg/sidecar/replicaSource";
import type { OtherConfiguration } from "../../../../runtime/process/commandProcess";
import { testContext } from "../../../harness/context";
import { host } from "../../commands/support";
import { temporaryFolder } from "../../repository/support";
import { cluster } from "../support";

describe("the reader of the source's archive", () => {
  const following = (replica: JsonObject, currentPrimary = "orders-1"): JsonObject => ({
    ...cluster({ replica }),
    status: { currentPrimary },
  });

  test.each([
    ["the designated primary of a replica cluster", following({ source: "origin", enabled: true }), true],
    [
      "another instance of it: it reads what that one archived",
      following({ source: "origin", enabled: true }, "orders-2"),
      false,
    ],
    ["a primary that was promoted", following({ source: "origin", enabled: false }), false],
    [
      "one of two clusters that change roles, while the other is primary",
      following({ source: "origin", primary: "elsewhere" }),
      true,
    ],
    [
      "one of two clusters that change roles, while it is primary itself",
      following({ source: "origin", primary: "orders" }),
      false,
    ],
    ["the same under its own name", following({ source: "origin", primary: "here", self: "here" }), false],
    ["a cluster that follows no other", { ...cluster(), status: { currentPrimary: "orders-1" } }, false],
  ])("%s", (_title, object, expected) => {
    expect(followsSource(object, "orders-1")).toBe(expected);
  });
});

// claim: docs/kubernetes/replica.md: a replica cluster follows…
test("the source is read with its own configuration, keys and queue, none of them this cluster's", () => {
  const folder = temporaryFolder();
  const own = host({ folder, repos: [], ctx: testContext(), argv: ["cnpg-instance"] });
  const asked: OtherConfiguration[] = [];
  openSource({ ...own, other: (configuration) => (asked.push(configuration), own) }, "origin");
  expect(asked).toEqual([
    {
      args: [
        "--config=/pgbackstop/source/config/pgbackrest.conf",
        "--config-include-path=/pgbackstop/source/conf.d",
        "--stanza=origin",
        `--pg1-path=${own.dataDirectory}`,
        `--lock-path=${own.config.lockPath}`,
        `--spool-path=${own.config.spoolPath}/source`,
        "cnpg-restore",
      ],
      secretsPath: "/pgbackstop/source/secrets",
      moved: {
        "/pgbackstop/config": "/pgbackstop/source/config",
        "/pgbackstop/conf.d": "/pgbackstop/source/conf.d",
        "/pgbackstop/secrets": "/pgbackstop/source/secrets",
      },
    },
  ]);
});
