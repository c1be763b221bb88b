// Load CPython, the wheels and the package, run the script, and hand its last expression to the page.
import { loadPyodide } from "/pyodide/pyodide.mjs";

try {
    const pyodide = await loadPyodide();
    pyodide.unpackArchive(await (await fetch("/site.zip")).arrayBuffer(), "zip", { extractDir: "/site" });
    pyodide.globals.set("origin", self.location.origin);
    const script = await (await fetch("/script.py")).text();
    postMessage(await pyodide.runPythonAsync(script));
} catch (error) {
    postMessage(`failed: ${error.message}`);
}
