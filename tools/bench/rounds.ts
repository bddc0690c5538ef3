/** Rounds of pairs: each step is done by both programs, one directly after the other, and every second round the other one comes first. */
import type { Progress } from "../parts/progress";
import { type Program, PROGRAMS } from "./figures";

export interface Step {
  readonly title: string;
  /** Once for both, before either plays. */
  prepare?(round: number): Promise<void>;
  play(program: Program): Promise<void>;
}

/** @throws Error when either program fails */
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

/** Collects what restores brought back, by a name for what was to come back. */
export class Hashes {
  readonly #byName = new Map<string, Set<string>>();

  add(name: string, hash: string): void {
    this.#byName.set(name, (this.#byName.get(name) ?? new Set()).add(hash));
  }

  /** The one hash of each name, in their order. @throws Error when restores of the same differ */
  all(): string[] {
    for (const [name, hashes] of this.#byName) if (hashes.size !== 1) throw new Error(`restores of ${name} differ: ${[...hashes].join(", ")}`);
    return [...this.#byName.values()].flatMap((hashes) => [...hashes]);
  }
}
