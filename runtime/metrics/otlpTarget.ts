/**
 * Where metrics are sent: the variables of every exporter of OpenTelemetry ("OpenTelemetry Protocol Exporter" and
 * "Resource SDK" of its specification). Pure.
 */
import { fail } from "../base/errors";

/** A signal's own variable replaces the general one. */
export const OTLP = {
  endpoint: "OTEL_EXPORTER_OTLP_ENDPOINT",
  ownEndpoint: "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
  headers: "OTEL_EXPORTER_OTLP_HEADERS",
  ownHeaders: "OTEL_EXPORTER_OTLP_METRICS_HEADERS",
  certificate: "OTEL_EXPORTER_OTLP_CERTIFICATE",
  ownCertificate: "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
  attributes: "OTEL_RESOURCE_ATTRIBUTES",
  serviceName: "OTEL_SERVICE_NAME",
} as const;
export const OTLP_NAMES: readonly string[] = Object.values(OTLP);
const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/;
const HEADER_VALUE = /^[\t -~]*$/;

type Pairs = Readonly<Record<string, string>>;

export interface OtlpTarget {
  readonly url: string;
  readonly headers: Pairs;
  /** File of authorities. */
  readonly caFile: string | undefined;
  readonly attributes: Pairs;
}

/** @throws optionRequired, optionInvalidValue without the value, which may be a secret */
export function otlpTarget(environment: Readonly<Record<string, string | undefined>>, usual: Pairs): OtlpTarget {
  const read = (name: keyof typeof OTLP): string | undefined => environment[OTLP[name]]?.trim() || undefined;
  const [base, own, serviceName] = [read("endpoint"), read("ownEndpoint"), read("serviceName")];
  if (base === undefined && own === undefined)
    throw fail("optionRequired", `metrics command requires ${OTLP.endpoint} with --otlp`, {
      hint: `It is the address of a collector, for instance ${OTLP.endpoint}=http://127.0.0.1:4318.`,
    });
  const name = own === undefined ? OTLP.endpoint : OTLP.ownEndpoint;
  const url = own ?? `${base?.replace(/\/+$/, "")}/v1/metrics`;
  const parsed = URL.parse(url);
  if (parsed === null || !["http:", "https:"].includes(parsed.protocol))
    throw fail("optionInvalidValue", `${name} is no address that begins with http:// or https://`);
  const headerName = read("ownHeaders") === undefined ? "headers" : "ownHeaders";
  const headers = pairsOf(OTLP[headerName], read(headerName));
  if (!Object.entries(headers).every(([header, value]) => HEADER_NAME.test(header) && HEADER_VALUE.test(value)))
    throw fail("optionInvalidValue", `${OTLP[headerName]} has a name or a value that no header may have`);
  const given = { ...usual, ...pairsOf(OTLP.attributes, read("attributes")) };
  return {
    url: parsed.href,
    headers,
    caFile: read("ownCertificate") ?? read("certificate"),
    attributes: serviceName === undefined ? given : { ...given, "service.name": serviceName },
  };
}

/** The variables of a target, as {@link otlpTarget} reads them. */
export function otlpVariables(
  values: Readonly<Partial<Record<keyof typeof OTLP, string | Pairs | undefined>>>,
): Readonly<Record<string, string>> {
  const named = Object.entries(values).flatMap(([key, value]): [string, string][] => {
    const text = typeof value === "object" ? Object.entries(value).map(pairText).join(",") : (value ?? "");
    return text === "" ? [] : [[OTLP[key as keyof typeof OTLP], text]];
  });
  return Object.fromEntries(named);
}

function pairText(pair: readonly [name: string, value: string]): string {
  return pair.map(encodeURIComponent).join("=");
}

/** `name=value,other=value`, each part percent-encoded. */
function pairsOf(variable: string, text = ""): Pairs {
  const pairs = text.split(",").flatMap((pair): [string, string][] => {
    if (pair.trim() === "") return [];
    const [name = "", ...value] = pair.split("=");
    try {
      if (name.trim() !== "" && value.length > 0)
        return [[decodeURIComponent(name.trim()), decodeURIComponent(value.join("=").trim())]];
    } catch {
      // Reported below.
    }
    throw fail("optionInvalidValue", `${variable} is no list like name=value,name=value with percent-encoded values`);
  });
  return Object.fromEntries(pairs);
}
