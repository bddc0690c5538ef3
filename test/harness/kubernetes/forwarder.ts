/**
 * A port inside a lab's namespaces that leads to a server of the test: connections go on over a socket in the file system, which both
 * sides see. `node forwarder.cjs ADDRESS PORT SOCKET`
 */
import { connect, createServer } from "node:net";

const [address = "", port = "", socketPath = ""] = process.argv.slice(2);
const server = createServer((inner) => {
  const outer = connect(socketPath);
  inner.on("error", () => outer.destroy());
  outer.on("error", () => inner.destroy());
  inner.pipe(outer).pipe(inner);
});
server.listen(Number(port), address);
