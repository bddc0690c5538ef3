/**
 * A bench's document in docs/: the measurements, then, each after its own mark, the profile and the notes of those who
 * read the figures. Writing it again keeps the notes, and keeps the profile unless there is a new one.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { projectFolder } from "../parts/cache";
import { profileText, type TitledProfile } from "./profile";

export interface Report {
  /** A Markdown table. */
  readonly table: string;
  readonly facts: readonly string[];
  /** Rows that miss their target. */
  readonly missed: readonly string[];
  readonly profiles: readonly TitledProfile[];
}

export interface DocumentFrame {
  /** File name in docs/internals/. */
  readonly file: string;
  readonly title: string;
  /** The command, without `--write`. */
  readonly command: string;
  /** Paragraphs above and below the table. */
  readonly before: string;
  readonly after: string;
}

const PROFILE_MARK = "<!-- profile -->";
const NOTES_MARK = "<!-- notes -->";

/** Prints the report; writes the document if `write` is set. */
export function publish(frame: DocumentFrame, report: Report, write: boolean): void {
  const missed =
    report.missed.length === 0
      ? "every target is reached"
      : `not reached:\n${report.missed.map((row) => `- ${row}`).join("\n")}`;
  const profile = report.profiles.length === 0 ? "" : `\n${profileText(report.profiles)}\n`;
  process.stdout.write(`\n${report.table}\n\n${list(report.facts)}\n${profile}\n${frame.command}: ${missed}\n`);
  if (write) writeDocument(frame, report);
}

function writeDocument(frame: DocumentFrame, report: Report): void {
  const path = join(projectFolder(), "docs", "internals", frame.file);
  const old = existsSync(path) ? readFileSync(path, "utf8") : "";
  const notes = old.includes(NOTES_MARK) ? old.slice(old.indexOf(NOTES_MARK)) : `${NOTES_MARK}\n`;
  const intro = `\`${frame.command} --write\` measured this. ${frame.before}`;
  const parts = [
    `# ${frame.title}`,
    intro,
    list(report.facts),
    report.table,
    frame.after,
    profileSection(frame, report, old),
    notes.trimEnd(),
  ];
  writeFileSync(path, `${parts.filter((part) => part !== "").join("\n\n")}\n`);
}

function profileSection(frame: DocumentFrame, report: Report, old: string): string {
  if (report.profiles.length > 0) {
    const intro = [
      `V8's profile of one more run of each (\`${frame.command} --profile\`), not counted above: self time of all threads of ours, without waiting.`,
      "Native code counts by its own name where V8 knows it, else for its caller; syncs and other work in Node's thread pool are not in it.",
    ].join("\n");
    return `${PROFILE_MARK}\n\n## Where the time goes\n\n${intro}\n\n${profileText(report.profiles)}`;
  }
  const start = old.indexOf(PROFILE_MARK);
  if (start < 0) return "";
  const end = old.indexOf(NOTES_MARK);
  return old.slice(start, end < start ? undefined : end).trimEnd();
}

function list(items: readonly string[]): string {
  return items.map((item) => `- ${item}`).join("\n");
}
