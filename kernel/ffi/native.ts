import { createRequire } from "node:module";

/** The installed prefix, put in by the bundler; does not exist when the sources run as they are. */
declare const __PODWIRE_PREFIX__: string;

export type Koffi = typeof import("koffi");
export type Library = ReturnType<Koffi["load"]>;

let loaded: Koffi | undefined;

/** koffi, loaded at first use: from the installed prefix in a bundle (an executable may be copied anywhere), else as Node.js resolves it. */
export function koffi(): Koffi {
  loaded ??= requireKoffi();
  return loaded;
}

function requireKoffi(): Koffi {
  if (typeof __PODWIRE_PREFIX__ === "string") {
    return createRequire("/")(`${__PODWIRE_PREFIX__}/lib/node_modules/koffi`);
  }
  return createRequire(import.meta.url)("koffi");
}
