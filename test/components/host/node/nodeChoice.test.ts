import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { desiredText, sha256Hex } from "../../../../components/host/desiredFiles";
import { findNeed } from "../../../../components/host/node/node";
import { chooseNode } from "../../../../components/host/node/nodeChoice";

const LIB = "/lib/ours";
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "pgb-choice-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** An ELF header for this machine type. */
const program = (machine: number): string => {
  const bytes = Buffer.alloc(64);
  bytes.writeUInt32BE(0x7f454c46, 0);
  bytes.writeUInt16LE(machine, 18);
  const path = join(folder, `program-${machine}`);
  writeFileSync(path, bytes);
  return path;
};
const good = { exitCode: 0, stdout: "v24.16.0\n", stderr: "" };

test("the default is a link, to the host's own or to a release with known checksums for both kinds of machine", () => {
  const { findings, input, path } = chooseNode({}, LIB);
  expect([findings, path, input?.file, input?.look]).toEqual([
    [],
    "/lib/ours/node",
    "/lib/ours/node-24.16.0",
    expect.arrayContaining(["/usr/bin/node"]),
  ]);
  expect(Object.entries(input?.download ?? {}).map(([machine, { url }]) => [machine, url.slice(-24)])).toEqual([
    ["x86_64", "v24.16.0-linux-x64.tar.gz".slice(-24)],
    ["aarch64", "v24.16.0-linux-arm64.tar.gz".slice(-24)],
  ]);
});

test("other content has another path; a host's own path is left alone", () => {
  const upload = program(62);
  const { input, path } = chooseNode({ node: { upload } }, LIB);
  expect(path).toMatch(/^\/lib\/ours\/node-[0-9a-f]{12}$/);
  expect(input?.upload).toMatchObject({ from: upload, machine: "x86_64" });
  expect(chooseNode({ node: { upload: program(183) } }, LIB).input?.upload?.machine).toBe("aarch64");
  const sha256 = sha256Hex("tarball");
  expect(chooseNode({ node: { url: "https://mirror.example/node.tar.gz", sha256 } }, LIB).path).toBe(
    `/lib/ours/node-${sha256.slice(0, 12)}`,
  );
  expect(chooseNode({ nodePath: "/opt/node" }, LIB)).toEqual({ path: "/opt/node", findings: [] });
});

test.each([
  [{ nodePath: "/opt/node", node: { upload: "/x" } }, "nodePath names an installed one"],
  [{ node: {} }, "it does not name a source of Node.js"],
  [{ node: { url: "https://mirror.example/node.tar.gz" } }, "it does not name a source of Node.js"],
  [{ node: { url: "mirror", sha256: "0".repeat(64) } }, '"mirror" is not an address'],
  [{ node: { url: "https://mirror.example/n", sha256: "abc" } }, "it is not a SHA-256"],
  [{ node: { upload: "/no/such/file" } }, "it cannot be read: ENOENT"],
  [{ node: { upload: __filename } }, "is not a program for Linux on x64 or arm64"],
])("%j is refused", (settings, args) => {
  expect(chooseNode(settings, LIB).findings.map(({ message }) => message)).toEqual([expect.stringContaining(args)]);
});

test("an existing Node.js is installed again only for a reason", () => {
  const { input } = chooseNode({ node: { upload: program(62) } }, LIB);
  if (input?.upload === undefined) throw new Error("nothing is sent");
  const fact = desiredText({ mode: "0755", owner: "admin" }, input.upload.sha256);
  expect(findNeed(input, good, fact, undefined)).toBeNull();
  expect(findNeed(input, good, "missing", fact)).toBe("there is none");
  expect(findNeed(input, good, fact.replace("0755", "0777"), fact)).toBe("it is another one");
  expect(findNeed(input, { ...good, stdout: "v22.14.0\n" }, fact, fact)).toBe(
    "is v22.14.0 but the runtime needs at least v22.15",
  );
  expect(findNeed(input, { exitCode: 126, stdout: "", stderr: "Exec format error" }, fact, fact)).toBe(
    "cannot be run (Exec format error)",
  );
  const { input: fetched } = chooseNode({}, LIB);
  if (fetched === undefined) throw new Error("nothing is fetched");
  expect(findNeed(fetched, good, "link to /usr/bin/node", "")).toBeNull();
  expect(findNeed(fetched, good, "link to /tmp/node", "link to /usr/bin/node")).toBe("it was changed by hand");
});
