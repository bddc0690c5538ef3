/**
 * Programs on the real Kubernetes provider and a real API server. No package registry has the provider: tests are
 * skipped if it is not on PATH.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import type * as pulumi from "@pulumi/pulumi";
import type { ApiServerParts, LabParts } from "../../../tools/parts/kubernetes/kubernetesPrograms";
import { findOnPath } from "../../../tools/parts/process";
import { findPulumiCli, type PulumiCli } from "../../../tools/parts/pulumi/pulumiCli";
import type { ProgramFolder } from "../../../tools/parts/pulumi/pulumiEngine";
import { prepareProgramFolder, removeProgramFolder } from "../programFolder";
import { skipped } from "../real/interopParts";
import { type ApiServer, startApiServer } from "./apiServer";
import { apiServerParts, labParts } from "./parts";

export interface RealProviderParts {
  readonly api: ApiServerParts;
  readonly cli: PulumiCli;
  /** The provider's program. */
  readonly provider: string;
}

/** If this machine lacks a part: null, and a loud line that names `title`. */
export async function realProviderParts(title: string): Promise<RealProviderParts | null> {
  const api = await apiServerParts(title);
  return api === null ? null : withProvider(title, api);
}

/** The same, with the parts of a lab. */
export async function realProviderLabParts(
  title: string,
): Promise<(RealProviderParts & { readonly api: LabParts }) | null> {
  const lab = await labParts(title);
  return lab === null ? null : withProvider(title, lab);
}

async function withProvider<Api extends ApiServerParts>(
  title: string,
  api: Api,
): Promise<(RealProviderParts & { readonly api: Api }) | null> {
  const cli = await findPulumiCli();
  if (cli === null) return skipped(title, "there is no Pulumi CLI: npm test -- --all builds it");
  const provider = await findOnPath("pulumi-resource-kubernetes");
  return provider === null
    ? skipped(title, "pulumi-resource-kubernetes is not on PATH: Pulumi's releases have it")
    : { api, cli, provider };
}

/** A folder whose programs use the server. The caller removes it. */
export async function realProviderFolder(
  { cli, provider }: RealProviderParts,
  { kubeconfig }: Pick<ApiServer, "kubeconfig">,
): Promise<ProgramFolder> {
  const folder = mkdtempSync(join(tmpdir(), "pgb-real-"));
  const { env } = await prepareProgramFolder(folder, { cli, passphrase: "only for this test" });
  return {
    folder,
    env: {
      ...env,
      PATH: [env["PATH"], dirname(provider)].join(delimiter),
      KUBECONFIG: kubeconfig,
      // Writing the state after each step is a fifth of the work: stacks with a plugin have megabytes of it.
      PULUMI_SKIP_CHECKPOINTS: "true",
    },
  };
}

/** An API server with CloudNativePG's kinds, and a folder whose programs use it. */
export interface ProviderServer {
  readonly server: ApiServer;
  readonly programFolder: ProgramFolder;
  stop(): Promise<void>;
}

export async function startProviderServer(
  parts: RealProviderParts,
  name: string,
  namespaces: readonly string[],
): Promise<ProviderServer> {
  const server = await startApiServer(parts.api, name);
  await server.define(["cnpg"]);
  await server.kubectl.apply(
    namespaces.map((each) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name: each } })),
  );
  const programFolder = await realProviderFolder(parts, server);
  return {
    server,
    programFolder,
    async stop() {
      await server.stop();
      removeProgramFolder(programFolder);
    },
  };
}

/**
 * No controller runs here: none starts the plugin's pods, and none ends a deletion in the foreground, which is the
 * provider's default.
 */
export function withoutControllers(args: pulumi.ResourceTransformArgs): pulumi.ResourceTransformResult | undefined {
  // A kept runtime is never deleted; stacks have it without annotations.
  const isKept = args.name === "pgbackstop-runtime" && args.type.endsWith("Patch");
  if (!args.type.startsWith("kubernetes:") || isKept) return undefined;
  const metadata = args.props["metadata"] as { annotations?: object } | undefined;
  const annotations = {
    ...metadata?.annotations,
    "pulumi.com/deletionPropagationPolicy": "background",
    ...(/:(Deployment|Service|Job)$/.test(args.type) ? { "pulumi.com/skipAwait": "true" } : {}),
  };
  return { props: { ...args.props, metadata: { ...metadata, annotations } }, opts: args.opts };
}
