import { expect, test } from "vitest";
import { renderSettingsFile } from "../../../components/render/settingsFile";
import { parseSettings } from "../../../runtime/config/settings";
import { BUCKET, NAS, plan } from "../plans";

/** A week, the deadline of a day, and two hours. */
const WEEKLY_S = 8 * 86_400 + 7200;

test("every repository says its compression, buckets their provider", () => {
  const repositories = {
    repo1: { ...NAS, compress: { type: "none" } },
    repo3: { ...BUCKET, at: { ...BUCKET.at, s3: { bucket: "lab", endpoint: "minio.lan", region: "lab", quirks: "minio" } } },
  };
  const text = renderSettingsFile(plan({ repositories, acknowledge: { mode: "named", repositories: ["repo3"] } }));
  expect(JSON.parse(text)).toEqual({
    version: 1,
    acknowledge: ["repo3"],
    repos: {
      repo1: { compressType: "none", expectFullWithinS: WEEKLY_S },
      repo3: { compressType: "zst", compressLevel: 3, s3Quirks: "minio", expectFullWithinS: WEEKLY_S },
    },
  });
  expect(parseSettings(text, "pgbackstop.json").acknowledge).toEqual({ mode: "named", repoKeys: [3] });
});

test.each(["all", "any"])("acknowledgement by %s", (mode) => {
  expect(JSON.parse(renderSettingsFile(plan({ acknowledge: { mode } })))).toMatchObject({ acknowledge: mode });
});
