/** The one part of hash-wasm that is bundled: its types are those of the package's main file. */
declare module "hash-wasm/dist/xxhash128.umd.min.js" {
  export { createXXHash128 } from "hash-wasm";
}
