/** A repository without a target: the output has no value, or another one. It is never rendered. Pure. */
import { finding } from "../findings/findings";
import { DEFAULTS } from "../model/defaults";
import { posix } from "./posixType";
import type { RepositoryBase, RepositoryType, SitePlan, TargetBase } from "./repositoryType";

/** The target that stands for a value of another kind: an output that does not exist, or something else. */
export const NO_TARGET = { name: "", encrypted: false, noTarget: true } as const;

/** True for {@link NO_TARGET}, and for what is no target at all. */
export function isTargetUnknown(target: unknown): boolean {
  if (typeof target !== "object" || target === null) return true;
  return "noTarget" in target && target.noTarget === true;
}

/** In its place. */
export const UNKNOWN_TARGET: TargetBase = { name: "", path: DEFAULTS.repositoryPath, encrypted: false };

/** Without keys, secrets and options, as a directory. */
export const unknown: RepositoryType<TargetBase, RepositoryBase> = {
  ...posix,
  site: ({ name }): SitePlan => ({
    provider: name,
    title: name,
    failureDomain: name,
    offSite: undefined,
    thirdParty: false,
  }),
  location: ({ site }) => site.title,
  address: ({ site }) => site.title,
  checkAddress(_repository, path) {
    const fact = "the output has no value, or is not the target of a repository component";
    const hint =
      "update the stack that exports it first, and check the output's name: export const target = repository.target";
    return [finding("PB020", `${path}.at`, fact, hint)];
  },
  checkPod: () => [],
};
