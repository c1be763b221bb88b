// Run pytest in CPython compiled to WebAssembly: no sockets, no threads, no processes, and a newer Python.
// usage: node pyodide.mjs SITE PROJECT PYTEST_ARGUMENT...
import { pathToFileURL } from "node:url";
import process from "node:process";

const [site, project, ...args] = process.argv.slice(2);
const { loadPyodide } = await import(pathToFileURL(process.env.PYODIDE).href);
const pyodide = await loadPyodide({ env: { HOME: "/home/pyodide", PYTHONDONTWRITEBYTECODE: "1" } });
for (const [folder, root] of [["/site", site], ["/project", project]]) {
    pyodide.FS.mkdir(folder);
    pyodide.FS.mount(pyodide.FS.filesystems.NODEFS, { root }, folder);
}
pyodide.globals.set("args", pyodide.toPy(args));
process.exitCode = await pyodide.runPythonAsync(`
import os, sys
sys.path[:0] = ["/project", "/site"]
os.chdir("/project")
import pytest
print("Python", sys.version, "on", sys.platform)
int(pytest.main(args))
`);
