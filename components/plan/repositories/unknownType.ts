/**
 * A repository whose target a preview does not know: an output of a resource that is still to be made, or of another
 * stack. Nothing is guessed: its rules say nothing, and it is never rendered. Pure.
 */
import { finding } from "../findings/findings";
import { DEFAULTS } from "../model/defaults";
import { isUnknown } from "../model/unknown";
import type { RepositoryBase, RepositoryType, SitePlan, TargetBase } from "./repositoryType";

/** The target that stands for a value of another kind: an output that does not exist, or something else. */
export const NO_TARGET = { name: "", encrypted: false, noTarget: true } as const;

/** True for a target that is a marker as a whole, and for {@link NO_TARGET}. */
export function isTargetUnknown(target: unknown): boolean {
  if (typeof target !== "object" || target === null) return true;
  return "noTarget" in target && target.noTarget === true;
}

/** @param target a marker, or {@link NO_TARGET} */
export function unknownTarget(target: unknown): TargetBase {
  const text = typeof target === "string" && isUnknown(target) ? target : "";
  return { name: text, path: text === "" ? DEFAULTS.repositoryPath : text, encrypted: false };
}

export const unknown: RepositoryType<TargetBase, RepositoryBase> = {
  bundles: false,
  exposed: null,
  secretFiles: {},

  open: () => ({}),
  secrets: () => ({}),
  secretText: () => null,

  resolve: () => ({}),
  site: ({ name }): SitePlan => ({
    provider: name,
    title: name,
    failureDomain: name,
    offSite: undefined,
    thirdParty: false,
  }),
  bringsKeys: () => false,

  location: ({ site }) => site.title,
  endpoint: () => null,
  address: ({ site }) => site.title,
  confOptions: () => [],
  keyFile: () => null,

  checkAddress({ site }, path) {
    if (isUnknown(site.title)) return [];
    const fact = "the output has no value, or is not the target of a repository component";
    const hint =
      "update the stack that exports it first, and check the output's name: export const target = repository.target";
    return [finding("PB020", `${path}.at`, fact, hint)];
  },
  checkKeys: () => [],
  checkSecretFiles: () => [],
  checkPod: () => [],
};
