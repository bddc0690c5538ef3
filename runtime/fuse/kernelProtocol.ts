/**
 * Numbers of the FUSE protocol: "include/uapi/linux/fuse.h" of Linux, protocol 7.38, little-endian machines.
 */

export const OPCODES = {
  LOOKUP: 1,
  FORGET: 2,
  GETATTR: 3,
  SETATTR: 4,
  READLINK: 5,
  SYMLINK: 6,
  MKDIR: 9,
  UNLINK: 10,
  RMDIR: 11,
  RENAME: 12,
  LINK: 13,
  OPEN: 14,
  READ: 15,
  WRITE: 16,
  STATFS: 17,
  RELEASE: 18,
  FSYNC: 20,
  FLUSH: 25,
  INIT: 26,
  OPENDIR: 27,
  READDIR: 28,
  RELEASEDIR: 29,
  FSYNCDIR: 30,
  CREATE: 35,
  INTERRUPT: 36,
  DESTROY: 38,
  BATCH_FORGET: 42,
  FALLOCATE: 43,
  RENAME2: 45,
} as const;

export type Opcode = keyof typeof OPCODES;

/** Error numbers of Linux. */
export const ERRNO = {
  ENOENT: 2,
  EIO: 5,
  EACCES: 13,
  EEXIST: 17,
  ENOTDIR: 20,
  EISDIR: 21,
  EINVAL: 22,
  ENOSPC: 28,
  EPERM: 1,
  ENAMETOOLONG: 36,
  ENOSYS: 38,
  ENOTEMPTY: 39,
  EPROTO: 71,
  EOPNOTSUPP: 95,
  ESTALE: 116,
} as const;

export type Errno = keyof typeof ERRNO;

/** An answer that refuses a request. */
export class Refusal extends Error {
  readonly code: Errno;

  constructor(code: Errno, message: string = code) {
    super(message);
    this.code = code;
  }
}

export const PROTOCOL_MAJOR = 7;
export const PROTOCOL_MINOR = 38;

export const IN_HEADER_BYTES = 40;
export const OUT_HEADER_BYTES = 16;
/** Largest READ and WRITE. */
export const TRANSFER_BYTES_MAX = 1024 * 1024;
/** A request is at most a WRITE with its head. */
export const REQUEST_BYTES_MAX = TRANSFER_BYTES_MAX + 4096;
export const NAME_BYTES_MAX = 255;

/** The node that the kernel knows without a LOOKUP. */
export const ROOT_NODE = 1;

/** Flags of INIT. */
const ASYNC_READ = 1 << 0;
const BIG_WRITES = 1 << 5;
/** The kernel keeps what is written, and sends it later in large requests: at the latest before a sync or a close. */
const WRITEBACK_CACHE = 1 << 16;
const PARALLEL_DIROPS = 1 << 18;
const MAX_PAGES = 1 << 22;
const CACHE_SYMLINKS = 1 << 23;
/** The kernel keeps cached pages until we say otherwise; nobody else changes the files. */
const EXPLICIT_INVAL_DATA = 1 << 25;
const WANTED_FLAGS = ASYNC_READ | BIG_WRITES | PARALLEL_DIROPS | MAX_PAGES | CACHE_SYMLINKS | EXPLICIT_INVAL_DATA;

/** Flags that we want, of those that the kernel has. */
export function commonFlags(kernelFlags: number, isWriteBack: boolean): number {
  return kernelFlags & (isWriteBack ? WANTED_FLAGS | WRITEBACK_CACHE : WANTED_FLAGS);
}

/** Flag of an OPEN's answer: cached pages stay valid. */
export const KEEP_CACHE = 1 << 1;

/** Flag of RENAME2: refuse an existing target. */
export const RENAME_NOREPLACE = 1;
