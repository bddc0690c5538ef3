/** A server of PostgreSQL's protocol that answers each statement from a script: for rows that only the wire shows. */
import { createServer, type Server } from "node:net";

/** Columns by name, and rows of booleans. */
export interface ScriptedRows {
  readonly columns: readonly string[];
  readonly rows: readonly (readonly boolean[])[];
}

const BOOLEAN_OID = 16;
const PORT = 5432;

/** Listens in `directory` as a server of port 5432 does. A statement that the script lacks returns no rows. */
export async function startPostgresDouble(
  directory: string,
  script: Readonly<Record<string, readonly ScriptedRows[]>>,
): Promise<Server> {
  const server = createServer((socket) => {
    let rest = Buffer.alloc(0);
    let isBegun = false;
    socket.on("error", () => {});
    socket.on("data", (bytes) => {
      rest = Buffer.concat([rest, bytes]);
      for (;;) {
        // The first message has no type.
        const head = isBegun ? 1 : 0;
        if (rest.length < head + 4) return;
        const end = head + rest.readUInt32BE(head);
        if (rest.length < end) return;
        const [type, body] = [isBegun ? String.fromCharCode(rest[0] ?? 0) : "begin", rest.subarray(head + 4, end)];
        rest = rest.subarray(end);
        isBegun = true;
        if (type === "begin") socket.write(Buffer.concat([message("R", uint32(0)), READY]));
        if (type === "Q") socket.write(answer(script[body.toString("utf8").replace(/\0$/, "")] ?? [NOTHING]));
        if (type === "X") socket.end();
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(`${directory}/.s.PGSQL.${PORT}`, resolve));
  return server;
}

const NOTHING: ScriptedRows = { columns: ["nothing"], rows: [] };

function answer(results: readonly ScriptedRows[]): Buffer {
  const parts = results.flatMap(({ columns, rows }) => [
    message("T", uint16(columns.length), ...columns.map(describeColumn)),
    ...rows.map((row) => message("D", uint16(row.length), ...row.map((value) => sized(value ? "t" : "f")))),
    message("C", Buffer.from(`SELECT ${rows.length}\0`)),
  ]);
  return Buffer.concat([...parts, READY]);
}

function describeColumn(name: string): Buffer {
  const origin = Buffer.concat([uint32(0), uint16(0)]);
  return Buffer.concat([Buffer.from(`${name}\0`), origin, uint32(BOOLEAN_OID), uint16(1), uint32(0), uint16(0)]);
}

function message(type: string, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), uint32(body.length + 4), body]);
}

function sized(text: string): Buffer {
  return Buffer.concat([uint32(text.length), Buffer.from(text)]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

const READY = message("Z", Buffer.from("I"));
