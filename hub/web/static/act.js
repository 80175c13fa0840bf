// The page behind a signed link: says what it is about, asks, and acts when its button is pressed.

import { $, say, send } from "./dom.js";
import { moment, pick, t } from "./text.js";

const path = `/api/v1/links/${location.pathname.split("/").pop()}`;

function end(text) {
  $("act").hidden = true;
  say($("said"), text);
  $("said").hidden = false;
}

const answer = await fetch(path).catch(() => null);
if (answer === null || answer.status >= 500) end(t("signed.away"));
else if (answer.status === 410) end(t("signed.expired"));
else if (!answer.ok) end(t("signed.unknown"));
else ask(await answer.json());

function ask({ act, open, alert, zone }) {
  if (!open) return end(t("signed.over"));
  say($("what"), t(`signed.ask.${act}`));
  say($("go"), t(`signed.do.${act}`));
  say($("title"), pick(alert.title));
  const facts = [pick(alert.detail ?? {}), alert.name, t("signed.since", { time: moment(alert.since_ms, zone, "day") })];
  if (alert.who) facts.push(t("signed.taken", { who: alert.who }));
  say($("detail"), facts.filter(Boolean).join(" · "));
  $("act").hidden = false;
  $("act").addEventListener("submit", async (event) => {
    event.preventDefault();
    $("go").disabled = true;
    try {
      await send("POST", path, { name: $("name").value.trim(), why: $("why").value.trim() });
      end(t(`signed.done.${act}`));
    } catch (error) {
      $("go").disabled = false;
      if (error.status === 409) end(t("signed.over"));
      else say($("error"), error.status ? error.message : t("signed.away"));
    }
  });
}
