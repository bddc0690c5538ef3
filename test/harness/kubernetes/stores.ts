/**
 * S3 servers that a lab's pods reach as Services, and repositories on them. A Secret holds each server's certificate
 * authority.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { ClusterBackupArgs } from "../../../components/databases/cnpgArgs";
import { S3CompatibleRepository } from "../../../components/repositories/s3CompatibleRepository";
import { S3Server } from "../../../tools/parts/servers/s3Server";
import type { S3Keys } from "../network/s3Requests";
import { s3Kind } from "../real/interopParts";
import type { Lab } from "./lab";

/** Starts one server per name. The name is also that of its bucket and its Service. */
export async function createStores(...names: readonly string[]): Promise<S3Server[]> {
  const kind = await s3Kind();
  return Promise.all(names.map((bucket) => S3Server.create({ kind, bucket, moreNames: [`${bucket}.default.svc`] })));
}

/** Makes the servers Services and applies the Secrets `<name>-ca`. */
export async function exposeStores(lab: Lab, stores: readonly S3Server[]): Promise<void> {
  for (const { bucket, port } of stores) await lab.expose(bucket, port);
  await lab.kubectl.apply(
    stores.map(({ bucket, caFile }) => ({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: `${bucket}-ca`, namespace: "default" },
      stringData: { "ca.crt": readFileSync(caFile, "utf8") },
    })),
  );
}

/** A repository below `path` for a cluster, encrypted if there is a passphrase. */
export function repositoryIn(
  server: S3Server,
  path: string,
  keepDays: number,
  passphrase?: string,
  credentials: S3Keys = { accessKeyId: server.accessKey, secretAccessKey: server.secretKey },
): ClusterBackupArgs["repositories"][string] {
  const { bucket, port, region } = server;
  const repository = new S3CompatibleRepository(`${bucket}${path.replaceAll("/", "-")}`, {
    endpoint: `${bucket}.default.svc`,
    port,
    region,
    uriStyle: "path",
    path,
    bucket: { existing: { name: bucket, credentials } },
    ...(passphrase === undefined ? {} : { cipher: { passphrase } }),
  });
  return { at: repository.target, keepDays, ca: { name: `${bucket}-ca`, key: "ca.crt" } };
}

/** Names of complete segments that ours has stored below `path`, ascending. */
export function segmentsOf(server: S3Server, path: string): string[] {
  return readdirSync(join(server.bucketPath, path, "archive"), { recursive: true, encoding: "utf8" })
    .flatMap((file) => /([0-9A-F]{24})-[0-9a-f]{40}/.exec(file)?.[1] ?? [])
    .sort();
}
