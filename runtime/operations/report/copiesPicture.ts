/** A database and its copies as a picture. Pure. */
import { durationText } from "../../base/units";
import { cutText, DRAWING_WIDTH, frame, caption } from "./drawing";
import type { ReportedDatabase, ReportedRepo } from "./reportFields";

const BOX_HEIGHT = 74;
const ROW_HEIGHT = 88;
const DATABASE = { x: 2, width: 220 };
const REPO = { x: 330, width: DRAWING_WIDTH - 332 };

export function renderCopies(database: ReportedDatabase): string {
  const { host, repos, stanza } = database;
  const height = Math.max(1, repos.length) * ROW_HEIGHT;
  const middle = height / 2;
  const own = `<rect class="box${database.troubles.length > 0 ? " weak" : ""}" x="${DATABASE.x}" y="${middle - BOX_HEIGHT / 2}" width="${DATABASE.width}" height="${BOX_HEIGHT}" rx="6"/>${cutText(DATABASE.x + 14, middle - 8, stanza, 24, "name")}${cutText(DATABASE.x + 14, middle + 14, host, 30)}`;
  const rows = repos.map((repo, index) => drawRepo(repo, database, index * ROW_HEIGHT + ROW_HEIGHT / 2, middle));
  const description = `${stanza} on ${host} has ${repos.length} copies. ${repos.map((repo) => `repo${repo.key}, ${repo.location}: ${linesOf(repo, database).join(", ")}.`).join(" ")}`;
  return frame(description, { width: DRAWING_WIDTH, height }, `${own}${rows.join("\n")}`);
}

function drawRepo(repo: ReportedRepo, database: ReportedDatabase, at: number, middle: number): string {
  const { key, location, troubles } = repo;
  const weak = troubles.length > 0 ? " weak" : "";
  const from = DATABASE.x + DATABASE.width;
  const state =
    troubles.length > 0
      ? caption(REPO.x + REPO.width - 14, at - 16, "▼ needs attention", "bad", "end")
      : caption(REPO.x + REPO.width - 14, at - 16, "✓ well", "good", "end");
  const lines = linesOf(repo, database).map((each, index) => cutText(REPO.x + 14, at + 4 + index * 18, each, 78));
  return `<path class="link${weak}" d="M${from} ${middle}C${from + 60} ${middle} ${REPO.x - 60} ${at} ${REPO.x} ${at}"/><rect class="box${weak}" x="${REPO.x}" y="${at - BOX_HEIGHT / 2}" width="${REPO.width}" height="${BOX_HEIGHT}" rx="6"/>${cutText(REPO.x + 14, at - 16, `repo${key}  ${location}`, 50, "name")}${state}${lines.join("")}`;
}

function linesOf(
  { backups, encrypted, newestWalS }: ReportedRepo,
  { atS }: ReportedDatabase,
): readonly [string, string] {
  const ago = (timeS: number): string => `${durationText(Math.max(0, atS - timeS))} ago`;
  const newest = backups.at(-1);
  const full = backups.findLast(({ type }) => type === "full");
  const held =
    newest === undefined
      ? "no backup"
      : `newest backup ${ago(newest.stoppedAtS)}${full === undefined ? ", no full one" : `, newest full ${ago(full.stoppedAtS)}`}`;
  const wal = newestWalS === undefined ? "no WAL" : `newest WAL ${ago(newestWalS)}`;
  return [held, `${wal}, ${encrypted ? "encrypted" : "not encrypted"}`];
}
