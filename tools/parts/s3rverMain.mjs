/** The s3rver of npm as a program: `node s3rverMain.mjs <settings as JSON>`; prints `listening` and its port on one line. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const S3rver = require("s3rver");
const { DUMMY_ACCOUNT } = require("s3rver/lib/models/account");

const settings = JSON.parse(process.argv[2] ?? "{}");
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
