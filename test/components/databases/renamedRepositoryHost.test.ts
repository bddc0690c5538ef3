/** A RepositoryHost that was renamed without an alias: it would make new keys for a host that has some. */
// claim: docs/hosts/updates.md: a component with another name or stack keeps…
import { expect, test } from "vitest";
import { renamedHost } from "../../../components/databases/renamedRepositoryHost";
import type { EarlierResource } from "../../../components/internal/earlierState";

const dynamic = (type: string, name: string, outputs: object = {}): EarlierResource => ({
  type: `pulumi-nodejs:dynamic/index:${type}`,
  name,
  types: type,
  outputs: outputs as EarlierResource["outputs"],
});
const EARLIER = [
  dynamic("RepositoryHostState", "vault-host", { kept: { connection: { ssh: { host: "203.0.113.9", port: 22 } } } }),
  dynamic("SshKey", "vault-pgbackstop-orders"),
];
const HOST = "ssh:203.0.113.9";

function judge(accounts: readonly string[], host = HOST, declared: readonly string[] = []): string | null {
  return renamedHost("RepositoryHost cellar", host, accounts, EARLIER, new Set(["RepositoryHost cellar", ...declared]));
}

test("new keys for a host that has keys under another name are refused, with the alias to write", () => {
  expect(judge(["pgbackstop-ledger", "pgbackstop-orders"])).toBe(
    'RepositoryHost cellar would make new keys for a host that "vault" of this stack has keys for: if it was renamed, ' +
      'add the option { aliases: [{ name: "vault" }] }, and it keeps them',
  );
});

test("other accounts, another host, and a component that is still declared are no rename", () => {
  expect(judge(["pgbackstop-ledger"])).toBeNull();
  expect(judge(["pgbackstop-orders"], "ssh:203.0.113.10")).toBeNull();
  expect(judge(["pgbackstop-orders"], HOST, ["RepositoryHost vault"])).toBeNull();
});
