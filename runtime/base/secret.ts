/** A value that prints as stars wherever it leaks to: logs, JSON, inspection, string building. */
const inspect = Symbol.for("nodejs.util.inspect.custom");

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The value itself; only signing, encryption and database sessions may open it. */
  reveal(): string {
    return this.#value;
  }

  toString(): string {
    return "******";
  }

  toJSON(): string {
    return "******";
  }

  [inspect](): string {
    return "******";
  }
}
