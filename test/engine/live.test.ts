/**
 * The components' part of `npm run test:live` on the real engine, with doubles of the providers: it creates, uses and
 * destroys buckets and keys, and leaves nothing. versitygw provides Amazon's bucket and users, and the backup goes
 * there with the created key.
 */
// claim: README.md: `npm run test:live` runs…
import { afterAll, beforeAll, expect, test } from "vitest";
import { runLive } from "../../tools/live/run";
import { S3Server } from "../../tools/parts/servers/s3Server";
import { B2ServerDouble } from "../harness/doubles/b2Server";
import { liveAws } from "../harness/real/liveBucket";
import { engineEnvironment, ProviderDouble } from "../harness/doubles/providerDouble";
import { AWS } from "../harness/doubles/providerSchemas";
import { holdsSecret } from "../harness/compare/secrets";

let s3: S3Server;
let b2: B2ServerDouble;
let aws: ProviderDouble;

beforeAll(async () => {
  s3 = await S3Server.create({ kind: "versitygw", versioning: true, users: true });
  b2 = await B2ServerDouble.start();
  aws = await ProviderDouble.start(AWS, { live: liveAws(s3) });
});
afterAll(async () => {
  aws?.stop();
  await b2?.stop();
  await s3?.remove();
});

test("with management keys, components create buckets and keys, a backup uses them, and a destroy leaves nothing", async () => {
  const environment = {
    B2_APPLICATION_KEY_ID: b2.admin.applicationKeyId,
    B2_APPLICATION_KEY: b2.admin.applicationKey,
    B2_API_ENDPOINT: b2.endpoint,
    AWS_ACCESS_KEY_ID: "planted-id",
    AWS_SECRET_ACCESS_KEY: "planted-secret",
    AWS_REGION: s3.region,
  };
  const lines: string[] = [];
  const code = await runLive(environment, (line) => lines.push(line), {
    engine: engineEnvironment([aws]),
    reach: (access) =>
      access.name === "AWS" ? { ...access, endpoint: s3.host, port: s3.port, caFile: s3.caFile } : null,
  });
  const text = lines.join("\n");
  expect(text).not.toContain("FAILED");
  expect([code, lines.at(-1)]).toEqual([0, "2 passed, 0 failed"]);
  for (const name of ["B2", "AWS"]) {
    expect(text).toContain(`PASSED ${name}: up, second up, backup with the keys that were made, destroy`);
    expect(text).toContain(`NOT RUN ${name}: doctor, backup, WAL, verify and restore: ${name}_BUCKET`);
  }
  // The component created this writer key for Amazon.
  expect(text).toContain("  ok   versions: versions are kept, and this key has no right to delete them");
  expect(text).toMatch(/ {2}ok {3}compare: \d+ tables are equal/);
  expect(text).toContain("backup with the keys that were made: NOT RUN, nothing answers at the endpoint");
  expect(text).toContain(
    "NOT RUN R2: up, second up, backup with the keys that were made, destroy: CLOUDFLARE_ACCOUNT_ID, CLOUDFLARE_API_TOKEN not set",
  );
  expect([b2.buckets, b2.keys]).toEqual([[], [b2.admin]]);
  expect(aws.all().map(({ type }) => type)).toEqual([]);
  expect(holdsSecret(text, [...b2.secrets(), "planted-secret", s3.secretKey])).toBe(false);
});
