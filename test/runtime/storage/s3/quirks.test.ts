import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findQuirks, findRegion, S3_QUIRKS } from "../../../../runtime/storage/s3/quirks";

test.each([
  ["s3.eu-central-1.amazonaws.com", "aws", "eu-central-1"],
  ["s3.dualstack.us-gov-west-1.amazonaws.com", "aws", "us-gov-west-1"],
  ["https://s3.cn-north-1.amazonaws.com.cn", "aws", "cn-north-1"],
  ["s3.amazonaws.com", "aws", null],
  ["s3.eu-central-003.backblazeb2.com", "b2", "eu-central-003"],
  ["https://0123456789abcdef.eu.r2.cloudflarestorage.com/", "r2", "auto"],
  ["FSN1.your-objectstorage.com:443", "hetzner", "fsn1"],
  ["s3.eu-central-2.wasabisys.com", "wasabi", "eu-central-2"],
  ["s3.wasabisys.com", "wasabi", "us-east-1"],
  ["fra1.digitaloceanspaces.com", "digitalocean", "us-east-1"],
  ["s3.fr-par.scw.cloud", "scaleway", "fr-par"],
  ["s3.gra.io.cloud.ovh.net", "ovhcloud", "gra"],
  ["s3.eu-west-4.idrivee2.com", "idrive", "eu-west-4"],
  ["minio.example.com:9000", "generic", null],
  ["notbackblazeb2.com", "generic", null],
  ["s3.backblazeb2.com.example.net", "generic", null],
])("auto takes %s for %s", (endpoint, id, region) => {
  const quirks = findQuirks("auto", endpoint);
  expect(quirks?.id).toBe(id);
  expect(quirks === null ? undefined : findRegion(quirks, endpoint)).toBe(region);
});

test("a named row has priority over the endpoint, an unknown name has none", () => {
  expect(findQuirks("garage", "s3.eu-central-003.backblazeb2.com")?.id).toBe("garage");
  expect(findQuirks("nonsense", "localhost")).toBeNull();
});

test("rows are complete, distinct and sane", () => {
  expect(S3_QUIRKS.map((row) => row.id)).toEqual([
    "aws",
    "b2",
    "r2",
    "minio",
    "ceph",
    "seaweedfs",
    "garage",
    "hetzner",
    "wasabi",
    "digitalocean",
    "scaleway",
    "ovhcloud",
    "idrive",
    "rustfs",
    "versitygw",
    "generic",
  ]);
  for (const row of S3_QUIRKS) {
    // Object lock needs versioning and a checksum header on uploads.
    if (row.objectLock) expect(row).toMatchObject({ contentMd5: true, versioning: expect.not.stringMatching("none") });
    expect(row.partSizeBytesMin).toBeLessThanOrEqual(row.partSizeBytesMax);
  }
});

test("the table imports nothing, because components read it too", () => {
  expect(readFileSync(join(__dirname, "../../../../runtime/storage/s3/quirks.ts"), "utf8")).not.toMatch(
    /\b(import|require)\b.*["']/,
  );
});
