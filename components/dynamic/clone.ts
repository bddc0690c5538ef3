/**
 * The methods of the dynamic resource behind a {@link DatabaseClone}. A change makes another clone first, and then
 * closes the previous one; its password stays.
 */
import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import type { Connection } from "../host/connection";
import {
  type CloneAnswer,
  type CloneOnHost,
  type ClonePresence,
  type CloneSpec,
  closeClone,
  findClone,
  openClone,
} from "./cloneOnHost";
import type { SignInInput } from "../host/ssh/sshTarget";
import { hasUnknown } from "./previewValues";
import { type ConnectionInput, hostOf, log, withConnection } from "./reach";

export interface CloneInputs {
  readonly connection: ConnectionInput;
  /** Credentials of the host, then of the jump hosts. Secret. */
  readonly signIn?: readonly SignInInput[];
  /** Program and options before each verb on the host. */
  readonly argv: readonly string[];
  readonly spec: CloneSpec;
}

export interface CloneOutputs {
  /** The role's password. Secret. */
  readonly password: string;
  readonly status: CloneStatus;
  /** The only inputs of a refresh and a removal. */
  readonly kept: Pick<CloneInputs, "argv" | "connection" | "spec">;
  /** Secret. */
  readonly keptSignIn: readonly SignInInput[];
}

export interface CloneStatus extends CloneAnswer {
  /** Where it is mounted on the host. */
  readonly at: string;
  readonly presence: ClonePresence;
}

const PASSWORD_BYTES = 24;
const SUFFIX_BYTES = 4;

export async function create(inputs: CloneInputs): Promise<{ id: string; outs: CloneOutputs }> {
  const password = randomBytes(PASSWORD_BYTES).toString("base64url");
  const at = newDirectory(inputs.spec);
  const outs = await reach(inputs, (connection) => opened(inputs, connection, at, password), true);
  return { id: `${hostOf(inputs.connection)}${at}`, outs };
}

/** Another host is another clone. One whose life is over, or whose server has ended, is to be opened again. */
export async function diff(
  _id: string,
  olds: Partial<CloneOutputs>,
  news: CloneInputs,
  nowMs: number = Date.now(),
): Promise<{ changes: boolean; replaces: string[]; deleteBeforeReplace: boolean }> {
  const same = { replaces: [], deleteBeforeReplace: false };
  if (olds.kept === undefined || hasUnknown(news)) return { changes: true, ...same };
  if (hostOf(olds.kept.connection) !== hostOf(news.connection))
    return { changes: true, replaces: ["connection"], deleteBeforeReplace: false };
  const { argv, connection, spec } = news;
  const isSame =
    isDeepStrictEqual(olds.kept, { argv, connection, spec }) &&
    isDeepStrictEqual(olds.keptSignIn ?? [], news.signIn ?? []);
  return { changes: !isSame || olds.status?.presence !== "up" || isOver(olds.status, nowMs), ...same };
}

export async function update(
  _id: string,
  olds: CloneOutputs,
  news: CloneInputs,
  nowMs: number = Date.now(),
): Promise<{ outs: CloneOutputs }> {
  const { password, status } = olds;
  const outs = await reach(news, async (connection) => {
    const isSame = isDeepStrictEqual(olds.kept.spec, news.spec) && !isOver(status, nowMs);
    const presence = await findClone(onHost(news, connection, status.at));
    if (isSame && presence === "up") return { ...keptOf(news), password, status: { ...status, presence } };
    if (isSame && presence === "down") return opened(news, connection, status.at, password);
    const made = await opened(news, connection, newDirectory(news.spec), password);
    // The new one is there: the old one must not hide it from the state.
    await closeClone(onHost(news, connection, status.at)).catch((error: unknown) =>
      log(`WARN: the previous clone in ${status.at} is still there until its timer closes it: ${textOf(error)}`),
    );
    return made;
  });
  return { outs };
}

/** A clone that has closed itself is gone: the engine forgets it, and the next update makes another one. */
export async function read(
  id: string,
  props?: Partial<CloneOutputs>,
): Promise<{ id: string; props: Partial<CloneOutputs> }> {
  const { kept, keptSignIn = [], status } = props ?? {};
  if (kept === undefined || status === undefined)
    throw new Error("a clone cannot be imported: declare it, and an update makes one");
  const access = { ...kept, signIn: keptSignIn };
  const presence = await reach(access, (connection) => findClone(onHost(access, connection, status.at)));
  if (presence === "gone") {
    log(`the clone in ${status.at} is gone${status.endsAt === null ? "" : `: its life ended at ${status.endsAt}`}`);
    return { id: "", props: {} };
  }
  if (presence === "down") log(`the server of the clone in ${status.at} has ended: an update starts it again`);
  return { id, props: { ...props, status: { ...status, presence } } };
}

export async function remove(_id: string, { kept, keptSignIn = [], status }: Partial<CloneOutputs>): Promise<void> {
  if (kept === undefined || status === undefined) return;
  const access = { ...kept, signIn: keptSignIn };
  await reach(access, (connection) => closeClone(onHost(access, connection, status.at)));
}

async function opened(
  inputs: CloneInputs,
  connection: Connection,
  at: string,
  password: string,
): Promise<CloneOutputs> {
  const answer = await openClone(onHost(inputs, connection, at), inputs.spec, password);
  log(`${inputs.spec.name}: backup ${answer.backup} of ${answer.repo}, data of ${answer.dataTime}`);
  return { ...keptOf(inputs), password, status: { ...answer, at, presence: "up" } };
}

function keptOf({ argv, connection, signIn = [], spec }: CloneInputs): Pick<CloneOutputs, "kept" | "keptSignIn"> {
  return { kept: { argv, connection, spec }, keptSignIn: signIn };
}

function onHost({ argv }: Pick<CloneInputs, "argv">, connection: Connection, at: string): CloneOnHost {
  return { connection, argv, at, log };
}

function reach<T>(
  { connection, signIn }: Pick<CloneInputs, "connection" | "signIn">,
  work: (connection: Connection) => Promise<T>,
  isNew = false,
): Promise<T> {
  return withConnection({ connection, signIn }, work, isNew ? { log, isNew } : undefined);
}

/** Two clones of one component exist while it moves. */
function newDirectory({ directory, name }: CloneSpec): string {
  return `${directory}/${name}-${randomBytes(SUFFIX_BYTES).toString("hex")}`;
}

function isOver({ endsAt }: Pick<CloneStatus, "endsAt">, nowMs: number): boolean {
  return endsAt !== null && Date.parse(endsAt) <= nowMs;
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
