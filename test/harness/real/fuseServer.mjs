/**
 * Shows a directory through FUSE, and stops answering on command: what a dead file server does to its clients.
 *
 * Started by `hungMount.ts` with the directory and the mount point. A message `{"hang": [names]}` makes the named kinds
 * of request (`open`, `rename`, …; `all`) wait; an empty list answers what waits. Answers
 * are cached for a second. Layouts: the kernel's include/uapi/linux/fuse.h.
 */
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";

const [, , directory, mountPoint] = process.argv;
const REQUEST_SIZE_BYTES = 1024 * 1024 + 4096;
const HEADER_SIZE_BYTES = 40;
const ATTR_SIZE_BYTES = 88;
const ENTRY_SIZE_BYTES = 40 + ATTR_SIZE_BYTES;
/** How long the kernel may answer from memory. */
const VALID_S = 1n;
const [FORGET, BATCH_FORGET, INTERRUPT] = [2, 42, 36];

/** Kinds of call by the number of the request. */
const KINDS = {
  1: "lookup",
  3: "stat",
  4: "stat",
  5: "readlink",
  6: "create",
  8: "create",
  9: "mkdir",
  10: "unlink",
  11: "unlink",
  12: "rename",
  13: "link",
  14: "open",
  15: "read",
  16: "write",
  17: "statfs",
  20: "fsync",
  27: "readdir",
  28: "readdir",
  30: "fsync",
  35: "create",
  45: "rename",
};

const device = fs.openSync("/dev/fuse", "r+");
const paths = new Map([[1n, ""]]);
const nodes = new Map([["", 1n]]);
const files = new Map();
let lastNode = 1n;
let lastFile = 0n;
let hanging = new Set();
let waiting = [];

const full = (path) => join(directory, path);
const pathOf = (node) => paths.get(node) ?? "?";
const text = (body, from) => body.toString("latin1", from, body.indexOf(0, from));
const child = (node, name) => (pathOf(node) === "" ? name : `${pathOf(node)}/${name}`);

function attributes(stats) {
  const out = Buffer.alloc(ATTR_SIZE_BYTES);
  for (const [at, value] of [stats.ino, stats.size, stats.blocks].entries()) out.writeBigUInt64LE(value, at * 8);
  for (const [at, value] of [stats.atimeNs, stats.mtimeNs, stats.ctimeNs].entries()) {
    out.writeBigUInt64LE(value / 1_000_000_000n, 24 + at * 8);
    out.writeUInt32LE(Number(value % 1_000_000_000n), 48 + at * 4);
  }
  const rest = [stats.mode, stats.nlink, stats.uid, stats.gid, stats.rdev, 4096n];
  for (const [at, value] of rest.entries()) out.writeUInt32LE(Number(value), 60 + at * 4);
  return out;
}

function entry(path) {
  const stats = fs.lstatSync(full(path), { bigint: true });
  if (!nodes.has(path)) {
    nodes.set(path, ++lastNode);
    paths.set(lastNode, path);
  }
  const out = Buffer.alloc(ENTRY_SIZE_BYTES);
  out.writeBigUInt64LE(nodes.get(path), 0);
  out.writeBigUInt64LE(VALID_S, 16);
  out.writeBigUInt64LE(VALID_S, 24);
  attributes(stats).copy(out, 40);
  return out;
}

function opened(file) {
  files.set(++lastFile, file);
  const out = Buffer.alloc(16);
  out.writeBigUInt64LE(lastFile, 0);
  return out;
}

function attributesOf(path) {
  const head = Buffer.alloc(16);
  head.writeBigUInt64LE(VALID_S, 0);
  return Buffer.concat([head, attributes(fs.lstatSync(full(path), { bigint: true }))]);
}

/** Node numbers follow a renamed path, and everything below it. */
function rename(from, to) {
  fs.renameSync(full(from), full(to));
  for (const [path, node] of Array.from(nodes)) {
    if (path === to || path.startsWith(`${to}/`)) nodes.delete(path);
    if (path !== from && !path.startsWith(`${from}/`)) continue;
    nodes.delete(path);
    nodes.set(to + path.slice(from.length), node);
    paths.set(node, to + path.slice(from.length));
  }
  return Buffer.alloc(0);
}

