/**
 * Targets of notifications: the file `notify.json`. All of it is secret, because a webhook's URL grants access.
 *
 *     {"version":1,"targets":[
 *       {"type":"slack","url":"https://hooks.slack.com/services/…"},
 *       {"type":"ntfy","url":"https://ntfy.sh","topic":"backups","token":"tk_…"},
 *       {"type":"healthchecks","url":"https://hc-ping.com/<uuid>","units":["pgbackstop-main-full.service"]},
 *       {"type":"alertmanager","url":"http://127.0.0.1:9093"},
 *       {"type":"webhook","url":"https://…","hmacSecret":"…"},
 *       {"type":"email","host":"mail.example","security":"starttls","user":"…","password":"…",
 *        "from":"db1@example","to":["ops@example"]}]}
 *
 * Strict: an unknown field or a wrong value is a config error (27) with the field and allowed values, never the value.
 * Pure.
 */
import { type BackupError, fail } from "../base/errors";
import { Secret } from "../base/secret";
import { meantHint } from "../base/nearNames";
import { DEFAULT_EVENTS, EVENTS, type NotifyEvent, TARGET_TYPES } from "./events";

interface CommonTarget {
  /** For the log: the type, or its name in the file. */
  readonly name: string;
  readonly events: readonly NotifyEvent[];
  /** Only events of these units; empty means all. */
  readonly units: readonly string[];
  /** Added to the system's authorities. */
  readonly caFile: string | undefined;
}

export interface WebTarget extends CommonTarget {
  readonly type: "slack" | "ntfy" | "healthchecks" | "alertmanager" | "webhook";
  readonly url: Secret;
  readonly token: Secret | undefined;
  readonly user: string | undefined;
  readonly password: Secret | undefined;
  /** ntfy. */
  readonly topic: string;
  /** Webhook. */
  readonly hmacSecret: Secret | undefined;
}

export interface EmailTarget extends CommonTarget {
  readonly type: "email";
  readonly host: string;
  readonly port: number;
  readonly security: "starttls" | "tls" | "none";
  readonly user: string | undefined;
  readonly password: Secret | undefined;
  readonly from: string;
  readonly to: readonly string[];
}

export type NotifyTarget = WebTarget | EmailTarget;

const COMMON = ["type", "name", "events", "units", "caFile"];
const WEB_FIELDS: Readonly<Record<WebTarget["type"], readonly string[]>> = {
  slack: ["url"],
  ntfy: ["url", "topic", "token", "user", "password"],
  healthchecks: ["url"],
  alertmanager: ["url", "token", "user", "password"],
  webhook: ["url", "hmacSecret", "token"],
};
const EMAIL_FIELDS = ["host", "port", "security", "user", "password", "from", "to"];
const EMAIL_PORTS = { starttls: 587, tls: 465, none: 25 } as const;
const TARGETS_MAX = 32;
const ADDRESS = /^[^\s<>@,;:"\\]+@[^\s<>@,;:"\\]+$/;
const LOOPBACK = ["localhost", "127.0.0.1", "::1"];

/** @throws config (27) */
export function parseTargets(text: string, fileName: string): readonly NotifyTarget[] {
  return new Reader(fileName).file(text);
}

type Fields = Readonly<Record<string, unknown>>;

class Reader {
  readonly #fileName: string;

  constructor(fileName: string) {
    this.#fileName = fileName;
  }

  file(text: string): readonly NotifyTarget[] {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      // JSON.parse's message quotes the text.
      throw this.#fail("is not valid JSON");
    }
    const fields = this.#object("", value, ["version", "targets"]);
    if (fields["version"] !== undefined && fields["version"] !== 1) throw this.#wrong("version", "1");
    const { targets } = fields;
    if (!Array.isArray(targets) || targets.length > TARGETS_MAX)
      throw this.#wrong("targets", `a list of at most ${TARGETS_MAX} targets`);
    return targets.map((target: unknown, index) => this.#target(`targets[${index}]`, target));
  }

