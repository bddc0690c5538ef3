/**
 * The methods of the resources behind {@link RepositoryHost}, which the engine calls in the dynamic provider's process.
 */
import { isDeepStrictEqual } from "node:util";
import {
  convergeRepositoryHost,
  type DesiredRepositoryHost,
  readHostKeys,
  INTERRUPTED,
  readRepositoryHost,
  removeRepositoryHost,
  wantedFacts,
} from "../host/convergeRepositoryHost";
import type { Connection } from "../host/connection";
import type { SignInInput } from "../host/ssh/sshTarget";
import { hasUnknown } from "./previewValues";
import { type ConnectionInput, hostOf, log, withConnection } from "./reach";
import { given } from "../../runtime/base/given";

export interface RepositoryHostInputs {
  readonly connection: ConnectionInput;
  /** URN of the component. */
  readonly owner: string;
  /** Credentials of the host, then of the jump hosts. Secret. */
  readonly signIn?: readonly SignInInput[];
  readonly desired: DesiredRepositoryHost;
}

export interface RepositoryHostState {
  /** The host key for clients: ECDSA if there is one, which stock pgBackRest requests first. */
  readonly hostKey: string;
  /** The host's last known state, by names. */
  readonly facts: Record<string, string>;
  /** The only inputs of a refresh and a removal. */
  readonly kept: Kept;
  /** Secret. */
  readonly keptSignIn: readonly SignInInput[];
}

interface Kept {
  readonly connection: ConnectionInput;
  readonly desired: DesiredRepositoryHost;
  /** Missing in the state of an earlier version. */
  readonly owner?: string;
}

type Access = Pick<RepositoryHostInputs, "connection" | "signIn">;

export async function repositoryHostCreate(
  inputs: RepositoryHostInputs,
): Promise<{ id: string; outs: RepositoryHostState }> {
  return { id: `${hostOf(inputs.connection)}/repositories`, outs: await apply(inputs, null) };
}

export async function repositoryHostUpdate(
  _id: string,
  olds: Partial<RepositoryHostState>,
  news: RepositoryHostInputs,
): Promise<{ outs: RepositoryHostState }> {
  return { outs: await apply(news, { facts: olds.facts ?? {}, ...given({ owner: olds.kept?.owner }) }) };
}

/**
 * Compares the last known state with the desired one; another host is another resource, and the old one keeps its
 * backups. Keys that are still to be made are unknown in a preview.
 */
export async function repositoryHostDiff(
  _id: string,
  olds: Partial<RepositoryHostState>,
  news: RepositoryHostInputs,
): Promise<{ changes: boolean; replaces: string[]; deleteBeforeReplace: boolean }> {
  if (hasUnknown(news.connection)) return { changes: true, replaces: [], deleteBeforeReplace: true };
  const replaces =
    olds.kept !== undefined && hostOf(olds.kept.connection) !== hostOf(news.connection) ? ["connection"] : [];
  const accessChanged = !isDeepStrictEqual(
    [olds.kept?.connection, olds.keptSignIn ?? [], olds.kept?.owner],
    [news.connection, news.signIn ?? [], news.owner],
  );
  const changes =
    replaces.length > 0 ||
    accessChanged ||
    hasUnknown(news.desired) ||
    differences(olds.facts ?? {}, wantedFacts(news.desired)).length > 0;
  return { changes, replaces, deleteBeforeReplace: true };
}

/** The true state; differences are reported. */
export async function repositoryHostRead(
  id: string,
  props?: Partial<RepositoryHostState>,
): Promise<{ id: string; props: RepositoryHostState }> {
  const { kept, keptSignIn = [] } = props ?? {};
  if (kept === undefined)
    throw new Error("a backup host cannot be imported: declare it, and an update takes over what exists");
  const { facts, hostKey } = await withConnection(
    { connection: kept.connection, signIn: keptSignIn },
    async (connection) => ({
      facts: await readRepositoryHost(connection, kept.desired, kept.owner),
      hostKey: chooseKey(await readHostKeys(connection)),
    }),
  );
  for (const name of differences(facts, wantedFacts(kept.desired)))
    log(`${name === INTERRUPTED ? "" : "changed by hand: "}${name}: ${facts[name] ?? "missing"}`);
  return { id, props: { hostKey, facts, kept, keptSignIn } };
}

