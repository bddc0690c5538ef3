/** A storage with some members replaced; one that is undefined is absent. */
import type { Storage } from "./storage";

export function overlaid(storage: Storage, own: { readonly [K in keyof Storage]?: Storage[K] | undefined }): Storage {
  return new Proxy<Storage>(storage, {
    get: (_, name: keyof Storage) => {
      const member: unknown = name in own ? own[name] : storage[name];
      return typeof member === "function" ? member.bind(storage) : member;
    },
  });
}
