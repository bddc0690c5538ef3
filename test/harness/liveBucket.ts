/** Buckets of the doubled cloud made at a real S3 server, so that what a program declares can be backed up into. */
import { systemClock } from "../../runtime/base/clock";
import { systemRandom } from "../../runtime/base/random";
import { Secret } from "../../runtime/base/secret";
import { addressOf } from "../../runtime/storage/s3/address";
import { S3Http } from "../../runtime/storage/s3/http";
import { Signer } from "../../runtime/storage/s3/sign";
import { readFileSync } from "node:fs";
import type { S3Server } from "../../tools/parts/s3Server";
import type { LiveResource } from "./providerDouble";
import { textOf, type Values } from "./providerValues";

/** `nameInput` is the input with the bucket's name: `bucket` of Amazon, `name` of Cloudflare. */
export function liveBucket(server: S3Server, nameInput: string): LiveResource {
  const request = async (method: "PUT" | "DELETE", inputs: Values): Promise<void> => {
    const bucket = textOf(inputs[nameInput]);
    const address = addressOf({ endpoint: server.host, bucket, uriStyle: "path", storagePort: server.port }, 1);
    const http = new S3Http({
      address,
      signer: new Signer({ key: new Secret(server.accessKey), keySecret: new Secret(server.secretKey) }, server.region),
      scene: { repoKey: 1, bucket, endpoint: server.host, connection: address.connection },
      verifyTls: true,
      ca: readFileSync(server.caFile, "utf8"),
      ioTimeoutMs: 10_000,
      clock: systemClock,
      random: systemRandom,
      signal: new AbortController().signal,
    });
    try {
      await http.exchangeHead({ method, doing: `${method === "PUT" ? "create" : "delete"} bucket '${bucket}'` });
    } finally {
      await http.close();
    }
  };
  return { create: (inputs) => request("PUT", inputs), delete: (inputs) => request("DELETE", inputs) };
}
