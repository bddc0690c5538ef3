/** Settings with which clients reach a clone: pure texts. All others stay those of a drill's server. */
import { fail } from "../../base/errors";
import type { CloneState } from "./cloneState";

type Reach = Pick<CloneState, "allow" | "databases" | "listen" | "role">;

/** For postgresql.auto.conf, behind a drill's settings: the last value counts. */
export function clientSettings({ listen }: Reach): string {
  const settings = {
    listen_addresses: listen,
    password_encryption: "scram-sha-256",
    // One client's crash must not end it for the others.
    restart_after_crash: "on",
    cluster_name: "pgbackstop clone",
  };
  return Object.entries(settings)
    .map(([name, value]) => `${name} = '${value}'\n`)
    .join("");
}

/** One role reaches its databases by password; on the private socket only the server's account and root. */
export function clientAccess({ allow, databases, role }: Reach): string {
  const lines = databases.flatMap((database) =>
    allow.map((network) => `host ${quoted(database)} ${quoted(role)} ${network} scram-sha-256\n`),
  );
  return `local all all trust\n${lines.join("")}`;
}

/** A quoted name has no meaning of its own, such as `all` or `replication`. */
function quoted(name: string): string {
  return `"${name}"`;
}

/** Names of a PostgreSQL access file have no escape for these. @throws optionInvalidValue */
export function requireUsable({ allow, databases, listen, role }: Reach): void {
  const refuse = (option: string, value: string, reason: string): never => {
    throw fail("optionInvalidValue", `'${value}' is not valid for '${option}' option: ${reason}`);
  };
  for (const [option, name] of [["role", role], ...databases.map((each) => ["keep-database", each] as const)] as const)
    if (name === "" || Buffer.byteLength(name) > NAME_BYTES_MAX || /["\p{Cc}]/u.test(name))
      refuse(option, name, `use a name of 1 to ${NAME_BYTES_MAX} bytes without quotes and control characters`);
  if (role.startsWith("pg_")) refuse("role", role, "PostgreSQL reserves names that begin with pg_");
  if (!/^[0-9A-Za-z.:*,-]+$/.test(listen)) refuse("listen", listen, "use addresses, separated by commas");
  for (const network of allow)
    if (!/^[0-9A-Fa-f.:]+\/\d{1,3}$/.test(network))
      refuse("allow", network, "use a network such as 10.0.0.0/8 or 2001:db8::/32");
}

const NAME_BYTES_MAX = 63;
