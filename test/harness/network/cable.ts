/**
 * A connection to a server on this machine that tests can cut and restore. Cutting it breaks open connections and
 * refuses new ones.
 */
import { connect, createServer, type Server, type Socket } from "node:net";
import { freePort } from "../../../tools/parts/servers/s3Server";

export class Cable {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #isCut = false;

  private constructor(port: number, target: number) {
    this.port = port;
    this.#server = createServer((inner) => {
      if (this.#isCut) return void inner.destroy();
      const outer = connect(target, "127.0.0.1");
      for (const [socket, other] of [
        [inner, outer],
        [outer, inner],
      ] as const) {
        this.#sockets.add(socket);
        socket.on("error", () => other.destroy());
        socket.on("close", () => this.#sockets.delete(socket));
        socket.pipe(other);
      }
    });
  }

  static async to(target: number): Promise<Cable> {
    const cable = new Cable(await freePort(), target);
    await new Promise<void>((resolve) => void cable.#server.listen(cable.port, "127.0.0.1", resolve));
    return cable;
  }

  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  mend(): void {
    this.#isCut = false;
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
