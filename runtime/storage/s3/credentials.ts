/**
 * Temporary keys: fetched before the first signature, renewed before they expire, shared by all requests of a storage.
 *
 * Renewal begins five minutes before they expire, as in stock (pgBackRest 2.60 "storage/s3/storage"). If it fails,
 * valid keys stay in use and the source is asked again after a pause: a metadata service may be away for a minute.
 */
import type { Clock } from "../../base/clock";
import type { Secret } from "../../base/secret";

export interface Credentials {
  readonly key: Secret;
  readonly keySecret: Secret;
  readonly token?: Secret;
}

export interface TemporaryCredentials extends Credentials {
  /** Absent: they never expire. */
  readonly expiresAtMs?: number;
}

export interface CredentialSource {
  /** Valid keys. @throws the error of their source */
  current(): Promise<Credentials>;
  /**
   * After the service has refused a request with this access key: true if another try has other keys, false if the
   * source has no others.
   */
  refuse?(accessKey: string): boolean;
}

const RENEW_BEFORE_MS = 5 * 60_000;
/** Clocks differ: keys that expire sooner are not used. */
const USABLE_MS = 10_000;
const RETRY_PAUSE_MS = 30_000;

export class RenewedCredentials implements CredentialSource {
  readonly #fetch: () => Promise<TemporaryCredentials>;
  readonly #clock: Clock;
  #held: TemporaryCredentials | undefined;
  #pending: Promise<TemporaryCredentials> | undefined;
  #askAgainAtMs = 0;
  #refused: TemporaryCredentials | undefined;

  constructor(fetch: () => Promise<TemporaryCredentials>, clock: Clock) {
    this.#fetch = fetch;
    this.#clock = clock;
  }

  async current(): Promise<Credentials> {
    const held = this.#held;
    const leftMs = held === undefined ? 0 : (held.expiresAtMs ?? Number.POSITIVE_INFINITY) - this.#clock.nowMs();
    if (held === undefined || leftMs <= USABLE_MS) return this.#renew();
    if (leftMs > RENEW_BEFORE_MS || this.#clock.nowMs() < this.#askAgainAtMs) return held;
    try {
      return await this.#renew();
    } catch {
      this.#askAgainAtMs = this.#clock.nowMs() + RETRY_PAUSE_MS;
      return held;
    }
  }

  /** Keys end before their time when they are revoked, or when this clock is behind the service's. */
  refuse(accessKey: string): boolean {
    const held = this.#held;
    // Another request has asked already, or has the answer.
    if (held === undefined || held.key.reveal() !== accessKey) return true;
    if (accessKey === this.#refused?.key.reveal()) return false;
    this.#refused = held;
    this.#held = undefined;
    return true;
  }

  /** Concurrent requests share one renewal. */
  #renew(): Promise<TemporaryCredentials> {
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
