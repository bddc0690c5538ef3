import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { buildGoProgram } from "../../../../tools/parts/kubernetes/goTools";

/** Compiles two of the program's three packages: Go's cache has the third one. */
const GO = `#!/bin/sh
case "$1" in
version) echo go version go1.26.0 linux/amd64 ;;
list) echo "go: downloading example.com/library v1.2.3" >&2; printf 'errors\\nexample.com/library\\nexample.com/program\\n' ;;
build)
  printf 'example.com/library\\nexample.com/program\\n' >&2
  while [ "$1" != -o ]; do shift; done
  echo program >"$2"
  ;;
esac
`;

test("a build counts its packages against those that the program has", async () => {
  const folder = mkdtempSync(join(tmpdir(), "go-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "go"), GO, { mode: 0o755 });
  vi.stubEnv("PATH", `${folder}:${process.env["PATH"]}`);
  onTestFinished(() => void vi.unstubAllEnvs());
  const notes: string[] = [];
  const wanted = { name: "program", moduleFolder: folder, command: "./program", linkFlags: "-s" };
  const file = await buildGoProgram({ ...wanted, target: join(folder, "entry") }, (text) => notes.push(text));
  expect(readFileSync(file, "utf8")).toBe("program\n");
  expect(notes).toEqual([
    "downloading example.com/library v1.2.3",
    "1 of at most 3 packages",
    "2 of at most 3 packages",
  ]);
});
