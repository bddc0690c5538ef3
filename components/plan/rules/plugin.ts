/**
 * The plugin's objects alongside the operator: names and numbers that would leave clusters without the plugin. Pure.
 */
import { checkRange } from "../arguments/ranges";
import { type Finding, finding } from "../findings/findings";
import { isUnknown } from "../model/unknown";

const NAME = /^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$/;

/** Arguments of one engine only. */
interface PluginSettings {
  readonly serviceName: string;
  readonly replicas: number;
  /** False for Dalibo's. @default true */
  readonly isOwn?: boolean;
  readonly followRuntime?: boolean;
  readonly sidecarImage?: unknown;
  readonly exporterImage?: unknown;
  readonly runtimeSource?: unknown;
}

/** Part of an argument of a container, where Kubernetes replaces names after a dollar sign. */
const URL_TEXT = /^https?:\/\/[^\s$]+$/;

export function checkPlugin(settings: PluginSettings): Finding[] {
  const { replicas, serviceName } = settings;
  return [
    ...checkNames(serviceName, replicas),
    ...checkEngineOnly(settings),
    ...checkSource(settings),
    ...checkLease(settings),
  ];
}

function checkLease({ isOwn = true, replicas }: PluginSettings): Finding[] {
  if (isOwn || replicas <= 1) return [];
  const fact = "of the replicas of Dalibo's plugin only the one with its lease answers: the others are never ready";
  return [finding("PB044", "replicas", fact, "leave it out")];
}

function checkSource({ isOwn = true, runtimeSource: url }: PluginSettings): Finding[] {
  if (!isOwn || typeof url !== "string" || isUnknown(url) || URL_TEXT.test(url)) return [];
  const hint = "write one that begins with https:// or http://, without spaces and dollar signs";
  return [finding("PB020", "runtimeSource", "it is no URL", hint)];
}

function checkEngineOnly({ isOwn = true, ...settings }: PluginSettings): Finding[] {
  const others = isOwn ? (["sidecarImage", "exporterImage"] as const) : (["followRuntime", "runtimeSource"] as const);
  return others.flatMap((name) => {
    if (settings[name] === undefined || settings[name] === false) return [];
    const fact = isOwn ? "the sidecars run the image of the plugin" : "Dalibo's plugin has no runtime of this package";
    const hint = isOwn
      ? 'set image, or use engine "pgbackrest"'
      : "leave it out, and set image, sidecarImage and exporterImage";
    return [finding("PB044", name, fact, hint)];
  });
}

function checkNames(serviceName: string, replicas: number): Finding[] {
  const findings: Finding[] = [];
  if (!isUnknown(serviceName) && !NAME.test(serviceName)) {
    const fact = `"${serviceName}" is not a name for a Service`;
    const hint = "use lower-case letters, digits and hyphens, a letter first, at most 63";
    findings.push(finding("PB110", "serviceName", fact, hint));
  } else if (/^pgbackrest(-|$)/.test(serviceName)) {
    const fact = `a Service named "${serviceName}" becomes environment variables PGBACKREST_… in every pod in its namespace, which pgBackRest reads as options`;
    findings.push(finding("PB052", "serviceName", fact, `rename it, for instance to "cnpg-${serviceName}"`));
  }
  return [...findings, ...checkRange("CnpgPluginArgs.replicas", "replicas", replicas)];
}