function owned(path, { uid, gid }) {
  fs.lchownSync(full(path), uid, gid);
  return entry(path);
}

function removed(path, remove) {
  remove(full(path));
  nodes.delete(path);
  return Buffer.alloc(0);
}

function change(path, body) {
  const valid = body.readUInt32LE(0);
  if ((valid & 1) !== 0) fs.chmodSync(full(path), body.readUInt32LE(68) & 0o7777);
  if ((valid & 6) !== 0) {
    const { uid, gid } = fs.lstatSync(full(path));
    fs.lchownSync(
      full(path),
      (valid & 2) === 0 ? uid : body.readUInt32LE(76),
      (valid & 4) === 0 ? gid : body.readUInt32LE(80),
    );
  }
  if ((valid & 8) !== 0) fs.truncateSync(full(path), Number(body.readBigUInt64LE(16)));
  return attributesOf(path);
}

function listing(body) {
  const names = files.get(body.readBigUInt64LE(0));
  const limit = body.readUInt32LE(16);
  const parts = [];
  let size = 0;
  for (let at = Number(body.readBigUInt64LE(8)); at < names.length; at++) {
    const name = Buffer.from(names[at]);
    const part = Buffer.alloc((24 + name.length + 7) & ~7);
    part.writeBigUInt64LE(1n, 0);
    part.writeBigUInt64LE(BigInt(at + 1), 8);
    part.writeUInt32LE(name.length, 16);
    name.copy(part, 24);
    if (size + part.length > limit) break;
    size += part.length;
    parts.push(part);
  }
  return Buffer.concat(parts);
}

function read(body) {
  const out = Buffer.alloc(body.readUInt32LE(16));
  return out.subarray(
    0,
    fs.readSync(files.get(body.readBigUInt64LE(0)), out, 0, out.length, Number(body.readBigUInt64LE(8))),
  );
}

function write(body) {
  const size = body.readUInt32LE(16);
  fs.writeSync(files.get(body.readBigUInt64LE(0)), body, 40, size, Number(body.readBigUInt64LE(8)));
  const out = Buffer.alloc(8);
  out.writeUInt32LE(size, 0);
  return out;
}

function space() {
  const { blocks, bfree, bavail, ffree, bsize, files: count } = fs.statfsSync(directory);
  const out = Buffer.alloc(80);
  for (const [at, value] of [blocks, bfree, bavail, count, ffree].entries())
    out.writeBigUInt64LE(BigInt(value), at * 8);
  out.writeUInt32LE(bsize, 40);
  out.writeUInt32LE(255, 44);
  out.writeUInt32LE(bsize, 48);
  return out;
}

function begin() {
  const out = Buffer.alloc(64);
  out.writeUInt32LE(7, 0);
  out.writeUInt32LE(31, 4);
  out.writeUInt32LE(128 * 1024, 8);
  // FUSE_BIG_WRITES: more than a page in one request.
  out.writeUInt32LE(1 << 5, 12);
  out.writeUInt16LE(64, 16);
  out.writeUInt16LE(48, 18);
  out.writeUInt32LE(128 * 1024, 20);
  out.writeUInt32LE(1, 24);
  return out;
}

function closed(body) {
  const file = files.get(body.readBigUInt64LE(0));
  if (typeof file === "number") fs.closeSync(file);
  files.delete(body.readBigUInt64LE(0));
  return Buffer.alloc(0);
}

