/**
 * `pgbackstop explain [NAME]`: prints an entry of the package's troubleshooting guide, without network. Exit codes: 0,
 * and 2 for an unknown name.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Relative to the compiled `dist/components/bin` and to the source. */
const PATHS = ["../../../docs/troubleshooting.md", "../../docs/troubleshooting.md"];

interface Entry {
  readonly name: string;
  readonly text: string;
}

/**
 * Runs the command; returns the exit code.
 * @public loaded on demand by pgbackstop.ts
 */
export function explainMain(argv: readonly string[]): number {
  const entries = readEntries();
  const [name] = argv;
  if (name === undefined || name === "--help") {
    process.stdout.write(
      `pgbackstop explain NAME prints an entry of the troubleshooting guide:\n\n${entries.map((entry) => `  ${summaryOf(entry)}\n`).join("")}`,
    );
    return 0;
  }
  const entry = entries.find((candidate) => candidate.name === name);
  if (entry === undefined) {
    process.stderr.write(`pgbackstop explain: there is no entry '${name}'; pgbackstop explain lists all\n`);
    return 2;
  }
  process.stdout.write(`${entry.text.trim()}\n`);
  return 0;
}

/** @throws Error if the package lacks the guide */
function readEntries(): Entry[] {
  const path = PATHS.map((relativePath) => join(__dirname, relativePath)).find((candidate) => existsSync(candidate));
  if (path === undefined) throw new Error(`this package has no docs/troubleshooting.md (searched from ${__dirname})`);
  const parts = readFileSync(path, "utf8").split(/^(?:### |## .*$)/m);
  return parts.slice(1).flatMap((text) => {
    const name = text.split("\n", 1)[0] ?? "";
    return name === "" ? [] : [{ name, text }];
  });
}

function summaryOf({ name, text }: Entry): string {
  const symptom = /^\*\*Symptom\.\*\* (.*)$/m.exec(text)?.[1] ?? "";
  return `${name.padEnd(26)}${symptom}`;
}
