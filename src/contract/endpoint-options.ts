/** How one side of a copy is reached. */
export interface EndpointOptions {
  /** Sent where the registry asks for them; without any, they are looked up where docker and podman keep them. */
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** Where these, or the token, come from: named in errors. Default: not named. */
  readonly credentialsFrom?: string | undefined;
  /** A bearer token that goes to the registry as it is. */
  readonly registryToken?: string | undefined;
  /** Ask anonymously, whatever credentials there are. Default false. */
  readonly noCreds?: boolean | undefined;
  /** The one auth file to look in. */
  readonly authFile?: string | undefined;
  /** Whether certificates are checked; false also allows http where https does not answer. Default true. */
  readonly tlsVerify?: boolean | undefined;
  /** http, without trying https. Default false. */
  readonly plainHttp?: boolean | undefined;
  /** A directory with `*.crt`, `*.cert` and `*.key`, as in docker's certs.d. */
  readonly certDir?: string | undefined;
  /** A file of extra CA certificates (PEM file). */
  readonly caFile?: string | undefined;
}
