// The list of paths, from the schema itself.

import { $, get, h } from "./dom.js";

const schema = await get("/api/v1/openapi.json");
for (const [path, methods] of Object.entries(schema.paths)) {
  for (const [method, says] of Object.entries(methods)) {
    const asked = (says.parameters ?? []).map((one) => one.name + (one.required ? "" : "?")).join(", ");
    $("paths").append(h("tr", {}, h("td", {}, h("b", {}, method.toUpperCase())), h("td", {}, h("code", {}, path)),
      h("td", {}, says.summary ?? "", h("p", { class: "muted small" }, says.description ?? "")), h("td", { class: "muted" }, asked)));
  }
}
