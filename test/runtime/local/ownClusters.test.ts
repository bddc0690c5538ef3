import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, expect, test } from "vitest";
import { loadOwnClusters, type OwnCluster, saveOwnCluster } from "../../../runtime/local/ownClusters";
import { temporaryFolder } from "../repository/support";

const OLD: OwnCluster = { version: "17", systemId: 7_396_123_456_789_012_345n, lsn: 0x3000148n };
const NEW: OwnCluster = { version: "18", systemId: 7_396_123_456_789_012_346n, lsn: 0x5000028n };

let spoolPath: string;
beforeEach(() => {
  spoolPath = temporaryFolder();
});
const file = (): string => join(spoolPath, "pgbackstop/main/clusters.json");

test("keeps a volume's clusters in their order, each once with its newest position, and stanzas apart", async () => {
  expect(await loadOwnClusters(spoolPath, "main")).toEqual([]);
  await saveOwnCluster(spoolPath, "main", OLD);
  await saveOwnCluster(spoolPath, "main", { ...OLD, lsn: 0x4000000n });
  await saveOwnCluster(spoolPath, "main", NEW);
  expect(await loadOwnClusters(spoolPath, "main")).toEqual([{ ...OLD, lsn: 0x4000000n }, NEW]);
  expect(await loadOwnClusters(spoolPath, "other")).toEqual([]);
  // Numbers of JSON would lose digits.
  expect(readFileSync(file(), "utf8")).toBe(
    '{"version":1,"clusters":[{"version":"17","systemId":"7396123456789012345","position":"67108864"},{"version":"18","systemId":"7396123456789012346","position":"83886120"}]}\n',
  );
});

test("a list that cannot be read is not replaced", async () => {
  mkdirSync(file(), { recursive: true });
  await expect(loadOwnClusters(spoolPath, "main")).rejects.toThrow("EISDIR");
  await expect(saveOwnCluster(spoolPath, "main", NEW)).rejects.toThrow("EISDIR");
});

test.each([
  "",
  "no JSON",
  '{"version":2,"clusters":[]}',
  '{"version":1,"clusters":[{"version":17,"systemId":"1","position":"1"}]}',
  '{"version":1,"clusters":[{"version":"17","systemId":"x","position":"1"}]}',
  '{"version":1,"clusters":[null]}',
])("a file with %j proves nothing", async (text) => {
  await saveOwnCluster(spoolPath, "main", OLD);
  writeFileSync(file(), text);
  expect(await loadOwnClusters(spoolPath, "main")).toEqual([]);
});
