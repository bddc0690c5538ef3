/** A `.proto` file as the build and the tests load it: parsed, in protobufjs' JSON form. */
declare module "*.proto" {
  import type { INamespace } from "protobufjs";

  export const root: INamespace;
}
