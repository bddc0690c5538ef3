/**
 * The programs of a Kubernetes control plane and of CloudNativePG for tests. kube-apiserver, the operator (also the
 * instance manager) and kube-controller-manager are built from tools/kubernetes/go.mod; etcd, kubectl and the pods'
 * files are Debian's.
 *
 * The cache key of a built program is a hash of its go.mod and go.sum, so programs of other modules never match.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fetchBarmanPrograms } from "../debian/barmanCloud";
import { cacheFolder, projectFolder } from "../cache";
import { debianProgram, type Missing, unpackDebian } from "../debian/debian";
import { buildGoProgram, type GoBuild, pinnedVersion } from "./goTools";
import { findManifests, type Manifests } from "./kubernetesManifests";
import { findNamespaceObstacle } from "../namespaces";

/** In build order: the first one alone is enough for tests of objects. */
export const KUBERNETES_PROGRAMS = ["kube-apiserver", "manager", "kube-controller-manager"] as const;
export type KubernetesProgram = (typeof KUBERNETES_PROGRAMS)[number];

/** For an API server, which accepts and checks objects while nothing acts on them. */
export interface ApiServerParts {
  readonly etcd: string;
  readonly kubectl: string;
  readonly kubeApiserver: string;
  readonly manifests: Manifests;
}

/** Additional needs of CloudNativePG's pods. */
export interface LabParts extends ApiServerParts {
  readonly kubeControllerManager: string;
  /** CloudNativePG's operator and instance manager. */
  readonly manager: string;
  /** Files of every pod: Debian with {@link POD_POSTGRES_MAJOR PostgreSQL}. */
  readonly podRoot: string;
}

/** The PostgreSQL in the pods. */
export const POD_POSTGRES_MAJOR = 18;

const MODULE_FOLDER = "tools/kubernetes";
const KUBERNETES = "k8s.io/kubernetes";
const CLOUDNATIVE_PG = "github.com/cloudnative-pg/cloudnative-pg";
const COMMANDS: Readonly<Record<KubernetesProgram, string>> = {
  "kube-apiserver": `${KUBERNETES}/cmd/kube-apiserver`,
  manager: `${CLOUDNATIVE_PG}/cmd/manager`,
  "kube-controller-manager": `${KUBERNETES}/cmd/kube-controller-manager`,
};
/** Packages whose files the pods see, with their libraries. */
const POD_PACKAGES = [
  `postgresql-${POD_POSTGRES_MAJOR}`,
  `postgresql-client-${POD_POSTGRES_MAJOR}`,
  "base-files",
  "bash",
  "coreutils",
  "dash",
  "findutils",
  "grep",
  "gzip",
  "hostname",
  "libatomic1",
  "libc-bin",
  "libgcc-s1",
  "libstdc++6",
  "procps",
  "sed",
  "tar",
  "tzdata",
  "util-linux",
];

/** A built program, or null. */
export function findKubernetesProgram(name: KubernetesProgram): string | null {
  const file = join(buildOf(name).target, name);
  return existsSync(file) ? file : null;
}

/**
 * Builds a program into the cache if it is missing.
 * @throws Error without Go, or with the end of the compiler's output
 */
export function buildKubernetesProgram(
  name: KubernetesProgram,
  note: (text: string) => void = () => {},
): Promise<string> {
  return buildGoProgram(buildOf(name), note);
}

/** Everything for an API server, or what this machine lacks; builds nothing. */
export async function findApiServerParts(): Promise<ApiServerParts | Missing> {
  const kubeApiserver = findKubernetesProgram("kube-apiserver");
  if (kubeApiserver === null) return notBuilt("kube-apiserver");
  const manifests = await findManifests();
  if ("missing" in manifests) return manifests;
  const etcd = await programOfSid("etcd-server", "etcd");
  if (typeof etcd !== "string") return etcd;
  const kubectl = await programOfSid("kubectl", "kubectl");
  if (typeof kubectl !== "string") return kubectl;
  return { etcd, kubectl, kubeApiserver, manifests };
}

/** Everything for pods, or what this machine lacks; builds nothing. */
export async function findLabParts(): Promise<LabParts | Missing> {
  const obstacle = await findPodObstacle();
  if (obstacle !== null) return { missing: obstacle };
  const manager = findKubernetesProgram("manager");
  const kubeControllerManager = findKubernetesProgram("kube-controller-manager");
  const parts = await findApiServerParts();
  if ("missing" in parts) return parts;
  if (manager === null) return notBuilt("manager");
  if (kubeControllerManager === null) return notBuilt("kube-controller-manager");
  const podRoot = await findPodRoot();
  return "missing" in podRoot ? podRoot : { ...parts, manager, kubeControllerManager, podRoot: podRoot.folder };
}

