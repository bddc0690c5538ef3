/**
 * Prepares what tiers need: parts that are fetched while others run, and programs that take minutes to build.
 *
 * The programs (Pulumi CLI, versitygw, fake-gcs-server, those of Kubernetes) are built only for a full run, in sequence
 * in the background while the tiers run. Otherwise tests that need them are skipped, and a loud line says how to get
 * them.
 */
import { buildBarmanPlugin, findBarmanParts, findBarmanPlugin } from "../parts/debian/barmanCloud";
import { findHostParts, HOST_SYSTEMS } from "../parts/debian/debianHost";
import { buildVersitygw, findVersitygw } from "../parts/kubernetes/goTools";
import {
  buildKubernetesProgram,
  fetchKubernetesParts,
  findApiServerParts,
  findKubernetesProgram,
  findLabParts,
  findPodObstacle,
  KUBERNETES_PROGRAMS,
} from "../parts/kubernetes/kubernetesPrograms";
import { findStockPgbackrest, STOCK_VERSIONS } from "../parts/debian/pgbackrest";
import { ensurePostgres, findPostgres } from "../parts/postgres/postgres";
import { sleep } from "../parts/process";
import type { Progress } from "../parts/progress";
import { ensurePulumiCli, findPulumiCli } from "../parts/pulumi/pulumiCli";
import { buildFakeGcs, findFakeGcs } from "../parts/servers/gcsServer";
import { findSshd } from "../parts/servers/sftpServer";
import type { Tier } from "../parts/tiers";
import type { Form } from "./plan";

/**
 * Deadlines of builds since the start. Tests that need a later one are skipped, so that everything ends in 75 minutes.
 * The night has time: with empty caches, beside its tests, the build of Kubernetes takes more than 45.
 */
const BUILD_MINUTES_MAX = { all: 45, nightly: 120 } as const;

/** A slow build: under way, done, or failed with its reason in `note`. */
interface BackgroundBuild {
  readonly name: string;
  state: "pending" | "ready" | "failed";
  note: string;
}

interface BackgroundBuilds {
  readonly versitygw: BackgroundBuild;
  readonly fakeGcs: BackgroundBuild;
  readonly pulumi: BackgroundBuild;
  readonly kubernetes: BackgroundBuild;
}

interface Ready extends BackgroundBuilds {
  readonly progress: Progress;
  /** Resolves when no part is being fetched in the background. */
  readonly parts: Promise<void>;
  readonly hostParts: Promise<void>;
  readonly kubernetesParts: Promise<void>;
  /** On the clock of performance.now(). */
  readonly startedAtMs: number;
  readonly buildMinutesMax: number;
}

/** Starts to fetch and, unless the form is quick, to build what these tiers need. */
export function startParts(tiers: readonly Tier[], form: Form, progress: Progress, startedAtMs: number): Ready {
  const needs = (name: Tier["name"]): boolean => tiers.some((tier) => tier.name === name);
  const pending = (name: string): BackgroundBuild => ({ name, state: "pending", note: "" });
  const builds = {
    versitygw: pending("versitygw"),
    fakeGcs: pending("fake-gcs-server"),
    pulumi: pending("pulumi"),
    kubernetes: pending("Kubernetes"),
  };
  const parts = fetchParts(needs);
  // In sequence, because they would wait for each other's apt lock anyway.
  const hostParts = parts
    .then(async () => void (needs("hosts") && (await findHostParts(HOST_SYSTEMS))))
    .catch(() => undefined);
  const kubernetesParts = needs("kubernetes") ? hostParts.then(fetchKubernetesParts).catch(() => undefined) : hostParts;
  void startBuilds(builds, form !== "quick", needs);
  const buildMinutesMax = BUILD_MINUTES_MAX[form === "nightly" ? form : "all"];
  return { ...builds, progress, parts, hostParts, kubernetesParts, startedAtMs, buildMinutesMax };
}

/**
 * Fetches and unpacks parts of later tiers while the quick ones run; immediate with a filled cache. Failures here
 * recur, and are reported, where the part is used.
 */
async function fetchParts(needs: (name: Tier["name"]) => boolean): Promise<void> {
  const works = [
    ...((["data", "engine", "package"] as const).some(needs) ? [ensurePostgres] : []),
    ...(needs("data")
      ? [
          () => findPostgres(15),
          () => findPostgres(17),
          ...STOCK_VERSIONS.map((version) => () => findStockPgbackrest(version)),
          findSshd,
        ]
      : []),
  ];
  for (const work of works) await work().catch(() => null);
}

/** Starts missing slow builds in sequence (each uses all cores). */
async function startBuilds(
  { versitygw, fakeGcs, pulumi, kubernetes }: BackgroundBuilds,
  all: boolean,
  needs: (name: Tier["name"]) => boolean,
): Promise<void> {
  const one = async (
    target: BackgroundBuild,
    find: () => Promise<unknown>,
    make: (note: (text: string) => void) => Promise<unknown>,
  ): Promise<void> => {
    try {
      if ((await find()) === null) {
        if (!all) throw new Error(`missing; npm test -- --all builds it (needs Go, some minutes on two cores)`);
        await make((text) => {
          target.note = text;
        });
      }
      target.state = "ready";
    } catch (error) {
      target.note = error instanceof Error ? error.message : String(error);
      target.state = "failed";
    }
  };
  if (needs("data")) {
    await one(versitygw, findVersitygw, buildVersitygw);
    await one(fakeGcs, async () => findFakeGcs(), buildFakeGcs);
  }
  if (needs("engine") || needs("package") || needs("hosts")) await one(pulumi, findPulumiCli, ensurePulumiCli);
  if (needs("kubernetes")) await one(kubernetes, findKubernetes, buildKubernetes);
}

