/**
 * A `.proto` file as a module: its parsed content in the JSON form of gRPC's loader. For the build and for the tests.
 */
import { parse } from "protobufjs";

/** Keeps field names as written. */
export function protoModule(text: string): string {
  const { root } = parse(text, { keepCase: true });
  return `export const root = ${JSON.stringify(root.toJSON())};\n`;
}
