/** What the kernel asks for when a server syncs its files: a commit that nobody has asked to sync could be lost. */
import { execFile } from "node:child_process";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { systemClock } from "../../../../runtime/base/clock";
import { FuseDevice, mountDevice, openDevice } from "../../../../runtime/fuse/device";
import { Refusal } from "../../../../runtime/fuse/kernelProtocol";
import { PAGE_BYTES } from "../../../../runtime/operations/open/pageSet";
import { fuseMissing } from "../../../harness/real/openedBackup";
import { temporaryFolder } from "../../repository/support";
import { type UpperWorld, upperWorlds } from "./upperWorld";

const make = upperWorlds();
/** The mounted directory must not be touched by this process, which answers for it. */
const program = promisify(execFile);

async function mounted(
  world: UpperWorld,
  isWriteBack: boolean,
  work: (at: string, asked: string[]) => Promise<void>,
  hasSpace = true,
): Promise<void> {
  const at = join(temporaryFolder(), "mounted");
  mkdirSync(at);
  const asked: string[] = [];
  const fd = openDevice();
  const signal = new AbortController().signal;
  const device = FuseDevice.serve(
    fd,
    {
      isWriteBack,
      handle: (request, node) => {
        if (["write", "fsync", "fsyncdir", "rename"].includes(request.kind)) asked.push(request.kind);
        if (request.kind === "write" && !hasSpace) throw new Refusal("ENOSPC");
        return world.files.handle(request, node);
      },
      readNow: (request, node, target, begin) => world.files.readNow(request, node, target, begin),
      failed: (error, request, node) => world.files.failed(error, request, node),
    },
    { clock: systemClock, signal },
  );
  await mountDevice(fd, at, world.lock);
  try {
    await work(at, asked);
  } finally {
    await program("umount", [at]);
    await device.ended;
  }
}

const dd = (file: string, ...args: string[]) =>
  program("dd", ["if=/dev/zero", `of=${file}`, `bs=${PAGE_BYTES}`, "count=3", "conv=notrunc", ...args]);

// claim: docs/hosts/instant.md: a sync of PostgreSQL, with each of its methods, is answered when file and journal are
//   on the disk
// claim: docs/open.md: what the kernel still holds is written before a sync or a close is answered
test.for([
  { who: "production", isWriteBack: false },
  { who: "a copy", isWriteBack: true },
])("each way to sync a file of $who asks us before it ends, and a close too", async ({ isWriteBack }, context) => {
  if (fuseMissing() !== null) return context.skip();
  const world = make({ "base/1": 8 * PAGE_BYTES });
  await mounted(world, isWriteBack, async (at, asked) => {
    const file = join(at, "base/1");
    // The kernel may write several pages at once.
    const take = (): string =>
      asked
        .splice(0)
        .join(" ")
        .replace(/write( write)+/g, "write");
    // wal_sync_method=open_datasync and open_sync.
    await dd(file, "oflag=dsync");
    expect(take()).toBe("write fsync write fsync write fsync");
    await dd(file, "oflag=sync");
    expect(take()).toBe("write fsync write fsync write fsync");
    // fdatasync and fsync, also with debug_io_direct.
    for (const method of ["conv=notrunc,fdatasync", "conv=notrunc,fsync"])
      for (const flag of [[], ["oflag=direct"]]) {
        await dd(file, method, ...flag);
        expect(take()).toBe("write fsync");
      }
    // A file that nothing backs, its name, and a new name.
    await dd(join(at, "base/2"), "conv=fsync");
    await program("mv", [join(at, "base/2"), join(at, "base/3")]);
    await program("sync", [join(at, "base")]);
    expect(take()).toBe("write fsync rename fsyncdir");
    await dd(file);
    expect(take()).toBe("write");
  });
});

test.for([false, true])(
  "a sync that fails is an error of the write that waited for it",
  async (isWriteBack, context) => {
    if (fuseMissing() !== null) return context.skip();
    const world = make({ "base/1": 8 * PAGE_BYTES });
    await mounted(world, isWriteBack, async (at) => {
      world.diesAtSync = true;
      await expect(dd(join(at, "base/1"), "oflag=dsync")).rejects.toThrow(/Input\/output error/);
      await expect(dd(join(at, "base/1"), "conv=notrunc,fdatasync")).rejects.toThrow(/Input\/output error/);
      world.diesAtSync = false;
    });
  },
);

test.for([false, true])("a full disk fails a sync at the latest", async (isWriteBack, context) => {
  if (fuseMissing() !== null) return context.skip();
  const world = make({ "base/1": 8 * PAGE_BYTES });
  const full = async (at: string): Promise<void> => {
    await expect(dd(join(at, "base/1"), "conv=notrunc,fsync")).rejects.toThrow(/No space left on device/);
  };
  await mounted(world, isWriteBack, full, false);
});
