/** libpq's `sslmode`. */

/** How libpq secures a connection, and what it verifies. */
export const SslMode = {
  Disable: "disable",
  Allow: "allow",
  Prefer: "prefer",
  Require: "require",
  /** Verifies that an authority signed the server's certificate. */
  VerifyCa: "verify-ca",
  /** Verifies also that the certificate has the server's name. */
  VerifyFull: "verify-full",
} as const;
export type SslMode = (typeof SslMode)[keyof typeof SslMode];
