/**
 * Topologies as a picture (SVG): each database on the left, its repositories on the right, arrows with schedules,
 * retention, worst case and monthly cost. Pure; no script, no font and no external file. Colours follow the reader's
 * light or dark mode; changes are also marked by sign and word. Text is not measured here: long text is cut, and the
 * element's title has all of it.
 */
import { type Change, isHidden, valueText } from "../../plan/diff/change";
import type { TopologySet } from "../../plan/diff";
import { repositoriesWithFulls } from "../../plan/storage/copies";
import { retentionText } from "../../plan/diff/repositories";
import { underNewKeys } from "../../plan/diff/sameRepositories";
import { escapeText, oneLine, PAGE_COLOURS } from "../../../runtime/base/html";
import type { RepositoryNode, Topology } from "../../plan/topology/topology";
import { costText } from "./topologyMarkdown";

export const PICTURE_WIDTH = 1120;
const ROW_HEIGHT = 104;
const BAND_MARGIN = 14;
const DATABASE = { x: 14, width: 236, height: 88 } as const;
const REPOSITORY = { x: 724, width: 382, height: 88 } as const;
const LABEL = { x: 330, width: 380 } as const;
/** For the system's sans-serif fonts at 13 pixels, rounded up. */
const CHARACTER_WIDTH = 7.1;

type Status = "same" | "added" | "removed" | "weakened" | "acknowledged" | "strengthened" | "uncertain" | "neutral";
const MARKS: Readonly<Record<Status, string>> = {
  same: "",
  added: "▲ new",
  removed: "▼ removed",
  weakened: "▼ weakened",
  acknowledged: "▽ weakened, acknowledged",
  strengthened: "▲ strengthened",
  uncertain: "? not known yet",
  neutral: "• changed",
};
const STRENGTH: readonly Status[] = ["weakened", "acknowledged", "uncertain", "strengthened", "neutral", "same"];

/** One database on both sides; null if nothing is known, undefined if it does not exist. */
export interface Band {
  readonly name: string;
  readonly before: Topology | null | undefined;
  readonly after: Topology | null | undefined;
  readonly changes: readonly Change[];
}

/** All databases of two sets, by name, and their repositories under the new keys; pass a single set twice. */
export function bandsOf(before: TopologySet, after: TopologySet, changes: readonly Change[]): Band[] {
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  const byName = new Map<string, Change[]>(names.map((name) => [name, []]));
  for (const change of changes) byName.get(change.database)?.push(change);
  return names.map((name) => {
    const [old, now] = [before.get(name), after.get(name)];
    const isBoth = old !== undefined && old !== null && now !== undefined && now !== null;
    return {
      name,
      before: isBoth ? underNewKeys(old, now).topology : old,
      after: now,
      changes: byName.get(name) ?? [],
    };
  });
}

/** A complete SVG document with the bands stacked. */
export function renderPicture(bands: readonly Band[]): string {
  let height = 0;
  const parts = bands.map((band) => {
    const drawn = drawBand(band);
    const text = `<g transform="translate(0 ${height})">${drawn.text}</g>`;
    height += drawn.height;
    return text;
  });
  const title = `Backup topology of ${bands.length} ${bands.length === 1 ? "database" : "databases"}`;
  return `${frame(title, Math.max(height, 40), parts.join("\n"), `<style>${PICTURE_STYLE}</style>`)}\n`;
}

/** One band as an SVG element for a page that has {@link PICTURE_STYLE}. */
export function renderBand(band: Band): string {
  const { height, text } = drawBand(band);
  return frame(describe(band), height, text, "");
}

