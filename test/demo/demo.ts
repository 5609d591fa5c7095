import { actOne } from './act-one.ts';
import { actTwo } from './act-two.ts';
import { say, title } from './printing.ts';
import { openStage } from './stage.ts';

// Shows what imgcopy does, between registries that run in this process. It ends with status 1 where a copy fails, or does not do what
// is said of it.

try {
  await play();
} catch (error) {
  process.stderr.write(`\nThe demo failed: ${(error as Error).message}\n`);
  process.exitCode = 1;
}

async function play(): Promise<void> {
  const started = performance.now();
  await using stage = await openStage();
  title('imgcopy demo');
  say('Two registries run inside this program. Every request and every byte below was counted by them.');
  const copies = (await actOne(stage)) + (await actTwo(stage));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  say(`\n\nThose were ${copies} copies in ${seconds} s. imgcopy --help tells the rest.\n`);
}
