/**
 * The errors that users see when an SFTP repository is misconfigured or breaks, on a real OpenSSH server: kinds,
 * messages, and leftover files.
 */
import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type ByteStream, collect, streamOf, textOf, utf8 } from "../../runtime/base/bytes";
import { isError } from "../../runtime/base/errors";
import { mapParallel } from "../../runtime/base/parallel";
import { Secret } from "../../runtime/base/secret";
import type { SftpConfig } from "../../runtime/config/types";
import { openStorage } from "../../runtime/storage/open";
import type { ObjectInfo, Storage } from "../../runtime/storage/storage";
import { run } from "../../tools/parts/process";
import { findSshd, SftpServer } from "../../tools/parts/servers/sftpServer";
import { giveTo, isRoot } from "../../tools/parts/users";
import { OPEN_DEPS, sftpRepo } from "../harness/repositories";
import { skipped } from "../harness/real/interopParts";

const MIB = 1024 * 1024;

describe("sftp errors", async () => {
  const sshd = await findSshd();
  if ("missing" in sshd) return void skipped("sftp errors", sshd.missing);
  let server: SftpServer;
  let folderCount = 0;
  const opened: Storage[] = [];
  beforeAll(async () => {
    server = await SftpServer.create();
  });
  afterEach(async () => {
    await server.start();
    for (const storage of opened.splice(0)) await storage.close();
  });
  afterAll(() => server.remove());

  const open = (
    sftp: Partial<SftpConfig> = {},
    more: { ioTimeoutMs?: number; signal?: AbortSignal } = {},
  ): { storage: Storage; root: string } => {
    const root = server.makeFolder(`repo${++folderCount}`);
    const storage = openStorage(sftpRepo(server, root, sftp), { ...OPEN_DEPS, ioTimeoutMs: 10_000, ...more });
    opened.push(storage);
    return { storage, root };
  };
  const refusal = async (
    work: Promise<unknown>,
  ): Promise<{ kind: string; exitCode: number; message: string; hints: string; retryable: boolean }> => {
    const error: unknown = await work.then(
      () => new Error("it succeeded"),
      (thrown: unknown) => thrown,
    );
    if (!isError(error)) throw error;
    const { kind, exitCode, message, hints, retryable } = error;
    return { kind, exitCode, message, hints: hints.join("\n"), retryable };
  };
  /** Bytes that encode their offset. */
  const content = (sizeBytes: number): Buffer => {
    const bytes = Buffer.alloc(sizeBytes);
    for (let at = 0; at + 4 <= sizeBytes; at += 4) bytes.writeUInt32BE((at * 2654435761) % 2 ** 32, at);
    return bytes;
  };
  const temporaryOf = (folder: string): string =>
    readdirSync(folder).find((name) => name.endsWith(".pgbackrest.tmp")) ?? "none";
  const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
  /** Yields the bytes in chunks, and calls `happen` before the chunk at `atBytes`. */
  async function* streamWith(bytes: Buffer, atBytes: number, happen: () => Promise<void> | void): ByteStream {
    for (let offset = 0; offset < bytes.length; offset += 100_000) {
      if (offset <= atBytes && atBytes < offset + 100_000) await happen();
      yield bytes.subarray(offset, offset + 100_000);
    }
  }

  describe("the host's key", () => {
    const at = (): string => `${server.user.name}@${server.host}:${server.port}`;
    const shown = (type: string): string =>
      `SHA256:${Buffer.from(server.fingerprint(type), "hex").toString("base64").replaceAll("=", "")}`;
    const fingerprint = (text: string, hashType: "sha256" | "md5" = "sha256"): Partial<SftpConfig> => ({
      hostKeyCheck: { type: "fingerprint", hashType, fingerprint: text },
    });
    const knownHosts = (...lines: readonly string[]): Partial<SftpConfig> => {
      const file = join(server.folder, `known${++folderCount}`);
      writeFileSync(file, `${lines.join("\n")}\n`);
      return { hostKeyCheck: { type: "known-hosts", files: [join(server.folder, "missing"), file] } };
    };

    test("may be any of the host's keys with the configured fingerprint", async () => {
      for (const type of ["ed25519", "ecdsa"]) {
        const { storage } = open(fingerprint(server.fingerprint(type)));
        expect(await storage.stat("f")).toBeNull();
      }
    });

    test("with another fingerprint is refused with both, before the client identifies itself", async () => {
      const before = readFileSync(server.logFile, "utf8").split("Accepted").length;
      const { storage } = open(fingerprint("ab".repeat(32)));
      expect(await refusal(storage.stat("f"))).toEqual({
        kind: "service",
        exitCode: 101,
        message: `host key of '${at()}' [ecdsa-sha2-nistp256 ${server.fingerprint("ecdsa")}, ssh-ed25519 ${server.fingerprint("ed25519")}] and configured fingerprint (sha256) [${"ab".repeat(32)}] do not match`,
        hints:
          "Someone may intercept the connection. If the server's key was changed on purpose, set the new fingerprint.",
        retryable: false,
      });
      expect((await refusal(open(fingerprint(server.fingerprint(), "md5")).storage.read("f"))).kind).toBe("service");
      expect(readFileSync(server.logFile, "utf8").split("Accepted").length).toBe(before);
    });

    test("is looked up in known_hosts files", async () => {
      const name = `[${server.host}]:${server.port}`;
      expect(await open(knownHosts("# comment", `${name} ${server.hostKey("ecdsa")}`)).storage.stat("f")).toBeNull();
      expect(await open(knownHosts(`${server.host} ${server.hostKey("ed25519")}`)).storage.stat("f")).toBeNull();
      expect(await refusal(open(knownHosts(`other ${server.hostKey()}`)).storage.stat("f"))).toMatchObject({
        kind: "service",
        message: expect.stringContaining(
          `host key of '${at()}' [ecdsa-sha2-nistp256 ${shown("ecdsa")}] is not in the files of known hosts`,
        ),
        hints: expect.stringContaining(`ssh-keyscan -p ${server.port} ${server.host}`),
      });
      await server.makeKey("wrong", "ed25519");
      const wrong = readFileSync(join(server.folder, "wrong.pub"), "utf8").split(" ").slice(0, 2).join(" ");
      const mismatch = await refusal(open(knownHosts(`${name} ${wrong}`)).storage.stat("f"));
      expect(mismatch).toMatchObject({ kind: "service", exitCode: 101, retryable: false });
      expect(mismatch.message).toMatch(
        /\[ssh-ed25519 SHA256:\S{43}\] and known hosts \[ssh-ed25519 SHA256:\S{43}\] do not match/,
      );
      expect(
        (await refusal(open(knownHosts(`@revoked ${name} ${server.hostKey()}`)).storage.stat("f"))).message,
      ).toContain("known hosts [revoked ");
    });

    test("is not checked when checking is off", async () => {
      expect(await open({ hostKeyCheck: { type: "none" } }).storage.stat("f")).toBeNull();
    });
  });

  describe("the client's key", () => {
    test("that the server does not know is an access error", async () => {
      const privateKeyFile = await server.makeKey("stranger", "ecdsa");
      const result = await refusal(open({ privateKeyFile }).storage.read("f"));
      expect(result).toMatchObject({ kind: "access", exitCode: 105, retryable: false });
      expect(result.message).toContain("All configured authentication methods failed");
      expect(result.hints).toContain(`ssh-keygen -y -f ${privateKeyFile}`);
    });

    test("that is missing, damaged or locked never counts as a missing file of the repository", async () => {
      expect((await refusal(open({ privateKeyFile: "/missing/key" }).storage.read("f"))).kind).toBe("fileOpen");
      const damaged = join(server.folder, "damaged");
      writeFileSync(damaged, "nonsense");
      expect((await refusal(open({ privateKeyFile: damaged }).storage.read("f"))).kind).toBe("crypto");
      const privateKeyFile = await server.makeKey("locked", "rsa", "markerPhrase");
      server.allow("locked");
      const without = await refusal(open({ privateKeyFile }).storage.read("f"));
      expect(without).toMatchObject({ kind: "crypto", hints: "is repo3-sftp-private-key-passphrase set and right?" });
      const wrong = await refusal(
        open({ privateKeyFile, privateKeyPassphrase: new Secret("markerWrong") }).storage.read("f"),
      );
      expect(wrong).toMatchObject({ kind: "crypto", hints: without.hints });
      expect(JSON.stringify(wrong)).not.toContain("marker");
      expect(
        await open({ privateKeyFile, privateKeyPassphrase: new Secret("markerPhrase") }).storage.stat("f"),
      ).toBeNull();
    });
  });

  test("denied access never counts as a missing file", async () => {
    const { storage, root } = open();
    await storage.put("d/f", utf8("x"));
    chmodSync(join(root, "d"), 0o000);
    async function drain(): Promise<void> {
      for await (const _ of storage.list("d"));
    }
    for (const work of [
      storage.read("d/f"),
      storage.stat("d/f"),
      drain(),
      storage.put("d/g", utf8("x")),
      storage.remove("d/f"),
    ])
      expect(await refusal(work)).toMatchObject({
        kind: "access",
        message: expect.stringContaining("[3] Permission denied"),
      });
    chmodSync(join(root, "d"), 0o750);
    expect(readdirSync(join(root, "d"))).toEqual(["f"]);
  });

  test("a link that the server created is listed with its target, and removed as a link", async () => {
    const { storage, root } = open();
    await storage.put("backup/20261120-064059F/f", utf8("x"));
    symlinkSync("20261120-064059F", join(root, "backup", "latest"));
    const result: ObjectInfo[] = [];
    for await (const info of storage.list("backup")) result.push(info);
    expect(result.find((info) => info.type === "link")).toMatchObject({
      path: "backup/latest",
      destination: "20261120-064059F",
    });
    await storage.removePath("backup/latest");
    expect(readdirSync(join(root, "backup"))).toEqual(["20261120-064059F"]);
  });

  test("the leftover of an interrupted upload, or of another writer, stays untouched", async () => {
    const { storage, root } = open();
    writeFileSync(join(root, "f.pgbackrest.tmp"), "a long leftover of another upload");
    giveTo(join(root, "f.pgbackrest.tmp"), server.user);
    await storage.put("f", utf8("new"));
    expect(readdirSync(root).sort()).toEqual(["f", "f.pgbackrest.tmp"]);
    expect(textOf(await collect(await storage.read("f"), 100))).toBe("new");
  });

  test.skipIf(!isRoot())("a full file system fails the upload, keeps the old file and is reported", async () => {
    const { storage, root } = open();
    const mounted = await run("mount", ["-t", "tmpfs", "-o", `size=1m,uid=${server.user.uid},mode=750`, "tmpfs", root]);
    if (mounted.exitCode !== 0) return;
    try {
      await storage.put("f", utf8("old"));
      for (const path of ["f", "g"]) {
        const result = await refusal(storage.put(path, content(3 * MIB)));
        expect(result).toMatchObject({
          kind: "fileWrite",
          exitCode: 64,
          hints: `the file system of '${root}' on the server is full: free or add space.`,
        });
      }
      expect(readdirSync(root)).toEqual(["f"]);
      await storage.put("f", utf8("new"));
      expect(readFileSync(join(root, "f"), "utf8")).toBe("new");
    } finally {
      await storage.close();
      await run("umount", ["-l", root]);
    }
  });

  describe("a connection that is cut", () => {
    test.each([true, false])("in the middle of an upload is resumed (atomic %s)", async (atomic) => {
      const { storage, root } = open();
      const bytes = content(6 * MIB + 12_345);
      for (const at of [50_000, 4 * MIB, 6 * MIB + 12_000]) {
        let turns = 0;
        const source = (): ByteStream => {
          turns++;
          return streamWith(bytes, at, () => server.cut());
        };
        await storage.putStream("f", source, { atomic });
        expect(turns).toBe(1);
        expect(sha256(readFileSync(join(root, "f")))).toBe(sha256(bytes));
      }
      expect(readdirSync(root)).toEqual(["f"]);
    });

    test("where a large upload is synced for the first time, it is resumed too", async () => {
      const { storage, root } = open();
      const bytes = content(40 * MIB);
      for (const at of [32 * MIB - 50_000, 32 * MIB, 32 * MIB + 150_000]) {
        await storage.putStream("f", () => streamWith(bytes, at, () => server.cut()));
        expect(sha256(readFileSync(join(root, "f")))).toBe(sha256(bytes));
      }
    });

    test("after any byte of the server's answers to a put is repaired, whether the request was carried out or not", async () => {
      let reported = 0;
      let cutAt = Number.POSITIVE_INFINITY;
      const proxy = createServer((client) => {
        const upstream = connect(server.port, server.host);
        const end = (): void => {
          client.destroy();
          upstream.destroy();
        };
        for (const socket of [client, upstream]) socket.on("error", end).on("close", end);
        client.on("data", (bytes) => upstream.write(bytes));
        upstream.on("data", (bytes: Buffer) => {
          reported += bytes.length;
          if (reported < cutAt) return void client.write(bytes);
          client.write(bytes.subarray(0, bytes.length - (reported - cutAt)));
          cutAt = Number.POSITIVE_INFINITY;
          end();
        });
      });
      await new Promise<void>((resolve) => void proxy.listen(0, server.host, resolve));
      const { port } = proxy.address() as AddressInfo;
      const { storage, root } = open({ port }, { ioTimeoutMs: 20_000 });
      await storage.put("f", utf8("old"));
      reported = 0;
      await storage.put("f", utf8("new"));
      const allBytes = reported;
      expect(allBytes).toBeGreaterThan(100);
      for (let bytes = 1; bytes <= allBytes; bytes += 24) {
        // Opens a new connection, or uses up the rest of the last one, before counting starts.
        await storage.stat("f");
        reported = 0;
        cutAt = bytes;
        await storage.put("f", utf8(`content ${bytes}`));
        // Some puts get fewer bytes in answers, so the last cuts may not happen.
        if (bytes < allBytes / 2)
          expect(cutAt, `cut after ${bytes} of ${allBytes} bytes`).toBe(Number.POSITIVE_INFINITY);
        cutAt = Number.POSITIVE_INFINITY;
        expect(readFileSync(join(root, "f"), "utf8")).toBe(`content ${bytes}`);
        expect(readdirSync(root)).toEqual(["f"]);
      }
      await storage.close();
      proxy.close();
    });

    test.each(["silent", "slow"] as const)("that is %s from any answer on is replaced", async (fault) => {
      /** A connection through a proxy whose first connection is spoiled from that answer on. */
      const work = async (at: number): Promise<number> => {
        let answers = 0;
        let connections = 0;
        const proxy = createServer((client) => {
          const isFirst = ++connections === 1;
          const upstream = connect(server.port, server.host);
          const end = (): void => void (client.destroy(), upstream.destroy());
          for (const socket of [client, upstream]) socket.on("error", end).on("close", end);
          client.on("data", (bytes) => upstream.write(bytes));
          const rest: number[] = [];
          upstream.on("data", (bytes: Buffer) => {
            if (!isFirst || ++answers < at) return void client.write(bytes);
            if (rest.length === 0 && fault === "slow") {
              const timer = setInterval(() => client.write(Buffer.from(rest.splice(0, 1))), 50);
              client.on("close", () => clearInterval(timer));
            }
            rest.push(...bytes);
          });
        });
        await new Promise<void>((resolve) => void proxy.listen(0, server.host, resolve));
        const { storage } = open({ port: (proxy.address() as AddressInfo).port }, { ioTimeoutMs: 8000 });
        const bytes = content(MIB);
        await storage.putStream("d/f", () => streamOf(bytes));
        await storage.put("d/g", utf8("g"));
        expect((await storage.stat("d/g"))?.sizeBytes).toBe(1);
        expect(sha256(await collect(await storage.read("d/f"), MIB))).toBe(sha256(bytes));
        const names: string[] = [];
        for await (const { path } of storage.list("d")) names.push(path);
        expect(names.sort()).toEqual(["d/f", "d/g"]);
        await storage.removePath("d");
        expect(await storage.stat("d")).toBeNull();
        await storage.close();
        proxy.close();
        return answers;
      };
      const count = await work(Number.POSITIVE_INFINITY);
      expect(count).toBeGreaterThan(15);
      const positions = Array.from({ length: Math.ceil(count / 2) }, (_, index) => 1 + index * 2);
      // A server takes some ten connections that have not signed in.
      await mapParallel(positions, 8, async (at) => {
        await work(at).catch((error: unknown) => {
          throw new Error(`answer ${at} of ${count}: ${String(error)}`);
        });
      });
    });

    test("while the server loses bytes that it accepted fails the upload", async () => {
      const { storage, root } = open();
      const source = (): ByteStream =>
        streamWith(content(6 * MIB), 4 * MIB, () => {
          server.cut();
          truncateSync(join(root, temporaryOf(root)), MIB);
        });
      expect(await refusal(storage.putStream("f", source))).toMatchObject({
        kind: "fileWrite",
        retryable: true,
        message: expect.stringContaining("has lost a part of"),
      });
      expect(existsSync(join(root, "f"))).toBe(false);
    });

    test.each([true, false])("at the end of an upload refuses a file of another size: atomic is %s", async (atomic) => {
      const { storage, root } = open();
      const bytes = content(2 * MIB);
      const written = (): string => join(root, atomic ? temporaryOf(root) : "f");
      const source = async function* (): ByteStream {
        yield* streamOf(bytes.subarray(0, MIB));
        yield* streamOf(bytes.subarray(MIB));
        // All but the last chunk has been sent. Now another program changes the size of the file.
        await expect.poll(() => readFileSync(written()).length).toBeGreaterThan(MIB);
        writeFileSync(written(), Buffer.alloc(3 * MIB), { flag: "r+" });
      };
      expect(await refusal(storage.putStream("f", source, { atomic }))).toMatchObject({
        kind: "fileWrite",
        retryable: true,
        message: `'${root}/f' has ${3 * MIB} bytes on the server where ${2 * MIB} were written`,
      });
      expect(readdirSync(root)).toEqual([]);
    });

    test("in the middle of a read resumes at its byte, unless the file has changed", async () => {
      const { storage, root } = open();
      const bytes = content(8 * MIB);
      await storage.put("f", bytes);
      const parts: Uint8Array[] = [];
      for await (const part of await storage.read("f", { offsetBytes: 1000, sizeBytes: 7 * MIB })) {
        if (parts.length === 3 || parts.length === 20) server.cut();
        parts.push(part);
      }
      expect(sha256(Buffer.concat(parts))).toBe(sha256(bytes.subarray(1000, 1000 + 7 * MIB)));
      const drain = async (): Promise<void> => {
        let count = 0;
        for await (const _ of await storage.read("f")) {
          if (++count !== 3) continue;
          truncateSync(join(root, "f"), 7 * MIB);
          server.cut();
        }
      };
      expect(await refusal(drain())).toMatchObject({
        kind: "fileRead",
        retryable: true,
        message: expect.stringContaining("another file replaced it"),
      });
    });

    test("between two requests goes unnoticed", async () => {
      const { storage } = open();
      await storage.put("f", utf8("x"));
      server.cut();
      expect((await storage.stat("f"))?.sizeBytes).toBe(1);
      server.cut();
      await storage.put("f", utf8("xy"));
      server.cut();
      await storage.removePath("f");
      expect(await storage.stat("f")).toBeNull();
    });
  });

  describe("a server that is down", () => {
    test("is a network error, after a few attempts within the time", async () => {
      const { storage } = open({}, { ioTimeoutMs: 2000 });
      await storage.put("f", utf8("x"));
      await server.stop();
      const result = await refusal(storage.read("f"));
      expect(result).toMatchObject({ kind: "hostConnect", exitCode: 49, retryable: true });
      expect(result.message).toMatch(/^unable to reach '\S+': connect ECONNREFUSED \S+ \(after \d attempts\)$/);
    });

    test("that comes back is waited for", async () => {
      const { storage } = open({}, { ioTimeoutMs: 60_000 });
      await server.stop();
      const put = storage.put("f", utf8("x"));
      await new Promise((resolve) => setTimeout(resolve, 300));
      await server.start();
      await put;
      expect((await storage.stat("f"))?.sizeBytes).toBe(1);
    });

    test("that stays connected but silent fails after the io-timeout, or at once on an abort", async () => {
      const asked = new AbortController();
      const patient = open({}, { ioTimeoutMs: 3000 }).storage;
      const hurried = open({}, { signal: asked.signal }).storage;
      for (const storage of [patient, hurried]) await storage.put("f", utf8("x"));
      server.pause();
      try {
        const reads = [refusal(patient.read("f")), refusal(hurried.read("f"))] as const;
        await new Promise((resolve) => setTimeout(resolve, 200));
        asked.abort();
        expect(await Promise.race(reads)).toMatchObject({ kind: "term" });
        expect(await reads[0]).toMatchObject({ kind: "hostConnect", retryable: true });
      } finally {
        server.resume();
      }
    });

    test("that lists a large directory over a slow line for longer than the io-timeout does not count as silent", async () => {
      let delayMs = 0;
      const proxy = createServer((client) => {
        const upstream = connect(server.port, server.host);
        for (const socket of [client, upstream])
          socket.on("error", () => undefined).on("close", () => void (client.destroy(), upstream.destroy()));
        client.on("data", (bytes) => upstream.write(bytes));
        upstream.on("data", (bytes) => void setTimeout(() => client.write(bytes), delayMs));
      });
      await new Promise<void>((resolve) => void proxy.listen(0, server.host, resolve));
      const ioTimeoutMs = 2000;
      const { storage, root } = open({ port: (proxy.address() as AddressInfo).port }, { ioTimeoutMs });
      for (let index = 0; index < 2000; index++) writeFileSync(join(root, `${index}`), "");
      expect(await storage.stat("none")).toBeNull();
      delayMs = 150;
      const beganMs = performance.now();
      let count = 0;
      for await (const _ of storage.list("")) count++;
      expect(count).toBe(2000);
      expect(performance.now() - beganMs).toBeGreaterThan(ioTimeoutMs);
      await storage.close();
      proxy.close();
    });

    test("that signs in and starts no SFTP fails after the io-timeout", async () => {
      const keys = join(server.folder, "authorized_keys");
      const before = readFileSync(keys, "utf8");
      writeFileSync(keys, before.replaceAll(/^ssh-/gm, 'command="sleep 60" ssh-'));
      try {
        const result = await refusal(open({}, { ioTimeoutMs: 1000 }).storage.stat("f"));
        expect(result).toMatchObject({ kind: "hostConnect", retryable: true });
        // The last of its attempts gets what is left of the limit.
        expect(result.message).toMatch(/it has not started SFTP for [01] s/);
      } finally {
        writeFileSync(keys, before);
      }
    });

    test("in the middle of an upload that is aborted leaves nothing, once it answers", async () => {
      const asked = new AbortController();
      const { storage, root } = open({}, { signal: asked.signal });
      mkdirSync(join(root, "d"));
      giveTo(join(root, "d"), server.user);
      const source = (): ByteStream => streamWith(content(4 * MIB), 2 * MIB, () => asked.abort());
      expect(await refusal(storage.putStream("d/f", source))).toMatchObject({ kind: "term" });
      await storage.close();
      await expect.poll(() => readdirSync(join(root, "d")), { timeout: 120_000 }).toEqual([]);
    });
  });
});
