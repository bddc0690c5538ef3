/** Resources of the plugin's own process: what the engine gives as a secret goes back as one. */
import * as pulumi from "@pulumi/pulumi";
import { expect, test } from "vitest";
import { OwnResources } from "../../../components/plugin/ownResources";

const TYPES = "pgbackstop:index:CipherPassphrase$pgbackstop:index:Passphrase";
const URN = `urn:pulumi:dev::acme::${TYPES}::orders-key-passphrase`;
const { specialSecretSig, specialSigKey } = pulumi.runtime;
const secret = (value: unknown): object => ({ [specialSigKey]: specialSecretSig, value });
const own = new OwnResources();

test("the plugin creates a passphrase, and keeps it through an update", async () => {
  const { id, outs } = await own.create(URN, { sizeBytes: 48 });
  expect(id).toMatch(/^[0-9a-f-]{36}$/);
  const { passphrase } = outs as { passphrase: string };
  expect(Buffer.from(passphrase, "base64")).toHaveLength(48);
  const state = { passphrase: secret(passphrase) };
  expect(await own.diff(id, URN, state, { sizeBytes: 64 })).toEqual({ changes: false });
  expect(await own.update(id, URN, state, { sizeBytes: 64 })).toEqual({ outs: state });
  expect(await own.read(id, URN, state)).toEqual({ id, props: state });
  await own.delete(id, URN, state);
});

test("secrets reach the methods as plain values", async () => {
  const made = await own.create(URN, { sizeBytes: 48, existing: secret("adopted") });
  expect(made.outs).toEqual({ passphrase: "adopted" });
  const state = { passphrase: secret("adopted") };
  expect(await own.diff(made.id, URN, state, { sizeBytes: 48, existing: secret("adopted") })).toEqual({
    changes: false,
  });
  await expect(own.diff(made.id, URN, state, { sizeBytes: 48, existing: secret("another") })).rejects.toThrow(
    "a passphrase cannot be changed in place",
  );
});

test("inputs keep their secrets where a resource checks nothing", async () => {
  const inputs = { sizeBytes: 48, existing: secret("adopted") };
  expect(await own.check(URN, {}, inputs)).toEqual({ inputs });
});

test("a resource of another type is refused by its type", async () => {
  await expect(own.create(URN.replaceAll("Passphrase", "Door"), {})).rejects.toThrow(
    "pgbackstop:index:Door is not a resource of this plugin",
  );
});
