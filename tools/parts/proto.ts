/** A `.proto` file as a module: its content parsed, in the JSON form that gRPC's loader takes. For the build and for the tests. */
import { parse } from "protobufjs";

/** Field names stay as they are written. */
export function protoModule(text: string): string {
  const { root } = parse(text, { keepCase: true });
  return `export const root = ${JSON.stringify(root.toJSON())};\n`;
}