/**
 * Fetches everything that needs no build, so that it is ready when the builds are. The `find…` functions report
 * failures.
 */
export async function fetchKubernetesParts(): Promise<void> {
  await findManifests();
  await programOfSid("etcd-server", "etcd");
  await programOfSid("kubectl", "kubectl");
  await findPodRoot();
  await findFormerPostgres();
  await fetchBarmanPrograms();
}

/** The files of every pod: unpacked, not installed; no package script has run. */
async function findPodRoot(): Promise<{ readonly folder: string } | Missing> {
  const key = createHash("sha256").update(POD_PACKAGES.join(" ")).digest("hex").slice(0, 8);
  return unpackDebian({ entry: `pod-root-${key}`, suite: "sid", packages: POD_PACKAGES, programs: [] });
}

/** A PostgreSQL that pods can be upgraded from. */
export interface FormerPostgres {
  readonly major: number;
  /** Root of its files; its programs find their libraries by this path. */
  readonly tree: string;
}

const FORMER_POSTGRES_MAJOR = 17;
const FORMER_PROGRAMS = [
  "initdb",
  "pg_basebackup",
  "pg_config",
  "pg_controldata",
  "pg_ctl",
  "pg_isready",
  "pg_resetwal",
  "pg_rewind",
  "postgres",
  "psql",
];

export async function findFormerPostgres(): Promise<FormerPostgres | Missing> {
  const major = FORMER_POSTGRES_MAJOR;
  const bin = `usr/lib/postgresql/${major}/bin`;
  const unpacked = await unpackDebian({
    entry: `pod-postgresql-${major}`,
    suite: "trixie",
    packages: [`postgresql-${major}`, `postgresql-client-${major}`],
    programs: FORMER_PROGRAMS.map((name) => `${bin}/${name}`),
    drop: [`usr/lib/postgresql/${major}/lib/llvmjit.so`],
  });
  return "missing" in unpacked ? unpacked : { major, tree: unpacked.folder };
}

function programOfSid(packageName: string, program: string): Promise<string | Missing> {
  return debianProgram(`usr/bin/${program}`, { entry: `${program}-sid`, suite: "sid", packages: [packageName] });
}

/** Why this process cannot run pods on this machine (namespaces, mounts), or null. */
export function findPodObstacle(): Promise<string | null> {
  return findNamespaceObstacle("pods need");
}

function notBuilt(name: KubernetesProgram): Missing {
  return { missing: `${name} is not built: npm test -- --all builds it (needs Go)` };
}

function buildOf(name: KubernetesProgram): GoBuild {
  const moduleFolder = join(projectFolder(), MODULE_FOLDER);
  const kubernetes = pinnedVersion(KUBERNETES, MODULE_FOLDER);
  const [, major = "", minor = ""] = /^v(\d+)\.(\d+)/.exec(kubernetes) ?? [];
  const operator = pinnedVersion(CLOUDNATIVE_PG, MODULE_FOLDER).replace(/^v/, "");
  const version = name === "manager" ? operator : kubernetes.replace(/^v/, "");
  const key = createHash("sha256");
  for (const file of ["go.mod", "go.sum"]) key.update(readFileSync(join(moduleFolder, file)));
  const settings = {
    "k8s.io/component-base/version.gitVersion": kubernetes,
    "k8s.io/component-base/version.gitMajor": major,
    "k8s.io/component-base/version.gitMinor": minor,
    [`${CLOUDNATIVE_PG}/pkg/versions.buildVersion`]: operator,
  };
  return {
    name,
    moduleFolder,
    command: COMMANDS[name],
    linkFlags: `-s -w ${Object.entries(settings)
      .map(([variable, value]) => `-X ${variable}=${value}`)
      .join(" ")}`,
    target: join(
      cacheFolder(),
      `${name === "manager" ? "cnpg-manager" : name}-${version}-${key.digest("hex").slice(0, 12)}`,
    ),
    // Pods have another Debian's files, so the manager must not need this one's libraries.
    env: { CGO_ENABLED: "0" },
  };
}
