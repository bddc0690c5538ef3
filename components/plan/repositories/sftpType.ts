/** Repositories on SFTP servers: a backup host, a NAS, a storage box. Pure. */
import type { SftpLocation } from "../../repositories/target";
import { type Finding, finding } from "../findings/findings";
import { fingerprintFor } from "../host/hostKeyFingerprint";
import { DEFAULTS } from "../model/defaults";
import type { Plain } from "../model/plainArguments";
import { fields, readOr, readers } from "../model/deferred";
import { abstaining } from "../findings/abstain";
import { isInRange } from "../arguments/ranges";
import { OPTIONS_FILE, type RepositoryBase, type RepositoryType, type TargetBase } from "./repositoryType";
import { type BucketFacts, resolveFacts } from "./s3Type";

/** The account's private key never comes here. */
export interface SftpSettings extends Omit<Plain<SftpLocation>, "privateKey" | "privateKeyPassphrase"> {
  /** True if the private key was given; undefined if unknown. */
  readonly hasKey?: boolean | undefined;
  /** True if the private key has a passphrase; neither ever comes here. */
  readonly hasKeyPassphrase?: boolean | undefined;
}

export interface SftpPlan {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** The given ones of `hostKey` and `hostFingerprint`; exactly one is valid. */
  readonly hostKeyFields: readonly string[];
  /** False if no private key was given to write to the host; undefined if unknown. */
  readonly hasKey: boolean | undefined;
  /** True if the private key has its own passphrase. */
  readonly hasKeyPassphrase: boolean;
  /** SHA-256 of the host key in hexadecimal digits, as stock wants it; unreadable input unchanged. */
  readonly fingerprint: string;
  readonly facts: BucketFacts;
}

type Target = TargetBase & { readonly sftp: SftpSettings };
type Repository = RepositoryBase & { readonly kind: "sftp"; readonly sftp: SftpPlan };

const KEY_OPTION = "sftp-private-key-file";
const KEY_FILE = "sftp.key";

