/** The picture of the README: what pgbackstop does. `npx vitest run test/tools/readmePicture.test.ts -u` writes it. */

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly title: string;
  readonly lines: readonly string[];
  readonly isDown?: boolean;
}

const TITLE_HEIGHT = 34;
const LINE_HEIGHT = 20;

const PROGRAM: Box = {
  x: 330,
  y: 20,
  width: 260,
  title: "your Pulumi program",
  lines: ["databases and their repositories"],
};
const SERVER: Box = { x: 20, y: 170, width: 190, title: "PostgreSQL", lines: ["on a host, or in", "CloudNativePG"] };
const RUNTIME: Box = {
  x: 330,
  y: 150,
  width: 260,
  title: "pgbackstop",
  lines: ["reads each file once, checks it,", "compresses and encrypts it", "for each repository"],
};
const DRILL: Box = {
  x: 330,
  y: 340,
  width: 260,
  title: "fire drill",
  lines: ["restores a backup on a schedule,", "checks it, measures RTO and RPO"],
};
const ENCRYPTED: Box = {
  x: 720,
  y: 178,
  width: 220,
  title: "repo2: Backblaze B2",
  lines: ["encrypted, keeps 60 days"],
};
const REPOSITORIES: readonly Box[] = [
  { x: 720, y: 80, width: 220, title: "repo1: a NAS", lines: ["keeps 7 days"] },
  ENCRYPTED,
  {
    x: 720,
    y: 276,
    width: 220,
    title: "repo3: Cloudflare R2",
    lines: ["down: the others continue,", "its WAL follows later"],
    isDown: true,
  },
];

/** One file without scripts or fonts, which follows the reader's light or dark mode. */
export function readmePicture(): string {
  const boxes = [PROGRAM, SERVER, RUNTIME, DRILL, ...REPOSITORIES];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 960 440" role="img" aria-labelledby="title">
<title id="title">A Pulumi program sets up pgbackstop, which sends PostgreSQL's WAL and backups to several repositories and drills restores from them.</title>
<style>${STYLE}</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto"><path class="head" d="M0 0L8 4L0 8z"/></marker></defs>
${boxes.map(boxText).join("\n")}
${arrow(`M460 ${bottomOf(PROGRAM)}V${RUNTIME.y - 3}`)}
${label(470, 108, "pulumi up: buckets, keys,")}
${label(470, 126, "configuration, schedules")}
${arrow(`M${SERVER.x + SERVER.width} 207H${RUNTIME.x - 3}`)}
${label(270, 197, "WAL, backups", "middle")}
${REPOSITORIES.map((box) => arrow(`M590 207H655V${middleOf(box)}H${box.x - 3}`, box.isDown)).join("\n")}
${arrow(`M940 ${middleOf(ENCRYPTED)}H952V377H${DRILL.x + DRILL.width + 3}`)}
${label(660, 404, "All in pgBackRest's format:")}
${label(660, 422, "stock pgbackrest reads and writes it")}
</svg>
`;
}

function heightOf({ lines }: Box): number {
  return TITLE_HEIGHT + lines.length * LINE_HEIGHT;
}

function bottomOf(box: Box): number {
  return box.y + heightOf(box);
}

function middleOf(box: Box): number {
  return box.y + heightOf(box) / 2;
}

function boxText(box: Box): string {
  const { isDown = false, lines, title, width, x, y } = box;
  const texts = lines.map((line, index) => label(x + 14, y + 44 + index * LINE_HEIGHT, line));
  return `<rect${isDown ? ' class="down"' : ""} x="${x}" y="${y}" width="${width}" height="${heightOf(box)}" rx="6"/>
<text class="name" x="${x + 14}" y="${y + 24}">${title}</text>
${texts.join("\n")}`;
}

function label(x: number, y: number, text: string, anchor = "start"): string {
  return `<text x="${x}" y="${y}"${anchor === "start" ? "" : ` text-anchor="${anchor}"`}>${text}</text>`;
}

function arrow(path: string, isDown = false): string {
  return `<path class="${isDown ? "line down" : "line"}" d="${path}" marker-end="url(#head)"/>`;
}

const STYLE = `svg{--ground:#fff;--ink:#1b1f24;--dim:#57606a;--line:#8c959f}
@media (prefers-color-scheme:dark){svg{--ground:#161b22;--ink:#e6e9ec;--dim:#9aa4ae;--line:#6e7681}}
text{fill:var(--dim);font:14px system-ui,"Segoe UI",Roboto,"Liberation Sans","DejaVu Sans",sans-serif}
.name{fill:var(--ink);font-size:16px;font-weight:600}
rect{fill:var(--ground);stroke:var(--line);stroke-width:1.5}
.line{fill:none;stroke:var(--line);stroke-width:1.5}
.head{fill:var(--line)}
.down{stroke-dasharray:5 4}`;
