/** Programs of users with one mistake each, which a preview must name. */
import { PosixRepository, PostgresHost, type PostgresHostArgs } from "pgbackstop";

const HOST = { host: "203.0.113.10", user: "deploy" };
const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1dCBub2JvZHkgaGFzIGl0cyBwcml2YXRlIGhhbGY";

const MISTAKES = {
  none: {},
  hostKey: { connection: { ...HOST, privateKey: "a private key" } },
  password: { connection: { ...HOST, hostKey: HOST_KEY, password: "a password" } },
  option: { options: { "compres-level": "3" } },
} satisfies Record<string, Partial<PostgresHostArgs>>;

export function program({ mistake }: { readonly mistake: keyof typeof MISTAKES }): Record<string, never> {
  const nas = new PosixRepository("nas", { path: "/mnt/nas" });
  new PostgresHost("ledger", {
    dataDirectory: "/var/lib/postgresql/17/main",
    repositories: { repo1: { at: nas.target } },
    ...MISTAKES[mistake],
  });
  return {};
}
