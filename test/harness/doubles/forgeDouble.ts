/**
 * A double of the comments of GitHub's REST API (version 2022-11-28) and of the notes of GitLab's (version 4), on
 * loopback, because no forge runs here. It follows the documents "REST API endpoints for issue comments" and "Notes
 * API": pages with a Link header, `per_page` of at most 100, the body as JSON, status 201 after POST and 204 after
 * DELETE, 401 for a wrong token, 404 for another request, 422 (400 at GitLab) for an empty or too long body.
 *
 * A token of an app is no user: GitHub then answers GET /user with 403, and its comments are of a bot.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

interface Comment {
  readonly id: number;
  readonly author: Author;
  body: string;
}

interface Author {
  readonly id: number;
  readonly type: "Bot" | "User";
}

export interface ForgeOptions {
  readonly kind: "github" | "gitlab";
  readonly token: string;
  /** Default: a bot, which an app's token has. */
  readonly self?: Author;
  /** Items on a page, if smaller than what a client asks for. */
  readonly pageSizeMax?: number;
  /** Names the next page on this origin: a broken or hostile server. */
  readonly nextOrigin?: string;
}

const BOT: Author = { id: 1, type: "Bot" };
/** GitHub's limit; GitLab's is 1,000,000. */
const BODY_CHARACTERS_MAX = { github: 65_536, gitlab: 1_000_000 } as const;
const ROOTS = { github: "/repos/acme/shop/issues/7/comments", gitlab: "/projects/3/merge_requests/7/notes" } as const;
const ITEMS = { github: "/repos/acme/shop/issues/comments", gitlab: ROOTS.gitlab } as const;

/** Requests go to pull request 7 of acme/shop, or merge request 7 of project 3. */
export class ForgeDouble {
  readonly comments: Comment[] = [];
  /** `POST /path`, in order, with the answer's status. */
  readonly requests: string[] = [];
  /** Answers every request with this status. */
  failure: number | null = null;
  url = "";
  readonly #options: ForgeOptions;
  readonly #server: Server;
  #ids = 100;

  private constructor(options: ForgeOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => void this.#serve(request, response));
  }

  static async start(options: ForgeOptions): Promise<ForgeDouble> {
    const double = new ForgeDouble(options);
    await new Promise<void>((resolve) => double.#server.listen(0, "127.0.0.1", resolve));
    double.url = `http://127.0.0.1:${(double.#server.address() as AddressInfo).port}`;
    return double;
  }

  /** A comment of somebody else, or of the token. */
  add(body: string, author: Author = this.#options.self ?? BOT): Comment {
    const comment = { id: (this.#ids += 1), author, body };
    this.comments.push(comment);
    return comment;
  }

  /** Variables that a job of this forge has; the token is not among them. */
  environment(): Record<string, string> {
    return this.#options.kind === "github"
      ? { GITHUB_API_URL: this.url, GITHUB_REPOSITORY: "acme/shop" }
      : { CI_API_V4_URL: this.url, CI_PROJECT_ID: "3", CI_MERGE_REQUEST_IID: "7" };
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const url = new URL(request.url ?? "/", this.url);
    const method = request.method ?? "GET";
    const [status, body, headers = {}] = this.#answer(method, url, request, Buffer.concat(chunks).toString());
    this.requests.push(`${method} ${url.pathname}${url.search} ${status}`);
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(status === 204 ? undefined : JSON.stringify(body));
  }

  #answer(
    method: string,
    url: URL,
    request: IncomingMessage,
    text: string,
  ): [number, unknown, Record<string, string>?] {
    const { kind, self, token } = this.#options;
    if (this.failure !== null) return [this.failure, { message: "made to fail" }];
    const given = kind === "github" ? request.headers.authorization : request.headers["private-token"];
    if (given !== (kind === "github" ? `Bearer ${token}` : token)) return [401, { message: "401 Unauthorized" }];
    if (method === "GET" && url.pathname === "/user")
      return self === undefined && kind === "github"
        ? [403, { message: "Resource not accessible by integration" }]
        : [200, this.#shownAuthor(self ?? BOT)];
    if (url.pathname === ROOTS[kind] && method === "GET") return this.#page(url);
    const body = method === "POST" || method === "PATCH" || method === "PUT" ? bodyIn(text, kind) : "";
    if (body === null) return [kind === "github" ? 422 : 400, { message: "Validation Failed" }];
    if (url.pathname === ROOTS[kind] && method === "POST") return [201, this.#shown(this.add(body))];
    const id = Number(url.pathname.startsWith(`${ITEMS[kind]}/`) ? url.pathname.slice(ITEMS[kind].length + 1) : NaN);
    const index = this.comments.findIndex((comment) => comment.id === id);
    const comment = this.comments[index];
    if (comment === undefined) return [404, { message: "Not Found" }];
    if (method === (kind === "github" ? "PATCH" : "PUT")) {
      comment.body = body;
      return [200, this.#shown(comment)];
    }
    if (method !== "DELETE") return [404, { message: "Not Found" }];
    this.comments.splice(index, 1);
    return [204, null];
  }

  #page(url: URL): [number, unknown, Record<string, string>] {
    const asked = Math.min(Number(url.searchParams.get("per_page") ?? 30), 100);
    const size = Math.min(asked, this.#options.pageSizeMax ?? 100);
    const page = Number(url.searchParams.get("page") ?? 1);
    const items = this.comments.slice((page - 1) * size, page * size).map((comment) => this.#shown(comment));
    const next = new URL(url);
    next.searchParams.set("page", String(page + 1));
    const shown = next.href.replace(next.origin, this.#options.nextOrigin ?? next.origin);
    const links = [
      `<${url.href}>; rel="first"`,
      ...(page * size < this.comments.length ? [`<${shown}>; rel="next"`] : []),
    ];
    return [200, items, { link: links.join(", ") }];
  }

  #shown({ author, body, id }: Comment): object {
    return this.#options.kind === "github"
      ? { id, body, user: this.#shownAuthor(author) }
      : { id, body, author: this.#shownAuthor(author), system: false };
  }

  #shownAuthor({ id, type }: Author): object {
    return this.#options.kind === "github" ? { id, type, login: `user-${id}` } : { id, username: `user-${id}` };
  }
}

/** Null for a body that the forge refuses. */
function bodyIn(text: string, kind: ForgeOptions["kind"]): string | null {
  try {
    const { body } = JSON.parse(text) as { body?: unknown };
    return typeof body === "string" && body !== "" && body.length <= BODY_CHARACTERS_MAX[kind] ? body : null;
  } catch {
    return null;
  }
}
