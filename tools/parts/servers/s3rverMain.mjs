/**
 * The s3rver of npm as a program; settings come as JSON in the environment, because they hold a secret. Prints `listening` and its port on
 * one line.
 *
 * Its store is mended here, because no S3 service does any of this. It writes a body straight into the object, so that a client that breaks
 * off leaves a torn object under its name. Writing and removing beside each other fail when an empty directory goes in between. Listings
 * forget directories whose objects are all in further directories, are in another order than that of the keys, and fail beyond 1000 objects:
 * the token of the next page asks for a cipher that OpenSSL 3 does not have.
 */
import crypto, { createHash, randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmdirSync, unlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const S3rver = require("s3rver");
const { DUMMY_ACCOUNT } = require("s3rver/lib/models/account");
const S3Object = require("s3rver/lib/models/object");

const FilesystemStore = require("s3rver/lib/stores/filesystem");
const OBJECT_SUFFIX = "._S3rver_object";

/** Bodies are gathered first: parts are a few MiB. */
FilesystemStore.prototype.putObject = async function putObject({ bucket, key, content, metadata }) {
  const bytes = Buffer.isBuffer(content) ? content : await gathered(content);
  const md5 = createHash("md5").update(bytes).digest("hex");
  await this.putMetadata(bucket, key, metadata, md5);
  place(this.getResourcePath(bucket, key, "object"), bytes);
  return { size: bytes.length, md5 };
};

FilesystemStore.prototype.putMetadata = async function putMetadata(bucket, key, metadata, md5) {
  const kept = Object.entries(metadata).filter(
    ([name]) => S3Object.ALLOWED_METADATA.includes(name) || name.startsWith("x-amz-meta-"),
  );
  if (md5) place(this.getResourcePath(bucket, key, "object.md5"), md5);
  place(this.getResourcePath(bucket, key, "metadata.json"), JSON.stringify(Object.fromEntries(kept)));
};

FilesystemStore.prototype.deleteObject = async function deleteObject(bucket, key) {
  for (const resource of ["object", "object.md5", "metadata.json"])
    quietly(() => unlinkSync(this.getResourcePath(bucket, key, resource)));
  const directories = key.split("/").slice(0, -1);
  for (; directories.length > 0; directories.pop()) {
    if (!quietly(() => rmdirSync(join(this.getBucketPath(bucket), ...directories)))) return;
  }
};

FilesystemStore.prototype.listObjects = async function listObjects(bucket, options) {
  const { delimiter = "", prefix = "", startAfter = "", maxKeys = Number.POSITIVE_INFINITY } = options;
  if (!["", "/"].includes(delimiter)) throw new Error(`listings by '${delimiter}' are not known here`);
  const root = this.getBucketPath(bucket);
  const found = [...namesBelow(root, prefix.slice(0, prefix.lastIndexOf("/") + 1), delimiter === "")]
    .filter((name) => name.startsWith(prefix) && name > startAfter)
    .sort((left, right) => (left < right ? -1 : 1));
  const keys = found.filter((name) => !name.endsWith("/"));
  const page = keys.slice(0, maxKeys);
  const next = keys[maxKeys];
  const objects = await Promise.all(
    page.map(async (key) => {
      const metadata = await this.getMetadata(bucket, key).catch((error) => nothing(error));
      return metadata === null ? [] : [new S3Object(bucket, key, null, metadata)];
    }),
  );
  return {
    objects: objects.flat(),
    commonPrefixes: found.filter((name) => name.endsWith("/") && (next === undefined || name < next)),
    isTruncated: next !== undefined,
  };
};

/** Keys of a folder's objects; of what is below it too, or as names of directories that hold an object somewhere. */
function* namesBelow(root, folder, isDeep) {
  const entries = quietly(() => readdirSync(join(root, folder), { withFileTypes: true })) ?? [];
  for (const entry of entries) {
    const name = `${folder}${entry.name}`;
    if (!entry.isDirectory()) {
      if (name.endsWith(OBJECT_SUFFIX)) yield name.slice(0, -OBJECT_SUFFIX.length);
    } else if (isDeep) yield* namesBelow(root, `${name}/`, true);
    else if (namesBelow(root, `${name}/`, true).next().done !== true) yield `${name}/`;
  }
}

/** Whole and at once, also where the directory has just gone. */
function place(path, content) {
  const temporary = `${path}.${randomUUID()}.tmp`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(temporary, content);
  renameSync(temporary, path);
}

/** What `work` gives, or true; null where there is nothing, or still something, to work on. */
function quietly(work) {
  try {
    return work() ?? true;
  } catch (error) {
    return nothing(error);
  }
}

function nothing(error) {
  if (["ENOENT", "ENOTEMPTY", "ENOTDIR"].includes(error.code)) return null;
  throw error;
}

/** Throws when the client breaks off. */
async function gathered(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** DES is 3DES with one key thrice. */
for (const name of ["createCipheriv", "createDecipheriv"]) {
  const own = crypto[name];
  crypto[name] = (cipher, key, iv) =>
    cipher === "des" ? own("des-ede3-cbc", Buffer.concat([key, key, key]), iv) : own(cipher, key, iv);
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
