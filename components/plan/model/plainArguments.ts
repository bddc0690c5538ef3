/** Converts the types of components' arguments to those of plans. Types only. */

/**
 * An argument as a plain value. Unknown values have already been replaced by markers (unknown.ts). String unions widen
 * to `string`; rules validate the value.
 */
export type Plain<T> = T extends ToCome
  ? never
  : T extends string
    ? string
    : T extends number
      ? number
      : T extends boolean
        ? boolean
        : T extends readonly (infer Item)[]
          ? readonly Plain<Item>[]
          : T extends object
            ? { readonly [Key in keyof T]: Plain<T[Key]> | (object extends Pick<T, Key> ? undefined : never) }
            : T;

/** An input's forms other than the value: a promise, or a Pulumi output. */
type ToCome = PromiseLike<unknown> | { apply(...parts: never[]): unknown; get(): unknown };
