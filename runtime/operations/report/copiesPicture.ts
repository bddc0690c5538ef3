/** A database and its copies as a picture. Pure. */
import { caption, cutText, DRAWING_WIDTH, frame, whenAgo } from "./drawing";
import type { ReportedDatabase, ReportedRepo } from "./reportFields";

const BOX_HEIGHT = 92;
const ROW_HEIGHT = 106;
/** Baselines of a repository's lines, from the middle of its box. */
const LINES = { name: -25, first: -5, step: 18 };
const DATABASE = { x: 2, width: 220 };
const REPO = { x: 330, width: DRAWING_WIDTH - 332 };

export function renderCopies(database: ReportedDatabase, nowS: number): string {
  const { host, repos, stanza } = database;
  const height = Math.max(1, repos.length) * ROW_HEIGHT;
  const middle = height / 2;
  const own = `<rect class="box${database.troubles.length > 0 ? " weak" : ""}" x="${DATABASE.x}" y="${middle - BOX_HEIGHT / 2}" width="${DATABASE.width}" height="${BOX_HEIGHT}" rx="6"/>${cutText(DATABASE.x + 14, middle - 8, stanza, 24, "name")}${cutText(DATABASE.x + 14, middle + 14, host, 30)}`;
  const rows = repos.map((repo, index) => drawRepo(repo, nowS, index * ROW_HEIGHT + ROW_HEIGHT / 2, middle));
  const description = `${stanza} on ${host} has ${repos.length} copies. ${repos.map((repo) => `repo${repo.key}, ${repo.location}: ${linesOf(repo, nowS).join(", ")}.`).join(" ")}`;
  return frame(description, { width: DRAWING_WIDTH, height }, `${own}${rows.join("\n")}`);
}

function drawRepo(repo: ReportedRepo, nowS: number, at: number, middle: number): string {
  const { key, location, troubles } = repo;
  const weak = troubles.length > 0 ? " weak" : "";
  const from = DATABASE.x + DATABASE.width;
  const state =
    troubles.length > 0
      ? caption(REPO.x + REPO.width - 14, at + LINES.name, "▼ needs attention", "bad", "end")
      : caption(REPO.x + REPO.width - 14, at + LINES.name, "✓ well", "good", "end");
  const lines = linesOf(repo, nowS).map((each, index) =>
    cutText(REPO.x + 14, at + LINES.first + index * LINES.step, each, 78),
  );
  return `<path class="link${weak}" d="M${from} ${middle}C${from + 60} ${middle} ${REPO.x - 60} ${at} ${REPO.x} ${at}"/><rect class="box${weak}" x="${REPO.x}" y="${at - BOX_HEIGHT / 2}" width="${REPO.width}" height="${BOX_HEIGHT}" rx="6"/>${cutText(REPO.x + 14, at + LINES.name, `repo${key}  ${location}`, 50, "name")}${state}${lines.join("")}`;
}

/** Newest backup, newest full one, newest WAL. */
function linesOf({ backups, encrypted, newestWalS }: ReportedRepo, nowS: number): readonly string[] {
  const lineOf = (what: string, timeS: number | undefined): string =>
    timeS === undefined ? `no ${what}` : `newest ${what} ${whenAgo(timeS, nowS)}`;
  const full = backups.findLast(({ type }) => type === "full");
  const wal = lineOf("WAL", newestWalS);
  return [
    lineOf("backup", backups.at(-1)?.stoppedAtS),
    lineOf("full backup", full?.stoppedAtS),
    `${wal}, ${encrypted ? "encrypted" : "not encrypted"}`,
  ];
}
