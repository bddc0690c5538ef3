/** Renewal of expiring keys, and its failures. */
import { expect, test } from "vitest";
import { fail } from "../../../../runtime/base/errors";
import { Secret } from "../../../../runtime/base/secret";
import { RenewedCredentials, type TemporaryCredentials } from "../../../../runtime/storage/s3/credentials";
import { Signer, SHA256_EMPTY } from "../../../../runtime/storage/s3/sign";
import { ManualClock, TEST_TIME_MS } from "../../../harness/context";

const HOUR_MS = 3_600_000;

/** A source of numbered keys that last an hour. It fails while `away`. */
function numbered(): { clock: ManualClock; renewed: RenewedCredentials; state: { away: boolean; fetches: number } } {
  const clock = new ManualClock(TEST_TIME_MS);
  const state = { away: false, fetches: 0 };
  const fetch = async (): Promise<TemporaryCredentials> => {
    state.fetches++;
    await new Promise((resolve) => setImmediate(resolve));
    if (state.away) throw fail("hostConnect", "the source is away");
    return {
      key: new Secret(`key${state.fetches}`),
      keySecret: new Secret("secret"),
      expiresAtMs: clock.nowMs() + HOUR_MS,
    };
  };
  return { clock, renewed: new RenewedCredentials(fetch, clock), state };
}

const keyOf = async (renewed: RenewedCredentials): Promise<string> => (await renewed.current()).key.reveal();

test("concurrent requests fetch once, and the keys are kept", async () => {
  const { clock, renewed, state } = numbered();
  expect(await Promise.all([1, 2, 3].map(() => keyOf(renewed)))).toEqual(["key1", "key1", "key1"]);
  clock.advance(HOUR_MS - 5 * 60_000 - 1);
  expect(await keyOf(renewed)).toBe("key1");
  expect(state.fetches).toBe(1);
});

test("they are renewed five minutes before they expire", async () => {
  const { clock, renewed } = numbered();
  await renewed.current();
  clock.advance(HOUR_MS - 5 * 60_000);
  expect(await keyOf(renewed)).toBe("key2");
});

test("an unreachable source has no effect until the keys expire, and not every request asks it", async () => {
  const { clock, renewed, state } = numbered();
  await renewed.current();
  clock.advance(HOUR_MS - 4 * 60_000);
  state.away = true;
  expect([await keyOf(renewed), await keyOf(renewed), state.fetches]).toEqual(["key1", "key1", 2]);
  clock.advance(30_000);
  expect([await keyOf(renewed), state.fetches]).toEqual(["key1", 3]);
  clock.advance(3 * 60_000 + 25_000);
  await expect(renewed.current()).rejects.toThrow("the source is away");
  state.away = false;
  expect(await keyOf(renewed)).toBe("key5");
});

test("keys without an expiry are fetched once", async () => {
  let fetches = 0;
  const clock = new ManualClock(TEST_TIME_MS);
  const renewed = new RenewedCredentials(
    async () => ({ key: new Secret(`key${++fetches}`), keySecret: new Secret("secret") }),
    clock,
  );
  await renewed.current();
  clock.advance(1000 * HOUR_MS);
  expect(await keyOf(renewed)).toBe("key1");
});

test("a signature uses the keys of its time", async () => {
  const { clock, renewed } = numbered();
  const signer = new Signer(renewed, "us-east-1");
  const sign = async (): Promise<string> => {
    const request = { method: "GET", host: "h", path: "/", query: {}, headers: {}, sha256Hex: SHA256_EMPTY };
    return /Credential=(\w+)/.exec((await signer.sign(request, clock.nowMs()))["authorization"] ?? "")?.[1] ?? "";
  };
  expect(await sign()).toBe("key1");
  clock.advance(HOUR_MS);
  expect(await sign()).toBe("key2");
});

test("keys that the service refuses are replaced once by others of the source", async () => {
  const { renewed, state } = numbered();
  await renewed.current();
  expect(renewed.refuse("key1")).toBe(true);
  expect([await keyOf(renewed), state.fetches]).toEqual(["key2", 2]);
  // The answer to a request from before says nothing about the new ones.
  expect([renewed.refuse("key1"), await keyOf(renewed), renewed.refuse("key1")]).toEqual([true, "key2", true]);
  expect(state.fetches).toBe(2);
  const fixed = new RenewedCredentials(
    async () => ({ key: new Secret("key"), keySecret: new Secret("s") }),
    new ManualClock(0),
  );
  await fixed.current();
  expect(fixed.refuse("key")).toBe(true);
  await fixed.current();
  expect(fixed.refuse("key")).toBe(false);
});

test("a source that still has the refused keys is asked again after a pause", async () => {
  const clock = new ManualClock(0);
  let key = "old";
  const renewed = new RenewedCredentials(async () => ({ key: new Secret(key), keySecret: new Secret("s") }), clock);
  await renewed.current();
  expect(renewed.refuse("old")).toBe(true);
  await renewed.current();
  expect(renewed.refuse("old")).toBe(false);
  key = "new";
  expect(await keyOf(renewed)).toBe("old");
  expect(renewed.refuse("old")).toBe(false);
  clock.advance(30_000);
  expect(await keyOf(renewed)).toBe("new");
});

test("the refused key is the one of the request's signature", async () => {
  const refused: string[] = [];
  const source = {
    current: async () => ({ key: new Secret("AKIA/odd"), keySecret: new Secret("s") }),
    refuse: (key: string) => refused.push(key) > 0,
  };
  const signer = new Signer(source, "us-east-1");
  const request = { method: "GET", host: "h", path: "/", query: {}, headers: {}, sha256Hex: SHA256_EMPTY };
  const { authorization = "" } = await signer.sign(request, TEST_TIME_MS);
  expect([signer.refuse(authorization), refused]).toEqual([true, ["AKIA/odd"]]);
});
