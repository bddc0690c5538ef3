/** A host that stores other hosts' repositories, over SFTP. */
import * as pulumi from "@pulumi/pulumi";
import { RepositoryHostResource, SshKey } from "../dynamic/repositoryHostState";
import type { DesiredRepositoryHost } from "../host/convergeRepositoryHost";
import { childName, renderedName, typeToken } from "../internal/children";
import { splitKnown } from "../internal/inputs";
import { checkedArguments, logWarnings } from "../internal/validate";
import { checkRange } from "../plan/arguments/ranges";
import { readOr, view } from "../plan/model/deferred";
import {
  REPOSITORY_HOST_PATHS,
  REPOSITORY_INSIDE,
  type RepositoryAccount,
  renderAuthorizedKeys,
  renderSealFiles,
  renderSshdConfig,
  type SealedRepository,
  sealTimers,
} from "../render/host/sshdConfig";
import { secretCipher, shareableTarget } from "../repositories/common";
import type { CipherRef, RepositoryTarget } from "../repositories/target";
import type { HostConnection } from "./hostArgs";
import { sharedByRepositoryHost } from "./sharedUse";
import { refusedIfRenamed } from "./renamedRepositoryHost";
import { addressOf, connectionFindings, connectionInputs, connectionKinds, isRemote } from "./hostConnection";
import { given } from "../../runtime/base/given";

const DIRECTORY = "/srv/pgbackstop";

/** A database that stores its backups there. */
export interface RepositoryClientArgs {
  /**
   * Private key of the database, as ssh-keygen writes it. Secret. If omitted, the component generates one and keeps it
   * as a stack secret.
   */
  privateKey?: pulumi.Input<string>;
  /** Secret. Passphrase of an encrypted `privateKey`. */
  privateKeyPassphrase?: pulumi.Input<string>;
  /** Additional keys for the same account, as lines of `authorized_keys`. @example ["ssh-ed25519 AAAAC3…"] */
  publicKeys?: pulumi.Input<string>[];
  /**
   * Account on the backup host.
   * @default "pgbackstop-" and the client's name
   * @plain the name of the resource of its key
   */
  user?: string;
  /**
   * True creates a second account that reads the same repository and cannot change it: `readerTargets`.
   * @default false
   * @plain whether a second key exists
   */
  reader?: boolean;
  /**
   * Number of days in which the client's account cannot change or remove stored files, even with a stolen key: every
   * ten minutes a timer on the backup host makes root the owner of complete files. A shorter retention cannot remove
   * backups in time.
   * @example 14
   * @minimum 1 @maximum 3650
   */
  immutableDays?: pulumi.Input<number>;
  /** Client-side encryption: the backup host sees neither contents nor keys. Omitting it is a warning. */
  cipher?: CipherRef;
}

export interface RepositoryHostArgs {
  /** Connection to the backup host. The login is root, or becomes root through sudo without a password. */
  connection: pulumi.Input<HostConnection>;
  /**
   * Clients by name: letters, digits and hyphens. Each has its own account and directory, and cannot see the others.
   * @example { orders: {}, ledger: { immutableDays: 14 } }
   */
  clients: { [client: string]: RepositoryClientArgs };
  /**
   * Parent directory of the repositories: `<directory>/<client>/repository`. It and all its parents belong to root.
   * @default "/srv/pgbackstop"
   */
  directory?: pulumi.Input<string>;
  /** True refuses writes while nothing is mounted at or above `directory`. @default false */
  requireMount?: pulumi.Input<boolean>;
  /** Address at which databases reach the host, if it differs from that of `connection`. */
  address?: pulumi.Input<string>;
  /** Port of sshd for the databases; if omitted, that of `connection`. @minimum 1 @maximum 65535 */
  port?: pulumi.Input<number>;
  /** True if the host survives the loss of the databases' site. If omitted, unknown. */
  offSite?: pulumi.Input<boolean>;
}

/**
 * A small server that keeps backups of others over SFTP: for each client an account without shell, terminal and
 * forwarding, in a directory that it cannot leave. sshd's configuration is tried before it counts, and put back when
 * the administrator could not sign in with it.
 *
 * Destroying it takes every client's key and leaves the backups, with the accounts that own them.
 *
 * ```ts
 * const vault = new RepositoryHost("vault", {
 *   connection: { ssh: { host: "203.0.113.9", hostKeys: ["ssh-ed25519 AAAAC3…"] } },
 *   clients: { orders: { cipher: key.ref } },
 * });
 * new PostgresHost("orders", { ...args, repositories: { repo1: { at: vault.targets["orders"]!, keepDays: 30 } } });
 * ```
 */
