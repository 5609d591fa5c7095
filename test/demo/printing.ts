import chalk from 'chalk';

/** What the demo prints with; colours go where stdout can show them and NO_COLOR does not forbid it. */
export function title(text: string): void {
  print(`\n${chalk.bold.inverse(` ${text} `)}\n`);
}

export function act(name: string, what: string): void {
  print(`\n\n${chalk.bold.cyan(name)}  ${chalk.bold(what)}`);
  print(chalk.cyan('─'.repeat(name.length + 2 + what.length)));
}

export function heading(text: string): void {
  print(`\n${chalk.bold(text)}\n`);
}

export function say(text: string): void {
  print(text);
}

/** A command as it would be typed. */
export function commandLine(args: readonly string[]): void {
  print(`  ${chalk.dim('$')} ${chalk.yellow(['imgcopy', ...args].join(' '))}`);
}

/** What a command printed. */
export function commandOutput(text: string, maxWidth: number = Infinity): void {
  for (const line of text.trimEnd().split('\n')) {
    print(`    ${chalk.dim(line.length > maxWidth ? `${line.slice(0, maxWidth - 1)}…` : line)}`);
  }
}

/** Rows of words and numbers; numbers are set flush right. The first row is the head. */
export function table(rows: readonly (readonly (string | number)[])[]): void {
  const texts = rows.map((row) => row.map((cell) => (typeof cell === 'number' ? count(cell) : cell)));
  const widths = (texts[0] ?? []).map((_, column) => Math.max(...texts.map((row) => row[column]?.length ?? 0)));
  print('');
  for (const [index, row] of rows.entries()) {
    const cells = row.map((cell, column) => {
      const isNumber = rows.some((other) => typeof other[column] === 'number');
      const text = texts[index]?.[column] ?? '';
      return isNumber ? text.padStart(widths[column] ?? 0) : text.padEnd(widths[column] ?? 0);
    });
    const line = `    ${cells.join('   ')}`.trimEnd();
    print(index === 0 ? chalk.dim(line) : line);
  }
  print('');
}

/** Parts of a whole, each with a bar as long as its share. */
export function shares(whole: number, parts: readonly (readonly [string, number])[]): void {
  const width = 40;
  const names = Math.max(...parts.map(([name]) => name.length));
  const digits = Math.max(...parts.map(([, bytes]) => count(bytes).length));
  print('');
  for (const [name, bytes] of parts) {
    const full = Math.round((bytes / whole) * width);
    const bar = chalk.green('█'.repeat(full)) + chalk.dim('░'.repeat(width - full));
    print(`    ${name.padEnd(names)}  ${bar}  ${count(bytes).padStart(digits)} bytes  ${percent(bytes / whole)}`);
  }
  print('');
}

/** Something that has been checked and holds. */
export function checked(text: string): void {
  print(`  ${chalk.green('✔')} ${text}`);
}

export function count(value: number): string {
  return value.toLocaleString('en-US');
}

export function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(1).padStart(5)} %`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
