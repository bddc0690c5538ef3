/** Hosts from a file, as NixOS modules. Pure; refuses a file with a secret in it. */
import { checkArguments } from "../../plan/arguments/checkArguments";
import { FILE } from "../../plan/arguments/fileTypes";
import { type Finding, findingsBelow } from "../../plan/findings/findings";
import { resolveHost } from "../../plan/model/resolveDatabase";
import { checkHost } from "../../plan/rules";
import type { HostSettings, RepositorySettings } from "../../plan/model/databaseSettings";
import type { TargetSettings } from "../../plan/repositories/repositoryTypes";
import { secretsIn } from "../kubernetes/gitops";
import { checkNixos, NIXOS_DIRECTORIES, NIXOS_NODE_PATH, NIXOS_SECRETS, renderNixos } from "./nixos";
import { given } from "../../../runtime/base/given";

/** A repository as in a file: its secrets are on the host. */
interface FileRepository extends Omit<RepositorySettings, "at"> {
  readonly at: Omit<TargetSettings, "name" | "encrypted"> & { readonly encrypted?: boolean };
}

/** The arguments of PostgresHost without connection and secrets. */
export interface FileHost extends Omit<HostSettings, "repositories" | "connection"> {
  readonly repositories?: Readonly<Record<string, FileRepository>>;
  /** Directory of the secrets, by the credentials' names. */
  readonly secretsDirectory?: string;
}

/** The input of `pgbackstop render --format=nixos`. */
export interface NixosFile {
  readonly hosts?: Readonly<Record<string, FileHost>>;
}

const REMEDY = "keep it on the host, in secretsDirectory (sops-nix, agenix); for encryption write encrypted: true";

/** One of the file's hosts; null instead of a text on errors. @throws Error if the file lacks it */
export function renderNixosHost(
  name: string,
  file: NixosFile,
): { readonly text: string | null; readonly findings: readonly Finding[] } {
  const secrets = secretsIn(file.hosts, "hosts", REMEDY);
  if (secrets.length > 0) return { text: null, findings: secrets };
  const wrong = checkArguments("RenderFile", file, FILE);
  if (wrong.length > 0) return { text: null, findings: wrong };
  const host = file.hosts?.[name];
  if (host === undefined) throw new Error(`the file has no host ${name}`);
  const { nodePath, repositories = {}, secretsDirectory = NIXOS_SECRETS, ...others } = host;
  const settings: HostSettings = {
    ...others,
    // The system itself applies it, so this is the local machine.
    connection: { local: {} },
    directories: { ...NIXOS_DIRECTORIES, ...others.directories },
    repositories: Object.fromEntries(
      Object.entries(repositories).map(([key, repository]) => [key, settingsOf(key, repository)]),
    ),
  };
  const plan = resolveHost(name, { ...settings, ...given({ nodePath }) }, NIXOS_NODE_PATH);
  const judged = checkHost(plan);
  // It renders the host, which needs values that the rules accept.
  const isWrong = judged.some(({ severity }) => severity === "error");
  const findings = findingsBelow(`hosts.${name}`, isWrong ? judged : [...judged, ...checkNixos(plan)]);
  if (findings.some(({ severity }) => severity === "error")) return { text: null, findings };
  return { text: renderNixos(plan, { secretsDirectory, installNode: nodePath === undefined }), findings };
}

function settingsOf(key: string, { at, ...repository }: FileRepository): RepositorySettings {
  const { encrypted = false, s3, ...others } = at;
  return {
    ...repository,
    at: {
      ...others,
      name: key,
      encrypted,
      ...(s3 === undefined ? {} : { s3: { ...s3, hasKeys: s3.keyType === undefined || s3.keyType === "shared" } }),
    },
  };
}
