/** Sessions that end together. */
import { orAborted } from "../base/clock";
import type { Session } from "./session";

/** A query may take hours, and a session may still be connecting when its process must end. */
export class SessionGroup {
  readonly #sessions = new Set<Session>();

  /** It ends when `signal` aborts, with its running query. @throws the abort's reason, also while it connects */
  async add(opening: Promise<Session>, signal: AbortSignal): Promise<Session> {
    const added = opening.then((session) => {
      this.#sessions.add(session);
      const end = (): void => void session.close();
      if (signal.aborted) end();
      signal.addEventListener("abort", end, { once: true });
      return session;
    });
    return orAborted(added, signal);
  }

  /** Running queries fail. */
  async close(): Promise<void> {
    const sessions = [...this.#sessions];
    this.#sessions.clear();
    await Promise.all(sessions.map((session) => session.close()));
  }
}