export class RepositoryHost extends pulumi.ComponentResource {
  /** Targets by client, for a database: `repositories: { repo1: { at: vault.targets["orders"] } }`. */
  public readonly targets: { [client: string]: RepositoryTarget };
  /** Targets with read-only accounts, for the clients with `reader`. */
  public readonly readerTargets: { [client: string]: RepositoryTarget };
  /** The host's public key for the databases, read over the verified connection. */
  public readonly hostKey: pulumi.Output<string>;

  constructor(name: string, args: RepositoryHostArgs, opts?: pulumi.ComponentResourceOptions) {
    const own = checkedArguments("RepositoryHost", name, args, { kept: ciphers });
    const layout = layoutOf(own);
    const { deferred, value: planned } = splitKnown(layout);
    checkArguments(name, own, view(planned));
    const directory = own.directory ?? DIRECTORY;
    const clients = clientsOf(planned.directory, own.clients);
    const { connection, signIn } = connectionInputs(own.connection);
    const generated = clients.flatMap(({ accounts, settings }) =>
      accounts.filter(({ readOnly }) => readOnly || settings.privateKey === undefined).map((account) => account.name),
    );
    const inputs = { directory, clients: clients.map(({ client }) => client) };
    const shared = sharedByRepositoryHost(`RepositoryHost ${name}`, own.connection, connection);
    shared.refuse();
    super(typeToken("RepositoryHost"), name, inputs, refusedIfRenamed(name, opts, connection, generated));
    logWarnings(connectionFindings(own.connection), this);
    shared.judge(this);

    const signers = clients.flatMap(({ accounts, client, settings }) =>
      accounts.map((account) => ({ account, client, settings, key: this.createKey(name, account, settings) })),
    );
    const keys = signers.map(({ account, key, settings }) =>
      pulumi
        .all([key.publicKey, ...(account.readOnly ? [] : (settings.publicKeys ?? []))])
        .apply((lines) => ({ name: account.name, lines })),
    );
    const address = addressOf(own.connection);
    const desired = pulumi.all([pulumi.all(keys), address.login, layout]).apply(([known, admin, settled]) => {
      if (deferred.size > 0) checkArguments(name, own, settled);
      return desiredOf(admin, settled, clientsOf(settled.directory, own.clients), known);
    });
    const host = new RepositoryHostResource(
      childName(name, "host"),
      { connection, desired, owner: this.urn, ...given({ signIn }) },
      { parent: this },
    );

    this.hostKey = host.hostKey;
    const server = { host: own.address ?? address.host, port: own.port ?? address.port, hostKey: host.hostKey };
    const targetsOf = (readOnly: boolean): Record<string, RepositoryTarget> => {
      const entries = signers
        .filter(({ account }) => account.readOnly === readOnly)
        .map(({ account, client, key, settings }): [string, RepositoryTarget] => [
          client,
          shareableTarget({
            name: renderedName(name, client),
            path: REPOSITORY_INSIDE,
            ...given({ offSite: own.offSite }),
            ...(readOnly ? { readOnly } : {}),
            sftp: {
              ...server,
              user: account.name,
              privateKey: pulumi.secret(key.privateKey),
              ...(settings.privateKeyPassphrase === undefined || readOnly
                ? {}
                : { privateKeyPassphrase: pulumi.secret(settings.privateKeyPassphrase) }),
              ...(settings.immutableDays === undefined ? {} : { facts: { immutableDays: settings.immutableDays } }),
            },
            ...secretCipher(settings.cipher),
          }),
        ]);
      return Object.fromEntries(entries);
    };
    this.targets = targetsOf(false);
    this.readerTargets = targetsOf(true);
    this.registerOutputs({ hostKey: this.hostKey });
  }

  private createKey(
    name: string,
    account: RepositoryAccount,
    { privateKey, privateKeyPassphrase }: RepositoryClientArgs,
  ): SshKey {
    const own =
      account.readOnly || privateKey === undefined
        ? {}
        : {
            existing: pulumi.secret(privateKey),
            ...(privateKeyPassphrase === undefined ? {} : { passphrase: pulumi.secret(privateKeyPassphrase) }),
          };
    return new SshKey(renderedName(name, account.name), { comment: account.name, ...own }, { parent: this });
  }
}

/** A passphrase is known by its output. */
function ciphers({ clients }: RepositoryHostArgs): readonly unknown[] {
  return Object.values(clients).map(({ cipher }) => cipher);
}

/** Arguments that may come later. */
interface Layout {
  readonly directory: pulumi.Input<string>;
  readonly requireMount: pulumi.Input<boolean>;
  readonly immutableDays: Readonly<Record<string, pulumi.Input<number>>>;
}
type KnownLayout = pulumi.Unwrap<Layout>;

