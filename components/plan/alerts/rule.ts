/** Builds the alert rules of one database: matchers, labels and texts. Pure. */
import type { DatabaseNode } from "../topology/topology";

export interface AlertOptions {
  /** Further matchers of every series, `instance="db1:9100"`, for two hosts with the same stanza name. */
  readonly selector?: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** URL of the troubleshooting guide; `#` and the alert's name in lower case are appended. */
  readonly runbookUrl?: string;
  /**
   * Limit of one repository.
   * @default `objectives.maxRepositoryGB`, else 1.5 times the estimate if the topology has
   * `sizing`
   */
  readonly repositoryBytesMax?: number;
}

export interface AlertRule {
  readonly alert: string;
  readonly expr: string;
  /** `10m` */
  readonly for: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface AlertGroup {
  readonly name: string;
  readonly rules: readonly AlertRule[];
}

type Severity = "critical" | "warning" | "info";

type RuleTexts = readonly [alert: string, wait: string, expr: string, summary: string, description: string];

/** Makes rules with one database's matchers and labels, and the twin of each series. */
export class Writer {
  readonly database: DatabaseNode;
  readonly #options: AlertOptions;
  readonly #matchers: string;
  readonly #about: Readonly<Record<string, string>>;
  readonly #isElsewhere: boolean;

  constructor(
    database: DatabaseNode,
    options: AlertOptions,
    about: Readonly<Record<string, string>> = {},
    isElsewhere = false,
  ) {
    this.database = database;
    this.#options = options;
    this.#about = about;
    this.#isElsewhere = isElsewhere;
    const namespace = database.kind === "cnpg" ? [matcher("namespace", database.namespace ?? "")] : [];
    const selector = options.selector ? [options.selector] : [];
    this.#matchers = [matcher("stanza", database.stanza), ...(isElsewhere ? [] : [...namespace, ...selector])].join(
      ",",
    );
  }

  get options(): AlertOptions {
    return this.#options;
  }

  /** A writer whose rules have these labels even if their series vanish. */
  about(labels: Readonly<Record<string, string>>): Writer {
    return new Writer(this.database, this.#options, labels, this.#isElsewhere);
  }

  /** A writer for series of another machine, which has only the stanza in common with the database. */
  elsewhere(): Writer {
    return new Writer(this.database, this.#options, this.#about, true);
  }

  /** The series; in a cluster the best value of its pods. */
  series(metric: string, best: "max" | "min" = "max"): string {
    return this.#ofPods(this.raw(metric), best);
  }

  /** How much a counter has grown within a time as `6h`; in a cluster in the pod where it grew most. */
  growth(metric: string, within: string): string {
    return this.#ofPods(`increase(${this.raw(metric)}[${within}])`, "max");
  }

  #ofPods(text: string, best: "max" | "min"): string {
    return this.database.kind === "cnpg" ? `${best} without (pod, instance, endpoint, container, job) (${text})` : text;
  }

  raw(metric: string): string {
    return `${metric}{${[this.#matchers, ...Object.entries(this.#about).map(([name, value]) => matcher(name, value))].join(",")}}`;
  }

  critical(...texts: RuleTexts): AlertRule {
    return this.rule("critical", ...texts);
  }

  warning(...texts: RuleTexts): AlertRule {
    return this.rule("warning", ...texts);
  }

  rule(severity: Severity, ...[alert, wait, expr, summary, description]: RuleTexts): AlertRule {
    const { labels = {}, runbookUrl } = this.#options;
    const { name, stanza } = this.database;
    const own = isAbsence(expr) ? { stanza } : {};
    return {
      alert,
      expr,
      for: wait,
      labels: { severity, database: name, ...own, ...this.#about, ...labels },
      annotations: {
        summary: `${name}: ${summary}`,
        description,
        ...(runbookUrl === undefined ? {} : { runbook_url: `${runbookUrl}#${alert.toLowerCase()}` }),
      },
    };
  }
}

function isAbsence(expr: string): boolean {
  return expr.startsWith("absent(");
}

function matcher(name: string, value: string): string {
  return `${name}=${JSON.stringify(value)}`;
}

/** `25 hours`, `90 minutes`, `8 days`: exact. */
export function durationText(seconds: number): string {
  const units: readonly [number, string][] = [
    [86_400, "day"],
    [3600, "hour"],
    [60, "minute"],
  ];
  const [size, name] = units.find(([unit]) => seconds >= 2 * unit && seconds % unit === 0) ?? [1, "second"];
  return `${seconds / size} ${name}${seconds === size ? "" : "s"}`;
}
