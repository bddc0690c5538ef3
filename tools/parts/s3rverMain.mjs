/**
 * The s3rver of npm as a program; settings come as JSON in the environment, because they hold a secret. Prints `listening` and its port on
 * one line.
 *
 * One thing is mended here: s3rver writes a body straight into the object, so that a client that breaks off leaves a torn object under its
 * name, which no S3 service does. Bodies are gathered first (parts are a few MiB) and renamed into place.
 */
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname } from "node:path";

const require = createRequire(import.meta.url);
const S3rver = require("s3rver");
const { DUMMY_ACCOUNT } = require("s3rver/lib/models/account");

const FilesystemStore = require("s3rver/lib/stores/filesystem");

FilesystemStore.prototype.putObject = async function putObject(object) {
  const content = Buffer.isBuffer(object.content) ? object.content : await gathered(object.content);
  const path = this.getResourcePath(object.bucket, object.key, "object");
  const temporary = `${path}.${randomUUID()}.tmp`;
  await mkdir(dirname(path), { recursive: true });
  await writeFile(temporary, content);
  await rename(temporary, path);
  const md5 = createHash("md5").update(content).digest("hex");
  await this.putMetadata(object.bucket, object.key, object.metadata, md5);
  return { size: content.length, md5 };
};

/** Throws when the client breaks off. */
async function gathered(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const settings = JSON.parse(process.env.PGBACKSTOP_S3RVER ?? "{}");
DUMMY_ACCOUNT.createKeyPair(settings.accessKey, settings.secretKey);
DUMMY_ACCOUNT.revokeAccessKey("S3RVER");
const server = new S3rver({
  address: "127.0.0.1",
  port: settings.port,
  directory: settings.folder,
  silent: true,
  vhostBuckets: settings.vhostBuckets,
  configureBuckets: [{ name: settings.bucket }],
  cert: readFileSync(settings.certFile),
  key: readFileSync(settings.keyFile),
});
// Reads and deletes of absent files are everyday answers, not something to print a stack about.
server.on("error", () => {});
const address = await server.run();
process.stdout.write(`listening ${address.port}\n`);
