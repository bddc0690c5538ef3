/**
 * Which service an address belongs to. A target with another service's address, or with a part of its own one, is
 * refused when the file is read: otherwise the first notice of a failure would be refused instead. Pure.
 */
import type { TargetType } from "./events";

export type WebType = Exclude<TargetType, "email">;

interface Service {
  readonly name: string;
  /** Hosts of the service itself. Relays and servers of one's own have others. */
  readonly home?: RegExp;
  /** Addresses at another service that take this one's form. */
  readonly elsewhere?: RegExp;
  /** What an address must be instead, null if it fits. @param isHome at the service itself */
  readonly fault?: (url: URL, isHome: boolean) => string | null;
}

export const TELEGRAM_API = "https://api.telegram.org";
const DISCORD_PATH = /^\/api\/(v\d+\/)?webhooks\/\d+\/[\w-]+\/?$/;
const TEAMS_WORKFLOW = /\.(logic\.azure\.(com|us|cn)|api\.powerplatform\.(com|us|cn))$/;
const TEAMS_CONNECTOR = /(^|\.)(webhook\.office|outlook\.office|outlook\.office365)\.com$/;

const SERVICES: Readonly<Record<WebType, Service>> = {
  slack: {
    name: "Slack",
    home: /^hooks\.slack(-gov)?\.com$/,
    elsewhere: /^(\w+\.)?discord(app)?\.com\/.*\/slack$/,
  },
  ntfy: { name: "ntfy", home: /^ntfy\.sh$/ },
  telegram: {
    name: "Telegram",
    home: /^api\.telegram\.org$/,
    fault: ({ pathname, search }) =>
      search === "" && !/\/bot\d/.test(pathname) ? null : "the address of a Bot API server, without a token",
  },
  discord: {
    name: "Discord",
    home: /^(\w+\.)?discord(app)?\.com$/,
    fault: ({ pathname }, isHome) =>
      !isHome || DISCORD_PATH.test(pathname) ? null : "a webhook's address that ends with /api/webhooks/ID/TOKEN",
  },
  teams: {
    name: "Teams",
    home: new RegExp(`${TEAMS_WORKFLOW.source}|${TEAMS_CONNECTOR.source}`),
    fault: ({ hostname, searchParams }, isHome) => {
      if (TEAMS_CONNECTOR.test(hostname))
        return "a workflow's address: Microsoft has retired the connectors of webhook.office.com";
      return !isHome || searchParams.has("sig") ? null : "a workflow's whole address, with its signature (&sig=…)";
    },
  },
  healthchecks: { name: "healthchecks.io", home: /^hc-ping\.com$/ },
  alertmanager: { name: "Alertmanager" },
  webhook: { name: "a webhook" },
};

/** What the address of a target of this type must be instead; null if it fits. Never contains the address. */
export function addressFault(type: WebType, text: string): string | null {
  if (!URL.canParse(text)) return "an http or https address";
  const url = new URL(text);
  if (!["http:", "https:"].includes(url.protocol)) return "an http or https address";
  const { elsewhere, fault, name } = SERVICES[type];
  const owner = (Object.keys(SERVICES) as WebType[]).find((each) => SERVICES[each].home?.test(url.hostname) === true);
  // A service's workflows may take any fields.
  if (owner !== undefined && type !== "webhook") {
    if (owner !== type && elsewhere?.test(`${url.hostname}${url.pathname}`) !== true)
      return `an address of ${name}, and is one of ${SERVICES[owner].name} (type "${owner}")`;
    if (url.protocol === "http:") return "an https address";
  }
  return fault?.(url, owner === type) ?? null;
}