  #target(path: string, value: unknown): NotifyTarget {
    const type = TARGET_TYPES.find(
      (name) => typeof value === "object" && value !== null && "type" in value && value.type === name,
    );
    if (type === undefined) throw this.#wrong(`${path}.type`, TARGET_TYPES.join(", "));
    if (type === "email") return this.#email(path, this.#object(path, value, [...COMMON, ...EMAIL_FIELDS]));
    return this.#web(path, type, this.#object(path, value, [...COMMON, ...WEB_FIELDS[type]]));
  }

  #common(path: string, type: NotifyTarget["type"], fields: Fields): CommonTarget {
    const events =
      fields["events"] === undefined ? DEFAULT_EVENTS[type] : this.#events(`${path}.events`, fields["events"]);
    const units = fields["units"] === undefined ? [] : this.#texts(`${path}.units`, fields["units"]);
    return {
      name: this.#find(path, fields, "name") ?? type,
      events,
      units,
      caFile: this.#find(path, fields, "caFile"),
    };
  }

  #web(path: string, type: WebTarget["type"], fields: Fields): WebTarget {
    const url = this.#text(path, fields, "url");
    if (!URL.canParse(url) || !["http:", "https:"].includes(new URL(url).protocol))
      throw this.#wrong(`${path}.url`, "an http or https address");
    const secret = (name: string): Secret | undefined => {
      const text = this.#find(path, fields, name);
      return text === undefined ? undefined : new Secret(text);
    };
    return {
      ...this.#common(path, type, fields),
      type,
      url: new Secret(url),
      token: secret("token"),
      user: this.#find(path, fields, "user"),
      password: secret("password"),
      topic: type === "ntfy" ? this.#text(path, fields, "topic") : "",
      hmacSecret: secret("hmacSecret"),
    };
  }

  #email(path: string, fields: Fields): EmailTarget {
    const security = (["starttls", "tls", "none"] as const).find((name) => name === (fields["security"] ?? "starttls"));
    if (security === undefined) throw this.#wrong(`${path}.security`, "starttls, tls or none");
    const port = fields["port"] ?? EMAIL_PORTS[security];
    if (typeof port !== "number" || !Number.isSafeInteger(port) || port < 1 || port > 65_535)
      throw this.#wrong(`${path}.port`, "1 to 65535");
    const host = this.#text(path, fields, "host");
    const user = this.#find(path, fields, "user");
    const password = this.#find(path, fields, "password");
    if ((user === undefined) !== (password === undefined))
      throw this.#wrong(`${path}.user`, "given together with password");
    if (user !== undefined && security === "none" && !LOOPBACK.includes(host)) {
      throw this.#wrong(`${path}.security`, "starttls or tls where a password is sent");
    }
    const from = this.#text(path, fields, "from");
    const to = this.#texts(`${path}.to`, fields["to"]);
    if (![from, ...to].every((address) => ADDRESS.test(address)) || to.length === 0)
      throw this.#wrong(`${path}.to`, "addresses, as from: name@host");
    const secret = password === undefined ? undefined : new Secret(password);
    return {
      ...this.#common(path, "email", fields),
      type: "email",
      host,
      port,
      security,
      user,
      password: secret,
      from,
      to,
    };
  }

  #events(field: string, value: unknown): readonly NotifyEvent[] {
    const names = this.#texts(field, value);
    return names.map((name) => {
      const event = EVENTS.find((candidate) => candidate === name);
      if (event === undefined) throw this.#wrong(field, `of ${EVENTS.join(", ")}`);
      return event;
    });
  }

  #texts(field: string, value: unknown): readonly string[] {
    if (
      !Array.isArray(value) ||
      value.some((text: unknown) => typeof text !== "string" || text === "" || /[\0-\x1f]/.test(text))
    ) {
      throw this.#wrong(field, "a list of texts on one line each");
    }
    return value as readonly string[];
  }

  #find(path: string, fields: Fields, name: string): string | undefined {
    return fields[name] === undefined ? undefined : this.#text(path, fields, name);
  }

  #text(path: string, fields: Fields, name: string): string {
    const value = fields[name];
    if (typeof value !== "string" || value === "" || /[\0-\x1f]/.test(value))
      throw this.#wrong(`${path}.${name}`, "a text on one line");
    return value;
  }

  #object(path: string, value: unknown, allowed: readonly string[]): Fields {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw this.#wrong(path, "an object");
    for (const name of Object.keys(value)) {
      // A misplaced value may stand where a name belongs.
      if (!allowed.includes(name))
        throw this.#fail(
          `has an unknown field${path === "" ? "" : ` in ${path}`}; allowed are ${allowed.join(", ")}`,
          meantHint(name, allowed),
        );
    }
    return { ...value };
  }

  #wrong(field: string, allowed: string): BackupError {
    return this.#fail(`${field === "" ? "" : `field '${field}' `}must be ${allowed}`);
  }

  #fail(what: string, hint = "docs/notifications.md has an example of each target."): BackupError {
    return fail("config", `notify file '${this.#fileName}' ${what}`, { path: this.#fileName, hint });
  }
}
