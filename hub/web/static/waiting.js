// What is not as it should be although no alert tells of it (yet): silence is no good news.

import { state } from "./state.js";
import { t } from "./text.js";

/** Each as a text; none: there is nothing that an alert could still come of. */
export function waiting() {
  const { devices, alerts } = state.counts;
  return [["down", devices.down], ["no_data", devices.no_data], ["pending", alerts.pending]]
    .filter(([, count]) => count)
    .map(([what, count]) => t(`waiting.${what}`, { count }));
}
