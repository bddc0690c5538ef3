/**
 * A search: what `status` says is what recovery gives, on a real server. Random lives with a ledger of commits; at each
 * stop one way to get the data back is tried: `recover` in a copy of the world, `restore` on another machine from all
 * repositories or one, to a moment, `drill`, `open`. Each gives exactly the ledger's rows, or `status` is not 0. The
 * commands that its hints name end its troubles.
 *
 * `PGBACKSTOP_LIFE_DAYS` is the number of steps for each major version, `PGBACKSTOP_SEED` repeats a run.
 */
// claim: docs/hosts/recover.md: a default recovery follows this server's own history, or asks
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { skipped } from "../../harness/real/interopParts";
import { fuseMissing, OpenedBackup } from "../../harness/real/openedBackup";
import { isOpen, RealLife, ROWS } from "../../harness/real/realLife";
import { atNight, NIGHTLY } from "../../../tools/parts/nightly";
import { findWholePostgres } from "../../../tools/parts/postgres/postgres";

const DAYS = Number(process.env["PGBACKSTOP_LIFE_DAYS"] ?? (NIGHTLY ? 24 : 12));
const SEED = Number(process.env["PGBACKSTOP_SEED"] ?? 1);
/** Losses end a life soon: a new one begins then. */
const LIFE_DAYS = 12;
const STEP_MS = 120_000;

type Verb = "archive" | "backup" | "copy" | "crash" | "expire" | "failOver" | "goBack" | "loseInfo" | "loseWal";
type Harm = "bypass" | "damage" | "die" | "halt";
type Step = Verb | Harm | "putBack" | "recoverToEnd" | "stopCopy" | "toggle" | "undo" | "writeCopy";

const STEPS: readonly Step[] = [
  ...(["archive", "archive", "archive", "backup", "backup", "backup", "crash", "expire", "toggle", "toggle"] as const),
  ...(["goBack", "goBack", "undo", "undo", "recoverToEnd", "failOver", "copy", "writeCopy", "stopCopy"] as const),
  ...(["putBack", "putBack", "loseWal", "loseInfo", "bypass", "damage", "die", "die", "halt"] as const),
];

interface Trouble {
  readonly code: string;
  readonly hints: readonly string[];
  readonly message: string;
}

interface Status {
  readonly ok: boolean;
  readonly repos: readonly {
    readonly key: number;
    readonly recoverableFrom: number | null;
    readonly troubles: readonly Trouble[];
  }[];
  readonly troubles: readonly Trouble[];
}

interface Stop {
  readonly life: RealLife;
  readonly here: Status;
  readonly elsewhere: Status;
  /** Adds a finding. */
  say(text: string): void;
}

async function statusOf(life: RealLife, config?: string): Promise<Status> {
  const options = config === undefined ? {} : { config };
  const { exitCode, stderr, stdout } = await life.bed.ours(["status", "--output=json"], options);
  const status = JSON.parse(stdout) as Status;
  expect(exitCode, stderr).toBe(status.ok ? 0 : 104);
  return status;
}

function troublesOf({ repos, troubles }: Status): Trouble[] {
  return [...troubles, ...repos.flatMap((repo) => repo.troubles)];
}

/**
 * The commands that the hints of `status` name, in their order. Each trouble ends with them, unless a hint says that a
 * file must come back.
 */
async function obey(life: RealLife, status: Status): Promise<string[]> {
  const ran: string[] = [];
  const troubles = troublesOf(status);
  for (const command of new Set(troubles.flatMap(({ hints }) => hints.flatMap(commandsIn)))) {
    const { exitCode } = await life.bed.ours(command.split(" "));
    ran.push(`${command}: ${exitCode}`);
  }
  await life.archive();
  life.age();
  const left = troublesOf(await statusOf(life)).map(({ message }) => message);
  return troubles.flatMap(({ code, hints, message }) =>
    left.includes(message) && hints.some((hint) => commandsIn(hint).length > 0)
      ? [`[${code}] ${message} (after ${ran.join("; ")})`]
      : [],
  );
}

function commandsIn(hint: string): string[] {
  return [...hint.matchAll(/pgbackstop ((?:backup|heal|start|verify)(?: --[a-z-]+=[^ .,;]+)*)/g)].map(
    ([, command = ""]) => command,
  );
}

