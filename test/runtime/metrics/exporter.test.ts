/** Compares the compatible metrics of stock's repositories with stock's recorded `info --output=json`. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { openMissingWal } from "../../../runtime/local/missingWal";
import { DEFINITIONS } from "../../../runtime/metrics/definitions";
import { exporterSamples } from "../../../runtime/metrics/exporter";
import { renderMetrics } from "../../../runtime/metrics/text";
import { collectInfo } from "../../../runtime/operations/info/info";
import { factsOf } from "../../../runtime/recoverability/facts";
import type { Repository } from "../../../runtime/repository/repository";
import { exporterOf } from "../../harness/compare/stockMetrics";
import { MemoryStorage } from "../../harness/doubles/storages";
import { PASS, vectorBytes, vectorText } from "../format/vectors";
import { repository, temporaryFolder } from "../repository/support";

const NOT_HELD = { held: false, repos: [] };

/** A repository with stock's info files and an archive of one empty segment. */
async function golden(key: number, folder: string, id: string, pass?: string): Promise<Repository> {
  const storage = new MemoryStorage();
  await storage.put("archive/demo/archive.info", vectorBytes(`${folder}/archive.info`));
  await storage.put("backup/demo/backup.info", vectorBytes(`${folder}/backup.info`));
  await storage.put(`archive/demo/${id}/0000000100000000/000000010000000000000001-${"0".repeat(40)}`, Buffer.alloc(0));
  return repository(key, { storage, ...(pass === undefined ? {} : { pass }) });
}

const CASES = [
  { version: "2.45", make: () => [golden(1, "v2.45/plain", "15-1"), golden(2, "v2.45/encrypted", "15-1", PASS.repo2)] },
  { version: "2.60", make: () => [golden(4, "v2.60/block-lz4", "18-1")] },
] as const;

// claim: docs/monitoring.md: names, labels and values of the compatible metrics are the exporter's (recorded info of
//   stock 2.45 and 2.60; the exporter itself does not run, its mapping is written down again in the test)
test.each(CASES)(
  "report for every backup what the exporter reports from the info of stock $version",
  async ({ make, version }) => {
    const repos = await Promise.all(make());
    const missingWal = openMissingWal(join(temporaryFolder(), "spool"), "demo");
    const report = await collectInfo(factsOf(repos), missingWal, {
      stanza: "demo",
      set: undefined,
      type: undefined,
      extras: false,
      locks: { backup: NOT_HELD, restore: NOT_HELD },
    });
    const text = renderMetrics(DEFINITIONS, exporterSamples({ report, backrestVersion: "2.60.0", nowS: 0 }));
    const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    const values = new Map(
      lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
    );
    // Exclude totals, and stock's repositories that this test does not read.
    const keys = repos.map(({ key }) => String(key));
    const expected = [...exporterOf(vectorText(`v${version}/output/info.json`))].filter(([sample]) =>
      keys.includes(/repo_key="(\d+)"/.exec(sample)?.[1] ?? ""),
    );
    const differing = expected
      .filter(([sample, value]) => values.get(sample) !== value)
      .map(([sample, value]) => `${/^[a-z_]+/.exec(sample)?.[0]} ${value} / ${values.get(sample)}`);
    // The files of 2.45 got the annotation `late` after stock had printed its info.
    expect(differing).toEqual(version === "2.45" ? ["pgbackrest_backup_annotations 2 / 3"] : []);
    expect(expected.length).toBeGreaterThan(30);
    const families = new Set(expected.map(([sample]) => sample.split("{")[0]));
    const known = new Set(expected.map(([sample]) => sample));
    expect([...values.keys()].filter((sample) => families.has(sample.split("{")[0]) && !known.has(sample))).toEqual([]);
  },
);
