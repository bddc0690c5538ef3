/** A database and its copies as a picture. Pure. */
import { caption, cutMiddle, cutText, DRAWING_WIDTH, frame, titleOf, whenAgo } from "./drawing";
import { type JudgedDatabase, proofIn } from "./judgeReport";
import type { ReportedDrill, ReportedRepo } from "./reportFields";

const BOX_HEIGHT = 110;
const ROW_HEIGHT = 124;
/** Baselines of a repository's lines, from the middle of its box. */
const LINES = { name: -34, first: -14, step: 18 };
const LOCATION_LENGTH_MAX = 50;
const DATABASE = { x: 2, width: 220 };
const REPO = { x: 330, width: DRAWING_WIDTH - 332 };

export function renderCopies(judged: JudgedDatabase, nowS: number): string {
  const { database, troubles } = judged;
  const { host, repos, stanza } = database;
  const height = Math.max(1, repos.length) * ROW_HEIGHT;
  const middle = height / 2;
  const own = `<rect class="box${troubles.some(({ repo }) => repo === null) ? " weak" : ""}" x="${DATABASE.x}" y="${middle - BOX_HEIGHT / 2}" width="${DATABASE.width}" height="${BOX_HEIGHT}" rx="6"/>${cutText(DATABASE.x + 14, middle - 8, stanza, 24, "name")}${cutText(DATABASE.x + 14, middle + 14, host, 30)}`;
  const rows = repos.map((repo, index) => drawRepo(repo, judged, nowS, index * ROW_HEIGHT + ROW_HEIGHT / 2, middle));
  const description = `${titleOf(database)} has ${repos.length} copies. ${repos.map((repo) => copyText(repo, judged, nowS)).join(" ")}`;
  return frame(description, { width: DRAWING_WIDTH, height }, `${own}${rows.join("\n")}`);
}

/** `repo1, s3://bucket/orders: newest backup …, newest WAL …, restored …` */
export function copyText(repo: ReportedRepo, judged: JudgedDatabase, nowS: number): string {
  return `repo${repo.key}, ${cutMiddle(repo.location, LOCATION_LENGTH_MAX)}: ${linesOf(repo, judged, nowS).join(", ")}.`;
}

function drawRepo(repo: ReportedRepo, judged: JudgedDatabase, nowS: number, at: number, middle: number): string {
  const { key, location } = repo;
  const isWeak = judged.troubles.some((each) => each.repo === key);
  const weak = isWeak ? " weak" : "";
  const from = DATABASE.x + DATABASE.width;
  const [text, name] = isWeak
    ? ["▼ needs attention", "bad"]
    : judged.isCurrent
      ? ["✓ well", "good"]
      : ["was well then", "small"];
  const state = caption(REPO.x + REPO.width - 14, at + LINES.name, text, name, "end");
  const lines = linesOf(repo, judged, nowS).map((each, index) =>
    cutText(REPO.x + 14, at + LINES.first + index * LINES.step, each, 78),
  );
  return `<path class="link${weak}" d="M${from} ${middle}C${from + 60} ${middle} ${REPO.x - 60} ${at} ${REPO.x} ${at}"/><rect class="box${weak}" x="${REPO.x}" y="${at - BOX_HEIGHT / 2}" width="${REPO.width}" height="${BOX_HEIGHT}" rx="6"/>${cutText(REPO.x + 14, at + LINES.name, `repo${key}  ${location}`, LOCATION_LENGTH_MAX, "name")}${state}${lines.join("")}`;
}

/** Newest backup, newest full one, newest WAL, newest drill that passed. */
function linesOf(
  { backups, encrypted, key, newestWalS }: ReportedRepo,
  { database }: JudgedDatabase,
  nowS: number,
): readonly string[] {
  const lineOf = (what: string, timeS: number | undefined): string =>
    timeS === undefined ? `no ${what}` : `newest ${what} ${whenAgo(timeS, nowS)}`;
  const full = backups.findLast(({ type }) => type === "full");
  const proof = proofIn(database.drills.filter(({ repo }) => repo === key));
  return [
    lineOf("backup", backups.at(-1)?.stoppedAtS),
    lineOf("full backup", full?.stoppedAtS),
    `${lineOf("WAL", newestWalS)}, ${encrypted ? "encrypted" : "not encrypted"}`,
    proof === null ? "never restored by a drill" : drilledText(proof, nowS),
  ];
}

/** `restored 2026-11-20 06:40:59 (3 days ago) by drill 20261120-064012Z-1a2b3c4d` */
export function drilledText({ endedAtS, id, opened }: ReportedDrill, nowS: number): string {
  return `${opened === true ? "opened" : "restored"} ${whenAgo(endedAtS, nowS)} by drill ${id}`;
}