function layoutOf({ clients, directory = DIRECTORY, requireMount = false }: RepositoryHostArgs): Layout {
  const days = Object.entries(clients).flatMap(([client, { immutableDays }]) =>
    immutableDays === undefined ? [] : [[client, immutableDays]],
  );
  return { directory, requireMount, immutableDays: Object.fromEntries(days) as Layout["immutableDays"] };
}

interface Client {
  readonly client: string;
  readonly settings: RepositoryClientArgs;
  /** The writer comes first. */
  readonly accounts: readonly RepositoryAccount[];
  readonly repository: string;
}

function clientsOf(directory: string, clients: RepositoryHostArgs["clients"]): Client[] {
  return Object.entries(clients).map(([client, settings]) => clientOf(directory, client, settings));
}

function clientOf(directory: string, client: string, settings: RepositoryClientArgs): Client {
  const name = settings.user ?? `pgbackstop-${client}`;
  const root = `${directory}/${client}`;
  const writer = { name, group: name, root, readOnly: false };
  return {
    client,
    settings,
    accounts: settings.reader === true ? [writer, { ...writer, name: `${name}-r`, readOnly: true }] : [writer],
    repository: `${root}${REPOSITORY_INSIDE}`,
  };
}

function desiredOf(
  admin: string,
  { directory, immutableDays, requireMount }: KnownLayout,
  clients: readonly Client[],
  keys: readonly { readonly name: string; readonly lines: readonly string[] }[],
): DesiredRepositoryHost {
  const accounts = clients.flatMap((client) => client.accounts);
  const sealed = clients.flatMap(({ accounts: [writer], client, repository }): SealedRepository[] => {
    const days = immutableDays[client];
    if (days === undefined || writer === undefined) return [];
    return [{ client, account: writer.name, directory: repository, days }];
  });
  const keyFiles = keys.map(({ lines, name }) => ({
    path: `${REPOSITORY_HOST_PATHS.keys}/${name}`,
    mode: "0644",
    text: renderAuthorizedKeys(lines),
  }));
  return {
    accounts,
    repositories: Object.fromEntries(
      clients.map(({ accounts: [writer], repository }) => [writer?.name ?? "", repository]),
    ),
    sealed,
    sshdConfig: renderSshdConfig(accounts),
    files: Object.fromEntries(
      [...keyFiles, ...renderSealFiles(sealed)].map(({ mode, path, text }) => [path, { mode, text }]),
    ),
    timers: sealTimers(sealed),
    admin,
    mount: requireMount ? directory : "",
  };
}

function checkArguments(name: string, { address, clients, connection }: RepositoryHostArgs, layout: KnownLayout): void {
  const wrong: { readonly propertyPath: string; readonly reason: string }[] = [];
  const add = (propertyPath: string, reason: string): void => void wrong.push({ propertyPath, reason });
  if (Object.keys(connectionKinds(connection)).length !== 1) add("connection", "set either ssh or local");
  for (const { hint, message, path, severity } of connectionFindings(connection))
    if (severity === "error") add(path, `${message}; ${hint}`);
  if (!isRemote(connection) && address === undefined)
    add("address", "it is empty, and databases need it to connect: set the host's name or address");
  if (readOr(() => !/^(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$/.test(layout.directory), false)) {
    add(
      "directory",
      `"${layout.directory}" is not usable: sshd's configuration contains it, so it must be an absolute path of letters, digits and _ . -`,
    );
  }
  if (Object.keys(clients).length === 0) add("clients", "the list is empty: name at least one client");
  for (const [client, { reader, user = `pgbackstop-${client}` }] of Object.entries(clients)) {
    if (!/^[a-z][a-z0-9-]{0,18}$/.test(client)) {
      add(
        `clients.${client}`,
        `"${client}" is not a name for a client: use 1 to 19 lower-case letters, digits and hyphens, a letter first`,
      );
    }
    if (!/^[a-z_][a-z0-9_-]*$/.test(user) || user.length > (reader === true ? 30 : 32) || user === "root") {
      add(
        `clients.${client}.user`,
        `"${user}" is not a name for an account: use lower-case letters, digits and hyphens`,
      );
    }
    const immutableDays = readOr(() => layout.immutableDays[client], undefined);
    const path = `clients.${client}.immutableDays`;
    for (const { message } of checkRange("RepositoryClientArgs.immutableDays", path, immutableDays)) add(path, message);
  }
  if (wrong.length === 0) return;
  const list = wrong.map(({ propertyPath, reason }) => `  ${propertyPath}: ${reason}`).join("\n");
  throw new pulumi.InputPropertiesError({
    message: `RepositoryHost ${name}: errors in the arguments\n${list}`,
    errors: wrong,
  });
}
