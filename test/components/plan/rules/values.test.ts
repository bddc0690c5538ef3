/** Paths and stanzas get the same findings on hosts, in clusters, and in what a cluster is restored from. */
import * as fc from "../../../harness/properties";
import { describe, expect, test } from "vitest";
import { BackupError } from "../../../../runtime/base/errors";
import { renderConf } from "../../../../runtime/config/render";
import { checkClusterPlan } from "../../../../components/plan/cluster/planCluster";
import type { Finding } from "../../../../components/plan/findings/findings";
import type { RepositorySettings } from "../../../../components/plan/model/databaseSettings";
import { checkHost } from "../../../../components/plan/rules";
import { isUsablePath } from "../../../../components/plan/rules/values";
import { checkKeyPrefix } from "../../../../components/plan/storage/bucketChecks";
import { resolved } from "../../clusters";
import { BUCKET, NAS, plan, R2 } from "../../plans";

const FROM = "bootstrap.recovery.";

/** What hosts, clusters and restores say about a path or a stanza, with the paths of a host's arguments. */
function answers(repository: RepositorySettings, stanza: string): string[][] {
  const said = (findings: readonly Finding[], prefix = ""): string[] =>
    findings
      .filter(({ code, path }) => ["PB013", "PB014"].includes(code) && path.startsWith(prefix))
      .map((each) => `${each.code} ${each.path.slice(prefix.length)}: ${each.message} (${each.hint})`)
      .sort();
  const recovery = { stanza, repositories: { repo1: repository } };
  return [
    said(checkHost(plan({ stanza, repositories: { repo1: repository } }))),
    said(checkClusterPlan(resolved({ stanza, repositories: { repo1: repository } }), false)),
    said(checkClusterPlan(resolved({ stanza, repositories: { repo1: repository } }), true)),
    said(checkClusterPlan(resolved({ bootstrap: { recovery } }), false), FROM),
  ];
}

function withPath(repository: RepositorySettings, path: string): RepositorySettings {
  return { ...repository, at: { ...repository.at, path } };
}

const text = fc.oneof(
  fc.string(),
  fc.string({ unit: fc.constantFrom("/", ".", "a", "-", " ", "\n", "%", "é") }),
  fc.constantFrom("/orders", "/a b", "/", "/a/../b"),
);

describe("paths", () => {
  test.each(["orders", "", "//a", "/a//b", "/a/../b", "/a/./b", "/a/", "/a\n", "/a\nb", " /a", "/100%"])(
    "%j is refused everywhere",
    (path) => {
      for (const repository of [NAS, BUCKET]) {
        const [host = [], ...others] = answers(withPath(repository, path), "main");
        expect(host).toEqual([expect.stringContaining("PB014 repositories.repo1.at.path")]);
        for (const other of others) expect(other).toEqual(host);
      }
      expect(checkKeyPrefix(path).map(({ code }) => code)).toEqual(["PB020"]);
    },
  );

  test("a usable one can be written into a configuration", () => {
    fc.assert(
      fc.property(text, (path) => {
        fc.pre(isUsablePath(path));
        renderConf([{ name: "global", options: [{ name: "repo1-path", value: path }] }]);
      }),
    );
  });
});

test("hosts, clusters, attachments and restores give equal answers to any path and stanza", () => {
  fc.assert(
    fc.property(fc.constantFrom(NAS, BUCKET, R2), text, text, (repository, path, stanza) => {
      const [host, ...others] = answers(withPath(repository, path), stanza);
      for (const other of others) expect(other).toEqual(host);
      // What no rule refuses can be rendered.
      if (host?.length !== 0) return;
      const options = [{ name: "repo1-path", value: path }];
      expect(() =>
        renderConf([
          { name: "global", options },
          { name: stanza, options: [] },
        ]),
      ).not.toThrow(BackupError);
    }),
  );
});
