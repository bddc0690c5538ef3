/** Addresses of object stores: endpoints and hosts as users write them. */
import { isIP } from "node:net";
import { type BackupError, fail } from "../../base/errors";

export interface StoreAddress {
  /** `https://host:port` of the connection. */
  readonly origin: string;
  /** Host and port of the connection, for messages. */
  readonly connection: string;
  /** Host header. */
  readonly host: string;
  /** Name in the certificate; absent for an IP address, which is compared itself. */
  readonly tlsName?: string;
  /** `/bucket` or empty: precedes `/key`. */
  readonly pathPrefix: string;
}

/** Name in a certificate of a host that may be an address, in brackets too. */
export function tlsNameOf(host: string): Pick<StoreAddress, "tlsName"> {
  const bareName = host.replace(/^\[|\]$/g, "");
  return isIP(bareName) === 0 ? { tlsName: bareName } : {};
}

/** The address of a service that is reached where its endpoint says. */
export function plainAddress(
  protocol: string,
  name: string,
  port: number | undefined,
  pathPrefix: string,
): StoreAddress {
  const defaultPort = protocol === "https:" ? 443 : 80;
  const connection = `${name}:${port ?? defaultPort}`;
  return {
    origin: `${protocol}//${connection}`,
    connection,
    host: port === undefined || port === defaultPort ? name : connection,
    ...tlsNameOf(name),
    pathPrefix,
  };
}

export function portOf(url: URL): number | undefined {
  return url.port === "" ? undefined : Number(url.port);
}

export function hasScheme(text: string | undefined): boolean {
  return text !== undefined && /^[a-z]+:\/\//i.test(text);
}

/** A host name, optionally with scheme and port. @throws optionInvalidValue */
export function parseHostUrl(text: string, option: string): URL {
  let url: URL;
  try {
    url = new URL(hasScheme(text) ? text : `https://${text}`);
  } catch (error) {
    throw invalidAddress(text, option, error);
  }
  if (
    !["https:", "http:"].includes(url.protocol) ||
    url.pathname !== "/" ||
    url.search !== "" ||
    url.username !== "" ||
    url.password !== ""
  ) {
    throw invalidAddress(text, option);
  }
  return url;
}

/** The error for a malformed value; by default of a host. */
export function invalidAddress(
  value: string,
  option: string,
  cause?: unknown,
  hint = "Use a host name, optionally with scheme and port, without a path.",
): BackupError {
  // An address with a user or a query may contain a password.
  const shown = /[@?]/.test(value) ? "(an address with credentials)" : value;
  return fail("optionInvalidValue", `'${shown}' is not valid for '${option}' option`, {
    ...(cause === undefined ? {} : { cause }),
    hint,
  });
}
