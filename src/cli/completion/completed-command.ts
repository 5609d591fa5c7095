/** What a completion script knows. */
export interface CompletedProgram {
  readonly commands: readonly CompletedCommand[];
  readonly transports: readonly CompletedTransport[];
}

export interface CompletedCommand {
  /** Its name, then its aliases. */
  readonly names: readonly string[];
  readonly summary: string;
  /** Whether it is meant where no command is named. */
  readonly isDefault: boolean;
  readonly options: readonly CompletedOption[];
  /** What its arguments may be, where that is a short list. */
  readonly choices: readonly string[];
  /** Whether its arguments are images. */
  readonly takesImages: boolean;
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

/** How an image may begin. */
export interface CompletedTransport {
  /** `dir:` */
  readonly prefix: string;
  /** What follows, if the shell knows: a directory (`path`), or a file. */
  readonly follows: 'path' | 'file' | undefined;
}
