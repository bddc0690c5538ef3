/**
 * The gRPC server of both sides: on a unix socket next to an instance, over mutual TLS for the operator.
 *
 * A method gets the request and a signal that aborts when the caller disconnects. Its errors become the statuses that
 * CloudNativePG's own plugin uses. The message stays unchanged: conditions and the status of a Backup show it.
 */
import { chmod, lstat, rm } from "../../local/nodeFiles";
import * as grpc from "@grpc/grpc-js";
import type { Context } from "../../base/context";
import { type BackupError, type ErrorKind, fail, toBackupError } from "../../base/errors";
import { type ServiceName, serviceOf } from "./protocol";

/** May throw; the answer must be complete: see answers.ts. */
export type Method = (request: never, signal: AbortSignal) => object | Promise<object>;

export interface PluginService {
  readonly name: ServiceName;
  readonly methods: Readonly<Record<string, Method>>;
}

export interface PluginServer {
  /** Refuses new calls, lets running calls finish until `signal` aborts, and closes. */
  close(signal: AbortSignal): Promise<void>;
}

/** The pod's only user and group may open the socket. */
const SOCKET_MODE = 0o660;
/** A Cluster with a long status; the default is 4 MiB. */
const REQUEST_SIZE_BYTES_MAX = 16 * 1024 * 1024;
const UNLOGGED = new Set([
  "GetPluginMetadata",
  "GetPluginCapabilities",
  "GetCapabilities",
  "Probe",
  "Define",
  "Collect",
]);

/** Replaces a socket that a killed container left at the path. @throws fileOpen (41) */
export async function servePluginSocket(
  path: string,
  services: readonly PluginService[],
  ctx: Context,
): Promise<PluginServer> {
  const there = await lstat(path).catch(() => null);
  if (there !== null && !there.isSocket())
    throw fail("fileOpen", `unable to listen on '${path}': it already exists and is not a socket`, { path });
  await rm(path, { force: true });
  const server = await bind(`unix:${path}`, grpc.ServerCredentials.createInsecure(), services, ctx);
  await chmod(path, SOCKET_MODE);
  return {
    close: async (signal) => {
      await shutDown(server, signal);
      await rm(path, { force: true });
    },
  };
}

/** `listen` is `address:port`. @throws fileOpen (41) */
export async function servePluginPort(
  listen: string,
  credentials: grpc.ServerCredentials,
  services: readonly PluginService[],
  ctx: Context,
): Promise<PluginServer> {
  const server = await bind(listen, credentials, services, ctx);
  return { close: (signal) => shutDown(server, signal) };
}

async function bind(
  address: string,
  credentials: grpc.ServerCredentials,
  services: readonly PluginService[],
  ctx: Context,
): Promise<grpc.Server> {
  const server = new grpc.Server({
    "grpc.max_receive_message_length": REQUEST_SIZE_BYTES_MAX,
    "grpc.enable_channelz": 0,
  });
  for (const { name, methods } of services) {
    const handlers = Object.entries(methods).map(
      ([method, answer]) => [method, handlerOf(`${name}.${method}`, method, answer, ctx)] as const,
    );
    server.addService(serviceOf(name), Object.fromEntries(handlers));
  }
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(address, credentials, (error) => {
      if (error === null) resolve();
      else reject(fail("fileOpen", `unable to listen on '${address}': ${error.message}`, { cause: error }));
    });
  });
  return server;
}

function handlerOf(title: string, method: string, answer: Method, ctx: Context): grpc.UntypedHandleCall {
  const settle = async (
    request: object,
    gone: AbortSignal,
  ): Promise<{ readonly message: object | null; readonly error: grpc.ServerErrorResponse | null }> => {
    const beganAtMs = ctx.clock.monotonicMs();
    try {
      const message = await answer(request as never, gone);
      if (!UNLOGGED.has(method))
        ctx.log.debug(`${title} answered (${Math.round(ctx.clock.monotonicMs() - beganAtMs)}ms)`);
      return { message, error: null };
    } catch (error) {
      return { message: null, error: refusalOf(error, ctx) };
    }
  };
  const handle: grpc.handleUnaryCall<object, object> = (call, callback) => {
    const gone = new AbortController();
    let isAnswered = false;
    // Emitted at the end of every stream.
    call.on("cancelled", () => {
      if (!isAnswered) gone.abort(fail("term", `the caller of ${title} disconnected`));
    });
    const respond = async (): Promise<void> => {
      const { message, error } = await settle(call.request, gone.signal);
      isAnswered = true;
      callback(error, message);
    };
    void respond();
  };
  return handle;
}

function refusalOf(thrown: unknown, ctx: Context): grpc.ServerErrorResponse {
  // A waiting standby asks every few seconds: no error.
  if (thrown instanceof NotFound)
    return Object.assign(new Error(thrown.message), { code: grpc.status.NOT_FOUND, details: thrown.message });
  if (thrown instanceof NotYet)
    return Object.assign(new Error(thrown.message), { code: grpc.status.UNAVAILABLE, details: thrown.message });
  const error = toBackupError(thrown);
  ctx.log.error(error);
  const details = [error.message, ...error.hints.map((hint) => `HINT: ${hint}`)].join("\n");
  return Object.assign(new Error(details), { code: statusOf(error), details });
}

/** The archive certainly does not have the file: the only error that PostgreSQL may take for the end of the archive. */
export class NotFound extends Error {}

/** The call came too early, as expected: an error for the caller, and none in the log. */
export class NotYet extends Error {}

/** Status codes that show whether a retry may help, as CloudNativePG's own plugin uses them. */
const STATUS: Partial<Readonly<Record<ErrorKind, grpc.status>>> = {
  archiveDuplicate: grpc.status.FAILED_PRECONDITION,
  archiveMismatch: grpc.status.FAILED_PRECONDITION,
  backupMismatch: grpc.status.FAILED_PRECONDITION,
  backupSetInvalid: grpc.status.FAILED_PRECONDITION,
  config: grpc.status.FAILED_PRECONDITION,
  crypto: grpc.status.FAILED_PRECONDITION,
  dbMismatch: grpc.status.FAILED_PRECONDITION,
  fileMissing: grpc.status.FAILED_PRECONDITION,
  lockAcquire: grpc.status.ABORTED,
  optionInvalid: grpc.status.INVALID_ARGUMENT,
  optionInvalidValue: grpc.status.INVALID_ARGUMENT,
  optionRequired: grpc.status.INVALID_ARGUMENT,
  paramInvalid: grpc.status.INVALID_ARGUMENT,
  stop: grpc.status.FAILED_PRECONDITION,
  term: grpc.status.CANCELLED,
};

export function statusOf(error: BackupError): grpc.status {
  return error.retryable ? grpc.status.UNAVAILABLE : (STATUS[error.kind] ?? grpc.status.INTERNAL);
}

function shutDown(server: grpc.Server, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const force = (): void => server.forceShutdown();
    if (signal.aborted) force();
    else signal.addEventListener("abort", force, { once: true });
    server.tryShutdown(() => {
      signal.removeEventListener("abort", force);
      resolve();
    });
  });
}
