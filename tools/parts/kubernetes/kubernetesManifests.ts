/**
 * Manifests of other projects from their Go modules: CloudNativePG's operator and Barman's plugin with their custom
 * resource definitions (CRDs), and the definitions of the External Secrets Operator, of snapshots and of Prometheus.
 *
 * Go's client fetches exact versions and checks their sums; the cache keeps them, and none are in this project.
 * Dalibo's plugin is in no module of the module proxy, so its definitions are unavailable.
 */
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cached, cacheFolder, projectFolder } from "../cache";
import { fetchGoModule, pinnedVersion } from "./goTools";

export interface Manifests {
  /** The operator with everything it needs, as published. */
  readonly operator: string;
  /** Barman's plugin, likewise; its certificates are cert-manager's. */
  readonly barmanPlugin: string;
  /** Folders with one file for each definition. */
  readonly definitions: Readonly<Record<DefinitionSource, string>>;
}

/** Projects whose custom resources an API server should know. */
export type DefinitionSource = keyof typeof SOURCES;

interface Source {
  readonly module: string;
  readonly version: string;
  /** Checksum of the module's zip, as in a go.sum. */
  readonly sum: string;
  /** Files of the module, and their names in the cache entry. */
  readonly files: Readonly<Record<string, string>>;
}

const CLOUDNATIVE_PG = "github.com/cloudnative-pg/cloudnative-pg";
const FOLDER = "tools/kubernetes";
/** Also its program's version. */
export const BARMAN_PLUGIN = { module: "github.com/cloudnative-pg/plugin-barman-cloud", version: "v0.14.0" } as const;

const SOURCES = {
  cnpg: () => {
    const version = pinnedVersion(CLOUDNATIVE_PG, FOLDER);
    const files = {
      [`releases/cnpg-${version.replace(/^v/, "")}.yaml`]: "operator.yaml",
      "config/crd/bases": "definitions",
    };
    return { module: CLOUDNATIVE_PG, version, sum: sumOf(CLOUDNATIVE_PG, version), files };
  },
  // Earlier minor versions, for the fields that only some versions have.
  "cnpg-1.28": () => earlierCnpg("v1.28.0", "h1:vkv0a0ewDSfJOPJrsyUr4uczsxheReAWf/k171V0Dm0="),
  "cnpg-1.29": () => earlierCnpg("v1.29.0", "h1:49Dm8+y4va7RODspJjeaK8uMWP3OGAD0gMsxhjm16Mo="),
  "barman-cloud": () => ({
    ...BARMAN_PLUGIN,
    sum: "h1:kpTo7egntRIM15hvo0xtOj07wyjj23jcz/Co0KfzC7s=",
    files: { "config/crd/bases": "definitions", "manifest.yaml": "plugin.yaml" },
  }),
  "external-secrets": () => ({
    module: "github.com/external-secrets/external-secrets",
    version: "v0.20.4",
    sum: "h1:HhNAjWfFEshhItphr28SGsHzf2bUP7uDAOVLg76uNAg=",
    files: {
      "config/crds/bases/external-secrets.io_externalsecrets.yaml": "definitions/externalsecrets.yaml",
      "config/crds/bases/external-secrets.io_secretstores.yaml": "definitions/secretstores.yaml",
      "config/crds/bases/external-secrets.io_clustersecretstores.yaml": "definitions/clustersecretstores.yaml",
    },
  }),
  prometheus: () => ({
    module: "github.com/prometheus-operator/prometheus-operator",
    version: "v0.92.0",
    sum: "h1:tAbsod3+9sQsxDeAvLP27dAe9terToht5M+YdDwLGP0=",
    files: {
      "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml": "definitions/podmonitors.yaml",
      "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml": "definitions/prometheusrules.yaml",
    },
  }),
  snapshots: () => ({
    module: "github.com/kubernetes-csi/external-snapshotter/client/v8",
    version: "v8.6.0",
    sum: "h1:FtGewu2k6HWw6evLGXY8JqUZ9eHpti1kd3e4amj+ilA=",
    files: { "config/crd": "definitions" },
  }),
} as const satisfies Readonly<Record<string, () => Source>>;

function earlierCnpg(version: string, sum: string): Source {
  return { module: CLOUDNATIVE_PG, version, sum, files: { "config/crd/bases": "definitions" } };
}

/** Everything, fetched if not cached, or the reason why it is unavailable. */
export async function findManifests(): Promise<Manifests | { readonly missing: string }> {
  try {
    const cnpg = await ensureSource("cnpg");
    const barman = await ensureSource("barman-cloud");
    const definitionsOf = async (name: DefinitionSource): Promise<string> =>
      join(await ensureSource(name), "definitions");
    const definitions = {
      cnpg: await definitionsOf("cnpg"),
      "cnpg-1.28": await definitionsOf("cnpg-1.28"),
      "cnpg-1.29": await definitionsOf("cnpg-1.29"),
      "barman-cloud": await definitionsOf("barman-cloud"),
      "external-secrets": await definitionsOf("external-secrets"),
      prometheus: await definitionsOf("prometheus"),
      snapshots: await definitionsOf("snapshots"),
    };
    return { operator: join(cnpg, "operator.yaml"), barmanPlugin: join(barman, "plugin.yaml"), definitions };
  } catch (error) {
    return { missing: `manifests of Kubernetes: ${error instanceof Error ? error.message : String(error)}` };
  }
}

/** Folder of a module's files in Go's own cache. */
export function moduleFolder(name: DefinitionSource): Promise<string> {
  const { module, version, sum }: Source = SOURCES[name]();
  return fetchGoModule({ module, version, sum });
}

function ensureSource(name: DefinitionSource): Promise<string> {
  const { module, version, files }: Source = SOURCES[name]();
  // Other files of the same version make another entry.
  const key = createHash("sha256").update(JSON.stringify(files)).digest("hex").slice(0, 8);
  return cached(join(cacheFolder(), `manifests-${name}-${version.replace(/^v/, "")}-${key}`), async (scratch) => {
    const folder = await moduleFolder(name);
    mkdirSync(scratch, { recursive: true });
    for (const [from, to] of Object.entries(files)) {
      if (!existsSync(join(folder, from))) throw new Error(`${module} ${version} has no ${from}`);
      // A folder of definitions may hold other files: take the definitions only.
      cpSync(join(folder, from), join(scratch, to), {
        recursive: true,
        filter: (path) => !path.endsWith("kustomization.yaml"),
      });
    }
  });
}

function sumOf(module: string, version: string): string {
  const lines = readFileSync(join(projectFolder(), FOLDER, "go.sum"), "utf8").split("\n");
  const sum = lines.map((line) => line.split(" ")).find((fields) => fields[0] === module && fields[1] === version)?.[2];
  if (sum === undefined) throw new Error(`${FOLDER}/go.sum has no ${module} ${version}`);
  return sum;
}
