/** Repositories in containers of Azure Blob Storage. Pure. */
import type { AzureLocation } from "../../repositories/target";
import { abstaining } from "../findings/abstain";
import { isInRange } from "../arguments/ranges";
import { type Finding, finding } from "../findings/findings";
import { DEFAULTS } from "../model/defaults";
import { fields, readers } from "../model/deferred";
import type { Plain } from "../model/plainArguments";
import { checkPath } from "../rules/values";
import { AZURE_CONTAINER } from "../storage/azure";
import {
  type RepositoryBase,
  type RepositoryType,
  type SitePlan,
  type TargetBase,
  unusualOption,
} from "./repositoryType";
import { type BucketFacts, checkOneKey, openOneKey, resolveFacts } from "./s3Type";

/** A container; its key never comes here. */
export interface AzureSettings extends Omit<Plain<AzureLocation>, "credentials" | "existingSecret"> {
  /** True if a key was given; undefined if unknown. */
  readonly hasKey?: boolean | undefined;
  readonly hasExistingSecret?: boolean | undefined;
}

export interface AzurePlan {
  readonly account: string;
  readonly container: string;
  readonly endpoint: string;
  readonly port: number;
  readonly uriStyle: string;
  readonly caFile: string | undefined;
  /** Name of pgBackRest's `repo-azure-key-type`. */
  readonly keyType: string;
  /** Undefined: not declared. */
  readonly hasKey: boolean | undefined;
  /** True for a Kubernetes Secret. */
  readonly hasExistingSecret: boolean;
  readonly facts: BucketFacts;
}

type Target = TargetBase & { readonly azure: AzureSettings };
type Repository = RepositoryBase & { readonly kind: "azure"; readonly azure: AzurePlan };

const AZURE_TITLE = "Azure Blob Storage";
const IDENTITY = "the managed identity";
/** Clouds whose accounts have names of their own; any other endpoint is somebody's server. */
const CLOUDS = /^blob\.core\.(windows\.net|chinacloudapi\.cn|usgovcloudapi\.net)$/;
/** As the runtime takes them: "Naming and referencing containers, blobs, and metadata". */
const ACCOUNT = /^[a-z0-9][a-z0-9-]{2,62}$/;
const HOST_NAME = /^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/;

export const azure: RepositoryType<Target, Repository> = {
  bundles: true,
  exposed: "container",
  secretFiles: { azureKey: "azure-key" },

  open(target) {
    const { store, ...others } = openOneKey(target.azure);
    return { azure: store, ...others };
  },
  secrets: (target) => ({ "azure-key": target.azure?.credentials?.key }),
  secretText: () => null,

  resolve: ({ azure: container }): Pick<Repository, "azure"> => ({
    azure: fields({
      ...readers(container, "account", "container", "caFile", "hasKey"),
      endpoint: () => container.endpoint ?? DEFAULTS.azureEndpoint,
      port: () => container.port ?? DEFAULTS.azurePort,
      uriStyle: () => container.uriStyle ?? "host",
      keyType: () => container.keyType ?? DEFAULTS.keyType,
      hasExistingSecret: () => container.hasExistingSecret ?? false,
      facts: () => resolveFacts(container.facts ?? {}),
    }),
  }),
  site: (target) => siteOf(target),
  bringsKeys: (target) => target.azure.hasKey === true,

  location: ({ azure: { account, container }, path }) => `azure://${account}/${container}${path}`,
  endpoint: ({ azure: { endpoint, port } }) => `${endpoint}:${port}`,
  server: ({ azure: { endpoint, port } }) =>
    endpoint === DEFAULTS.azureEndpoint && port === DEFAULTS.azurePort ? null : `${endpoint}:${port}`,
  address: ({ azure: { account, container, endpoint, port } }) => `${endpoint}:${port}/${account}/${container}`,
  confOptions: ({ azure: container }) => {
    const { account, caFile, endpoint, keyType, port, uriStyle } = container;
    return [
      { name: "azure-account", value: account },
      { name: "azure-container", value: container.container },
      ...unusualOption("azure-endpoint", endpoint, DEFAULTS.azureEndpoint),
      ...unusualOption("azure-key-type", keyType, DEFAULTS.keyType),
      ...unusualOption("azure-uri-style", uriStyle, "host"),
      ...unusualOption("storage-port", port, DEFAULTS.azurePort),
      ...unusualOption("storage-ca-file", caFile),
    ];
  },
  keyFile: () => null,

  checkAddress(repository, path) {
    const { azure: container } = repository;
    const wrong = (field: string, fact: string, hint = ""): Finding[] => [
      finding("PB020", `${path}.at.${field}`, fact, hint),
    ];
    return abstaining(
      () => {
        if (ACCOUNT.test(container.account)) return [];
        const hint = "it is the first part of its endpoint's name: 3 to 24 lower-case letters and digits";
        return wrong("azure.account", `"${container.account}" is not the name of a storage account`, hint);
      },
      () => {
        if (AZURE_CONTAINER.test(container.container)) return [];
        const hint = "use 3 to 63 lower-case letters, digits and single hyphens";
        return wrong("azure.container", `"${container.container}" is not the name of a container`, hint);
      },
      () => {
        if (HOST_NAME.test(container.endpoint)) return [];
        const hint = 'omit "https://", the account, the port (an argument of its own) and any path';
        return wrong("azure.endpoint", `"${container.endpoint}" is not a host name`, hint);
      },
      () => checkPath(`${path}.at.azure.caFile`, container.caFile),
      () =>
        isInRange("AzureLocation.port", container.port)
          ? []
          : wrong("azure.port", `${container.port} is not a port: 1 to 65535`),
      () => {
        const fact = "the prefix covers the whole container, including blobs of others";
        return repository.path === "/" ? wrong("path", fact, 'set a prefix such as "/pgbackrest"') : [];
      },
    );
  },
  checkKeys: (repository, path, database) =>
    checkOneKey(repository.azure, repository, `${path}.at.azure`, IDENTITY, database),
  checkSecretFiles({ azure: { hasKey } }, path, options) {
    if (hasKey !== true || !options.includes("azure-key")) return [];
    const fact = "credentials are given too: it is unclear which of them sign";
    return [finding("PB103", path, fact, "remove one of them")];
  },
  checkPod: () => [],
};

/** Accounts of one cloud are off-site and fail together: one vendor, one outage, one unpaid bill. */
function siteOf(target: Target): SitePlan {
  const endpoint = (): string => target.azure.endpoint ?? DEFAULTS.azureEndpoint;
  const isHosted = (): boolean => CLOUDS.test(endpoint());
  return fields({
    provider: () => "azure",
    title: () => AZURE_TITLE,
    failureDomain: () => (isHosted() ? AZURE_TITLE : endpoint()),
    offSite: () => target.offSite ?? (isHosted() ? true : undefined),
    thirdParty: isHosted,
  });
}
