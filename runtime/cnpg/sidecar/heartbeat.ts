/**
 * The heartbeat of a sidecar: every few seconds it calls its own socket, as the instance manager does, and writes the
 * time of the answer to a file. The liveness probe reads that file in a shell, without starting Node. It detects a
 * frozen process and a removed socket.
 */
import { rename, writeFile } from "../../local/nodeFiles";
import * as grpc from "@grpc/grpc-js";
import type { Context } from "../../base/context";
import { toBackupError } from "../../base/errors";
import { SERVICES, serviceOf } from "../grpc/protocol";

const PAUSE_MS = 3000;
const ANSWER_MS = 5000;
const OPTIONS = { "grpc.use_local_subchannel_pool": 1, "grpc.enable_channelz": 0 };

/** Runs until `signal` aborts; never throws. */
export async function beatForever(socket: string, file: string, ctx: Context, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await probe(socket, ctx);
      // The probe may read at any time: it sees the old or the new time.
      await writeFile(`${file}.new`, `${Math.floor(ctx.clock.nowMs() / 1000)}\n`);
      await rename(`${file}.new`, file);
    } catch (error) {
      ctx.log.warn(`unable to write the heartbeat: ${toBackupError(error).message}`);
    }
    await ctx.clock.sleep(PAUSE_MS, signal).catch(() => {});
  }
}

/** Uses a new connection: an old one would outlive the socket's file. */
function probe(socket: string, ctx: Context): Promise<void> {
  const client = new grpc.Client(`unix:${socket}`, grpc.credentials.createInsecure(), OPTIONS);
  const method = serviceOf("identity")["Probe"];
  if (method === undefined) return Promise.reject(new Error(`${SERVICES.identity} has no Probe`));
  return new Promise<void>((resolve, reject) => {
    const done = (error: grpc.ServiceError | null): void => (error === null ? resolve() : reject(error));
    const deadline = ctx.clock.nowMs() + ANSWER_MS;
    client.makeUnaryRequest(method.path, method.requestSerialize, method.responseDeserialize, {}, { deadline }, done);
  }).finally(() => client.close());
}
