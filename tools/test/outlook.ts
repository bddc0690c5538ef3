/** What a run of tests will do and how long it takes, said before it begins. */
import { readdirSync } from "node:fs";
import { sharedCacheFolder } from "../parts/cache";
import { findVersitygw } from "../parts/kubernetes/goTools";
import { findKubernetesProgram, findPodObstacle, KUBERNETES_PROGRAMS } from "../parts/kubernetes/kubernetesPrograms";
import { formatTable } from "../parts/progress";
import { findPulumiCli } from "../parts/pulumi/pulumiCli";
import type { Tier } from "../parts/tiers";
import type { Form } from "./plan";

/** Minutes on two idle cores with warm caches, as CONTRIBUTING.md states them. */
export const TIER_MINUTES: Readonly<Record<Tier["name"], number>> = {
  unit: 7,
  data: 11,
  package: 3,
  hosts: 6,
  kubernetes: 5,
  engine: 7,
};
export const RUN_MINUTES = { quick: 6, all: 19 } as const;
const TREES_MINUTES = 6;
const KUBERNETES_MINUTES = 9;
const PULUMI_MINUTES = 5;
const VERSITYGW_MINUTES = 2;

/** What a look at this machine shows, without fetching or building. */
export interface Machine {
  /** Why it cannot run booted hosts and pods, or null. */
  readonly obstacle: string | null;
  readonly hasHostTrees: boolean;
  readonly hasApiServer: boolean;
  readonly hasKubernetes: boolean;
  readonly hasPulumi: boolean;
  readonly hasVersitygw: boolean;
}

export async function lookAtMachine(): Promise<Machine> {
  return {
    obstacle: await findPodObstacle(),
    hasHostTrees: readdirSync(sharedCacheFolder()).some((name) => name.startsWith("host-")),
    hasApiServer: findKubernetesProgram("kube-apiserver") !== null,
    hasKubernetes: KUBERNETES_PROGRAMS.every((name) => findKubernetesProgram(name) !== null),
    hasPulumi: (await findPulumiCli()) !== null,
    hasVersitygw: (await findVersitygw()) !== null,
  };
}

export interface TierFiles {
  readonly tier: Pick<Tier, "name" | "about" | "needsPulumi">;
  readonly files: number;
}

/** @param run quick: a few files may represent a tier; whole: no tier is named */
export function describeRun(
  tiers: readonly TierFiles[],
  run: { readonly form: Form; readonly quick: boolean; readonly whole: boolean },
  machine: Machine,
): string {
  const rows = tiers
    .filter(({ files }) => files > 0)
    .map(({ tier, files }) => [
      tier.name,
      `${files} ${files === 1 ? "file" : "files"}`,
      noteOf(tier, run.form, machine) ?? tier.about,
    ]);
  return `${timeOf(tiers, run)}\n${formatTable(rows, [1])}\n`;
}

function timeOf(tiers: readonly TierFiles[], { form, quick, whole }: Parameters<typeof describeRun>[1]): string {
  const condition = "on two idle cores with warm caches";
  if (quick) return `a few files of most tiers, about ${RUN_MINUTES.quick} minutes ${condition}:`;
  if (form === "nightly") return "also what repeats a kind, up to some hours:";
  if (whole) return `every kind of test once, about ${RUN_MINUTES.all} minutes ${condition}:`;
  const minutes = tiers.reduce((sum, { tier }) => sum + TIER_MINUTES[tier.name], 0);
  return `at most ${minutes} minutes ${condition}:`;
}

/** What keeps a tier from running as a whole, or what it makes first. */
function noteOf({ name, needsPulumi }: TierFiles["tier"], form: Form, machine: Machine): string | null {
  const { obstacle, hasHostTrees, hasApiServer, hasKubernetes, hasPulumi, hasVersitygw } = machine;
  if (needsPulumi && !hasPulumi)
    return form === "quick"
      ? "skipped: there is no Pulumi CLI; npm test -- --all installs or builds it"
      : `first installs Pulumi's CLI, or builds it, once: about ${PULUMI_MINUTES} minutes of one core`;
  if (name === "data" && !hasVersitygw)
    return form === "quick"
      ? "without versitygw, a strict S3 server: npm test -- --all builds it"
      : `first builds versitygw, once: about ${VERSITYGW_MINUTES} minutes of one core`;
  if (name === "hosts") {
    if (obstacle !== null) return `skipped: ${obstacle.replace(/^pods/, "hosts")}`;
    return hasHostTrees ? null : `first makes the Debian systems that it boots, once: about ${TREES_MINUTES} minutes`;
  }
  if (name !== "kubernetes") return null;
  if (!hasApiServer && form === "quick") return "skipped: kube-apiserver is not built; npm test -- --all builds it";
  if (obstacle !== null) return `only what needs no pods: ${obstacle}`;
  if (hasKubernetes) return null;
  return form === "quick"
    ? "only what needs no pods: not all programs are built; npm test -- --all builds them"
    : `first builds Kubernetes' programs, once: about ${KUBERNETES_MINUTES} minutes of one core`;
}
