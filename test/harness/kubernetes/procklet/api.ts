/** Requests to the API server. */
import { readFileSync } from "node:fs";
import { Agent, request } from "node:https";
import { CONFIG } from "./config";
import type { Metadata } from "./objects";

const agent = new Agent({ keepAlive: true, ca: readFileSync(CONFIG.caFile), maxSockets: 32 });

/** An answer other than 2xx. */
export class ApiError extends Error {
  readonly code: number;

  constructor(message: string, code: number) {
    super(message);
    this.code = code;
  }
}

function send<T>(method: string, path: string, body?: object, type = "application/json"): Promise<T> {
  return new Promise((resolve, reject) => {
    const data = body === undefined ? undefined : JSON.stringify(body);
    const headers: Record<string, string | number> = {
      authorization: `Bearer ${CONFIG.token}`,
      accept: "application/json",
    };
    // Without a length, Node sends the body of a DELETE chunked and the server answers 400.
    if (data !== undefined) Object.assign(headers, { "content-type": type, "content-length": Buffer.byteLength(data) });
    const sent = request(CONFIG.apiUrl + path, { method, agent, headers, timeout: 60_000 }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("error", reject);
      response.on("end", () => {
        const code = response.statusCode ?? 0;
        if (code < 300) resolve(JSON.parse(text) as T);
        else reject(new ApiError(`${method} ${path}: ${code} ${text.slice(0, 500)}`, code));
      });
    });
    sent.on("timeout", () => sent.destroy(new Error(`${method} ${path}: no answer`)));
    sent.on("error", reject);
    sent.end(data);
  });
}

export function get<T>(path: string): Promise<T> {
  return send<T>("GET", path);
}

export function post<T>(path: string, body: object): Promise<T> {
  return send<T>("POST", path, body);
}

export function mergePatch(path: string, body: object): Promise<unknown> {
  return send("PATCH", path, body, "application/merge-patch+json");
}

export function remove(path: string, body: object): Promise<unknown> {
  return send("DELETE", path, body);
}

export function podPath(metadata: Metadata): string {
  return `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}`;
}
