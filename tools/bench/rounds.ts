/** Rounds of pairs: both programs do each step, one directly after the other, in alternating order. */
import type { Progress } from "../parts/progress";
import { type Program, PROGRAMS } from "./figures";

export interface Step {
  readonly title: string;
  /** Once for both, before either runs. */
  prepare?(round: number): Promise<void>;
  play(program: Program): Promise<void>;
}

/** @throws Error if either program fails */
export async function playRounds(rounds: number, steps: readonly Step[], progress: Progress): Promise<void> {
  for (let round = 1; round <= rounds; round++) {
    const order = round % 2 === 1 ? PROGRAMS : [...PROGRAMS].reverse();
    await progress.step(`round ${round} of ${rounds}`, async (note) => {
      for (const step of steps) {
        note(step.title);
        await step.prepare?.(round);
        for (const program of order) {
          note(`${step.title}, ${program}`);
          await step.play(program);
        }
      }
      note("");
    });
  }
}

/** Collects hashes of restored data, by a name for the expected data. */
export class Hashes {
  readonly #byName = new Map<string, Set<string>>();

  add(name: string, hash: string): void {
    this.#byName.set(name, (this.#byName.get(name) ?? new Set()).add(hash));
  }

  /** The hash of each name, in order. @throws Error if restores of the same data differ */
  all(): string[] {
    for (const [name, hashes] of this.#byName)
      if (hashes.size !== 1) throw new Error(`restores of ${name} differ: ${[...hashes].join(", ")}`);
    return [...this.#byName.values()].flatMap((hashes) => [...hashes]);
  }
}