/** What rows from another machine are wrong; null if they are the ledger's up to what is stored. */
function faultOf(life: RealLife, rows: string): string | null {
  const count = life.countOf(rows);
  if (count === null) return `foreign rows: ${rows} instead of ${life.rowsOf(life.total)}`;
  return count < life.storedCount ? `${count} of ${life.storedCount} stored commits` : null;
}

const TRIALS: readonly ((stop: Stop) => Promise<void>)[] = [
  recovers,
  restores,
  restoresOne,
  restoresMoment,
  drills,
  opens,
];

/** On the host: the plan keeps its word, and no commit is missing. */
async function recovers({ here, life, say }: Stop): Promise<void> {
  await life.inCopy(async () => {
    const planned = await life.bed.ours(["recover", "--dry-run"]);
    const recovered = await life.bed.ours(["recover", "--yes"]);
    const { exitCode, stderr, stdout } = recovered;
    const text = `${stdout}${stderr}`.split("\n").slice(-40).join("\n");
    if ((planned.exitCode === 0) !== isOpen(recovered))
      say(`recover: the plan ends with ${planned.exitCode}, and the recovery with ${exitCode}: ${text}`);
    if (!isOpen(recovered)) return here.ok ? say(`recover: ${exitCode} where status is well: ${text}`) : undefined;
    const rows = await life.rows();
    if (life.countOf(rows) === null) say(`recover gives foreign rows: ${rows} instead of ${life.rowsOf(life.total)}`);
    else if (here.ok && rows !== life.rowsOf(life.total)) say(`recover gives ${rows} of ${life.rowsOf(life.total)}`);
  });
}

async function restores({ elsewhere, life, say }: Stop): Promise<void> {
  const { exitCode, text } = await life.restored([]);
  const fault = exitCode === 0 ? faultOf(life, text) : text;
  if (fault === null || life.isMistakable) return;
  if (elsewhere.ok) say(`restore where status is well: ${fault}`);
  else if (exitCode === 0 && life.countOf(text) === null && !life.isHurt) say(`restore: ${fault}`);
}

async function restoresOne({ elsewhere, life, say }: Stop): Promise<void> {
  const key = 1 + life.draw(2);
  const { exitCode, text } = await life.restored([`--repo=${key}`]);
  const fault = exitCode === 0 ? faultOf(life, text) : text;
  if (fault !== null && !life.isMistakable && elsewhere.ok)
    say(`restore from repo${key} where status is well: ${fault}`);
}

/** A moment inside of a window is reached exactly; one before each window is refused, and gives no wrong rows. */
async function restoresMoment({ elsewhere, life, say }: Stop): Promise<void> {
  // The last stored commit ends no replay: PostgreSQL stops at the next one.
  if (life.storedCount < 2 || life.hasCopies) return;
  const count = 1 + life.draw(life.storedCount - 1);
  const target = life.commits[count - 1]?.time ?? "";
  const { exitCode, text } = await life.restored(["--type=time", `--target=${target}`, "--target-action=promote"]);
  const from = Math.min(...elsewhere.repos.map(({ recoverableFrom }) => recoverableFrom ?? Number.POSITIVE_INFINITY));
  const targetS = Date.parse(target.replace(" ", "T").replace(/([+-]\d\d)$/, "$1:00")) / 1000;
  if (exitCode === 0 && text !== life.rowsOf(count)) say(`moment ${target}: ${text} instead of ${life.rowsOf(count)}`);
  if (exitCode !== 0 && elsewhere.ok && targetS > from + 1) say(`moment ${target} in the window from ${from}: ${text}`);
  if (exitCode === 0 && elsewhere.ok && targetS < from - 1) say(`moment ${target} before the window from ${from}`);
}

