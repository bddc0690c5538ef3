import { describe, expect, test } from "vitest";
import { type ByteStream, collect, streamOf, textOf, utf8 } from "../../../runtime/base/bytes";
import { fail } from "../../../runtime/base/errors";
import { connectionArgs, feedProgram, programOutput, pipePrograms } from "../../../runtime/postgres/programs";

const signal = new AbortController().signal;
const output = async (...command: string[]): Promise<Uint8Array> => collect(programOutput(command, signal), 1_000_000);
const shell = (script: string): Promise<Uint8Array> => output("sh", "-c", script);

describe("the output of a program", () => {
  test("is all that it printed, in the C locale", async () => {
    expect(textOf(await shell('printf "%s" "$LC_ALL"; echo warning >&2'))).toBe("C");
  });

  test("ends with an error when the program fails, is killed, or cannot start", async () => {
    await expect(shell("echo part; echo why >&2; exit 3")).rejects.toMatchObject({
      kind: "execute",
      message: "'sh' failed: why",
    });
    await expect(shell("echo part; kill -9 $$")).rejects.toMatchObject({
      kind: "execute",
      message: "'sh' was ended by a signal: ",
    });
    await expect(output("/missing/pg_dump")).rejects.toMatchObject({ kind: "execute" });
  });

  test("ends with the reason of an abort", async () => {
    const abort = new AbortController();
    const reason = fail("term", "terminated");
    const run = collect(programOutput(["sh", "-c", "echo begun; exec sleep 600"], abort.signal), 100);
    abort.abort(reason);
    await expect(run).rejects.toBe(reason);
  });

  test("ends the program when nobody reads on", async () => {
    for await (const chunk of programOutput(["sh", "-c", "while echo x; do :; done"], signal)) {
      expect(chunk.length).toBeGreaterThan(0);
      break;
    }
  });

  test("gets a last argument with any bytes, also line ends", async () => {
    const name = textOf(Buffer.from([0x64, 0xe9, 0x25, 0x5c, 0x27, 0x24, 0x0a, 0x0a]));
    expect(await output("printf", "%s|%s", "a b", name)).toEqual(Buffer.from(utf8(`a b|${name}`)));
  });
});

describe("a program that gets a stream", () => {
  const feed = (script: string, source: ByteStream): Promise<void> => feedProgram(["sh", "-c", script], source, signal);
  const endless = async function* (): ByteStream {
    for (;;) yield Buffer.alloc(65536);
  };

  test("reads all of it", async () => {
    await feed('[ "$(wc -c)" -eq 6 ]', streamOf(utf8("abc"), utf8("def")));
  });

  test("fails with its own words, also before it has read everything", async () => {
    const failed = { kind: "execute", message: "'sh' failed: why" };
    await expect(feed("cat > /dev/null; echo why >&2; exit 1", streamOf(utf8("abc")))).rejects.toMatchObject(failed);
    await expect(feed("echo why >&2; exit 1", endless())).rejects.toMatchObject(failed);
    await expect(feed("exit 0", endless())).rejects.toMatchObject({
      message: "'sh' ended before it had read everything",
    });
  });

  test("is ended when the stream fails", async () => {
    const damaged = fail("checksum", "damaged");
    const source = async function* (): ByteStream {
      yield utf8("abc");
      throw damaged;
    };
    await expect(feed("exec cat > /dev/null", source())).rejects.toBe(damaged);
  });
});

test("a database's name is no connection string", () => {
  expect(connectionArgs("/run", 5432, "me", "host=x '\\")).toEqual([
    "--host=/run",
    "--port=5432",
    "--username=me",
    "--no-password",
    "--dbname=dbname='host=x \\'\\\\'",
  ]);
});

test("a program with variables before it gets them, and its failure has its name", async () => {
  const script = 'cat > /dev/null; echo "for $PGUSER" >&2; exit 3';
  const to = ["PGUSER=app", "/bin/sh", "-c", script];
  await expect(pipePrograms({ from: ["/bin/true"], to, before: "", after: "", signal })).rejects.toThrow(
    "'/bin/sh' failed: for app",
  );
});
