/** Alerts on fire drills: missed, failed, or beyond the objectives. Pure. */
import { drilledRepositories, isAttack } from "../schedule/declaredDrills";
import { longestGapMinutes } from "../schedule/schedule";
import type { Topology } from "../topology/topology";
import { type AlertRule, durationText, type Writer } from "./rule";

/** Drills are rare and slow: a day, or a tenth of their interval. */
const DRILL_GRACE_S = 86_400;

/**
 * Each repository separately: in turn, each one waits longer the more there are. With several drills the most frequent
 * one counts.
 */
export function drillRules(writer: Writer, { drills, repositories }: Topology): AlertRule[] {
  return [
    ...rulesOf(writer, { drills: drills.filter((drill) => !isAttack(drill)), repositories }, FIRE),
    ...rulesOf(writer, { drills: drills.filter(isAttack), repositories }, ATTACKS),
  ];
}

/** Texts of the rules about one kind of drills. */
interface DrillTexts {
  readonly metric: string;
  readonly alert: string;
  readonly title: string;
  readonly tooOld: string;
  readonly failed: string;
}

const FIRE: DrillTexts = {
  metric: "pgbackstop_drill",
  alert: "PgbackstopDrill",
  title: "fire drill",
  tooOld: "A backup that was never restored is a hope: pgbackstop drill makes one now.",
  failed: "What was declared to be restorable was not: the record of the drill says where it ended.",
};
const ATTACKS: DrillTexts = {
  metric: "pgbackstop_attack_drill",
  alert: "PgbackstopAttackDrill",
  title: "attack drill",
  tooOld: "Nothing shows that the bucket survives a stolen key: pgbackstop drill --pick=attack tries it now.",
  failed: "A thief of the key could destroy backups there: the record of the drill says how.",
};

function rulesOf(
  writer: Writer,
  { drills, repositories }: Pick<Topology, "drills" | "repositories">,
  texts: DrillTexts,
): AlertRule[] {
  return repositories.flatMap(({ key, name }) => {
    const own = drills.filter((drill) => drilledRepositories(drill, repositories).includes(name));
    const gaps = own.flatMap((drill) => {
      const gapMinutes = longestGapMinutes([drill]);
      return gapMinutes === null ? [] : [gapMinutes * drilledRepositories(drill, repositories).length];
    });
    return gaps.length === 0
      ? []
      : repositoryRules(writerOf(own, writer).about({ repo_key: String(key) }), `repo${key}`, Math.min(...gaps), texts);
  });
}

/** Results are exported where the drill runs: a selector of the database's own series would match none. */
function writerOf(drills: Topology["drills"], writer: Writer): Writer {
  return drills.every(({ elsewhere }) => elsewhere === true) ? writer.elsewhere() : writer;
}

function repositoryRules(
  own: Writer,
  repo: string,
  gapMinutes: number,
  { alert, failed, metric: prefix, title, tooOld }: DrillTexts,
): AlertRule[] {
  const limitS = gapMinutes * 60 + Math.max(DRILL_GRACE_S, Math.round(gapMinutes * 6));
  const metric = `${prefix}_success_timestamp_seconds`;
  return [
    own.warning(
      `${alert}TooOld`,
      "1h",
      `time() - ${own.series(metric)} > ${limitS}`,
      `no ${title} of ${repo} has passed for ${durationText(limitS)}`,
      tooOld,
    ),
    own.warning(
      `${alert}Missing`,
      `${Math.ceil(limitS / 3600)}h`,
      `absent(${own.raw(metric)})`,
      `no ${title} of ${repo} has ever passed`,
      "Its schedule is declared, but there is no result.",
    ),
    own.critical(
      `${alert}Failed`,
      "0m",
      `${own.series(`${prefix}_ok`)} == 0`,
      `the ${title} of repo{{ $labels.repo_key }} failed`,
      failed,
    ),
  ];
}

/** Only drills measure these, so objectives without a drill get no alert. */
export function objectiveRules(declared: Writer, { drills, objectives }: Topology): AlertRule[] {
  const measuring = drills.filter((drill) => !isAttack(drill));
  if (measuring.length === 0) return [];
  const writer = writerOf(measuring, declared);
  const { pitrRtoMinutes, rpoSeconds } = objectives;
  // The metric does not tell which of the two a drill measured. A drill that misses its own objective fails, which
  // PgbackstopDrillFailed reports.
  const rtoMinutes =
    pitrRtoMinutes === undefined ? objectives.rtoMinutes : Math.max(pitrRtoMinutes, objectives.rtoMinutes ?? 0);
  return [
    ...(rtoMinutes === undefined
      ? []
      : [
          writer.warning(
            "PgbackstopRtoMissed",
            "0m",
            `${writer.series("pgbackstop_drill_rto_seconds")} > ${rtoMinutes * 60}`,
            `the last restore of repo{{ $labels.repo_key }} took {{ $value | humanizeDuration }}`,
            `The objective is ${rtoMinutes} minutes.`,
          ),
        ]),
    ...(rpoSeconds === undefined
      ? []
      : [
          writer.warning(
            "PgbackstopRpoMissed",
            "0m",
            `${writer.series("pgbackstop_drill_rpo_seconds")} > ${rpoSeconds}`,
            `the last restore of repo{{ $labels.repo_key }} lost {{ $value | humanizeDuration }}`,
            `The objective is ${rpoSeconds} seconds.`,
          ),
        ]),
  ];
}
