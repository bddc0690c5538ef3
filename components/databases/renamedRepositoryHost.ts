/**
 * A host of this stack under another name: its component was renamed without an alias. It would make new key pairs, and
 * the databases' former ones would open nothing any more.
 */
import * as pulumi from "@pulumi/pulumi";
import { resourceType } from "../dynamic/dynamicResource";
import { type ConnectionInput, hostOf } from "../dynamic/reach";
import { childName, renderedName } from "../internal/children";
import { declaredTitles, type EarlierResource, knownSoon, refusedIf } from "../internal/earlierState";
import { isFields, valueAt } from "../plan/model/anyValue";

const CLASS = "RepositoryHost";

/**
 * Options of a RepositoryHost that is refused if the stack has keys for its host already, with the alias to write.
 * @param accounts for which it makes keys
 */
export function refusedIfRenamed(
  name: string,
  opts: pulumi.ComponentResourceOptions | undefined,
  connection: pulumi.Input<ConnectionInput>,
  accounts: readonly string[],
): pulumi.ComponentResourceOptions | undefined {
  const title = `${CLASS} ${name}`;
  const titles = declaredTitles().add(title);
  return refusedIf(title, opts, async (earlier) => {
    if (accounts.length === 0 || !earlier.some(({ type }) => type === resourceType("SshKey"))) return null;
    const host = await knownSoon(pulumi.output(connection).apply(hostOf));
    return host === null ? null : renamedHost(title, host, accounts, earlier, titles);
  });
}

/** Why the component may not be created; null if it may. @param titles of the program's components */
export function renamedHost(
  title: string,
  host: string,
  accounts: readonly string[],
  earlier: readonly EarlierResource[],
  titles: ReadonlySet<string>,
): string | null {
  const ending = childName("", "host");
  const hosts = earlier.filter(({ outputs, type }) => {
    const connection = valueAt(outputs, "kept", "connection");
    return type === resourceType("RepositoryHostState") && isFields(connection) && hostOf(connection) === host;
  });
  const formers = hosts.map(({ name }) => (name.endsWith(ending) ? name.slice(0, -ending.length) : name));
  const former = formers.find(
    (each) =>
      !titles.has(`${CLASS} ${each}`) &&
      accounts.some((account) =>
        earlier.some(({ name, type }) => type === resourceType("SshKey") && name === renderedName(each, account)),
      ),
  );
  if (former === undefined) return null;
  return (
    `${title} would make new keys for a host that "${former}" of this stack has keys for: if it was renamed, ` +
    `add the option { aliases: [{ name: "${former}" }] }, and it keeps them`
  );
}
