/**
 * Temporary keys: fetched before the first request, renewed before they expire, shared by all requests of a storage.
 *
 * Renewal begins five minutes before they expire, as in stock (pgBackRest 2.60 "storage/s3/storage"). If it fails,
 * valid keys stay in use and the source is asked again after a pause: a metadata service may be away for a minute.
 */
import type { Clock } from "../../base/clock";
import type { Secret } from "../../base/secret";

const RENEW_BEFORE_MS = 5 * 60_000;
/** Clocks differ: keys that expire sooner are not used. */
const USABLE_MS = 10_000;
const RETRY_PAUSE_MS = 30_000;

export interface Temporary {
  /** Absent: they never expire. */
  readonly expiresAtMs?: number;
}

export class Renewed<T extends Temporary> {
  readonly #fetch: () => Promise<T>;
  readonly #keyOf: (keys: T) => Secret;
  readonly #clock: Clock;
  #held: T | undefined;
  #pending: Promise<T> | undefined;
  #askAgainAtMs = 0;
  #refused: T | undefined;

  constructor(fetch: () => Promise<T>, keyOf: (keys: T) => Secret, clock: Clock) {
    this.#fetch = fetch;
    this.#keyOf = keyOf;
    this.#clock = clock;
  }

  /** Valid keys. @throws the error of their source */
  async current(): Promise<T> {
    const held = this.#held;
    const leftMs = held === undefined ? 0 : (held.expiresAtMs ?? Number.POSITIVE_INFINITY) - this.#clock.nowMs();
    if (held === undefined || leftMs <= USABLE_MS) return this.#renew();
    const isGood = leftMs > RENEW_BEFORE_MS && !this.#isRefused(held);
    if (isGood || this.#clock.nowMs() < this.#askAgainAtMs) return held;
    this.#askAgainAtMs = this.#clock.nowMs() + RETRY_PAUSE_MS;
    try {
      return await this.#renew();
    } catch {
      return held;
    }
  }

  /**
   * After the service has refused a request with this key: true if another try has other keys, false if the source has
   * no others. Keys end before their time when they are revoked, or when this clock is behind the service's.
   */
  refuse(key: string): boolean {
    const held = this.#held;
    // Another request has asked already, or has the answer.
    if (held === undefined || this.#keyOf(held).reveal() !== key) return true;
    if (this.#isRefused(held)) {
      // The source may be slower than the service to learn that its keys were revoked.
      if (this.#askAgainAtMs <= this.#clock.nowMs()) this.#askAgainAtMs = this.#clock.nowMs() + RETRY_PAUSE_MS;
      return false;
    }
    this.#refused = held;
    this.#held = undefined;
    return true;
  }

  #isRefused(keys: T): boolean {
    return this.#refused !== undefined && this.#keyOf(keys).reveal() === this.#keyOf(this.#refused).reveal();
  }

  /** Concurrent requests share one renewal. */
  #renew(): Promise<T> {
    this.#pending ??= this.#fetch()
      .then((fetched) => {
        this.#held = fetched;
        return fetched;
      })
      .finally(() => {
        this.#pending = undefined;
      });
    return this.#pending;
  }
}