export const sftp: RepositoryType<Target, Repository> = {
  bundles: true,
  exposed: "directory on the server",
  secretFiles: { privateKey: KEY_OPTION, privateKeyPassphrase: "sftp-private-key-passphrase" },

  open(target) {
    const { privateKey, privateKeyPassphrase, ...server } = target.sftp ?? {
      privateKey: undefined,
      privateKeyPassphrase: undefined,
    };
    return {
      sftp: { ...server, hasKey: privateKey !== undefined, hasKeyPassphrase: privateKeyPassphrase !== undefined },
    };
  },
  secrets: (target) => ({ "sftp-private-key-passphrase": target.sftp?.privateKeyPassphrase }),
  secretText: ({ sftp: location }) =>
    location?.privateKey === undefined ? null : { fileName: KEY_FILE, text: location.privateKey },

  resolve: ({ sftp: server }): Pick<Repository, "sftp"> => ({
    sftp: fields({
      host: () => server.host,
      port: () => server.port ?? DEFAULTS.sftpPort,
      ...readers(server, "user", "hasKey"),
      hasKeyPassphrase: () => server.hasKeyPassphrase ?? false,
      hostKeyFields: () =>
        (["hostKey", "hostFingerprint"] as const).filter((field) => readOr(() => server[field] !== undefined, true)),
      fingerprint: () => fingerprintFor(server),
      facts: () => resolveFacts(server.facts ?? {}),
    }),
  }),
  /** Own servers fail one by one, and only the user knows their site. */
  site: (target) =>
    fields({
      provider: () => "sftp",
      title: () => "SFTP server",
      failureDomain: () => target.sftp.host,
      offSite: () => target.offSite,
      thirdParty: () => true,
    }),
  bringsKeys: (target) => target.sftp.hasKeyPassphrase === true,

  location: ({ path, sftp: { host, user } }) => `sftp://${user}@${host}${path}`,
  // Without the default port, so that the record of a passphrase stays as it is.
  endpoint: ({ sftp: { host, port } }) => (port === DEFAULTS.sftpPort ? null : `${host}:${port}`),
  server: ({ sftp: { host, port } }) => `${host}:${port}`,
  address: ({ sftp: { host, port } }) => `${host}:${port}`,
  confOptions(repository, directory) {
    const { fingerprint, host, port, user } = repository.sftp;
    const key = keyFile(repository, directory);
    return [
      { name: "sftp-host", value: host },
      { name: "sftp-host-port", value: port },
      { name: "sftp-host-user", value: user },
      { name: "sftp-host-key-hash-type", value: "sha256" },
      { name: "sftp-host-key-check-type", value: "fingerprint" },
      { name: "sftp-host-fingerprint", value: fingerprint },
      ...(key === null ? [] : [{ name: key.option, value: key.path }]),
    ];
  },
  keyFile,

  checkAddress({ sftp: server }, path) {
    const wrong = (field: string, fact: string, why = ""): Finding[] => [
      finding("PB020", `${path}.at.${field}`, fact, why),
    ];
    const hint = "omit the user and the port (arguments of their own) and any path";
    return abstaining(
      () =>
        /^[A-Za-z0-9:]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?$/.test(server.host)
          ? []
          : wrong("host", `"${server.host}" is not a host name`, hint),
      () =>
        /^[^\s\p{Cc}@:/]{1,255}$/u.test(server.user) ? [] : wrong("user", `"${server.user}" is not an account name`),
      () =>
        isInRange("SftpLocation.port", server.port) ? [] : wrong("port", `${server.port} is not a port: 1 to 65535`),
      () => checkHostKey(server, path),
    );
  },
  /** A file of options may name the key, and nothing here reads it. */
  checkKeys({ name, secretFiles = {}, sftp: server }, path, database) {
    if (
      database !== "host" ||
      server.hasKey !== false ||
      [KEY_OPTION, OPTIONS_FILE].some((each) => `${name}-${each}` in secretFiles)
    )
      return [];
    const fact = `${server.user} signs in to ${server.host} with a private key, and none is given`;
    const hint = "set privateKey, or secretFiles.privateKey if the host already has it";
    return [finding("PB104", `${path}.at.sftp.privateKey`, fact, hint)];
  },
  checkSecretFiles({ sftp: { hasKey } }, path, options) {
    if (hasKey !== true || !options.some((option) => option.startsWith("sftp-"))) return [];
    const fact = "the repository has a private key too: it is unclear which of them signs in";
    return [finding("PB103", `${path}.privateKey`, fact, "remove one of them")];
  },
  checkPod: (_repository, path) => {
    const fact = "this version cannot provide an SFTP key to a pod";
    return [finding("PB044", `${path}.at`, fact, "use a bucket, or a PersistentVolumeClaim")];
  },
};

/**
 * Next to the credentials, where pgBackRest reads only `.conf` files unasked. Null if a file of options names the key.
 */
function keyFile(
  { name, secretFiles = {}, sftp: { hasKey } }: Repository,
  directory: string,
): ReturnType<typeof sftp.keyFile> {
  const path = secretFiles[`${name}-${KEY_OPTION}`] ?? (hasKey === false ? null : `${directory}/${name}-${KEY_FILE}`);
  return path === null ? null : { option: KEY_OPTION, path };
}

function checkHostKey(server: SftpPlan, path: string): Finding[] {
  const { hostKeyFields } = server;
  if (hostKeyFields.length !== 1) {
    const given =
      hostKeyFields.length === 0
        ? "neither hostKey nor hostFingerprint is set"
        : "hostKey and hostFingerprint are both set";
    const hint = "set hostKey to the line of ssh_host_ecdsa_key.pub on the server";
    return [finding("PB020", `${path}.at.hostKey`, `${given}: one of them must identify the server`, hint)];
  }
  if (/^[0-9a-f]{64}$/.test(server.fingerprint)) return [];
  const [field = ""] = hostKeyFields;
  const form =
    field === "hostKey"
      ? 'a public key such as "ecdsa-sha2-nistp256 AAAA…"'
      : 'a SHA-256 such as "SHA256:…" of ssh-keygen -l';
  // Not quoted: the user may have pasted the private key here.
  return [finding("PB020", `${path}.at.${field}`, `the value is not ${form}`, "")];
}