export async function repositoryHostRemove(_id: string, props: Partial<RepositoryHostState>): Promise<void> {
  const { facts: before = {}, kept, keptSignIn = [] } = props;
  if (kept === undefined) return;
  const { desired, owner } = kept;
  const access: Access = { connection: kept.connection, signIn: keptSignIn };
  await withConnection(access, (connection) =>
    removeRepositoryHost({
      connection,
      desired,
      before,
      signInAgain: () => signInAgain(access),
      log,
      ...given({ owner }),
    }),
  );
}

async function apply(
  inputs: RepositoryHostInputs,
  olds: { readonly facts: Readonly<Record<string, string>>; readonly owner?: string } | null,
): Promise<RepositoryHostState> {
  const { connection: access, desired, owner, signIn = [] } = inputs;
  const before = olds?.facts ?? {};
  const work = async (connection: Connection): Promise<RepositoryHostState> => {
    const again = (): Promise<void> => signInAgain(inputs);
    await convergeRepositoryHost({
      connection,
      desired,
      before,
      signInAgain: again,
      log,
      owner,
      ...given({ formerOwner: olds?.owner }),
    });
    const facts = await readRepositoryHost(connection, desired);
    const wrong = differences(facts, wantedFacts(desired));
    if (wrong.length > 0)
      throw new Error(
        `still differs after the update: ${wrong.map((name) => `${name}: ${facts[name] ?? "missing"}`).join("; ")}`,
      );
    return {
      hostKey: chooseKey(await readHostKeys(connection)),
      facts,
      kept: { connection: access, desired, owner },
      keptSignIn: signIn,
    };
  };
  return withConnection(inputs, work, { log, isNew: olds === null });
}

async function signInAgain(access: Access): Promise<void> {
  await withConnection(access, async (connection) => void (await connection.exec(["true"])));
}

function differences(actual: Readonly<Record<string, string>>, wanted: Readonly<Record<string, string>>): string[] {
  return [...new Set([...Object.keys(actual), ...Object.keys(wanted)])]
    .filter((name) => actual[name] !== wanted[name])
    .sort();
}

function chooseKey(keys: readonly string[]): string {
  const key = ["ecdsa-", "ssh-ed25519", "ssh-rsa"]
    .map((kind) => keys.find((text) => text.startsWith(kind)))
    .find((text) => text !== undefined);
  if (key === undefined)
    throw new Error(`the host has no key that clients support: sshd has ${keys.join(", ") || "none"}`);
  return key;
}

export interface KeyInputs {
  /** If omitted, a pair is generated. Secret. */
  readonly existing?: string;
  /** For `existing`. Secret. */
  readonly passphrase?: string;
  readonly comment: string;
}

export interface KeyState {
  /** Secret. */
  readonly privateKey: string;
  readonly publicKey: string;
  /** True if the pair was given: omitting it later generates one. Missing in the state of an earlier version. */
  readonly isGiven?: boolean;
}

export async function keyCreate(inputs: KeyInputs): Promise<{ id: string; outs: KeyState }> {
  const outs = await pairOf(inputs);
  return { id: outs.publicKey.slice(-16), outs };
}

export async function keyDiff(
  _id: string,
  olds: Partial<KeyState>,
  { existing }: KeyInputs,
): Promise<{ changes: boolean }> {
  return { changes: existing === undefined ? olds.isGiven === true : existing !== olds.privateKey };
}

export async function keyUpdate(_id: string, _olds: Partial<KeyState>, news: KeyInputs): Promise<{ outs: KeyState }> {
  return { outs: await pairOf(news) };
}

async function pairOf({ comment, existing, passphrase }: KeyInputs): Promise<KeyState> {
  // Loads the library only for such resources.
  const { makeKeyPair, publicKeyOf } = await import("../host/ssh/keys.js");
  return existing === undefined
    ? { ...makeKeyPair(comment), isGiven: false }
    : { privateKey: existing, publicKey: publicKeyOf(existing, passphrase), isGiven: true };
}
