/** What the backups have to achieve: previews compare it with what is declared. */
export interface ObjectivesArgs {
  /**
   * Recovery point objective: commits of at most so many seconds may be lost with the machine. Sets PostgreSQL's `archive_timeout` to what
   * it leaves after one push and one retry.
   * @example 300
   */
  rpoSeconds?: number;
  /**
   * Recovery time objective.
   * @example 30
   */
  rtoMinutes?: number;
  /**
   * Any moment of the last so many days must be restorable from every repository.
   * @example 14
   */
  pitrDays?: number;
  /**
   * One repository shall take no more gigabytes (10⁹ bytes, as providers bill them) than so many, backups and WAL: the alert of `Monitoring`. Left
   * out: half as much again as is estimated, where there is `sizing`.
   * @example 100
   */
  maxRepositoryGB?: number;
}
