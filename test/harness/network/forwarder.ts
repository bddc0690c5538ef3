/**
 * Forwards connections from one end to another: `node forwarder.cjs FROM TO`. An end is `ADDRESS:PORT`, or the path of
 * a socket in the file system, which other network namespaces see too.
 */
import { connect, createServer, type Socket } from "node:net";

const [from = "", to = ""] = process.argv.slice(2);
const server = createServer((inner) => {
  const outer = connectTo(to);
  inner.on("error", () => outer.destroy());
  outer.on("error", () => inner.destroy());
  inner.pipe(outer).pipe(inner);
});
if (from.startsWith("/")) server.listen(from);
else server.listen(Number(from.split(":")[1]), from.split(":")[0]);

function connectTo(end: string): Socket {
  const [address, port] = end.split(":");
  return end.startsWith("/") ? connect(end) : connect(Number(port), address);
}
