/**
 * `cnpg-operator`: answers CloudNativePG's operator, and serves runtimes to pods of clusters. It is stateless, so
 * several may run.
 */
import { untilAborted, withTimeTo } from "../../base/clock";
import type { Context } from "../../base/context";
import type { Command } from "../../process/commandProcess";
import { openCredentials } from "../grpc/tlsCredentials";
import { identityService } from "../grpc/identityService";
import { lifecycleService } from "./lifecycle";
import { servePluginPort } from "../grpc/grpcServer";
import { PATHS } from "../names";
import { type RuntimeServer, readRuntimes, serveRuntimes } from "./runtimeServer";

/** Its calls take milliseconds. */
const DRAIN_MS = 5000;

export const operatorCommand: Command = async ({ config, ctx }) => {
  const { listen, image, runtimeListen, serverPath, clientPath } = config.plugin;
  const own = { ...ctx, signal: new AbortController().signal };
  const credentials = await openCredentials({ serverPath, clientPath });
  // Without the sidecar's capability: with it a silent sidecar would prevent the promotion of an instance.
  const server = await servePluginPort(
    listen,
    credentials,
    [identityService(["LIFECYCLE_SERVICE"]), lifecycleService(image, own)],
    own,
  );
  ctx.log.info(`plugin listens on ${listen}`);
  const runtimes = runtimeListen === undefined ? null : await serveOwn(runtimeListen, own);
  const ending = new AbortController();
  const watching = credentials.watch(own, ending.signal);
  await untilAborted(ctx.signal);
  ending.abort();
  await withTimeTo(DRAIN_MS, ctx.clock, (enough) => server.close(enough));
  await runtimes?.close();
  await watching;
  return 0;
};

async function serveOwn(listen: string, ctx: Context): Promise<RuntimeServer> {
  // The container fetched some into the program's directory when it started.
  const runtimes = new Map([...(await readRuntimes(PATHS.bundle)), ...(await readRuntimes(PATHS.run))]);
  const server = await serveRuntimes(listen, runtimes, ctx);
  ctx.log.info(`runtimes on ${listen}: ${[...runtimes.keys()].sort().join(", ")}`);
  return server;
}
