/** An upload that was begun and neither closed nor cancelled. */
export class UploadSession {
  readonly id: string;
  readonly repository: string;
  /** As it was opened with. */
  readonly algorithm: string;
  /** Whether the last chunk was shorter than OCI-Chunk-Min-Length: none may follow. */
  endsShort = false;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(id: string, repository: string, algorithm: string) {
    this.id = id;
    this.repository = repository;
    this.algorithm = algorithm;
  }

  /** How many bytes have come so far. */
  get bytes(): number {
    return this.#bytes;
  }

  append(part: Buffer): void {
    this.#parts.push(part);
    this.#bytes += part.length;
  }

  /** Gives up what came after so many bytes. */
  truncate(bytes: number): void {
    this.#parts = [this.content().subarray(0, bytes)];
    this.#bytes = bytes;
  }

  content(): Buffer {
    return Buffer.concat(this.#parts);
  }
}

/** The open upload sessions of a registry. */
export class UploadSessions {
  readonly #open = new Map<string, UploadSession>();
  #started = 0;

  start(repository: string, algorithm: string = 'sha256'): UploadSession {
    this.#started += 1;
    const session = new UploadSession(`session-${this.#started}`, repository, algorithm);
    this.#open.set(session.id, session);
    return session;
  }

  find(repository: string, id: string): UploadSession | undefined {
    const session = this.#open.get(id);
    return session?.repository === repository ? session : undefined;
  }

  end(session: UploadSession): void {
    this.#open.delete(session.id);
  }

  list(): readonly UploadSession[] {
    return [...this.#open.values()];
  }
}
