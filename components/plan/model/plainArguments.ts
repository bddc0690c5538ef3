/** Arguments of components as plans get them. Types only. */

/**
 * An argument as a plain value. What other resources have yet to produce is a marker of unknown.ts by then. One of a few words is any text:
 * rules judge what users write, and say so.
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

/** What an input can be beside its value: a promise, or an output of Pulumi. */
type ToCome = PromiseLike<unknown> | { apply(...parts: never[]): unknown; get(): unknown };
