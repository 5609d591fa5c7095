/**
 * To be loaded before the program. Tells which files of the bundle are loaded, and of each whether V8 rejected the compiled code that was found: undefined
 * where there was none.
 */
export const tellVerdicts: string = `
  const vm = process.getBuiltinModule('node:vm');
  vm.Script = class extends vm.Script {
    constructor(...args) {
      super(...args);
      process.stderr.write(args[1].filename.replace(/.*[/]/, '') + ': ' + this.cachedDataRejected + ';');
    }
  };
`;
