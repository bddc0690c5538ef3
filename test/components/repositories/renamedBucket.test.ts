/** A repository of an existing bucket that was renamed: its keys are found by its location. */
// claim: docs/keys.md: a rename of a…
import { expect, test } from "vitest";
import type { EarlierResource } from "../../../components/internal/earlierState";
import { type BucketKind, renamedBucket } from "../../../components/repositories/renamedBucket";

const KIND: BucketKind = {
  type: "cloud:Bucket",
  identityOf: (bucketName) => ({ bucketName }),
  keyTypes: ["cloud:Key"],
  serviceOf: ({ accountId }) => ({ endpoint: `${String(accountId)}.example.net` }),
};
const resource = (type: string, name: string, outputs: object = {}): EarlierResource => ({
  type,
  name,
  types: type,
  outputs: outputs as EarlierResource["outputs"],
});
const component = resource("pgbackstop:index:R2Repository", "orders-r2", {
  location: "s3://shared-pg/orders",
  endpoint: "a.example.net",
});
const EARLIER = [component, resource("cloud:Key", "orders-r2-writer-token")];
const INPUTS = { bucket: { existing: { name: "shared-pg" } }, path: "/orders", accountId: "a" };

function judge(inputs: object = {}, earlier = EARLIER, declared: readonly string[] = []): string | null {
  const titles = new Set(["R2Repository sales-r2", ...declared]);
  return renamedBucket("R2Repository sales-r2", KIND, earlier, { ...INPUTS, ...inputs }, titles);
}

test("keys of an existing bucket that were another repository's are refused, with the alias to write", () => {
  expect(judge()).toBe(
    'R2Repository sales-r2: this stack has its keys already, as those of "orders-r2": if it was renamed, ' +
      'add the option { aliases: [{ name: "orders-r2" }] }, and it keeps its bucket, keys and passphrase',
  );
  expect(judge({ credentials: { create: { reader: true } } })).not.toBeNull();
});

test.each<[string, object, EarlierResource[]?, string[]?]>([
  ["another path of the bucket", { path: "/ledger" }],
  ["another account", { accountId: "b" }],
  ["given keys", { credentials: { keys: {} } }],
  ["an existing Secret", { credentials: { existingSecret: { name: "keys" } } }],
  ["a repository that made no keys", {}, [component]],
  ["a repository that the program still declares", {}, EARLIER, ["R2Repository orders-r2"]],
  ["a path that is not known yet", { path: undefined }],
])("%s is no rename", (_what, inputs, earlier, declared) => {
  expect(judge(inputs, earlier, declared)).toBeNull();
});

test("a bucket that is made here is found by itself", () => {
  const bucket = resource("cloud:Bucket", "orders-r2-bucket", { bucketName: "acme-pg" });
  expect(judge({ bucket: { create: { name: "acme-pg" } } }, [bucket])).toContain(
    'this stack has its bucket already, as a resource of "orders-r2"',
  );
});
