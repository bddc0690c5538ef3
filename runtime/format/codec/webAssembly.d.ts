/** The part of WebAssembly that the runtime uses: Node's types leave it to the browser's. */
declare interface WasmModule {
  readonly [Symbol.toStringTag]: "WebAssembly.Module";
}

declare interface WasmMemory {
  readonly buffer: ArrayBuffer;
  grow(pages: number): number;
}

declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => WasmModule;
  readonly Instance: new (module: WasmModule) => { readonly exports: unknown };
};
