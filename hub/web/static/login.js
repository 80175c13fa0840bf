// A token becomes a cookie that scripts can't read.

import { $, say, send } from "./dom.js";
import { t } from "./text.js";

$("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await send("POST", "/masuk", { token: $("token").value.trim() });
    location.assign("/");
  } catch (error) {
    say($("error"), t(error.status === 401 || error.status === 422 ? "login.wrong" : "login.away"));
  }
});

$("logout").addEventListener("click", async () => {
  await send("POST", "/keluar");
  location.reload();
});

const answer = await fetch("/api/v1/me");
if (answer.ok) {
  const me = await answer.json();
  say($("who"), t("login.who", me));
  $("who").hidden = false;
  $("logout").hidden = me.name === "local" || me.auth === "demo";
}
