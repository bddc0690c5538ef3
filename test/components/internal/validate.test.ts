/** A finding about a secret value names code, path and rule, but never the value. */
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { splitKnown, withoutSecrets } from "../../../components/internal/inputs";
import { withoutSecretValues } from "../../../components/internal/validate";
import type { HostSettings } from "../../../components/plan/model/databaseSettings";
import { view } from "../../../components/plan/model/deferred";
import { checkHost } from "../../../components/plan/rules";
import { resolveHost } from "../../../components/plan/model/resolveDatabase";
import { BUCKET, NAS, R2, settings } from "../plans";

const PLANTED = "Planted_Bucket_Name";

function valueOf(output: pulumi.Output<unknown>): Promise<unknown> {
  return (output as pulumi.Output<unknown> & { promise(withUnknowns: boolean): Promise<unknown> }).promise(true);
}

async function reported(over: object): Promise<string[]> {
  const args = { ...settings(), ...over };
  const check = (values: unknown): ReturnType<typeof checkHost> =>
    checkHost(resolveHost("ledger", view(values as HostSettings), "/usr/bin/node"));
  const [real, hidden] = await Promise.all([valueOf(pulumi.output(args)), valueOf(withoutSecrets(splitKnown(args)))]);
  return withoutSecretValues(check(real), () => check(hidden)).map(
    ({ code, hint, message, path }) => `${code} ${path}: ${message}; ${hint}`,
  );
}

const withBucket = (bucket: pulumi.Input<string>, base = BUCKET): object => ({
  repositories: { repo1: NAS, repo2: { ...base, at: { ...base.at, s3: { ...base.at.s3, bucket } } } },
});

test("a bucket's secret name is not in the finding about it", async () => {
  const [text = "", ...others] = await reported(withBucket(pulumi.secret(PLANTED)));
  expect(text).toBe(
    "PB020 repositories.repo2.at.s3.bucket: the value is secret, so this shows only the rule: an invalid address; give host name, bucket, port and path separately",
  );
  expect(others).toEqual([]);
});

test("a bucket's name that is an output, but not secret, is in the finding", async () => {
  expect((await reported(withBucket(pulumi.output(PLANTED)))).join("\n")).toContain(PLANTED);
});

test.each([
  [
    "a location of two repositories",
    {
      repositories: {
        repo1: BUCKET,
        repo2: { ...BUCKET, at: { ...BUCKET.at, path: pulumi.secret("/ledger/planted") } },
      },
    },
  ],
  ["a data directory", { dataDirectory: pulumi.secret("planted") }],
  ["a retention", { repositories: { repo1: NAS, repo2: { ...BUCKET, keepFullCount: pulumi.secret(0.123) } } }],
  [
    "a bucket in a message about another subject",
    {
      repositories: {
        repo1: NAS,
        repo2: {
          ...R2,
          at: { ...R2.at, s3: { ...R2.at.s3, bucket: pulumi.secret("planted.name"), uriStyle: "host" } },
        },
      },
    },
  ],
])("%s that is secret is in no finding", async (_what, over) => {
  const texts = await reported(over);
  expect(texts.join("\n")).toContain("the value is secret");
  expect(texts.join("\n")).not.toMatch(/planted|0\.123/i);
});

test("findings about values that are not secret are complete, even beside a secret", async () => {
  const texts = await reported({ ...withBucket(pulumi.secret("ledger-backups")), port: pulumi.output(0) });
  expect(texts).toEqual([expect.stringContaining("PB014 port: 0 is not a port")]);
});