async function drills({ here, life, say }: Stop): Promise<void> {
  const { bed } = life;
  const sql = `SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') = '${life.rowsOf(life.total)}' FROM kept`;
  const config = bed.variant("drilled", {
    settings: { drill: life.storedCount === life.total ? { assertions: [{ name: "all rows", sql }] } : {} },
  });
  const key = 1 + life.draw(2);
  const args = [
    "drill",
    `--repo=${key}`,
    "--pick=newest",
    "--level=quick",
    `--bin-path=${bed.cluster.binaries.folder}`,
  ];
  const { exitCode, stderr, stdout } = await bed.ours(args, { config });
  if (exitCode !== 0 && here.ok) say(`drill of repo${key}: ${exitCode} where status is well: ${stdout}${stderr}`);
}

async function opens({ here, life, say }: Stop): Promise<void> {
  if (fuseMissing() !== null) return;
  const opened = new OpenedBackup(life.bed, `opened${life.steps.length}`);
  const { exitCode, stderr, stdout } = await opened.run(["open", `--bin-path=${life.bed.cluster.binaries.folder}`]);
  try {
    if (exitCode !== 0) return here.ok ? say(`open: ${exitCode} where status is well: ${stdout}${stderr}`) : undefined;
    const rows = await opened.value(ROWS);
    const fault = faultOf(life, rows);
    if (fault !== null && (here.ok || life.countOf(rows) === null)) say(`open: ${fault}`);
  } finally {
    await opened.run(["close"]);
  }
}

describe.each(atNight(18, 17, 16, 15, 14))("lives of PostgreSQL %i", async (major) => {
  const result = await findWholePostgres(major);
  if ("missing" in result) return void skipped(`lives of PostgreSQL ${major}`, result.missing);
  const { binaries } = result;
  const tally = new Map<string, number>();
  let life: RealLife | null = null;
  afterEach(async () => {
    await life?.end();
    life = null;
  });
  afterAll(() => {
    const counts = [...tally].sort().map(([name, count]) => `${name} ${count}`);
    process.stderr.write(`lives of PostgreSQL ${major}, seed ${SEED}: ${counts.join(", ")}\n`);
  });

  test.each(Array.from({ length: Math.ceil(DAYS / LIFE_DAYS) }, (_, index) => index))(
    "life %i: what status says is what recovery gives",
    async (number) => {
      const lived = await RealLife.begin(binaries, SEED * 1000 + major * 100 + number);
      life = lived;
      const findings: string[] = [];
      for (let day = 0; day < LIFE_DAYS && findings.length === 0; day++) {
        const written = await lived.write().then(() => null, String);
        const step = STEPS[lived.draw(STEPS.length)] ?? "archive";
        lived.steps.push(step);
        const failure =
          written ??
          (await Promise.resolve()
            .then(() => lived[step]())
            .then(() => null, String));
        if (failure !== null) findings.push(`day ${day}, ${step}: ${failure}\nsteps: ${lived.steps.join("; ")}`);
        if (failure !== null || lived.isOver) break;
        lived.age();
        const [here, elsewhere] = [await statusOf(lived), await statusOf(lived, lived.elsewhere)];
        const trial = TRIALS[lived.draw(TRIALS.length)] ?? restores;
        for (const name of [step, trial.name, here.ok ? "well" : "not well"])
          tally.set(name, (tally.get(name) ?? 0) + 1);
        const say = (text: string): void => {
          const shown = JSON.stringify([here, elsewhere].map(troublesOf));
          findings.push(`day ${day}, ${trial.name}: ${text}\nsteps: ${lived.steps.join("; ")}\nstatus: ${shown}`);
        };
        if (
          !here.ok &&
          lived.isCalm &&
          !lived.isHurt &&
          !lived.hasCopies &&
          lived.storedCount > 0 &&
          step === "archive"
        )
          say("nothing is wrong, and status is not well");
        await trial({ life: lived, here, elsewhere, say });
        if (here.ok || !lived.isCalm || lived.hasCopies || lived.draw(2) === 0) continue;
        tally.set("obeyed", (tally.get("obeyed") ?? 0) + 1);
        lived.steps.push("obey");
        for (const text of await obey(lived, here)) say(`the hints do not end a trouble: ${text}`);
      }
      // A search takes long: what it found is shown at once.
      for (const finding of findings) process.stderr.write(`life ${number} of PostgreSQL ${major}: ${finding}\n`);
      expect(findings).toEqual([]);
    },
    LIFE_DAYS * STEP_MS,
  );
});
