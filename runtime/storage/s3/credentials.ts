/** Keys of a bucket, which may be temporary. */
import type { Clock } from "../../base/clock";
import type { Secret } from "../../base/secret";
import { Renewed } from "../objectStore/renewed";

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

export class RenewedCredentials extends Renewed<TemporaryCredentials> implements CredentialSource {
  constructor(fetch: () => Promise<TemporaryCredentials>, clock: Clock) {
    super(fetch, ({ key }) => key, clock);
  }
}