async function findKubernetes(): Promise<true | null> {
  return (await wantedBuilds()).every(({ find }) => find() !== null) ? true : null;
}

async function buildKubernetes(note: (text: string) => void): Promise<void> {
  for (const { name, make } of await wantedBuilds()) await make((text) => note(`${name}: ${text}`));
}

interface WantedBuild {
  readonly name: string;
  readonly find: () => string | null;
  readonly make: (note: (text: string) => void) => Promise<string>;
}

/** Without pods only the API server is useful. */
async function wantedBuilds(): Promise<readonly WantedBuild[]> {
  const canRunPods = (await findPodObstacle()) === null;
  const programs = KUBERNETES_PROGRAMS.map((name) => ({
    name,
    find: () => findKubernetesProgram(name),
    make: (note: (text: string) => void) => buildKubernetesProgram(name, note),
  }));
  const barman = { name: "Barman's plugin", find: findBarmanPlugin, make: buildBarmanPlugin };
  return canRunPods ? [...programs, barman] : programs.filter(({ name }) => name === "kube-apiserver");
}

/** Prepares a tier and reports loudly which parts cannot run; returns a text if nothing can. */
export async function makeReady(tier: Tier, ready: Ready): Promise<string | null> {
  if (tier.name === "unit") return null;
  if (tier.name === "kubernetes") return makeKubernetesReady(ready);
  if (tier.name === "hosts") return makeHostsReady(ready);
  try {
    await ready.progress.step("parts fetched beside the unit tests", () => ready.parts);
    await ready.progress.step("PostgreSQL", async (note) => {
      const { version, source } = await ensurePostgres();
      note(`${version} (${source})`);
    });
  } catch (error) {
    return `PostgreSQL cannot be had: ${error instanceof Error ? error.message : String(error)}`;
  }
  if (tier.name === "data") await makeDataReady(ready);
  if (!tier.needsPulumi) return null;
  const missing = await waitForBuild(ready.pulumi, ready);
  if (missing === null)
    await ready.progress.step("Pulumi CLI", async (note) => note((await findPulumiCli())?.version ?? "gone"));
  return missing;
}

async function makeDataReady(ready: Ready): Promise<void> {
  const { progress } = ready;
  await progress.step("PostgreSQL 15", async (note) => {
    const choice = await findPostgres(15);
    note("missing" in choice ? "missing" : `${choice.binaries.version} (${choice.binaries.source})`);
    if ("missing" in choice) progress.loud(`tests with ${choice.missing} are skipped`);
  });
  for (const version of STOCK_VERSIONS) {
    await progress.step(`stock pgbackrest ${version}`, async (note) => {
      const choice = await findStockPgbackrest(version);
      note("missing" in choice ? "missing" : choice.pgbackrest.version);
      if ("missing" in choice) progress.loud(`tests with ${choice.missing}: they are skipped`);
      else if (!choice.pgbackrest.version.startsWith(version))
        progress.loud(`Debian has stock pgbackrest ${choice.pgbackrest.version} instead of ${version}`);
    });
  }
  await progress.step("OpenSSH server", async (note) => {
    const choice = await findSshd();
    note("missing" in choice ? "missing" : "from Debian's package");
    if ("missing" in choice) progress.loud(`tests of SFTP repositories are skipped: ${choice.missing}`);
  });
  for (const build of [ready.versitygw, ready.fakeGcs]) {
    const missing = await waitForBuild(build, ready);
    if (missing !== null) progress.loud(`tests against ${build.name} are skipped: ${missing}`);
  }
}

async function makeHostsReady(ready: Ready): Promise<string | null> {
  await ready.progress.step("trees of Debian hosts", () => ready.hostParts);
  const choice = await findHostParts(HOST_SYSTEMS);
  if ("missing" in choice) return choice.missing;
  const missing = await waitForBuild(ready.pulumi, ready);
  if (missing !== null) ready.progress.loud(`tests of updates on hosts are skipped: ${missing}`);
  return null;
}

/** The API server alone is enough for part of the tier; it is built first. */
async function makeKubernetesReady(ready: Ready): Promise<string | null> {
  await ready.progress.step("parts of Kubernetes", () => ready.kubernetesParts);
  const buildFailure = await waitForBuild(ready.kubernetes, ready);
  const apiServer = await findApiServerParts();
  if ("missing" in apiServer) return buildFailure ?? apiServer.missing;
  const lab = await findLabParts();
  if ("missing" in lab)
    ready.progress.loud(`tests with pods of Kubernetes are skipped: ${buildFailure ?? lab.missing}`);
  const barman = await findBarmanParts();
  if (!("missing" in lab) && "missing" in barman)
    ready.progress.loud(`tests with Barman's plugin are skipped: ${buildFailure ?? barman.missing}`);
  return null;
}

async function waitForBuild(target: BackgroundBuild, ready: Ready): Promise<string | null> {
  if (target.state === "pending") {
    await ready.progress.step(`wait for the build of ${target.name}`, async (note) => {
      while (target.state === "pending" && performance.now() < ready.startedAtMs + ready.buildMinutesMax * 60_000) {
        note(target.note);
        await sleep(500);
      }
    });
  }
  if (target.state === "pending")
    return `the build of ${target.name} was not ready in ${ready.buildMinutesMax} minutes`;
  return target.state === "ready" ? null : `${target.name}: ${target.note}`;
}
