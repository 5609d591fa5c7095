/** What a completion script knows of a command. */
export interface CompletedCommand {
  /** Its name, then its aliases. */
  readonly names: readonly string[];
  readonly summary: string;
  /** Whether it is meant where no command is named. */
  readonly isDefault: boolean;
  readonly options: readonly CompletedOption[];
  /** What its argument may be, where that is a short list. */
  readonly choices: readonly string[];
}

export interface CompletedOption {
  /** `-j`, `--jobs`. */
  readonly names: readonly string[];
  readonly description: string;
  readonly takesValue: boolean;
  /** The values that it may have; none where that is anything. */
  readonly choices: readonly string[];
  readonly isPath: boolean;
}
