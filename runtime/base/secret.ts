/** A value that prints as stars in logs, JSON, inspection and string building. */
const inspect = Symbol.for("nodejs.util.inspect.custom");

export class Secret {
  readonly #value: string;

  constructor(value: string) {
    this.#value = value;
  }

  /** The plain value; only signing, encryption and database sessions may read it. */
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