const NOTHING = Buffer.alloc(0);
const HANDLERS = {
  1: ({ node, body }) => entry(child(node, text(body, 0))),
  3: ({ node }) => attributesOf(pathOf(node)),
  4: ({ node, body }) => change(pathOf(node), body),
  5: ({ node }) => Buffer.from(fs.readlinkSync(full(pathOf(node)))),
  6: ({ node, body, user }) => {
    const name = text(body, 0);
    fs.symlinkSync(text(body, name.length + 1), full(child(node, name)));
    return owned(child(node, name), user);
  },
  9: ({ node, body, user }) => {
    const path = child(node, text(body, 8));
    fs.mkdirSync(full(path), body.readUInt32LE(0) & 0o7777);
    return owned(path, user);
  },
  10: ({ node, body }) => removed(child(node, text(body, 0)), fs.unlinkSync),
  11: ({ node, body }) => removed(child(node, text(body, 0)), fs.rmdirSync),
  12: ({ node, body }) => {
    const name = text(body, 8);
    return rename(child(node, name), child(body.readBigUInt64LE(0), text(body, 9 + name.length)));
  },
  13: ({ node, body }) => {
    const path = child(node, text(body, 8));
    fs.linkSync(full(pathOf(body.readBigUInt64LE(0))), full(path));
    return entry(path);
  },
  14: ({ node, body }) => opened(fs.openSync(full(pathOf(node)), body.readUInt32LE(0) & ~fs.constants.O_NOFOLLOW)),
  15: ({ body }) => read(body),
  16: ({ body }) => write(body),
  17: space,
  18: ({ body }) => closed(body),
  20: ({ body }) => (fs.fsyncSync(files.get(body.readBigUInt64LE(0))), NOTHING),
  25: () => NOTHING,
  26: begin,
  27: ({ node }) => opened(fs.readdirSync(full(pathOf(node)))),
  28: ({ body }) => listing(body),
  29: ({ body }) => closed(body),
  30: () => NOTHING,
  35: ({ node, body, user }) => {
    const path = child(node, text(body, 16));
    const file = fs.openSync(full(path), body.readUInt32LE(0), body.readUInt32LE(4) & 0o7777);
    return Buffer.concat([owned(path, user), opened(file)]);
  },
  45: ({ node, body }) => {
    const name = text(body, 16);
    return rename(child(node, name), child(body.readBigUInt64LE(0), text(body, 17 + name.length)));
  },
};

function answer(request) {
  const { operation, unique } = request;
  let body = NOTHING;
  let error = HANDLERS[operation] === undefined ? constants.errno.ENOSYS : 0;
  try {
    body = HANDLERS[operation]?.(request) ?? NOTHING;
  } catch (thrown) {
    error = -(thrown.errno ?? -constants.errno.EIO);
  }
  const out = Buffer.alloc(16);
  out.writeUInt32LE(16 + (error === 0 ? body.length : 0), 0);
  out.writeInt32LE(-error, 4);
  out.writeBigUInt64LE(unique, 8);
  try {
    fs.writevSync(device, error === 0 ? [out, body] : [out]);
  } catch {
    // The client is gone.
  }
}

function take(bytes) {
  const operation = bytes.readUInt32LE(4);
  if ([FORGET, BATCH_FORGET, INTERRUPT].includes(operation)) return;
  const request = {
    operation,
    unique: bytes.readBigUInt64LE(8),
    node: bytes.readBigUInt64LE(16),
    user: { uid: bytes.readUInt32LE(24), gid: bytes.readUInt32LE(28) },
    body: Buffer.from(bytes.subarray(HEADER_SIZE_BYTES)),
  };
  if (operation in KINDS && (hanging.has("all") || hanging.has(KINDS[operation]))) waiting.push(request);
  else answer(request);
}

function serve() {
  const bytes = Buffer.alloc(REQUEST_SIZE_BYTES);
  fs.read(device, bytes, 0, bytes.length, null, (error, sizeBytes) => {
    // The mount is gone.
    if (error?.code === "ENODEV") process.exit();
    if (error === null) take(bytes.subarray(0, sizeBytes));
    serve();
  });
}

process.on("message", ({ hang }) => {
  hanging = new Set(hang);
  if (hang.length === 0) for (const request of waiting.splice(0)) answer(request);
  process.send("done");
});
process.on("disconnect", () => process.exit());
const options = "fd=3,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions";
const mounted = spawnSync("mount", ["-i", "-t", "fuse", "-o", options, "pgbackstop-test", mountPoint], {
  stdio: ["ignore", "inherit", "inherit", device],
});
if (mounted.status !== 0) process.exit(1);
serve();
process.send("mounted");