function frame(title: string, height: number, text: string, style: string): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" class="topology" role="img" viewBox="0 0 ${PICTURE_WIDTH} ${height}" width="${PICTURE_WIDTH}" height="${height}" font-family="system-ui, 'Segoe UI', Roboto, 'Liberation Sans', 'DejaVu Sans', sans-serif" font-size="13"><title>${escapeText(title)}</title>${style}${ARROWS}
<rect class="ground" width="100%" height="100%"/>
${text}
</svg>`;
}

function drawBand(band: Band): { height: number; text: string } {
  const { after, before } = band;
  const shown = after ?? before;
  const rows = rowsOf(band);
  const height = Math.max(rows.length, 1) * ROW_HEIGHT + 2 * BAND_MARGIN;
  const middle = height / 2;
  const own = statusOfDatabase(band);
  const lines = shown === null || shown === undefined ? ["not known yet"] : databaseLines(shown);
  const box = drawBox(DATABASE.x, middle - DATABASE.height / 2, DATABASE, own, band.name, lines);
  const parts = rows.map((row, index) => {
    const y = BAND_MARGIN + index * ROW_HEIGHT + ROW_HEIGHT / 2;
    const { now, old, status } = row;
    const node = now ?? old;
    const repository = drawBox(
      REPOSITORY.x,
      y - REPOSITORY.height / 2,
      REPOSITORY,
      status,
      node.name,
      repositoryLines(node),
    );
    return `${drawArrow(middle, y, row)}${repository}`;
  });
  return { height, text: `${parts.join("\n")}\n${box}` };
}

interface Row {
  readonly old: RepositoryNode;
  readonly now: RepositoryNode | undefined;
  readonly status: Status;
  readonly arrow: Status;
  readonly above: string;
  readonly below: string;
}

function rowsOf({ after, before, changes }: Band): Row[] {
  const nodes = new Map<string, { old: RepositoryNode; now: RepositoryNode | undefined }>();
  for (const old of before?.repositories ?? []) nodes.set(old.name, { old, now: undefined });
  for (const now of after?.repositories ?? []) nodes.set(now.name, { old: nodes.get(now.name)?.old ?? now, now });
  return [...nodes.values()]
    .sort((left, right) => left.old.key - right.old.key)
    .map(({ now, old }) => {
      const { name } = old;
      const isNew = before?.repositories.every((repository) => repository.name !== name) ?? before === undefined;
      const own = changes.filter(
        ({ path }) => path === `repositories.${name}` || path.startsWith(`repositories.${name}.`),
      );
      const travelling = changes
        .filter(({ path }) => path === "acknowledge" || /^(schedules|wal)\./.test(path))
        .filter(({ path }) => !/\.repo[0-9]+$/.test(path) || path.endsWith(`.${name}`));
      // If one side is unknown as a whole, additions and removals are uncertain.
      const fixed: Status | null =
        before === null || after === null ? "uncertain" : now === undefined ? "removed" : isNew ? "added" : null;
      const topology = now === undefined ? before : after;
      return {
        old,
        now,
        status: fixed ?? worst(own),
        arrow: fixed ?? worst(travelling),
        above: topology === null || topology === undefined ? "" : travelText(topology, now ?? old),
        below: topology === null || topology === undefined ? "" : keptText(topology, old, now),
      };
    });
}

function statusOfDatabase({ after, before, changes }: Band): Status {
  if (before === undefined) return "added";
  if (after === undefined) return "removed";
  return worst(
    changes.filter(({ path }) => !path.startsWith("repositories.") && !/^(schedules|wal)\..*\.repo[0-9]+$/.test(path)),
  );
}

function worst(changes: readonly Change[]): Status {
  const effects = new Set(
    changes.map(({ acknowledged, effect, uncertain }): Status => {
      if (uncertain) return "uncertain";
      return effect === "weakened" && acknowledged !== undefined ? "acknowledged" : effect;
    }),
  );
  return STRENGTH.find((status) => effects.has(status)) ?? "same";
}

function databaseLines({ databases: [node], objectives }: Topology): string[] {
  if (node === undefined) return [];
  const where =
    node.kind === "host"
      ? `stanza ${valueText(node.stanza)} on a host`
      : `cluster ${valueText(node.cluster)} in ${valueText(node.namespace)}`;
  return [where, `engine ${valueText(node.engine)}`, rpoText(objectives.worstCaseRpoSeconds)];
}

function rpoText(seconds: number | undefined): string {
  return seconds === undefined ? "worst case RPO: not limited" : `worst case RPO ${valueText(seconds)} s`;
}

function repositoryLines({ bucket, encrypted, failureDomain, location, offSite }: RepositoryNode): string[] {
  const locked = bucket?.immutableDays === undefined ? [] : [`locked ${valueText(bucket.immutableDays)} days`];
  const facts = [
    offSite === true ? "off-site" : offSite === false ? "on-site" : "site unknown",
    encrypted ? "encrypted" : "not encrypted",
    ...locked,
  ];
  return [valueText(location), valueText(failureDomain), facts.join(" · ")];
}

/** Always lists WAL, then each backup schedule. Shows the time zone once if all schedules share it. */
function travelText(topology: Topology, { key }: RepositoryNode): string {
  const schedules = topology.schedules.filter((schedule) => schedule.repoKeys.includes(key));
  const zones = [...new Set(schedules.map(({ timeZone }) => valueText(timeZone)))];
  const texts = schedules.map(
    ({ cron, name, suspended, timeZone }) =>
      `${name} ${suspended === true ? "suspended" : `${valueText(cron)}${zones.length > 1 ? ` ${valueText(timeZone)}` : ""}`}`,
  );
  const fulls = repositoriesWithFulls(topology).some((repository) => repository.key === key);
  const by = schedules.length === 0 && fulls ? ["backups by hand"] : [...texts, ...(fulls ? [] : ["no full backup"])];
  return `${["WAL", ...by].join(" · ")}${zones.length === 1 && zones[0] !== "UTC" ? ` (${zones[0] ?? ""})` : ""}`;
}

function keptText({ objectives }: Topology, old: RepositoryNode, now: RepositoryNode | undefined): string {
  const [was, is] = [retentionText(old), retentionText(now ?? old)];
  const keeps = was === is ? is : `${is} (${was.replace("keeps", "kept")})`;
  const rpo =
    objectives.worstCaseRpoSeconds === undefined
      ? "RPO unlimited"
      : `RPO ${valueText(objectives.worstCaseRpoSeconds)} s`;
  const costs = [old, now ?? old].map(({ cost }) =>
    cost === undefined || isHidden(cost.perMonth) ? null : cost.perMonth,
  );
  const [before = null, after = null] = costs;
  const cost =
    before === after
      ? after === null
        ? []
        : [`${costText(after)}/month`]
      : [`${costText(before)} → ${costText(after)}/month`];
  return [keeps, rpo, ...cost].join(" · ");
}

function drawBox(
  x: number,
  y: number,
  size: { readonly width: number; readonly height: number },
  status: Status,
  name: string,
  lines: readonly string[],
): string {
  const mark = MARKS[status];
  const step = lines.length > 2 ? 19 : 21;
  const shown = lines.map((line, index) =>
    drawText(x + 12, y + 41 + index * step - (lines.length > 2 ? 2 : 0), size.width - 24, line, "small"),
  );
  const nameWidth = size.width - 24 - mark.length * CHARACTER_WIDTH;
  return `<g class="${status}"><rect class="box" x="${x}" y="${y}" width="${size.width}" height="${size.height}" rx="8"/>${drawText(x + 12, y + 21, nameWidth, name, "name")}${
    mark === ""
      ? ""
      : `<text class="mark" x="${x + size.width - 12}" y="${y + 21}" text-anchor="end">${escapeText(mark)}</text>`
  }${shown.join("")}</g>`;
}

function drawArrow(from: number, to: number, { above, arrow, below }: Row): string {
  const start = DATABASE.x + DATABASE.width;
  const line = `M${start} ${from}C${start + 50} ${from} ${start + 25} ${to} ${LABEL.x - 4} ${to}H${REPOSITORY.x - 9}`;
  return `<g class="${arrow}"><path class="arrow" d="${line}" marker-end="url(#tip-${arrow})"/>${drawText(LABEL.x, to - 8, LABEL.width, above, "small")}${drawText(LABEL.x, to + 20, LABEL.width, below, "small")}</g>`;
}

function drawText(x: number, y: number, width: number, text: string, name: string): string {
  const most = Math.floor(width / (name === "name" ? CHARACTER_WIDTH * 1.28 : CHARACTER_WIDTH * 0.92));
  const clean = oneLine(text);
  const title = clean.length > most ? `<title>${escapeText(clean)}</title>` : "";
  return `<text class="${name}" x="${x}" y="${y}">${title}${escapeText(clean.length > most ? `${clean.slice(0, most - 1)}…` : clean)}</text>`;
}

/** The picture in words, for readers who do not see it. */
function describe(band: Band): string {
  const rows = rowsOf(band).map(({ above, arrow, below, now, old, status }) => {
    const node = now ?? old;
    const marks = [...new Set([MARKS[status], MARKS[arrow]])]
      .filter((mark) => mark !== "")
      .map((mark) => mark.slice(2));
    return `${node.name}${marks.length === 0 ? "" : ` (${marks.join(", ")})`}: ${above}; ${below}; ${repositoryLines(node).join(", ")}`;
  });
  return `Database ${band.name}. ${rows.join(". ")}`;
}

const STATUSES = Object.keys(MARKS) as Status[];
const ARROWS = `<defs>${STATUSES.map((status) => `<marker id="tip-${status}" class="${status}" viewBox="0 0 10 10" refX="8" refY="5" markerWidth="9" markerHeight="9" markerUnits="userSpaceOnUse" orient="auto"><path class="tip" d="M0 0L10 5L0 10z"/></marker>`).join("")}</defs>`;

/** The page uses the same colours. */
export const PICTURE_STYLE = `${PAGE_COLOURS}.topology .ground{fill:var(--ground)}
.topology text{fill:var(--ink)}
.topology .small{fill:var(--dim);font-size:12px}
.topology .name{font-weight:600;font-size:14px}
.topology .mark{font-weight:600;font-size:12px}
.topology .box{fill:var(--box);stroke:var(--line);stroke-width:1.2}
.topology .arrow{fill:none;stroke:var(--line);stroke-width:1.6}
.topology .tip{fill:var(--line)}
${colours("weakened", "weak")}${colours("removed", "weak")}${colours("acknowledged", "open")}${colours("uncertain", "open")}${colours("strengthened", "strong")}${colours("added", "strong")}
.topology .removed .box,.topology .removed .arrow{stroke-dasharray:6 4}
`;

function colours(status: Status, name: string): string {
  return `.topology .${status} .box,.topology .${status} .arrow{stroke:var(--${name});stroke-width:2}.topology .${status} .mark,.topology .${status} .tip,.topology .${status}>.tip{fill:var(--${name})}\n`;
}
